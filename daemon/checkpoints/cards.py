"""Recommended checkpoints: one TOML card each.

Comes in: the cards beside this file. Goes out: frozen cards, and the lines that use one in a
recipe. Whether a checkpoint is here, and what it can do, is told by its own files, never by its
card.
"""

import json
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from daemon.system.errors import ConfigError

CARDS = Path(__file__).parent / "cards"


@dataclass(frozen=True)
class CardStep:
    """A step of a recipe: its kind and what else it says."""

    kind: str
    values: tuple[tuple[str, object], ...]


@dataclass(frozen=True)
class Card:
    """What is known of a recommended checkpoint.

    Attributes:
        name: Short, of the file.
        repo: Hub id.
        revision: "main" is whatever that is when it is pulled; pull pins it.
        pipeline: diffusers' class.
        licence: Its name.
        free: Whether commercial use is allowed (Apache, MIT, OpenRAIL and the like).
        download_gb: What a pull fetches, in 1e9 bytes; 0 if unknown.
        memory_gb: Memory of the card that it is recommended for; an estimate, nobody measured it.
        steps: Steps it is recommended for, with what suits it.
        about: Why it.
        verified: What of this was looked up, and where.
        unverified: What could not be.
    """

    name: str
    repo: str
    revision: str
    pipeline: str
    licence: str
    free: bool
    download_gb: float
    memory_gb: int
    steps: tuple[CardStep, ...]
    about: str
    verified: str
    unverified: str

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of its steps."""
        return tuple(step.kind for step in self.steps)

    @property
    def reference(self) -> str:
        """For a recipe's `model`."""
        return self.repo if self.revision == "main" else f"{self.repo}@{self.revision}"


@cache
def cards() -> tuple[Card, ...]:
    """Every card, the small ones first."""
    found = [_read(path) for path in sorted(CARDS.glob("*.toml"))]
    return tuple(sorted(found, key=lambda card: (card.memory_gb, card.name)))


def card_named(name: str) -> Card:
    """The card of this name or Hub id.

    Raises:
        ConfigError: There is none.
    """
    for card in cards():
        if name in (card.name, card.repo):
            return card
    known = ", ".join(card.name for card in cards())
    raise ConfigError(f"no card is named {name!r}; there are {known}")


def repo_of(name: str) -> str:
    """The reference that a command's argument means: a card's name stands for its checkpoint."""
    return next((card.reference for card in cards() if card.name == name), name)


def lines_of(card: Card) -> list[str]:
    """What the card says, for people."""
    size = f"{card.download_gb:g} GB" if card.download_gb else "unknown; pull says it first"
    use = "commercial use allowed" if card.free else "NON-COMMERCIAL USE ONLY"
    return [
        f"{card.name}: {card.repo}@{card.revision}",
        f"  {card.about}",
        f"  pipeline    {card.pipeline}",
        f"  licence     {card.licence} ({use}; read it before you rely on it)",
        f"  download    {size}",
        f"  for a card of {card.memory_gb} GB (an estimate, not measured)",
        f"  steps       {', '.join(card.kinds)}",
        f"  looked up   {card.verified}",
        f"  not looked up  {card.unverified}",
    ]


def recipe_lines(card: Card) -> str:
    """A step for each kind the card is for, as TOML."""
    steps = []
    for step in card.steps:
        lines = ["[[steps]]", f'kind = "{step.kind}"', f'model = "{card.reference}"']
        lines += [f"{key} = {json.dumps(value)}" for key, value in step.values]
        steps.append("\n".join(lines))
    return "\n\n".join(steps)


def _read(path: Path) -> Card:
    values: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    steps = [CardStep(step.pop("kind"), tuple(step.items())) for step in values.pop("steps")]
    return Card(name=path.stem, steps=tuple(steps), **values)
