"""How each whole pipeline wants to be called, where that is not the common way.

Comes in: the name of a pipeline's class. Goes out: its way. Imports no torch and no diffusers.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class CallConvention:
    """How a pipeline is called.

    Attributes:
        picture: What it takes a picture as: a tensor in [0, 1], a tensor in [-1, 1], or Pillow's.
        batches: Several different pictures may go as one batch; edit models take a list for
            references to one result.
        guidance: Which argument is the scale of classifier-free guidance, if it takes any.
        fixed: Other arguments it must be given.
        nothing: What it is told for the absence of a negative prompt; None leaves that to it.
        ignored_keys: Keys of a step that it takes and passes over.
    """

    picture: Literal["unit", "signed", "pillow"] = "unit"
    batches: bool = True
    guidance: str = "guidance_scale"
    fixed: tuple[tuple[str, object], ...] = ()
    nothing: str | None = None
    ignored_keys: tuple[str, ...] = ()


COMMON = CallConvention()

_NEGATIVE = ("negative_prompt",)
_QWEN_GUIDANCE = "true_cfg_scale"
_NO_WORDS = " "
"""Qwen-Image has guidance only against a negative prompt; this is its authors' empty one."""

CALL_CONVENTIONS: dict[str, CallConvention] = {
    "Flux2KleinPipeline": CallConvention("pillow", batches=False, ignored_keys=_NEGATIVE),
    "FluxImg2ImgPipeline": CallConvention(ignored_keys=_NEGATIVE),
    "FluxKontextPipeline": CallConvention(
        "pillow", batches=False, fixed=(("_auto_resize", False),), ignored_keys=_NEGATIVE
    ),
    "FluxPipeline": CallConvention(ignored_keys=_NEGATIVE),
    "LDMSuperResolutionPipeline": CallConvention("signed"),
    "QwenImageEditPipeline": CallConvention(
        "pillow", batches=False, guidance=_QWEN_GUIDANCE, nothing=_NO_WORDS
    ),
    "QwenImageEditPlusPipeline": CallConvention(
        "pillow", batches=False, guidance=_QWEN_GUIDANCE, nothing=_NO_WORDS
    ),
    "QwenImageImg2ImgPipeline": CallConvention(guidance=_QWEN_GUIDANCE, nothing=_NO_WORDS),
    "QwenImagePipeline": CallConvention(guidance=_QWEN_GUIDANCE, nothing=_NO_WORDS),
}


def call_convention(pipeline: str) -> CallConvention:
    """The way of a pipeline's class."""
    return CALL_CONVENTIONS.get(pipeline, COMMON)
