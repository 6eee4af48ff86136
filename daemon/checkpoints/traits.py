"""Traits of checkpoints: the kind of model, read from the JSON files of diffusers' layout.

Never opens weights and imports no torch, so that recipes are checked in milliseconds.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from daemon.config.model_reference import COLOUR, DAMAGE, PRIOR, RESTORATION
from daemon.config.steps import SamplerName
from daemon.system.errors import ConfigError
from daemon.system.files import shown

Family = Literal["prior", "restoration", "colour", "damage", "pixel", "latent", "pipeline", "clip"]
"""Which class of `daemon.models` loads a checkpoint: our own prior or our own restoration networks,
a pixel-space UNet, a Stable Diffusion driven step by step, any other diffusers pipeline, or a CLIP
model."""

PipelineUse = Literal["text", "image", "inpaint", "edit", "upscale"]
"""Inputs of a diffusers pipeline: a prompt; a prompt and a picture, partly kept; a prompt, a
picture and a mask; an instruction and a picture; a small picture."""

Use = Literal["prior", "pixel", "latent", "latent-inpaint", "likeness"] | PipelineUse
"""Uses of a checkpoint in a step: driven step by step ("prior", "pixel", "latent";
"latent-inpaint" is told a mask and what lies outside of it) or as a pipeline; "likeness" scores
pictures for [match] looks_like."""


@dataclass(frozen=True)
class Betas:
    """The noise that a checkpoint's training adds at each of its times.

    Attributes:
        schedule: How they rise, as diffusers names it.
        first, last: The first and the last of them.
        count: Training times.
        zero_snr: Whether they were rescaled so that the last time is noise alone.
    """

    schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"]
    first: float
    last: float
    count: int
    zero_snr: bool = False


@dataclass(frozen=True)
class FewSteps:
    """How a checkpoint samples that was distilled for a few steps.

    Attributes:
        times: The training times that it was distilled at, falling.
        sampler: The sampler of its own scheduler.
    """

    times: tuple[int, ...]
    sampler: SamplerName


@dataclass(frozen=True)
class Traits:
    """The traits of a checkpoint, known before it is loaded.

    Attributes:
        family: Which class of `daemon.models` loads it.
        uses: What steps can use it as, the preferred use first.
        description: What it is, with its article, such as "a text-to-image checkpoint".
        pipeline: Class of its diffusers pipeline; "" for the prior.
        side_px: Side of the pictures that it was trained on, in pixels.
        multiple_px: Sides of its pictures are multiples of this many pixels.
        channels: Channels of what it denoises: 3 for pixels, 4 or more for latents.
        reduction: Pixels along one element of what it denoises: 1 for pixels, 8 for most latents.
        text_encoders: Number of its text encoders.
        told_mask: Whether its UNet, driven step by step, is told a mask and the latent of what
            lies outside of it.
        betas: The noise of its training times; None for the prior and for flow matching.
        few_steps: How it samples if it was distilled for a few steps; None for others.
    """

    family: Family
    uses: tuple[Use, ...]
    description: str
    pipeline: str = ""
    side_px: int = 512
    multiple_px: int = 16
    channels: int = 3
    reduction: int = 1
    text_encoders: int = 0
    told_mask: bool = False
    betas: Betas | None = None
    few_steps: FewSteps | None = None


PRIOR_TRAITS = Traits("prior", ("prior",), "the prior inside the package")

SHIPPED_TRAITS: Mapping[str, Traits] = {
    PRIOR: PRIOR_TRAITS,
    RESTORATION: Traits(
        "restoration",
        (),
        f'the restoration networks inside the package, which model = "{PRIOR}" uses by itself',
    ),
    DAMAGE: Traits(
        "damage", (), f'the damage network inside the package, which model = "{PRIOR}" uses'
    ),
    COLOUR: Traits(
        "colour", (), f'the colour network inside the package, which model = "{PRIOR}" uses'
    ),
}
"""Traits of the networks inside the package, by their reference. Those without a use are called by
the steps of the prior and cannot be the model of a step."""


@dataclass(frozen=True)
class PipelineKind:
    """The traits of a class of diffusers pipelines.

    Attributes:
        family: Which class of `daemon.models` loads it.
        uses: What steps can use it as, the preferred use first.
        description: What it is, with its article.
        side: Side of what its network denoises, in elements, where its configuration does not say.
    """

    family: Family
    uses: tuple[Use, ...]
    description: str
    side: int = 64


_TEXT, _EDITING = "a text-to-image checkpoint", "an image-editing checkpoint"
_INPAINTING = "an inpainting checkpoint"
_PIXEL = PipelineKind("pixel", ("pixel",), "an unconditional checkpoint")
_LATENT = PipelineKind("latent", ("latent", "image", "text"), _TEXT)
_LATENT_INPAINT = PipelineKind("latent", ("latent-inpaint",), _INPAINTING)
_IMAGE = PipelineKind("pipeline", ("image", "inpaint", "text"), _TEXT, side=128)
_INPAINT = PipelineKind("pipeline", ("inpaint",), _INPAINTING, side=128)
_TEXT_ONLY = PipelineKind("pipeline", ("text",), _TEXT, side=128)
_EDIT = PipelineKind("pipeline", ("edit",), _EDITING)
_LARGE_EDIT = PipelineKind("pipeline", ("edit",), _EDITING, side=128)
_UPSCALE = PipelineKind("pipeline", ("upscale",), "an upscaling checkpoint")

PIPELINES: Mapping[str, PipelineKind] = {
    "UNet2DModel": _PIXEL,
    "DDPMPipeline": _PIXEL,
    "DDIMPipeline": _PIXEL,
    "StableDiffusionPipeline": _LATENT,
    "StableDiffusionImg2ImgPipeline": _LATENT,
    "StableDiffusionXLPipeline": _LATENT,
    "StableDiffusionXLImg2ImgPipeline": _LATENT,
    "StableDiffusionInpaintPipeline": _LATENT,
    "StableDiffusionXLInpaintPipeline": _LATENT,
    "StableDiffusion3Pipeline": _IMAGE,
    "StableDiffusion3InpaintPipeline": _IMAGE,
    "FluxPipeline": _IMAGE,
    "FluxInpaintPipeline": _IMAGE,
    "FluxFillPipeline": _INPAINT,
    "QwenImagePipeline": _IMAGE,
    "QwenImageInpaintPipeline": _IMAGE,
    "ZImagePipeline": _IMAGE,
    "AuraFlowPipeline": _TEXT_ONLY,
    "ChromaPipeline": _TEXT_ONLY,
    "CogView4Pipeline": _TEXT_ONLY,
    "HunyuanDiTPipeline": _TEXT_ONLY,
    "Lumina2Pipeline": _TEXT_ONLY,
    "PixArtAlphaPipeline": _TEXT_ONLY,
    "PixArtSigmaPipeline": _TEXT_ONLY,
    "SanaPipeline": _TEXT_ONLY,
    "StableDiffusionInstructPix2PixPipeline": _EDIT,
    "FluxKontextPipeline": _LARGE_EDIT,
    "QwenImageEditPipeline": _LARGE_EDIT,
    "QwenImageEditPlusPipeline": _LARGE_EDIT,
    "Flux2KleinPipeline": PipelineKind("pipeline", ("edit", "text"), _EDITING, side=128),
    "StableDiffusionUpscalePipeline": _UPSCALE,
    "LDMSuperResolutionPipeline": _UPSCALE,
}
"""Every class of pipeline that recipes can use; diffusers' own tables of them would import
torch."""

_MAX_SIDE_PX, _MAX_CHANNELS = 1 << 16, 1 << 12
"""More than any checkpoint has: sides of its pictures, and channels of what it denoises."""


def traits_of(folder: Path) -> Traits:
    """Read what kind of model a checkpoint is.

    Args:
        folder: Folder with model_index.json, or with the config.json of a lone network.

    Raises:
        ConfigError: It is no checkpoint in diffusers' layout, or one that no step can use.
    """
    try:
        traits = _read_traits(folder)
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        # People bring these files: any value may be of any type.
        raise ConfigError(f"{shown(folder)}: its configuration makes no sense: {error}") from error
    if not (0 < traits.side_px <= _MAX_SIDE_PX and 0 < traits.channels <= _MAX_CHANNELS):
        raise ConfigError(
            f"{shown(folder)}: its configuration says {traits.channels} channels and sides of "
            f"{traits.side_px} pixels, which no checkpoint has"
        )
    return traits


def _read_traits(folder: Path) -> Traits:
    index_file = folder / "model_index.json"
    index = read_config(index_file if index_file.is_file() else folder / "config.json")
    if index.get("model_type") == "clip":
        return Traits("clip", ("likeness",), "a CLIP model")
    pipeline = str(index.get("_class_name") or index.get("model_type") or "network without a name")
    if pipeline not in PIPELINES:
        raise ConfigError(
            f"{shown(folder)} holds a {pipeline}, which no step can use; "
            f"there is {', '.join(PIPELINES)}"
        )
    network = _component_config(folder, "unet", "transformer")
    vae = _component_config(folder, "vae", "vqvae")
    scheduler = _component_config(folder, "scheduler")
    reduction = _downsampling(vae) if vae else 1
    kind = PIPELINES[pipeline]
    if kind.family == "pixel":
        _check_pixel_network(network, folder)
    elif kind.family == "latent":
        kind = _kind_of_stable_diffusion(network, vae, scheduler, folder)
    return Traits(
        family=kind.family,
        uses=kind.uses,
        description=f"{kind.description} ({pipeline})",
        pipeline=pipeline,
        side_px=_side(network, kind.side) * reduction,
        multiple_px=reduction * _downsampling(network) * _patch(folder),
        channels=int(network.get("out_channels") or network.get("in_channels") or 4),
        reduction=reduction,
        text_encoders=len([part for part in folder.glob("text_encoder*") if part.is_dir()]),
        told_mask=kind is _LATENT_INPAINT,
        betas=_betas(scheduler),
        few_steps=_few_steps(scheduler),
    )


def _check_pixel_network(network: Mapping[str, Any], folder: Path) -> None:
    """See that an unconditional network takes colour pictures and nothing else."""
    channels = network.get("in_channels", 3)
    if channels != 3:
        raise ConfigError(
            f"{shown(folder)}: its network takes {channels} channels; photographs need 3"
        )
    if network.get("num_class_embeds") or network.get("class_embed_type"):
        raise ConfigError(f"{shown(folder)}: its network wants a class; take an unconditional one")


def _kind_of_stable_diffusion(
    network: Mapping[str, Any], vae: Mapping[str, Any], scheduler: Mapping[str, Any], folder: Path
) -> PipelineKind:
    """How a Stable Diffusion is used, whatever the class that its index names.

    It is driven step by step if its UNet takes a latent, a time and a prompt, and for inpainting a
    mask and the latent of what lies outside of it. LCM also takes its guidance as a number, a
    refiner of XL an aesthetic score, and EDM schedules have another scale: such a checkpoint is
    used as the pipeline that it is.
    """
    latent = int(vae.get("latent_channels", 4))
    channels = network.get("in_channels", latent)
    refiner = (folder / "text_encoder_2").is_dir() and not (folder / "text_encoder").is_dir()
    as_pipeline = network.get("time_cond_proj_dim") or network.get("class_embed_type") or refiner
    inpaints = channels == 2 * latent + 1
    if channels != latent and (not inpaints or as_pipeline or _is_edm(scheduler)):
        raise ConfigError(
            f"{shown(folder)}: its UNet takes {channels} channels; a Stable Diffusion takes "
            f"{latent}, for inpainting {2 * latent + 1}. One for InstructPix2Pix ({2 * latent}) or "
            "for upscaling must name that pipeline as _class_name in model_index.json"
        )
    if _is_edm(scheduler):
        return _TEXT_ONLY
    if as_pipeline:
        return _IMAGE
    return _LATENT_INPAINT if inpaints else _LATENT


def _is_edm(scheduler: Mapping[str, Any]) -> bool:
    """Whether its schedule is EDM's, which has no angle here and so no strength."""
    return "EDM" in str(scheduler.get("_class_name"))


