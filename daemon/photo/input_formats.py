"""The formats that are read: how each is recognised, its header read, and by what it is decoded.

A format is recognised by the first bytes of a file, never by its name. Headers are read by the
daemon's process and so within bounds; decoders are imported by the worker alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from daemon.photo import (
    jpeg2000_header,
    jpegxl_header,
    openexr_header,
    psd_header,
    radiance_header,
)
from daemon.photo.bitmap_headers import is_dib, is_pcx
from daemon.photo.bmp_header import read_bmp_header
from daemon.photo.isobmff import is_avif, is_heif, read_heif_header
from daemon.photo.jpeg2000_header import read_jpeg2000_header
from daemon.photo.jpeg_data import is_deep_jpeg, read_jpeg_header
from daemon.photo.jpegxl_header import read_jpegxl_header
from daemon.photo.openexr_header import read_openexr_header
from daemon.photo.pdf_pages import SIGNATURE as PDF_SIGNATURE
from daemon.photo.pdf_pages import read_pdf_header
from daemon.photo.picture import Header
from daemon.photo.pillow_files import read_pillow_header
from daemon.photo.pnm_header import is_pnm, read_pnm_header
from daemon.photo.psd_header import read_psd_header
from daemon.photo.radiance_header import read_radiance_header
from daemon.photo.raw_header import (
    is_other_raw,
    is_raw_tiff,
    read_other_raw_header,
    read_raw_header,
)
from daemon.photo.sgi_header import is_sgi, read_sgi_header
from daemon.photo.tga_header import is_tga, read_tga_header
from daemon.photo.tiff_directory import read_tiff_header
from daemon.photo.webp_header import read_webp_header

if TYPE_CHECKING:
    from daemon.photo.decoded import Decode

START_BYTES = 64
"""First bytes of a file by which its format is recognised."""


@dataclass(frozen=True)
class Format:
    """A format that is read.

    Attributes:
        name: Its name, as in `Header.format`; one of several may share it.
        label: What people call it.
        matches: Whether a file is of it, from its first `START_BYTES` bytes. A format that looks
            further may take the file, whose place it need not restore.
        read_header: Reads its header: the file, and what messages call it. Whatever it raises but
            an `OSError` with an error number means that the file is damaged.
        decoder: Imports its decoder.
    """

    name: str
    label: str
    matches: Callable[[bytes, BinaryIO], bool]
    read_header: Callable[[BinaryIO, str], Header]
    decoder: Callable[[], Decode]


def format_of(file: BinaryIO) -> Format | None:
    """The format of a file, or None if it is of none that is read."""
    file.seek(0)
    start = file.read(START_BYTES)
    return next((format for format in FORMATS if format.matches(start, file)), None)


def format_names() -> tuple[str, ...]:
    """The names of the formats, each once."""
    return tuple(dict.fromkeys(format.name for format in FORMATS))


def accepted() -> str:
    """The formats in words, such as "JPEG, PNG or TIFF"."""
    labels = list(dict.fromkeys(format.label for format in FORMATS))
    return f"{', '.join(labels[:-1])} or {labels[-1]}"


def _begins_with(*signatures: bytes) -> Callable[[bytes, BinaryIO], bool]:
    return lambda start, file: start.startswith(signatures)


def _pillow() -> Decode:
    from daemon.photo.decoders.pillow import decode

    return decode


def _jpeg() -> Decode:
    from daemon.photo.decoders.jpeg import decode

    return decode


def _deep_jpeg() -> Decode:
    from daemon.photo.decoders.deep_jpeg import decode

    return decode


def _png() -> Decode:
    from daemon.photo.decoders.png import decode

    return decode


def _tiff() -> Decode:
    from daemon.photo.decoders.tiff import decode

    return decode


def _heif() -> Decode:
    from daemon.photo.decoders.heif import decode

    return decode


def _openexr() -> Decode:
    from daemon.photo.decoders.openexr import decode

    return decode


def _pdf() -> Decode:
    from daemon.photo.decoders.pdf import decode

    return decode


def _pnm() -> Decode:
    from daemon.photo.decoders.pnm import decode

    return decode


def _psd() -> Decode:
    from daemon.photo.decoders.psd import decode

    return decode


def _radiance() -> Decode:
    from daemon.photo.decoders.radiance import decode

    return decode


def _raw() -> Decode:
    from daemon.photo.decoders.raw import decode

    return decode


def _bmp() -> Decode:
    from daemon.photo.decoders.bmp import decode

    return decode


def _pcx() -> Decode:
    from daemon.photo.decoders.pcx import decode

    return decode


def _sgi() -> Decode:
    from daemon.photo.decoders.sgi import decode

    return decode


def _tga() -> Decode:
    from daemon.photo.decoders.tga import decode

    return decode


def _jpegxl() -> Decode:
    from daemon.photo.decoders.jpegxl import decode

    return decode


def _jpeg2000() -> Decode:
    from daemon.photo.decoders.jpeg2000 import decode

    return decode


def _is_avif(start: bytes, file: BinaryIO) -> bool:
    return is_avif(start)


def _is_heif(start: bytes, file: BinaryIO) -> bool:
    return is_heif(start)


def _is_deep_jpeg(start: bytes, file: BinaryIO) -> bool:
    return start.startswith(b"\xff\xd8\xff") and is_deep_jpeg(file)


def _is_webp(start: bytes, file: BinaryIO) -> bool:
    return start[:4] == b"RIFF" and start[8:12] == b"WEBP"


_JPEGXL_STARTS = (jpegxl_header.CODESTREAM, jpegxl_header.CONTAINER)
_JPEG2000_STARTS = (jpeg2000_header.CODESTREAM, jpeg2000_header.CONTAINER)
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

FORMATS = (
    Format("JPEG", "JPEG", _is_deep_jpeg, read_jpeg_header, _deep_jpeg),
    Format("JPEG", "JPEG", _begins_with(b"\xff\xd8\xff"), read_pillow_header, _jpeg),
    Format("PNG", "PNG", _begins_with(b"\x89PNG\r\n\x1a\n"), read_pillow_header, _png),
    Format("WEBP", "WebP", _is_webp, read_webp_header, _pillow),
    Format("RAW", "camera raw", is_raw_tiff, read_raw_header, _raw),
    Format("RAW", "camera raw", is_other_raw, read_other_raw_header, _raw),
    Format("TIFF", "TIFF", _begins_with(*_TIFF_STARTS), read_tiff_header, _tiff),
    Format("BMP", "BMP", _begins_with(b"BM"), read_bmp_header, _bmp),
    Format("BMP", "BMP", is_dib, read_bmp_header, _bmp),
    Format("AVIF", "AVIF", _is_avif, read_heif_header, _heif),
    Format("HEIF", "HEIC", _is_heif, read_heif_header, _heif),
    Format("JXL", "JPEG XL", _begins_with(*_JPEGXL_STARTS), read_jpegxl_header, _jpegxl),
    Format(
        "JPEG2000",
        "JPEG 2000",
        _begins_with(*_JPEG2000_STARTS),
        read_jpeg2000_header,
        _jpeg2000,
    ),
    Format("PSD", "PSD", _begins_with(psd_header.SIGNATURE), read_psd_header, _psd),
    Format("PPM", "PPM", is_pnm, read_pnm_header, _pnm),
    Format(
        "HDR",
        "HDR",
        _begins_with(*radiance_header.SIGNATURES),
        read_radiance_header,
        _radiance,
    ),
    Format(
        "EXR",
        "OpenEXR",
        _begins_with(openexr_header.SIGNATURE),
        read_openexr_header,
        _openexr,
    ),
    Format("PDF", "PDF", _begins_with(PDF_SIGNATURE), read_pdf_header, _pdf),
    Format("GIF", "GIF", _begins_with(b"GIF87a", b"GIF89a"), read_pillow_header, _pillow),
    Format("PCX", "PCX", is_pcx, read_pillow_header, _pcx),
    Format("SGI", "SGI", is_sgi, read_sgi_header, _sgi),
    # The last: it has no signature.
    Format("TGA", "TGA", is_tga, read_tga_header, _tga),
)
"""Every format that is read; the first that matches counts."""
