"""Photographs on disk and in memory: the only package that knows file formats.

It never imports torch and never changes a file that it reads. This front exports what needs no
pixels; decoding is in `photo.reading` and encoding in `photo.writing`, which import Pillow and
numpy and are left to those who work on pixels.
"""

from daemon.photo.decoding import read_header, refuse_large_file, verify_file
from daemon.photo.output_formats import Depth, Profile, output_format
from daemon.photo.picture import (
    PROMPTS,
    Header,
    Limits,
    Metadata,
    Original,
    Photo,
    Picture,
    Prompt,
    Prompts,
    Source,
)
from daemon.photo.truncation import is_truncated

__all__ = [
    "PROMPTS",
    "Depth",
    "Header",
    "Limits",
    "Metadata",
    "Original",
    "Photo",
    "Picture",
    "Profile",
    "Prompt",
    "Prompts",
    "Source",
    "is_truncated",
    "output_format",
    "read_header",
    "refuse_large_file",
    "verify_file",
]
