"""Camera raw files developed by LibRaw (rawpy), an extra: as exposed, to Display P3 of 16 bits."""

from __future__ import annotations

from typing import BinaryIO

import rawpy

from daemon.photo.decoded import ColourTags, Decoded
from daemon.photo.metadata import (
    FileBlocks,
    FileMetadata,
    read_block_metadata,
    read_tiff_metadata,
)
from daemon.photo.notes import Note, NoteKind
from daemon.photo.picture import Metadata
from daemon.photo.profiles import DISPLAY_P3_ICC
from daemon.photo.raw_exif import other_raw_exif
from daemon.photo.raw_header import (
    is_raw_tiff,
    raw_layout,
    read_other_raw_header,
    read_raw_header,
    refuse_cut_raw,
)

_START_BYTES = 16
"""First bytes by which a raw file that is a TIFF is told from others."""

_SRGB_CURVE = (2.4, 12.92)
"""Exponent and slope at black, as LibRaw takes the curve."""

_DEVELOPED = Note(
    NoteKind.COLOUR,
    "a camera's raw file was developed with the camera's white balance, as exposed",
)

_NO_EXIF = Note(NoteKind.METADATA, "its EXIF was not found: left out")


def decode(file: BinaryIO, label: str, page: int = 0) -> Decoded:
    """Develop the photograph; see `photo.decoded.Decode`.

    Raises:
        PhotoError: What reads raw files is not installed.
        TruncatedError: It ends before its sensor's data does.
    """
    file.seek(0)
    is_tiff = is_raw_tiff(file.read(_START_BYTES), file)
    header = (read_raw_header if is_tiff else read_other_raw_header)(file, label)
    refuse_cut_raw(file, label, header)
    said = _said(file, header.mode)
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


def _said(file: BinaryIO, mode: str) -> FileMetadata:
    """The EXIF of a raw file; where it is not found it is left out with a note."""
    layout = raw_layout(file)
    if layout is not None:
        return read_tiff_metadata(file, layout, layout.first, mode)
    exif = other_raw_exif(file)
    if exif is None:
        return FileMetadata(Metadata("TIFF", mode), notes=(_NO_EXIF,))
    return read_block_metadata("TIFF", mode, FileBlocks(exif=exif))
