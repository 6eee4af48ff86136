"""Cards of the networks inside the package: one `card.toml` beside the weights of each."""

import tomllib
from dataclasses import dataclass
from functools import cache

from daemon.checkpoints.library import WEIGHTS
from daemon.config.model_reference import SHIPPED


@dataclass(frozen=True)
class ShippedCard:
    """The card of a network inside the package.

    Attributes:
        name: Reference of the networks.
        about: What they do, and for which steps.
        licence: Licence of the weights.
        sources: What they were trained on, and what they were built from.
        credits: Whose work they stand on.
        numbers: How good they are, as measured.
        limits: What they do not do, or do badly.
    """

    name: str
    about: str
    licence: str
    sources: str
    credits: str
    numbers: str
    limits: str

    @property
    def size_bytes(self) -> int:
        """Size of the weights on disk."""
        return sum(path.stat().st_size for path in (WEIGHTS / self.name).glob("*.safetensors"))


@cache
def shipped_cards() -> tuple[ShippedCard, ...]:
    """The card of each network inside the package."""
    return tuple(
        ShippedCard(name=name, **tomllib.loads((WEIGHTS / name / "card.toml").read_text("utf-8")))
        for name in SHIPPED
    )


def describe_shipped(card: ShippedCard) -> str:
    """The card as text for people: several lines."""
    return "\n".join(
        (
            f"{card.name}: inside the package, {card.size_bytes / 1e6:.1f} MB",
            f"  {card.about}",
            f"  licence     {card.licence}",
            f"  sources     {card.sources}",
            f"  credits     {card.credits}",
            f"  measured    {card.numbers}",
            f"  limits      {card.limits}",
        )
    )
