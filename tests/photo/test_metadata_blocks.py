"""Metadata as blocks: copied byte by byte, but for what a result changes."""

import io
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from daemon.photo.embedded_blocks import (
    iptc_of,
    kept_resources,
    photoshop_segments,
    raw_profile,
    with_iptc,
)
from daemon.photo.exif_block import exif_parts
from daemon.photo.output_formats import output_named
from daemon.photo.postprocessing import finish
from daemon.photo.tiff_fields import RawField, numbers_field, packed_block, parse_block
from daemon.photo.writers.tiff import write_pages
from tests.support.photos import FORMATS, cat, read, written

ORDER = ">"
PLACE = 1000
IPTC = b"\x1c\x02\x78\x00\x07Grandma\x1c\x02\x50\x00\x05Uncle"


def block(*, place: int = PLACE, note: bytes = b"\0\1offsets" * 9) -> bytes:
    """An EXIF block with types that Pillow loses, interoperability and a pinned maker note."""
    interop = (RawField(1, 2, 4, b"R98\0"), numbers_field(ORDER, 0x1001, 4, [60]))
    sub = (
        numbers_field(ORDER, 0xA002, 3, [60]),
        numbers_field(ORDER, 0xA003, 3, [40]),
        RawField(0x9204, 10, 1, struct.pack(">ii", -1, 3)),
        RawField(0x9214, 3, 2, struct.pack(">2H", 3, 4)),
        RawField(0x927C, 7, len(note), note, place=place, pinned=True),
        RawField(0xA005, 4, 1, b"", interop),
    )
    fields = (
        RawField(0x010F, 2, 13, b"Plate camera\0"),
        numbers_field(ORDER, 0x0112, 3, [1]),
        RawField(282, 5, 1, struct.pack(">II", 300, 1)),
        RawField(0x8769, 4, 1, b"", sub),
    )
    return packed_block(fields, ORDER)


def with_thumbnail(exif: bytes) -> bytes:
    """The block with a second directory, which points to a thumbnail."""
    (first,) = struct.unpack_from(">I", exif, 4)
    (count,) = struct.unpack_from(">H", exif, first)
    directory = struct.pack(">HHHIIHHIII", 2, 0x201, 4, 1, len(exif) + 30, 0x202, 4, 1, 4, 0)
    link = first + 2 + 12 * count
    return exif[:link] + struct.pack(">I", len(exif)) + exif[link + 4 :] + directory + b"JPEG"


def by_tag(exif: bytes) -> dict[int, RawField]:
    fields = parse_block(exif)[1]
    sub = next(field.below or () for field in fields if field.tag == 0x8769)
    interop = next((field.below or () for field in sub if field.tag == 0xA005), ())
    return {field.tag: field for field in (*fields, *sub, *interop)}


def exif_of(image: Image.Image, path: Path) -> bytes:
    """The block of a written file; a TIFF is one itself."""
    image.load()  # a PNG has it behind its pixels
    return path.read_bytes() if image.format == "TIFF" else image.info["exif"]


@pytest.mark.parametrize("format", FORMATS)
def test_exif_keeps_types_interoperability_and_the_place_of_maker_notes(
    tmp_path: Path, format: str
) -> None:
    Image.fromarray(cat(60, 40)).save(
        tmp_path / "a.jpg", exif=b"Exif\0\0" + with_thumbnail(block())
    )
    picture = read(tmp_path / "a.jpg")
    assert picture.notes == ()
    image = written(picture, tmp_path, format)
    path = next(path for path in tmp_path.iterdir() if path.name != "a.jpg")
    found, before = by_tag(exif_of(image, path)), by_tag(block())
    for tag in (0x010F, 282, 0xA002, 0xA003, 0x9204, 0x9214, 0x927C, 1, 0x1001):
        assert (found[tag].kind, found[tag].content) == (before[tag].kind, before[tag].content)
    assert found[0x927C].place == PLACE
    assert b"JPEG" not in image.info.get("exif", b"")


def test_an_enlarged_photograph_says_its_size_and_keeps_that_of_its_print(tmp_path: Path) -> None:
    Image.fromarray(cat(60, 40)).save(
        tmp_path / "a.jpg", exif=b"Exif\0\0" + block(), dpi=(300, 300)
    )
    picture = read(tmp_path / "a.jpg")
    larger = replace(
        picture,
        pixels=picture.pixels.repeat(2, axis=0).repeat(2, axis=1),
        metadata=replace(picture.metadata, scale=2.0),
    )
    image = written(larger, tmp_path, "jpeg")
    found = by_tag(image.info["exif"])
    assert image.info["dpi"] == (600, 600)
    assert struct.unpack(">II", found[282].content) == (600, 1)
    assert struct.unpack(">H", found[0xA002].content) == (120,)
    assert struct.unpack(">I", found[0x1001].content) == (120,)
    assert 0x9214 not in found  # where the subject was, in the old pixels


def test_maker_notes_that_cannot_keep_their_place_are_left_out_with_a_note() -> None:
    parts = exif_parts(block(place=64_000))
    assert parts.notes == ("its maker notes hold only where they lay in the file: left out",)
    assert parts.exif is not None
    assert 0x927C not in by_tag(parts.exif)
    movable = exif_parts(block(place=64_000, note=b"Nikon\0\2\x10\0\0MM\0*"))
    assert movable.notes == ()
    assert movable.exif is not None
    assert by_tag(movable.exif)[0x927C].content == b"Nikon\0\2\x10\0\0MM\0*"


