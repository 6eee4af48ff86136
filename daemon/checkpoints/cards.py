"""Recommended checkpoints, one TOML card each, and the steps that use them in a recipe.

A card is advice. Whether a checkpoint is on this machine, and what it can do, is read from its own
files.
"""

import json
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from daemon.system.errors import ConfigError

CARDS_FOLDER = Path(__file__).parent / "cards"


@dataclass(frozen=True)
class CardStep:
    """A step of a recipe that a checkpoint is recommended for.

    Attributes:
        kind: The kind of step, such as "restyle".
        values: The keys that suit the checkpoint, with their values.
    """

    kind: str
    values: tuple[tuple[str, object], ...]


@dataclass(frozen=True)
class Card:
    """A recommended checkpoint.

    Attributes:
        name: Short name, that of its file.
        repo: Hub id, "org/name".
        revision: Commit, tag or branch; "main" is pinned to a commit by the pull.
        pipeline: Class of diffusers pipeline.
        licence: Name of the licence.
        free: Whether commercial use is allowed (Apache, MIT, OpenRAIL and the like).
        download_gb: What a pull fetches, in 1e9 bytes; 0 if unknown.
        memory_gb: GPU memory that should do, in 1e9 bytes; an estimate, not measured.
        steps: Steps that it is recommended for.
        about: Why it is recommended.
        verified: Which of these facts were looked up, and where.
        unverified: Which could not be.
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
        """Kinds of steps that it is recommended for."""
        return tuple(step.kind for step in self.steps)

    @property
    def reference(self) -> str:
        """The reference that a recipe's `model` names it by."""
        return self.repo if self.revision == "main" else f"{self.repo}@{self.revision}"


@cache
def all_cards() -> tuple[Card, ...]:
    """Every card, those for little memory first."""
    found = [_read_card(path) for path in sorted(CARDS_FOLDER.glob("*.toml"))]
    return tuple(sorted(found, key=lambda card: (card.memory_gb, card.name)))


def find_card(name: str) -> Card:
    """The card of a name or Hub id.

    Raises:
        ConfigError: There is none.
    """
    for card in all_cards():
        if name in (card.name, card.repo):
            return card
    known = ", ".join(card.name for card in all_cards())
    raise ConfigError(f"no card is named {name!r}; there are {known}")


def expand_card_name(name: str) -> str:
    """The reference that a command's argument means: a card's name stands for its checkpoint."""
    return next((card.reference for card in all_cards() if card.name == name), name)


def describe_card(card: Card) -> str:
    """The card as text for people: several lines."""
    size = f"{card.download_gb:g} GB" if card.download_gb else "unknown; pull says it first"
    use = "commercial use allowed" if card.free else "NON-COMMERCIAL USE ONLY"
    return "\n".join(
        (
            f"{card.name}: {card.repo}@{card.revision}",
            f"  {card.about}",
            f"  pipeline    {card.pipeline}",
            f"  licence     {card.licence} ({use}; read it before you rely on it)",
            f"  download    {size}",
            f"  for a card of {card.memory_gb} GB (an estimate, not measured)",
            f"  steps       {', '.join(card.kinds)}",
            f"  looked up   {card.verified}",
            f"  not looked up  {card.unverified}",
        )
    )


def recipe_steps(card: Card) -> str:
    """A `[[steps]]` table for each kind of step that the card is for, as TOML."""
    tables = []
    for step in card.steps:
        lines = ["[[steps]]", f'kind = "{step.kind}"', f'model = "{card.reference}"']
        lines += [f"{key} = {json.dumps(value)}" for key, value in step.values]
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _read_card(path: Path) -> Card:
    values: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    steps = [CardStep(step.pop("kind"), tuple(step.items())) for step in values.pop("steps")]
    return Card(name=path.stem, steps=tuple(steps), **values)
