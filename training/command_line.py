"""The command line of a trainer: options that all of them have, and what they do at the start."""

import argparse
from pathlib import Path

import torch


def run_parser(
    module: str, about: str | None, *, hold: float, threads: int = 2
) -> argparse.ArgumentParser:
    """A parser with the options of every training run but for its photographs.

    Args:
        module: Name of the trainer's module.
        about: Its docstring.
        hold: Share of the time until the rates begin to fall, unless it is given.
        threads: Threads of torch, unless they are given.
    """
    parser = argparse.ArgumentParser(prog=f"python -m training.{module}", description=about)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of the run")
    add("--resume", action="store_true", help="continue from the checkpoint")
    add("--minutes", type=float, default=60, help="minutes of training, all sessions together")
    add("--hold", type=float, default=hold, help="share of the time at full rates")
    add("--threads", type=int, default=threads)
    add("--seed", type=int, default=0)
    return parser


def begin(options: argparse.Namespace) -> None:
    """Set torch's threads and make the folder of the run."""
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
