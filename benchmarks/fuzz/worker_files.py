"""The files by which the process that fuzzes tells its parent what it does."""

import struct

INPUT = "input"
"""File of the input at work, mapped into memory: `HEAD`, then the input."""

FINDS = "finds"
"""Folder of finds: each input, and beside it in JSON its kind and what was seen."""

HEAD = struct.Struct("<QQ")
"""What stands before the input at work: inputs so far, and its length."""

INPUT_BYTES = 1 << 20
"""Room for an input."""
