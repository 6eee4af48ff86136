"""TODO."""

from collections.abc import Sequence

from daemon.checkpoints.library import Library
from daemon.config.recipe import Recipe
from daemon.system.errors import ConfigError


def check_clip(recipes: Sequence[Recipe], clip: str | None, library: Library) -> None:
    """See that whoever asks what a photograph looks like can be answered.

    Raises:
        ConfigError: A recipe asks and no model is set, or what is set is no CLIP model.
    """
    if clip is not None:
        traits = library.checkpoint(clip).traits
        if "likeness" not in traits.uses:
            raise ConfigError(
                f"clip_model is {clip!r}, which is {traits.description}, not a CLIP model"
            )
    for recipe in recipes:
        if recipe.match.looks_like is not None and clip is None:
            raise ConfigError(
                f"{recipe.source}: match.looks_like is {recipe.match.looks_like!r}, which "
                "needs a CLIP model; set clip_model in restored.toml to the folder of one, or "
                "use match.grey, which needs none"
            )
