"""How each whole pipeline wants to be called, where that is not the common way.

Comes in: the name of a pipeline's class. Goes out: its way. Imports no torch and no diffusers.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Way:
    """How a pipeline is called.

    Attributes:
        picture: What it takes a picture as: a tensor in [0, 1], a tensor in [-1, 1], or Pillow's.
        batches: Several different pictures may go as one batch; edit models take a list for
            references to one result.
        guidance: Which argument is the scale of classifier-free guidance, if it takes any.
        fixed: Other arguments it must be given.
    """

    picture: Literal["unit", "signed", "pillow"] = "unit"
    batches: bool = True
    guidance: str = "guidance_scale"
    fixed: tuple[tuple[str, object], ...] = ()


COMMON = Way()

WAYS: dict[str, Way] = {
    "Flux2KleinPipeline": Way("pillow", batches=False),
    "FluxKontextPipeline": Way("pillow", batches=False, fixed=(("_auto_resize", False),)),
    "LDMSuperResolutionPipeline": Way("signed"),
    "QwenImageEditPipeline": Way("pillow", batches=False, guidance="true_cfg_scale"),
    "QwenImageEditPlusPipeline": Way("pillow", batches=False, guidance="true_cfg_scale"),
    "QwenImageImg2ImgPipeline": Way(guidance="true_cfg_scale"),
    "QwenImagePipeline": Way(guidance="true_cfg_scale"),
}


def way_of(pipeline: str) -> Way:
    """The way of a pipeline's class."""
    return WAYS.get(pipeline, COMMON)
