"""Provenance: how a result was made, told in its XMP, and in its EXIF where it has any.

No time is said: equal jobs give equal files. When it was is in the record.
"""

from __future__ import annotations

import hashlib
import struct
import uuid
from dataclasses import dataclass, replace
from enum import StrEnum

from daemon.photo.exif_block import with_software
from daemon.photo.notes import Note, NoteKind
from daemon.photo.picture import Metadata, Picture
from daemon.photo.xmp import with_history

_SPACE = uuid.UUID("6f0c2c1e-6a55-4b0e-9d0e-1f2f1c0a7f43")
"""Name space of the identifiers of results, drawn once."""


class DigitalSource(StrEnum):
    """IPTC's words for how a picture came to be (NewsCodes, digitalsourcetype)."""

    ENHANCED = "algorithmicallyEnhanced"
    COMPOSITE = "compositeWithTrainedAlgorithmicMedia"
    GENERATED = "trainedAlgorithmicMedia"

    @property
    def uri(self) -> str:
        """Its identifier."""
        return f"http://cv.iptc.org/newscodes/digitalsourcetype/{self.value}"


@dataclass(frozen=True)
class Provenance:
    """How a result was made.

    Attributes:
        software: Program and version.
        steps: Kinds of steps, in order.
        recipe_digest: Digest of the recipe, as in the record.
        record_digest: What names the record: its `provenance_digest`.
        source: What the picture is now.
    """

    software: str
    steps: tuple[str, ...]
    recipe_digest: str
    record_digest: str
    source: DigitalSource


def with_provenance(picture: Picture, provenance: Provenance) -> tuple[Metadata, tuple[str, ...]]:
    """The metadata of a result with how it was made, and notes on what cannot say it."""
    metadata = picture.metadata
    pixels = picture.pixels
    solid = pixels if pixels.flags.c_contiguous else pixels.copy(order="C")
    content = hashlib.blake2b(solid.reshape(-1).data).hexdigest()
    identifier = uuid.uuid5(_SPACE, f"{provenance.recipe_digest} {content}")
    steps = ", ".join(provenance.steps)
    named = f"recipe {provenance.recipe_digest}; record {provenance.record_digest}"
    properties = {
        "software": provenance.software,
        "source": provenance.source.uri,
        "identifier": str(identifier),
        "action": f"{steps}; {named}",
    }
    notes: tuple[str, ...] = ()
    xmp = with_history(metadata.xmp, **properties)
    if xmp is None:
        said = "its XMP is damaged: how the result was made is not in it"
        notes = (Note(NoteKind.METADATA, said),)
        xmp = metadata.xmp
    exif = metadata.exif
    if exif is not None:
        try:
            exif = with_software(exif, provenance.software)
        except (ValueError, struct.error):
            exif = metadata.exif  # its writer says that it is damaged
    return replace(metadata, xmp=xmp, exif=exif), notes
