"""PCX pictures, decoded by Pillow."""

from __future__ import annotations

from typing import BinaryIO

from daemon.photo.decoded import Decoded
from daemon.photo.decoders.pillow import decoded_image
from daemon.photo.pillow_files import open_image


def decode(file: BinaryIO, label: str, page: int = 0) -> Decoded:
    """Decode the picture; see `photo.decoded.Decode`."""
    image = open_image(file)
    # Many programs write the size of the screen where the resolution belongs.
    across, down = image.info.get("dpi", (0, 0))
    if across != down:
        del image.info["dpi"]
    image.load()
    return decoded_image(image, file=file)
