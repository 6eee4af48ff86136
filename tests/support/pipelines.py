"""Traits of diffusers pipelines of every use, for restorers that are tested without them."""

from daemon.checkpoints.traits import Traits

EDIT = Traits(
    "pipeline", ("edit",), "an image-editing checkpoint", side_px=64, reduction=8, text_encoders=1
)
IMAGE = Traits(
    "pipeline", ("image",), "a text-to-image checkpoint", side_px=64, reduction=8, text_encoders=1
)
INPAINT = Traits(
    "pipeline", ("inpaint",), "an inpainting checkpoint", side_px=64, reduction=8, text_encoders=1
)
UPSCALE = Traits(
    "pipeline", ("upscale",), "an upscaling checkpoint", side_px=256, multiple_px=32, reduction=4
)
