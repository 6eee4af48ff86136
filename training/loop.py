"""The loop of a run: steps, log lines, validations and checkpoints, until its time is over."""

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from training.checkpoint import Progress
from training.run_log import append_line


class Pace(Protocol):
    """The settings of a run that the loop goes by; see the `Plan` of each trainer."""

    @property
    def total_s(self) -> float:
        """Seconds of training, all sessions together."""

    @property
    def checkpoint_s(self) -> float:
        """Seconds between checkpoints."""

    @property
    def validate_s(self) -> float:
        """Seconds between validations."""

    @property
    def log_steps(self) -> int:
        """Steps averaged into one line of the log."""


class TrainingRun(Protocol):
    """A run, as far as the loop knows it."""

    out: Path
    progress: Progress

    @property
    def plan(self) -> Pace:
        """Settings of the run."""

    def save(self) -> None:
        """Write the checkpoint."""


def train_until(
    run: TrainingRun,
    step: Callable[[], None],
    losses: Callable[[], dict[str, object]],
    validate: Callable[[], None],
    *,
    now: Callable[[], float],
    stop: Callable[[], bool],
) -> None:
    """Train until the plan's time is over or `stop` returns True, then save.

    A run that was stopped saves at once and is not validated: a person who stops it waits for it,
    and on busy cores a validation takes over a minute.

    Args:
        run: The run to train.
        step: Takes one step.
        losses: The numbers of a line of the log; called every `log_steps` steps.
        validate: Measures the run and logs the outcome.
        now: Clock of the plan's time, in seconds.
        stop: Called before every step.
    """
    plan = run.plan
    last = saved = validated = now()
    while run.progress.trained_s < plan.total_s and not stop():
        step()
        moment = now()
        run.progress = replace(run.progress, trained_s=run.progress.trained_s + moment - last)
        last = moment
        if run.progress.step % plan.log_steps == 0:
            append_line(run.out, run.progress, losses())
        if moment - validated >= plan.validate_s:
            validate()
            validated = moment
        if moment - saved >= plan.checkpoint_s:
            run.save()
            saved = moment
    run.save()
    if not stop():
        validate()


def stop_on_sigterm() -> Callable[[], bool]:
    """Whether SIGTERM has come since this call; a run then ends after its step and is saved."""
    received: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    return lambda: bool(received)
