"""A colour profile as a JPEG XL codestream holds it: what is expected of its head taken off.

The format can describe the rest by commands that shorten it. One is used here, "insert", so that a
profile comes out byte for byte, at about its own length.

Source: ISO/IEC 18181-1, annex E.4, ICC profile.
"""

from __future__ import annotations

_HEAD_BYTES = 128
_INSERT = 1
_EXPECTED = {8: b"\4", 12: b"mntrRGB XYZ ", 36: b"acsp", 70: b"\xf6\xd6\0\1\0\0\0\0\xd3\x2d"}
"""What the head of a profile is expected to have, by place; elsewhere zeros."""

_CREATOR, _PREFERRED, _PLATFORM = 80, 4, 40
_PLATFORMS = {b"A": b"PPL", b"M": b"SFT"}
_LONGER_PLATFORMS = {b"SG": b"I ", b"SU": b"NW"}
"""Ends of the names of platforms, expected by how the names begin."""


def packed_profile(icc: bytes) -> bytes:
    """The bytes that stand for a profile, before they are entropy-coded."""
    head, rest = icc[:_HEAD_BYTES], icc[_HEAD_BYTES:]
    expected = _expected_head(icc)
    differences = bytes((have - want) & 255 for have, want in zip(head, expected, strict=False))
    commands = b""
    if rest:
        commands = b"\0" + bytes([_INSERT]) + _number(len(rest))  # no list of tags
    return _number(len(icc)) + _number(len(commands)) + commands + differences + rest


def _expected_head(icc: bytes) -> bytes:
    """The head that a decoder expects, with what it sees before it in this one."""
    head = bytearray(_HEAD_BYTES)
    head[:4] = len(icc).to_bytes(4, "big")
    for place, content in _EXPECTED.items():
        head[place : place + len(content)] = content
    head[_CREATOR : _CREATOR + 4] = icc[_PREFERRED : _PREFERRED + 4].ljust(4, b"\0")
    first, two = icc[_PLATFORM : _PLATFORM + 1], icc[_PLATFORM : _PLATFORM + 2]
    if first in _PLATFORMS:
        head[_PLATFORM + 1 : _PLATFORM + 4] = _PLATFORMS[first]
    if two in _LONGER_PLATFORMS:
        head[_PLATFORM + 2 : _PLATFORM + 4] = _LONGER_PLATFORMS[two]
    return bytes(head)


def _number(value: int) -> bytes:
    """Seven bits a byte, the least first; the highest bit of each but the last is set."""
    content = bytearray()
    while value > 0x7F:
        content.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*content, value])