def test_a_pointer_to_nothing_is_left_out() -> None:
    fields = (RawField(0x010F, 2, 7, b"Camera\0"), numbers_field("<", 0x8825, 4, [90_000]))
    parts = exif_parts(packed_block(fields, "<"))
    assert parts.exif is not None
    assert [field.tag for field in parse_block(parts.exif)[1]] == [0x010F]


def test_fields_that_share_their_bytes_cannot_fill_the_memory() -> None:
    count, length = 4000, 60_000
    entries = b"".join(
        struct.pack("<HHII", 0xC000 + number, 7, length, 8) for number in range(count)
    )
    exif = struct.pack("<2sHIH", b"II", 42, 8, count) + entries + bytes(4 + length)
    with pytest.raises(ValueError, match="longer than"):
        exif_parts(exif)


def iptc_of_file(image: Image.Image, path: Path) -> bytes | None:
    match image.format:
        case "TIFF":
            return exif_parts(path.read_bytes()).iptc
        case "WEBP":
            return exif_parts(image.info["exif"]).iptc
    resources = read(path).metadata.photoshop
    return None if resources is None else iptc_of(resources)


@pytest.mark.parametrize("kind", [b"iTXt", b"tEXt", b"zTXt"])
def test_xmp_of_a_png_is_found_in_every_kind_of_text(tmp_path: Path, kind: bytes) -> None:
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf='
        b'"http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        b'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="Grandma"/></rdf:RDF></x:xmpmeta>'
    )
    between = {b"iTXt": b"\0\0\0\0\0", b"tEXt": b"\0", b"zTXt": b"\0\0"}[kind]
    chunks = PngInfo()
    chunks.add(
        kind, b"XML:com.adobe.xmp" + between + (zlib.compress(xmp) if kind == b"zTXt" else xmp)
    )
    path = tmp_path / "a.png"
    Image.fromarray(cat()).save(path, pnginfo=chunks)
    assert b"Grandma" in (read(path).metadata.xmp or b"")
    assert read(path).metadata.png_text == ()


def test_a_tiff_keeps_dngs_tags_of_the_camera_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(cat()).save(path, tiffinfo={50735: "278290", 50778: 21})
    fields = {field.tag for field in parse_block(read(path).metadata.exif or b"")[1]}
    assert 50735 in fields
    assert 50778 not in fields


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("source", ["JPEG", "PNG", "TIFF"])
def test_iptc_survives_from_every_format_to_every_other(
    tmp_path: Path, source: str, format: str
) -> None:
    resources = with_iptc(b"8BIM\x04\x0c\0\0\0\0\0\x04thum", IPTC)
    assert resources is not None
    image, path = Image.fromarray(cat()), tmp_path / "source"
    match source:
        case "JPEG":
            image.save(path, source, extra=photoshop_segments(resources))
        case "PNG":
            chunks = PngInfo()
            chunks.add(b"zTXt", raw_profile(b"iptc", resources))
            image.save(path, source, pnginfo=chunks)
        case _:
            image.save(path, source, tiffinfo={33723: IPTC})
    result = written(read(path), tmp_path, format)
    out = next(one for one in tmp_path.iterdir() if one != path)
    assert iptc_of_file(result, out) == IPTC
    assert b"thum" not in out.read_bytes()


def test_text_of_a_png_and_comments_of_a_jpeg_are_carried(tmp_path: Path) -> None:
    text = PngInfo()
    text.add_text("Title", "Grandma")
    text.add_itxt("Author", "Ältere", zip=True)
    Image.fromarray(cat()).save(tmp_path / "a.png", pnginfo=text)
    again = written(read(tmp_path / "a.png"), tmp_path, "png")
    assert (again.info["Title"], again.info["Author"]) == ("Grandma", "Ältere")
    Image.fromarray(cat()).save(tmp_path / "b.jpg", comment="Zürich".encode())
    picture = read(tmp_path / "b.jpg")
    assert written(picture, tmp_path, "jpeg").info["comment"] == "Zürich".encode()
    assert written(picture, tmp_path, "png").info["Comment"] == "Zürich"


def test_a_manifest_is_said_to_be_lost(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    segment = b"\xff\xeb\0\x12JP\0\1\0\0\0\1jumbc2pa"
    Image.fromarray(cat()).save(buffer, "JPEG", extra=segment)
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
    (note,) = read(tmp_path / "a.jpg").notes
    assert note.startswith("its C2PA manifest (content credentials)")


@pytest.mark.parametrize("damage", [b"", b"8BIM", b"8BIM\4\4\xff", b"8BIM\4\4\0\0\xff" * 2])
def test_damaged_resource_blocks_are_left_out(damage: bytes) -> None:
    assert kept_resources(damage) is None


def test_maker_notes_of_a_later_page_are_left_out_with_a_note(tmp_path: Path) -> None:
    Image.fromarray(cat(60, 40)).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + block())
    finished, _ = finish(read(tmp_path / "a.jpg"), output_named("tiff"), "same", "keep")
    file = io.BytesIO()
    notes = write_pages((finished, finished), file, 2 * finished.codes.nbytes)
    assert notes == ("maker notes of a later page, which hold only at their place: left out",)
    assert by_tag(file.getvalue())[0x927C].place == PLACE
