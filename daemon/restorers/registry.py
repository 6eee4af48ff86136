"""Which restorer does which kind of step with which model, and whether recipes fit their models.

A restorer's module imports torch, so it is imported only when its step runs: the parent process
checks recipes here and never imports torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any

from daemon.checkpoints.adapters import check_adapter
from daemon.checkpoints.library import Library
from daemon.checkpoints.pipeline_calls import call_convention
from daemon.checkpoints.traits import PRIOR_TRAITS, Traits, Use
from daemon.config.model_reference import PRIOR
from daemon.config.recipe import Recipe
from daemon.config.steps import Step
from daemon.photo.provenance import DigitalSource
from daemon.restorers.interface import Restorer
from daemon.system.errors import ConfigError

_STEP_BY_STEP: tuple[Use, ...] = ("prior", "pixel", "latent")
"""Uses of a model that is driven step by step and told nothing but a prompt."""

_SAMPLING: tuple[Use, ...] = (*_STEP_BY_STEP, "latent-inpaint")
"""Uses of a model that is driven step by step."""


@dataclass(frozen=True)
class StepKind:
    """One kind of step.

    Attributes:
        kind: Its name in recipes.
        restorers: What the step can use a model as, and the function that then does the step,
            "module:function" in this package.
        meaningless: Keys of the step that mean nothing to a model used so.
        instructed: Uses that need a prompt.
        samples: Uses in which it samples step by step, so that `sampler` and `spacing` mean
            something.
        source: What a result is, in IPTC's words: cleaned, or partly or wholly made by a network.
        networks: Whether it ever asks a network.
    """

    kind: str
    restorers: Mapping[Use, str]
    meaningless: Mapping[Use, tuple[str, ...]] = field(default_factory=dict)
    instructed: tuple[Use, ...] = ()
    samples: tuple[Use, ...] = _SAMPLING
    source: DigitalSource = DigitalSource.COMPOSITE
    networks: bool = True


def _step_by_step(restorer: str) -> dict[Use, str]:
    """One restorer for every model that is driven step by step, whatever its working space."""
    return dict.fromkeys(_STEP_BY_STEP, restorer)


STEP_KINDS = {
    row.kind: row
    for row in (
        StepKind(
            "colorize",
            _step_by_step("checkpoint_colorize:colorize")
            | {"prior": "colorize:colorize", "edit": "pipeline_repair:colorize"},
            meaningless={
                "pixel": ("vivid", "keep_tone"),
                "latent": ("vivid", "keep_tone"),
                "edit": ("realism", "vivid", "keep_tone"),
            },
            samples=("pixel", "latent"),
        ),
        StepKind(
            "denoise",
            _step_by_step("denoise:denoise") | {"edit": "pipeline_repair:denoise"},
            source=DigitalSource.ENHANCED,
            meaningless={
                "prior": ("work_px",),
                "pixel": ("work_px",),
                "latent": ("self_ensemble", "work_px"),
                "edit": ("mode", "sigma", "blur_px", "realism", "self_ensemble"),
            },
        ),
        StepKind("generate", {"text": "generate:generate"}, source=DigitalSource.GENERATED),
        StepKind(
            "inpaint",
            _step_by_step("inpaint:inpaint")
            | {"latent-inpaint": "inpaint:inpaint", "inpaint": "pipeline_inpaint:inpaint"},
            meaningless={
                "pixel": ("find",),
                "latent": ("find",),
                "latent-inpaint": ("find",),
                "inpaint": ("find", "realism"),
            },
        ),
        StepKind("interpolate", _step_by_step("interpolate:interpolate"), samples=()),
        StepKind(
            "restyle",
            _step_by_step("restyle:restyle")
            | {
                "latent-inpaint": "restyle:restyle",
                "edit": "pipeline_restyle:edit",
                "image": "pipeline_restyle:restyle",
                "inpaint": "pipeline_inpaint:restyle",
            },
            meaningless={
                "prior": ("work_px",),
                "pixel": ("work_px",),
                "edit": ("strength", "sweep"),
                "inpaint": ("work_px",),
            },
            instructed=("edit",),
        ),
        StepKind(
            "super-resolve",
            _step_by_step("super_resolve:super_resolve")
            | {"upscale": "pipeline_repair:super_resolve"},
            meaningless={
                "pixel": ("self_ensemble", "consistent", "deblock"),
                "latent": ("self_ensemble", "consistent", "deblock"),
                "upscale": ("realism", "self_ensemble", "consistent", "deblock"),
            },
        ),
        StepKind(
            "unfade",
            {"prior": "unfade:unfade"},
            source=DigitalSource.ENHANCED,
            meaningless={"prior": ("steps", "seed")},
            samples=(),
            networks=False,
        ),
    )
}
"""Every kind of step, by its name in recipes."""

_MODEL_FOR: dict[Use, str] = {
    "prior": "the prior",
    "pixel": "an unconditional checkpoint",
    "latent": "a Stable Diffusion checkpoint",
    "latent-inpaint": "a Stable Diffusion checkpoint for inpainting",
    "image": "an image-to-image checkpoint",
    "inpaint": "an inpainting checkpoint",
    "edit": "an image-editing checkpoint",
    "upscale": "an upscaling checkpoint",
    "text": "a text-to-image checkpoint",
    "likeness": "a CLIP model",
}
"""Names for models by their uses, for messages."""


def digital_source(step: Step) -> DigitalSource:
    """Whether a step restores or invents; one that samples, or by a checkpoint, invents."""
    source = STEP_KINDS[step.kind].source
    cleans = step.model == PRIOR and not getattr(step, "realism", 0)
    if source == DigitalSource.ENHANCED and not cleans:
        return DigitalSource.COMPOSITE
    return source


def asks_networks(recipe: Recipe) -> bool:
    """Whether a recipe may ask a network; conditions of steps never do."""
    return recipe.match.looks_like is not None or any(
        STEP_KINDS[step.kind].networks for step in recipe.steps
    )


def restorer_for(kind: str, traits: Traits = PRIOR_TRAITS) -> Restorer:
    """The restorer for a kind of step and a model; its module is imported only now.

    Raises:
        ConfigError: A step of this kind can do nothing with such a model.
    """
    use = _use_of(kind, traits)
    module, name = STEP_KINDS[kind].restorers[use].split(":")
    restorer: Any = getattr(import_module(f"daemon.restorers.{module}"), name)
    return restorer if use == "prior" else partial(restorer, traits=traits)


def check_models(recipes: Sequence[Recipe], library: Library) -> None:
    """Check that every step's model is on this machine and can do what the step says.

    Raises:
        ConfigError: Some are not or cannot; all are named.
    """
    wrong: list[str] = []
    for recipe in recipes:
        for index, step in enumerate(recipe.steps):
            try:
                check_step(step, library.checkpoint(step.model).traits)
                for lora in step.loras:
                    check_adapter(lora.model)
            except ConfigError as error:
                what = f"steps[{index}].model is {step.model!r}"
                wrong.append(f"{recipe.source}: {what}: {error}")
    if wrong:
        raise ConfigError("\n".join(wrong))


def check_step(step: Step, traits: Traits) -> None:
    """Check that a step says nothing that its model would ignore.

    Raises:
        ConfigError: It does; the key is named.
    """
    use, row = _use_of(step.kind, traits), STEP_KINDS[step.kind]
    if step.text_keys and not traits.text_encoders:
        raise ConfigError(
            f"{traits.description} reads no text; leave out {' and '.join(step.text_keys)}, or "
            "name a text-to-image checkpoint"
        )
    # With the prior it is the kind of step that lacks the key, not the model.
    who = step.kind if use == "prior" else traits.description
    unsampled: tuple[str, ...] = ()
    if use not in row.samples:
        unsampled = ("sampler", "spacing", "timesteps")
    elif traits.betas is None:
        unsampled = ("timesteps",)
    meaningless = row.meaningless.get(use, ()) + unsampled
    if use in ("prior", "pixel"):
        meaningless += ("loras",)
    for key in meaningless + call_convention(traits.pipeline).ignored_keys:
        if key in step.model_fields_set:
            raise ConfigError(f"{who} knows no {key}; leave {key} out")
    if use in row.instructed and not step.prompt:
        raise ConfigError(f"{traits.description} needs an instruction; write it as prompt")


def check_clip(recipes: Sequence[Recipe], clip: str | None, library: Library) -> None:
    """Check that there is a CLIP model if a recipe asks what a photograph looks like.

    Raises:
        ConfigError: A recipe asks and no model is set, or the model that is set is no CLIP model.
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


def _use_of(kind: str, traits: Traits) -> Use:
    """The use of such a model in a step of this kind: the model's first use that the kind knows."""
    restorers = STEP_KINDS[kind].restorers
    for use in traits.uses:
        if use in restorers:
            return use
    needed = " or ".join(_MODEL_FOR[use] for use in restorers)
    raise ConfigError(f"{kind} needs {needed}; this is {traits.description}")
