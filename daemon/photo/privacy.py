"""Privacy: the metadata that a result carries: all, all but the place, or nothing."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Literal, assert_never

from daemon.photo.embedded_blocks import iptc_of, with_iptc, without_iptc
from daemon.photo.exif_block import without_directory
from daemon.photo.notes import Note, NoteKind
from daemon.photo.picture import Metadata
from daemon.photo.tiff_fields import GPS
from daemon.photo.xmp import without_location

MetadataChoice = Literal["keep", "strip", "strip-location"]
"""How much of the metadata a result carries."""

_IPTC_LOCATIONS = frozenset((26, 27, 90, 92, 95, 100, 101))
"""IPTC's datasets of record 2 that name a place, from content location to country."""

_MAX_DATASETS = 10_000


def kept_metadata(metadata: Metadata, choice: MetadataChoice) -> tuple[Metadata, tuple[str, ...]]:
    """The metadata that a result carries; profile and resolution always.

    Args:
        metadata: What the file has.
        choice: What is asked for.

    Returns:
        The metadata, and notes on what was left out beyond that.
    """
    match choice:
        case "keep":
            return metadata, ()
        case "strip":
            bare = replace(metadata, exif=None, xmp=None, photoshop=None)
            return replace(bare, comments=(), png_text=()), ()
        case "strip-location":
            return _without_location(metadata)
        case _:
            assert_never(choice)


def kept_side_file(packet: bytes, choice: MetadataChoice) -> bytes | None:
    """What is carried of an XMP file beside a photograph; None if nothing may be.

    Args:
        packet: Its content.
        choice: What is asked for.
    """
    match choice:
        case "keep":
            return packet
        case "strip":
            return None
        case "strip-location":
            return without_location(packet)
        case _:
            assert_never(choice)


def _without_location(metadata: Metadata) -> tuple[Metadata, tuple[str, ...]]:
    notes: tuple[str, ...] = ()
    exif, xmp, photoshop = metadata.exif, metadata.xmp, metadata.photoshop
    if exif is not None:
        try:
            exif = without_directory(exif, GPS)
        except (ValueError, struct.error):
            said = "its EXIF is damaged and may tell a place: left out"
            exif, notes = None, (Note(NoteKind.METADATA, said),)
    if xmp is not None:
        xmp = without_location(xmp)
        if xmp is None:
            said = "its XMP cannot be searched for a place: left out"
            notes += (Note(NoteKind.METADATA, said),)
    if photoshop is not None:
        iptc = iptc_of(photoshop)
        photoshop = with_iptc(without_iptc(photoshop), None if iptc is None else _placeless(iptc))
    return replace(metadata, exif=exif, xmp=xmp, photoshop=photoshop or None), notes


def _placeless(iptc: bytes) -> bytes:
    """IPTC without datasets that name a place; what follows damage is left out.

    Source: IPTC Information Interchange Model 4.2, chapter 3.
    """
    kept, offset = b"", 0
    for _ in range(_MAX_DATASETS):
        if len(iptc) < offset + 5 or iptc[offset] != 0x1C:
            break
        record, dataset, length = struct.unpack_from(">BBH", iptc, offset + 1)
        end = offset + 5 + length
        if length >= 0x8000 or end > len(iptc):  # longer than any text of it may be
            break
        if record != 2 or dataset not in _IPTC_LOCATIONS:
            kept += iptc[offset:end]
        offset = end
    return kept