def _betas(scheduler: Mapping[str, Any]) -> Betas | None:
    """The noise of the training times; None where it is told in another way than by betas."""
    schedule = scheduler.get("beta_schedule", "linear")
    name = str(scheduler.get("_class_name"))
    if name.startswith("FlowMatch") or _is_edm(scheduler) or scheduler.get("trained_betas"):
        return None
    if schedule not in ("linear", "scaled_linear", "squaredcos_cap_v2"):
        return None
    return Betas(
        schedule,
        float(scheduler.get("beta_start", 0.0001)),
        float(scheduler.get("beta_end", 0.02)),
        int(scheduler.get("num_train_timesteps", 1000)),
        bool(scheduler.get("rescale_betas_zero_snr")),
    )


_LCM_TIMES = 50
"""Times that LCM and TCD are distilled at if their scheduler does not say."""

_TURBO_TIMES = 4
"""Times that adversarial distillation (Turbo) is done at: arXiv:2311.17042, section 3.1."""


def _few_steps(scheduler: Mapping[str, Any]) -> FewSteps | None:
    """How a checkpoint samples if its scheduler is one of those made for distilled ones."""
    name, count = str(scheduler.get("_class_name")), int(scheduler.get("num_train_timesteps", 1000))
    if name in ("LCMScheduler", "TCDScheduler"):
        number = int(scheduler.get("original_inference_steps") or _LCM_TIMES)
        sampler: SamplerName = "lcm" if name == "LCMScheduler" else "ddim"
    elif (
        name == "EulerAncestralDiscreteScheduler"
        and scheduler.get("timestep_spacing") == "trailing"
    ):
        number, sampler = _TURBO_TIMES, "ancestral"
    else:
        return None
    return FewSteps(tuple(k * (count // number) - 1 for k in range(number, 0, -1)), sampler)


def component_folder(folder: Path, name: str) -> Path:
    """Where a component's files lie: in a sub-folder, or in the folder of a lone network."""
    return folder / name if (folder / name).is_dir() else folder


def _component_config(folder: Path, *names: str) -> Mapping[str, Any]:
    """Configuration of the first of these components that is there; empty if none is.

    A lone network has its own configuration and its scheduler's beside each other.
    """
    for name in names:
        file = "scheduler_config.json" if name == "scheduler" else "config.json"
        lone = name in {"unet", "scheduler"} and not (folder / "unet").is_dir()
        for path in (folder / name / file, *([folder / file] if lone else [])):
            if path.is_file():
                return read_config(path)
    return {}


def _downsampling(network: Mapping[str, Any]) -> int:
    """How many times smaller a network's coarsest level is than its input."""
    keys = ("block_out_channels", "dim_mult", "encoder_block_out_channels")
    levels = next((network[key] for key in keys if network.get(key)), (1,))
    return int(2 ** (len(levels) - 1))


def _patch(folder: Path) -> int:
    """Elements along the side of a transformer's patch; 1 for a UNet."""
    return 2 if (folder / "transformer").is_dir() else 1


def _side(network: Mapping[str, Any], default: int) -> int:
    side = network.get("sample_size") or default
    return int(side if isinstance(side, int) else min(side))


def read_config(path: Path) -> Mapping[str, Any]:
    """Read a JSON file of a checkpoint that holds a table of settings.

    Raises:
        ConfigError: It cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"{shown(path)}: not a readable checkpoint: {error}; a model is a folder that "
            "diffusers' save_pretrained wrote, with model_index.json or config.json"
        ) from error
    if not isinstance(content, dict):
        raise ConfigError(f"{shown(path)}: not a table of settings")
    return content
