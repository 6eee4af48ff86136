"""Metadata that a result shall not carry."""

import struct
from dataclasses import replace

from daemon.photo.embedded_blocks import iptc_of, with_iptc
from daemon.photo.privacy import kept_metadata
from daemon.photo.tiff_fields import EXIF as EXIF_DIRECTORY
from daemon.photo.tiff_fields import GPS, RawField, packed_block, parse_block
from tests.support.photos import PNG

CAPTION = b"\x1c\x02\x78\x00\x07Grandma"
CITY = b"\x1c\x02\x5a\x00\x06Zurich"
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:exif="http://ns.adobe.com/exif/1.0/" '
    b'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" exif:GPSLatitude="47,22.5N" '
    b'photoshop:City="Zurich" photoshop:Headline="Grandma"/></rdf:RDF></x:xmpmeta>'
)
PLACE = RawField(GPS, 4, 1, b"", (RawField(2, 5, 1, struct.pack("<II", 47, 1)),))
DATE = RawField(0x9003, 2, 5, b"1926\0")
EXIF = packed_block(
    (
        RawField(0x010F, 2, 7, b"Camera\0"),
        RawField(EXIF_DIRECTORY, 4, 1, b"", (DATE, PLACE)),
        PLACE,
    ),
    "<",
)
SAID = replace(
    PNG,
    icc=b"profile",
    exif=EXIF,
    xmp=XMP,
    dpi=(300, 300),
    photoshop=with_iptc(None, CAPTION + CITY),
    comments=(b"a comment",),
    png_text=((b"tEXt", b"Title\0Grandma"),),
)


def test_all_is_kept() -> None:
    assert kept_metadata(SAID, "keep") == (SAID, ())


def test_strip_leaves_profile_and_resolution() -> None:
    assert kept_metadata(SAID, "strip") == (replace(PNG, icc=b"profile", dpi=(300, 300)), ())


def test_strip_location_leaves_all_but_the_place() -> None:
    kept, notes = kept_metadata(SAID, "strip-location")
    assert notes == ()
    assert kept.exif is not None
    _, sub = parse_block(kept.exif)[1]
    assert [field.tag for field in parse_block(kept.exif)[1]] == [0x010F, EXIF_DIRECTORY]
    assert [field.tag for field in sub.below or ()] == [DATE.tag]
    assert kept.xmp is not None
    assert b"GPS" not in kept.xmp
    assert b"Zurich" not in kept.xmp
    assert b'photoshop:Headline="Grandma"' in kept.xmp
    assert kept.photoshop is not None
    assert iptc_of(kept.photoshop) == CAPTION
    assert kept.comments == SAID.comments


def test_what_cannot_be_searched_for_a_place_is_left_out_with_a_note() -> None:
    kept, notes = kept_metadata(replace(SAID, exif=b"II*\0", xmp=b"<broken"), "strip-location")
    assert (kept.exif, kept.xmp) == (None, None)
    assert notes == (
        "its EXIF is damaged and may tell a place: left out",
        "its XMP cannot be searched for a place: left out",
    )
