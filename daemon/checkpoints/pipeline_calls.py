"""How each class of diffusers pipeline is called, where that is not the common way.

Names classes only and imports neither torch nor diffusers: recipes are checked against it.
"""

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class CallConvention:
    """How a pipeline is called; the defaults are the common way.

    Attributes:
        image: What it takes a picture as: a tensor in [0, 1] ("unit"), a tensor in [-1, 1]
            ("signed") or a Pillow image.
        takes_batches: Several pictures may go as one batch; edit models take a list for several
            references to one result.
        guidance_argument: Name of the argument for the scale of classifier-free guidance.
        fixed_arguments: Further arguments that it must be given.
        empty_negative: What it is given where there is no negative prompt; None leaves that to it.
        ignored_keys: Keys of a step that the pipeline accepts and ignores.
    """

    image: Literal["unit", "signed", "pillow"] = "unit"
    takes_batches: bool = True
    guidance_argument: str = "guidance_scale"
    fixed_arguments: tuple[tuple[str, object], ...] = ()
    empty_negative: str | None = None
    ignored_keys: tuple[str, ...] = ()


_COMMON = CallConvention()

_NO_NEGATIVE = ("negative_prompt",)

_QWEN = CallConvention(guidance_argument="true_cfg_scale", empty_negative=" ")
"""Qwen-Image has guidance only against a negative prompt; the space is its authors' empty one."""

_QWEN_EDIT = replace(_QWEN, image="pillow", takes_batches=False)

CALL_CONVENTIONS: dict[str, CallConvention] = {
    "Flux2KleinPipeline": CallConvention(
        image="pillow", takes_batches=False, ignored_keys=_NO_NEGATIVE
    ),
    "FluxImg2ImgPipeline": CallConvention(ignored_keys=_NO_NEGATIVE),
    "FluxKontextPipeline": CallConvention(
        image="pillow",
        takes_batches=False,
        fixed_arguments=(("_auto_resize", False),),
        ignored_keys=_NO_NEGATIVE,
    ),
    "FluxPipeline": CallConvention(ignored_keys=_NO_NEGATIVE),
    "LDMSuperResolutionPipeline": CallConvention(image="signed"),
    "QwenImageEditPipeline": _QWEN_EDIT,
    "QwenImageEditPlusPipeline": _QWEN_EDIT,
    "QwenImageImg2ImgPipeline": _QWEN,
    "QwenImagePipeline": _QWEN,
}
"""Conventions by class of pipeline, for those that differ from the common way."""


def call_convention(pipeline: str) -> CallConvention:
    """The convention of a pipeline's class."""
    return CALL_CONVENTIONS.get(pipeline, _COMMON)
