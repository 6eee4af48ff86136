"""Restorers: each a generator of denoiser calls that reads like its source.

Comes in: decoded pictures, a step's parameters and the job's noise. Goes out: restored pictures
with what was measured. A restorer knows nothing of batches, devices or other photographs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from daemon.checkpoints.library import Library
from daemon.checkpoints.pipeline_calls import call_convention
from daemon.checkpoints.traits import PRIOR_TRAITS, Traits, Use
from daemon.config.recipe import Recipe
from daemon.config.steps import Step
from daemon.models.calls import ModelCalls
from daemon.photo import Picture
from daemon.system.errors import ConfigError


@dataclass(frozen=True)
class Restoration:
    """What a restorer returns.

    Attributes:
        pictures: The results: one, or the frames of an interpolation in order.
        measures: Names and numbers worth keeping in the record.
        notes: What a person should know, such as how sizes were fitted.
    """

    pictures: tuple[Picture, ...]
    measures: tuple[tuple[str, float], ...] = ()
    notes: tuple[str, ...] = ()


Restorer = Callable[..., ModelCalls[Restoration]]
"""(pictures: tuple[Picture, ...], params: a class of steps, noise: Noise) -> Restoration.

Those that work with checkpoints take `traits: Traits` as well.
"""

RESTORERS: dict[tuple[str, Use], str] = {
    ("colorize", "prior"): "daemon.restorers.colorize:colorize",
    ("colorize", "pixel"): "daemon.restorers.colorize:colorize",
    ("colorize", "latent"): "daemon.restorers.colorize:colorize",
    ("denoise", "prior"): "daemon.restorers.denoise:denoise",
    ("denoise", "pixel"): "daemon.restorers.denoise:denoise",
    ("denoise", "latent"): "daemon.restorers.denoise:denoise",
    ("inpaint", "prior"): "daemon.restorers.inpaint:inpaint",
    ("inpaint", "pixel"): "daemon.restorers.inpaint:inpaint",
    ("inpaint", "latent"): "daemon.restorers.inpaint:inpaint",
    ("interpolate", "prior"): "daemon.restorers.interpolate:interpolate",
    ("interpolate", "pixel"): "daemon.restorers.interpolate:interpolate",
    ("interpolate", "latent"): "daemon.restorers.interpolate:interpolate",
    ("restyle", "prior"): "daemon.restorers.restyle:restyle",
    ("restyle", "pixel"): "daemon.restorers.restyle:restyle",
    ("restyle", "latent"): "daemon.restorers.restyle:restyle",
    ("super-resolve", "prior"): "daemon.restorers.super_resolve:super_resolve",
    ("super-resolve", "pixel"): "daemon.restorers.super_resolve:super_resolve",
    ("super-resolve", "latent"): "daemon.restorers.super_resolve:super_resolve",
    ("unfade", "prior"): "daemon.restorers.unfade:unfade",
    ("colorize", "edit"): "daemon.restorers.pipeline_repair:colorize",
    ("denoise", "edit"): "daemon.restorers.pipeline_repair:denoise",
    ("restyle", "edit"): "daemon.restorers.pipeline_restyle:edit",
    ("restyle", "image"): "daemon.restorers.pipeline_restyle:restyle",
    ("super-resolve", "upscale"): "daemon.restorers.pipeline_repair:super_resolve",
    ("generate", "text"): "daemon.restorers.generate:generate",
}
"""What a step is and what its model can be used as: who does it."""

_NEEDS: dict[Use, str] = {
    "prior": "the prior",
    "pixel": "an unconditional checkpoint",
    "latent": "a Stable Diffusion checkpoint",
    "image": "an image-to-image checkpoint",
    "edit": "an image-editing checkpoint",
    "upscale": "an upscaling checkpoint",
    "text": "a text-to-image checkpoint",
    "likeness": "a CLIP model",
}


_MEANINGLESS: dict[tuple[str, Use], tuple[str, ...]] = {
    ("colorize", "edit"): ("realism",),
    ("denoise", "edit"): ("mode", "sigma", "realism", "self_ensemble"),
    ("denoise", "latent"): ("self_ensemble",),
    ("inpaint", "latent"): ("find",),
    ("inpaint", "pixel"): ("find",),
    ("restyle", "edit"): ("strength", "sweep"),
    ("super-resolve", "latent"): ("self_ensemble",),
    ("super-resolve", "pixel"): ("self_ensemble",),
    ("super-resolve", "upscale"): ("realism", "self_ensemble"),
    ("unfade", "prior"): ("steps", "seed"),
}
"""Keys of a step that mean nothing to a model used so."""


def restorer_for(kind: str, traits: Traits = PRIOR_TRAITS) -> Restorer:
    """The restorer of a kind of step with a model of these traits, importing its module only now.

    Raises:
        ConfigError: A step of this kind can do nothing with such a model.
    """
    use = _use_of(kind, traits)
    module, name = RESTORERS[kind, use].split(":")
    restorer: Any = getattr(import_module(module), name)
    return restorer if use == "prior" else partial(restorer, traits=traits)


def check_models(recipes: Sequence[Recipe], library: Library) -> None:
    """See that every step's model is on this machine, of use to the step, and reads its words.

    Raises:
        ConfigError: Some are not; all are named.
    """
    wrong: list[str] = []
    for recipe in recipes:
        for index, step in enumerate(recipe.steps):
            try:
                _check_step(step, library.checkpoint(step.model).traits)
            except ConfigError as error:
                what = f"steps[{index}].model is {step.model!r}"
                wrong.append(f"{recipe.source}: {what}: {error}")
    if wrong:
        raise ConfigError("\n".join(wrong))


def _use_of(kind: str, traits: Traits) -> Use:
    """What a step of this kind uses such a model as."""
    for use in traits.uses:
        if (kind, use) in RESTORERS:
            return use
    needed = [_NEEDS[use] for known, use in RESTORERS if known == kind]
    raise ConfigError(f"{kind} needs {' or '.join(needed)}; this is {traits.description}")


def _check_step(step: Step, traits: Traits) -> None:
    """See that a step says nothing that its model would pass over."""
    use = _use_of(step.kind, traits)
    if step.text_keys and not traits.text_encoders:
        raise ConfigError(
            f"{traits.description} reads no text; leave out {' and '.join(step.text_keys)}, or "
            "name a text-to-image checkpoint"
        )
    unknown = _MEANINGLESS.get((step.kind, use), ()) + call_convention(traits.pipeline).ignored_keys
    # The prior knows what any step may say.
    who = step.kind if use == "prior" else traits.description
    for key in unknown:
        if key in step.model_fields_set:
            raise ConfigError(f"{who} knows no {key}; leave {key} out")
    if (step.kind, use) == ("restyle", "edit") and not step.prompt:
        raise ConfigError(f"{traits.description} needs an instruction; write it as prompt")
