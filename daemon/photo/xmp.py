"""XMP packets, inside a photograph or in a side file: what no longer holds of a result is reset."""

import re

_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>))[2-8]")


def upright_xmp(packet: bytes) -> bytes:
    """An XMP packet with its orientation reset: a result is upright."""
    return _ORIENTATION.sub(rb"\g<1>1", packet)
