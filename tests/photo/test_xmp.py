"""XMP packets: what no longer holds of a result is changed, all else stays."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from daemon.photo.xmp import XmpChanges, changed_xmp, with_history
from tests.support.photos import FORMATS, cat, read, written

CHANGES = XmpChanges(120, 80, "image/png", scale=2.0)


def packet(properties: str, inner: str = "") -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"'
        ' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"'
        ' xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"'
        ' xmlns:area="http://ns.adobe.com/xmp/sType/Area#"'
        ' xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"'
        ' xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" rdf:about="" '
        f"{properties}>{inner}</rdf:Description></rdf:RDF></x:xmpmeta>\n"
        '<?xpacket end="w"?>'
    ).encode()


def test_what_is_gone_is_not_told_any_more_and_sizes_are_those_of_the_result() -> None:
    stale = packet(
        'GCamera:MotionPhoto="1" GCamera:MicroVideoOffset="5000" hdrgm:Version="1.0"'
        ' exif:PixelXDimension="60" tiff:XResolution="300/1" dc:format="image/jpeg"'
        ' crs:CropTop="0.1" crs:AlreadyApplied="True" crs:Exposure2012="+1"',
        "<exif:PixelYDimension>40</exif:PixelYDimension><dc:title>Größe</dc:title>"
        "<hdrgm:GainMapMax><rdf:Seq/></hdrgm:GainMapMax>",
    )
    expected = packet(
        'exif:PixelXDimension="120" tiff:XResolution="600/1" dc:format="image/png"'
        ' crs:AlreadyApplied="True" crs:Exposure2012="+1"',
        "<exif:PixelYDimension>80</exif:PixelYDimension><dc:title>Größe</dc:title>",
    )
    assert changed_xmp(stale, CHANGES).decode() == expected.decode()


def test_settings_of_a_raw_converter_are_not_left_to_be_applied_again() -> None:
    found = changed_xmp(packet('crs:Exposure2012="+1" dc:source="a"'), CHANGES)
    assert b"Exposure2012" not in found
    assert b'dc:source="a"' in found


@pytest.mark.parametrize(
    "same",
    [
        packet('dc:source="a"'),
        b"<x/>",
        b"no XML at all",
        b'<!DOCTYPE x [<!ENTITY a "aa">]><x>&a;</x>',
        b"<a>" * 50_000,
        b"<a>" * 3000 + b"</a>" * 3000,
        packet('dc:source="a" exif:PixelXDimension="60"').decode().encode("utf-16"),
    ],
)
def test_a_packet_without_changes_or_that_is_no_xmp_stays_as_it_is(same: bytes) -> None:
    assert changed_xmp(same, CHANGES) == same


def test_faces_turn_with_the_picture() -> None:
    inner = '<area:Area area:x="0.2" area:y="0.3" area:w="0.1" area:h="0.4"/>'
    found = changed_xmp(packet("", inner), replace(CHANGES, turned=6))
    assert b'area:x="0.7" area:y="0.2" area:w="0.4" area:h="0.1"' in found


@pytest.mark.parametrize("format", FORMATS)
def test_xmp_longer_than_a_segment_survives_from_jpeg_to_every_format(
    tmp_path: Path, format: str
) -> None:
    title = "Grandma " * 20_000
    Image.fromarray(cat()).save(tmp_path / "a.png")
    picture = read(tmp_path / "a.png")
    long = packet("", f"<dc:title>{title}</dc:title>")
    picture = replace(picture, metadata=replace(picture.metadata, xmp=long))
    written(picture, tmp_path, "jpeg").close()
    again = read(tmp_path / "result.jpeg")
    assert again.notes == ()
    assert again.metadata.xmp is not None
    assert title.encode() in again.metadata.xmp
    assert b"HasExtendedXMP" not in again.metadata.xmp
    written(again, tmp_path, format).close()
    found = read(tmp_path / f"result.{format}").metadata.xmp
    assert found is not None
    assert title.encode() in found


def test_history_goes_on_and_the_original_is_named() -> None:
    made = {"software": "restored", "source": "s", "action": 'a "b"'}
    first = with_history(packet('dc:source="a"'), identifier="1", **made)
    assert first is not None
    assert b"DerivedFrom" not in first  # the original has no identifier
    second = with_history(first, identifier="2", **made)
    assert second is not None
    text = second.decode()
    assert text.index('stEvt:instanceID="xmp.iid:1"') < text.index('stEvt:instanceID="xmp.iid:2"')
    assert 'stRef:documentID="xmp.did:1"' in text
    assert text.count("xmpMM:DocumentID") == text.count("<xmpMM:History>") == 1
    assert 'dc:source="a"' in text
    assert with_history(b"<broken", identifier="1", **made) is None
