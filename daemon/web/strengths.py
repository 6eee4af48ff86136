"""What of a recipe people try in several strengths: its numbers from nothing to all."""

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.config.recipe import Recipe

_KEYS = ("strength", "realism", "sensitivity", "saturation", "vivid", "scale")
"""Keys of steps that say how much is done."""

_SWEEP = (0.2, 0.4, 0.6, 0.8, 1.0)
_SWEEPS: dict[str, tuple[float, ...]] = {
    "sensitivity": (0.05, 0.1, 0.3, 0.6, 0.9),
    "saturation": (0.5, 0.75, 1.0, 1.5, 2.0),
    "scale": (2, 3, 4),
}


@dataclass(frozen=True)
class Strength:
    """One number of a recipe.

    Attributes:
        path: Step and key, as a change writes them: "0.realism".
        label: The same for people: "denoise: realism".
        value: What the recipe says.
        sweep: Values that are tried beside each other.
    """

    path: str
    label: str
    value: float
    sweep: tuple[float, ...]


def strengths_of(recipe: Recipe) -> tuple[Strength, ...]:
    """The numbers of a recipe that people try, in the order of its steps."""
    found = []
    for index, step in enumerate(recipe.steps):
        for key in _KEYS:
            if key not in type(step).model_fields or _means_nothing(step.kind, key, step):
                continue
            value = getattr(step, key)
            if isinstance(value, bool) or (
                value is not None and not isinstance(value, int | float)
            ):
                continue
            sweep = _SWEEPS.get(key, _SWEEP)
            label = f"{step.kind}: {key}"
            found.append(Strength(f"{index}.{key}", label, float(value or 0), sweep))
    return tuple(found)


def _means_nothing(kind: str, key: str, step: object) -> bool:
    """Whether a key is refused beside what the step says."""
    return key == "sensitivity" and not getattr(step, "find", False)


def sweep_changes(strength: Strength) -> Sequence[str]:
    """The change for each value of a sweep."""
    return [f"{strength.path}={value:g}" for value in strength.sweep]
