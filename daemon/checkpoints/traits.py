"""What kind of model a checkpoint is, read from its JSON files.

Comes in: a folder in diffusers' layout. Goes out: frozen traits. Never opens weights and imports no
torch, so that recipes are checked in milliseconds.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from daemon.system.errors import ConfigError
from daemon.system.files import shown

Family = Literal["prior", "pixel", "latent", "pipeline", "clip"]
"""Which class drives it: our network, a pixel-space UNet, a Stable Diffusion, nobody but its own
pipeline; or a CLIP model, which makes no pictures."""

PipelineUse = Literal["text", "image", "edit", "upscale"]
"""What a whole pipeline makes a picture of: a prompt; a prompt and a picture, partly kept; an
instruction and a picture; a small picture."""

Use = Literal["prior", "pixel", "latent", "likeness"] | PipelineUse
"""What a step can use it as: driven step by step ("prior", "pixel", "latent"), or whole; "likeness"
is for [match] looks_like."""


@dataclass(frozen=True)
class Traits:
    """What is known of a checkpoint before it is loaded.

    Attributes:
        family: Which class drives it step by step, or "pipeline".
        uses: What steps can use it as, the preferred way first.
        description: What it is, with its article, such as "a text-to-image checkpoint".
        pipeline: Name of its diffusers class, "" for the prior.
        side_px: Side of the pictures it was trained on, in pixels.
        multiple_px: Sides of its pictures are multiples of this.
        channels: Of what its network denoises: 3 for pixels, 4 or more for latents.
        reduction: Pixels along one element of what it denoises.
        prediction: What its network predicts: "epsilon", "v_prediction", "sample" or "flow".
        text_encoders: How many text encoders it has.
    """

    family: Family
    uses: tuple[Use, ...]
    description: str
    pipeline: str = ""
    side_px: int = 512
    multiple_px: int = 16
    channels: int = 3
    reduction: int = 1
    prediction: str = "epsilon"
    text_encoders: int = 0


PRIOR_TRAITS = Traits("prior", ("prior",), "the prior inside the package")


@dataclass(frozen=True)
class _Kind:
    """What the name of a pipeline's class says."""

    family: Family
    uses: tuple[Use, ...]
    description: str
    side: int = 64
    """Of what its network denoises, where its configuration does not say."""


_TEXT, _EDITING = "a text-to-image checkpoint", "an image-editing checkpoint"
_PIXEL = _Kind("pixel", ("pixel",), "an unconditional checkpoint")
_LATENT = _Kind("latent", ("latent", "image", "text"), _TEXT)
_IMAGE = _Kind("pipeline", ("image", "text"), _TEXT, side=128)
_ONLY_TEXT = _Kind("pipeline", ("text",), _TEXT, side=128)
_EDIT = _Kind("pipeline", ("edit",), _EDITING)
_LARGE_EDIT = _Kind("pipeline", ("edit",), _EDITING, side=128)
_UPSCALE = _Kind("pipeline", ("upscale",), "an upscaling checkpoint")

PIPELINES: Mapping[str, _Kind] = {
    "UNet2DModel": _PIXEL,
    "DDPMPipeline": _PIXEL,
    "DDIMPipeline": _PIXEL,
    "StableDiffusionPipeline": _LATENT,
    "StableDiffusionImg2ImgPipeline": _LATENT,
    "StableDiffusionXLPipeline": _LATENT,
    "StableDiffusionXLImg2ImgPipeline": _LATENT,
    "StableDiffusion3Pipeline": _IMAGE,
    "FluxPipeline": _IMAGE,
    "QwenImagePipeline": _IMAGE,
    "ZImagePipeline": _IMAGE,
    "AuraFlowPipeline": _ONLY_TEXT,
    "ChromaPipeline": _ONLY_TEXT,
    "CogView4Pipeline": _ONLY_TEXT,
    "HunyuanDiTPipeline": _ONLY_TEXT,
    "Lumina2Pipeline": _ONLY_TEXT,
    "PixArtAlphaPipeline": _ONLY_TEXT,
    "PixArtSigmaPipeline": _ONLY_TEXT,
    "SanaPipeline": _ONLY_TEXT,
    "StableDiffusionInstructPix2PixPipeline": _EDIT,
    "FluxKontextPipeline": _LARGE_EDIT,
    "QwenImageEditPipeline": _LARGE_EDIT,
    "QwenImageEditPlusPipeline": _LARGE_EDIT,
    "Flux2KleinPipeline": _Kind("pipeline", ("edit", "text"), _EDITING, side=128),
    "StableDiffusionUpscalePipeline": _UPSCALE,
    "LDMSuperResolutionPipeline": _UPSCALE,
}
"""Every class that recipes can use; diffusers' own tables of them would import torch."""


