"""The colour profile that lies compressed in a JPEG XL codestream, by libjxl itself.

imagecodecs gives the pixels and not their profile, so libjxl, which it brings and has loaded, is
asked once more.
"""

from __future__ import annotations

import ctypes
from ctypes.util import find_library
from functools import cache
from pathlib import Path

import imagecodecs

_ORIGINAL, _COLOURS_READ, _DONE = 0, 0x100, 0
"""libjxl's JXL_COLOR_PROFILE_TARGET_ORIGINAL, JXL_DEC_COLOR_ENCODING and JXL_DEC_SUCCESS."""

_MAX_PROFILE_BYTES = 1 << 24


def read_jpegxl_profile(content: bytes) -> bytes | None:
    """The profile of a codestream or file; None where libjxl is not found or has none.

    Args:
        content: The file.
    """
    library = _libjxl()
    if library is None:
        return None
    decoder = library.JxlDecoderCreate(None)
    if not decoder:
        raise MemoryError
    try:
        return _profile(library, decoder, content)
    finally:
        library.JxlDecoderDestroy(decoder)


def _profile(library: ctypes.CDLL, decoder: int, content: bytes) -> bytes | None:
    library.JxlDecoderSubscribeEvents(decoder, _COLOURS_READ)
    library.JxlDecoderSetInput(decoder, content, len(content))
    library.JxlDecoderCloseInput(decoder)
    if library.JxlDecoderProcessInput(decoder) != _COLOURS_READ:
        return None
    size = ctypes.c_size_t()
    found = library.JxlDecoderGetICCProfileSize(decoder, _ORIGINAL, ctypes.byref(size))
    if found != _DONE or not 0 < size.value <= _MAX_PROFILE_BYTES:
        return None
    profile = ctypes.create_string_buffer(size.value)
    done = library.JxlDecoderGetColorAsICCProfile(decoder, _ORIGINAL, profile, size.value)
    return profile.raw if done == _DONE else None


@cache
def _libjxl() -> ctypes.CDLL | None:
    """The library that imagecodecs has loaded, else that of the system."""
    # Asking loads it, with the libraries beside it that it needs and would not find by itself.
    if not imagecodecs.JPEGXL.available:
        return None
    package = Path(imagecodecs.__file__).parent
    bundled = [
        *package.parent.glob("imagecodecs.libs/libjxl-*.so*"),
        *package.glob(".dylibs/libjxl.*"),
    ]
    name = str(bundled[0]) if bundled else find_library("jxl")
    if name is None:
        return None
    try:
        library = ctypes.CDLL(name)
        _declare(library)
    except (OSError, AttributeError):
        return None
    return library


def _declare(library: ctypes.CDLL) -> None:
    """Say what the functions take and give, by libjxl's decode.h."""
    pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    library.JxlDecoderCreate.restype = pointer
    library.JxlDecoderCreate.argtypes = [pointer]
    library.JxlDecoderDestroy.restype = None
    library.JxlDecoderDestroy.argtypes = [pointer]
    library.JxlDecoderSubscribeEvents.argtypes = [pointer, number]
    library.JxlDecoderSetInput.argtypes = [pointer, ctypes.c_char_p, size]
    library.JxlDecoderCloseInput.restype = None
    library.JxlDecoderCloseInput.argtypes = [pointer]
    library.JxlDecoderProcessInput.argtypes = [pointer]
    library.JxlDecoderGetICCProfileSize.argtypes = [pointer, number, pointer]
    library.JxlDecoderGetColorAsICCProfile.argtypes = [pointer, number, pointer, size]
