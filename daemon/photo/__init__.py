"""Photographs on disk and in memory: the only package that knows file formats.

Comes in: paths. Goes out: `Header` (cheap, no pixels), `Picture` (pixels and everything that must
survive to the result) or `Prompts`, written files. Never imports torch and never changes the file
it reads.
Pillow and numpy are imported by the first call that needs them, because commands that only look
at a station import this package too.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from daemon.photo.decoding import digest_file, read_header, verify_file
from daemon.photo.picture import (
    PROMPTS,
    Header,
    Limits,
    Metadata,
    Photo,
    Picture,
    Prompt,
    Prompts,
    Source,
    output_format,
)
from daemon.photo.truncation import ends_early

if TYPE_CHECKING:
    from daemon.photo.reading import read_picture, read_source
    from daemon.photo.writing import write_animation, write_picture

__all__ = [
    "PROMPTS",
    "Header",
    "Limits",
    "Metadata",
    "Photo",
    "Picture",
    "Prompt",
    "Prompts",
    "Source",
    "digest_file",
    "ends_early",
    "output_format",
    "read_header",
    "read_picture",
    "read_source",
    "verify_file",
    "write_animation",
    "write_picture",
]

_LAZY = {
    "read_picture": "daemon.photo.reading",
    "read_source": "daemon.photo.reading",
    "write_animation": "daemon.photo.writing",
    "write_picture": "daemon.photo.writing",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_LAZY[name]), name)