def traits_of(folder: Path) -> Traits:
    """Read what a checkpoint is.

    Args:
        folder: With model_index.json, or a lone network's config.json.

    Raises:
        ConfigError: It is no checkpoint in diffusers' layout, or one that no step can use.
    """
    index = folder / "model_index.json"
    said = _json(index if index.is_file() else folder / "config.json")
    if said.get("model_type") == "clip":
        return Traits("clip", ("likeness",), "a CLIP model")
    pipeline = str(said.get("_class_name") or said.get("model_type") or "network without a name")
    if pipeline not in PIPELINES:
        raise ConfigError(
            f"{shown(folder)} holds a {pipeline}, which no step can use; "
            f"there is {', '.join(PIPELINES)}"
        )
    network = _component(folder, "unet", "transformer")
    vae = _component(folder, "vae", "vqvae")
    scheduler = _component(folder, "scheduler")
    reduction = _halvings(vae) if vae else 1
    kind = PIPELINES[pipeline]
    if kind.family == "pixel":
        _check_pixel(network, folder)
    elif kind.family == "latent" and not _latent(network, vae, scheduler, folder):
        kind = _ONLY_TEXT if _is_edm(scheduler) else _IMAGE
    return Traits(
        family=kind.family,
        uses=kind.uses,
        description=f"{kind.description} ({pipeline})",
        pipeline=pipeline,
        side_px=_side(network, kind.side) * reduction,
        multiple_px=reduction * _halvings(network) * _patch(folder),
        channels=int(network.get("out_channels") or network.get("in_channels") or 4),
        reduction=reduction,
        prediction=_prediction(scheduler),
        text_encoders=len([part for part in folder.glob("text_encoder*") if part.is_dir()]),
    )


def _check_pixel(network: Mapping[str, Any], folder: Path) -> None:
    """See that an unconditional network takes colour pictures and nothing else."""
    channels = network.get("in_channels", 3)
    if channels != 3:
        raise ConfigError(
            f"{shown(folder)}: its network takes {channels} channels; photographs need 3"
        )
    if network.get("num_class_embeds") or network.get("class_embed_type"):
        raise ConfigError(f"{shown(folder)}: its network wants a class; take an unconditional one")


def _latent(
    network: Mapping[str, Any], vae: Mapping[str, Any], scheduler: Mapping[str, Any], folder: Path
) -> bool:
    """Whether a Stable Diffusion's network wants but a latent, a time and a prompt.

    LCM wants its guidance as a number, inpainting a mask, a refiner of XL a rating of beauty, and
    EDM schedules another scale: such a checkpoint is used as the whole pipeline that it is.
    """
    refiner = (folder / "text_encoder_2").is_dir() and not (folder / "text_encoder").is_dir()
    return not (
        network.get("time_cond_proj_dim")
        or network.get("class_embed_type")
        or network.get("in_channels") != vae.get("latent_channels", 4)
        or _is_edm(scheduler)
        or refiner
    )


def _is_edm(scheduler: Mapping[str, Any]) -> bool:
    """Whether its schedule is of the kind that has no angle, and so no strength."""
    return "EDM" in str(scheduler.get("_class_name"))


def component_folder(folder: Path, name: str) -> Path:
    """Where a component's files lie: in a sub-folder, or in the folder of a lone network."""
    return folder / name if (folder / name).is_dir() else folder


def _component(folder: Path, *names: str) -> Mapping[str, Any]:
    """Configuration of the first component that is there; empty without one.

    A lone network has its own and its scheduler's beside each other.
    """
    for name in names:
        file = "scheduler_config.json" if name == "scheduler" else "config.json"
        lone = name in {"unet", "scheduler"} and not (folder / "unet").is_dir()
        for path in (folder / name / file, *([folder / file] if lone else [])):
            if path.is_file():
                return _json(path)
    return {}


def _halvings(network: Mapping[str, Any]) -> int:
    """How many times smaller its coarsest level is."""
    keys = ("block_out_channels", "dim_mult", "encoder_block_out_channels")
    levels = next((network[key] for key in keys if network.get(key)), (1,))
    return int(2 ** (len(levels) - 1))


def _patch(folder: Path) -> int:
    """How many elements along a side a transformer takes as one."""
    return 2 if (folder / "transformer").is_dir() else 1


def _side(network: Mapping[str, Any], usual: int) -> int:
    side = network.get("sample_size") or usual
    return int(side if isinstance(side, int) else min(side))


def _prediction(scheduler: Mapping[str, Any]) -> str:
    if "FlowMatch" in str(scheduler.get("_class_name")):
        return "flow"
    return str(scheduler.get("prediction_type", "epsilon"))


def _json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{shown(path)}: not a readable checkpoint: {error}; a model is a folder that "
            "diffusers' save_pretrained wrote, with model_index.json or config.json"
        ) from error
    if not isinstance(content, dict):
        raise ConfigError(f"{shown(path)}: not a table of settings")
    return content
