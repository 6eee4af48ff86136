"""Camera raw files developed by LibRaw (rawpy), an extra: as exposed, to Display P3 of 16 bits."""

from __future__ import annotations

from typing import BinaryIO

import rawpy

from daemon.photo.decoded import ColourTags, Decoded
from daemon.photo.metadata import read_tiff_metadata
from daemon.photo.notes import Note, NoteKind
from daemon.photo.profiles import DISPLAY_P3_ICC
from daemon.photo.raw_header import read_raw_header
from daemon.photo.tiff_directory import read_layout

_SRGB_CURVE = (2.4, 12.92)
"""Exponent and slope at black, as LibRaw takes the curve."""

_DEVELOPED = Note(
    NoteKind.COLOUR,
    "a camera's raw file was developed with the camera's white balance, as exposed",
)


def decode(file: BinaryIO, label: str, page: int = 0) -> Decoded:
    """Develop the photograph; see `photo.decoded.Decode`.

    Raises:
        PhotoError: What reads raw files is not installed.
    """
    header = read_raw_header(file, label)
    layout = read_layout(file)
    if layout is None:
        raise ValueError("no TIFF")
    said = read_tiff_metadata(file, layout, layout.first, header.mode)
    file.seek(0)
    with rawpy.imread(file) as raw:
        sizes = raw.sizes
        if sizes.width * sizes.height > 1.1 * header.width * header.height:
            raise ValueError(f"it is larger than the {header.width}x{header.height} that it says")
        codes = raw.postprocess(
            use_camera_wb=True,
            no_auto_bright=True,
            output_bps=16,
            output_color=rawpy.ColorSpace.P3D65,
            gamma=_SRGB_CURVE,
        )
    return Decoded(
        codes,
        "rgb",
        said.metadata,
        ColourTags(icc=DISPLAY_P3_ICC),
        white=65535,
        # LibRaw turns it upright itself.
        orientation=1,
        notes=(_DEVELOPED, *said.notes),
    )
