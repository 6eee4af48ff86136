"""What a file says that is carried from unusual places, or left out with a note."""

import io
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from daemon.photo.decoders import jpeg as jpeg_decoder
from daemon.photo.embedded_blocks import iptc_of, with_iptc
from daemon.photo.isobmff import C2PA_UUID
from daemon.photo.notes import NoteKind, note_of
from daemon.photo.tiff_fields import parse_block
from tests.support.photos import cat, read

DATA = Path(__file__).parent / "data"
IPTC = b"\x1c\x02\x78\x00\x07Grandma"
LOST = "its C2PA manifest (content credentials) is signed for the original alone: left out"


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", 2 + len(content)) + content


def jpeg(path: Path, extra: bytes = b"", **options: object) -> Path:
    Image.fromarray(cat()).save(path, "JPEG", quality=100, subsampling=0, extra=extra, **options)
    return path


@pytest.mark.parametrize("suffix", ["heic", "avif", "jxl"])
def test_a_manifest_in_a_box_is_said_to_be_lost(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    manifest = box(b"uuid", C2PA_UUID + bytes(64))
    match suffix:
        case "heic":
            content = (DATA / "plain.heic").read_bytes()
        case "avif":
            Image.fromarray(cat(48, 32)).save(path, "AVIF")
            content = path.read_bytes()
        case _:
            content = bytes(imagecodecs.jpegxl_encode(cat(48, 32), usecontainer=True))
            manifest = box(b"jumb", box(b"jumd", b"c2pa" + bytes(12) + b"\3c2pa\0"))
    path.write_bytes(content)
    assert read(path).notes == ()
    path.write_bytes(content + manifest)
    (note,) = read(path).notes
    assert (note, note_of(note).kind) == (LOST, NoteKind.CREDENTIALS)


def test_segments_that_nothing_reads_are_named_in_a_note(tmp_path: Path) -> None:
    known = segment(0xE0, b"JFXX\0\x13") + segment(0xED, b"Adobe_CM\0\2") + segment(0xEC, b"Ducky")
    assert read(jpeg(tmp_path / "a.jpg", known)).notes == ()
    others = segment(0xE1, b"FLIR\0\1\0") + segment(0xE2, b"FPXR\0") + segment(0xE4, b"\0\1")
    (note,) = read(jpeg(tmp_path / "b.jpg", others * 2)).notes
    assert note.endswith("beside the picture was left out: APP1 FLIR, APP2 FPXR, APP4")
    many = b"".join(segment(0xE5, b"N%02d" % number) for number in range(8))
    (note,) = read(jpeg(tmp_path / "c.jpg", many)).notes
    assert note.endswith("APP5 N05 and 2 more")


def test_what_follows_a_picture_is_noted_but_no_filling(tmp_path: Path) -> None:
    content = jpeg(tmp_path / "a.jpg").read_bytes()
    for filling in (b"\0", b"\xff"):
        (tmp_path / "b.jpg").write_bytes(content + filling * 5000)
        assert read(tmp_path / "b.jpg").notes == ()
    (tmp_path / "c.jpg").write_bytes(content + b"\0\0\0\x18ftypmp42" * 512)
    (note,) = read(tmp_path / "c.jpg").notes
    assert note.startswith("6 KB behind the picture (a film")
    (tmp_path / "d.jpg").write_bytes(content + b"IPTC of a program, AXS!" * 4)
    (note,) = read(tmp_path / "d.jpg").notes
    assert note.startswith("92 bytes behind the picture")


def test_parts_of_extended_xmp_are_put_together_in_their_order(tmp_path: Path) -> None:
    rdf = "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>{}</rdf:RDF>"
    name = "<rdf:Description xmlns:pdf='http://ns.adobe.com/pdf/1.3/' pdf:Author='Grandma'/>"
    second, half = rdf.format(name).encode(), 60
    head = b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32
    parts = [
        segment(0xE1, head + struct.pack(">II", len(second), start) + second[start:end])
        for start, end in ((half, len(second)), (0, half))
    ]
    main = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{rdf.format('')}</x:xmpmeta>".encode()
    picture = read(jpeg(tmp_path / "a.jpg", b"".join(parts), xmp=main))
    assert picture.notes == ()
    assert b"Grandma" in (picture.metadata.xmp or b"")


def test_a_place_whose_pointer_is_a_signed_number_is_kept() -> None:
    gps = struct.pack(">HHHIII", 1, 1, 2, 2, 0x4E000000, 0)
    pointer = struct.pack(">HHHIII", 1, 0x8825, 9, 1, 26, 0)
    fields = parse_block(b"MM\0*\0\0\0\x08" + pointer + gps)[1]
    assert [field.tag for field in fields[0].below or ()] == [1]


def test_iptc_of_a_jpeg_2000_and_a_psd_is_carried(tmp_path: Path) -> None:
    uuid = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
    encoded = imagecodecs.jpeg2k_encode(cat(48, 32), codecformat="JP2", level=0)
    (tmp_path / "a.jp2").write_bytes(encoded + box(b"uuid", uuid + IPTC))
    (tmp_path / "b.jp2").write_bytes(encoded + box(b"uuid", bytes(16) + b"map"))
    resources = (with_iptc(None, IPTC) or b"") + b"8BIM" + struct.pack(">HHI", 1036, 0, 2) + b"th"
    (tmp_path / "a.psd").write_bytes(psd(cat(48, 32), resources))
    for name in ("a.jp2", "a.psd"):
        picture = read(tmp_path / name)
        assert picture.notes == ()
        assert iptc_of(picture.metadata.photoshop or b"") == IPTC
        assert b"th" not in (picture.metadata.photoshop or b"")
    (note,) = read(tmp_path / "b.jp2").notes
    assert note == "what a program put into boxes beside the picture was left out"


def psd(codes: NDArray[np.uint8], resources: bytes) -> bytes:
    height, width, count = codes.shape
    head = struct.pack(">4sH6xHIIHHI", b"8BPS", 1, count, height, width, 8, 3, 0)
    head += struct.pack(">I", len(resources)) + resources + struct.pack(">IH", 0, 0)
    return head + np.moveaxis(codes, 2, 0).tobytes()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("grey", [False, True])
def test_a_whole_jpeg_is_decoded_once_to_the_pixels_that_pillow_gives(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    progressive: bool,
    subsampling: int,
    grey: bool,
) -> None:
    monkeypatch.delattr(jpeg_decoder, "is_damaged")  # what would decode it again
    file = io.BytesIO()
    image = Image.fromarray(cat(61, 43)[..., 1] if grey else cat(61, 43))
    image.save(file, "JPEG", quality=90, subsampling=subsampling, progressive=progressive)
    (tmp_path / "a.jpg").write_bytes(file.getvalue())
    picture = read(tmp_path / "a.jpg")
    assert np.array_equal(picture.pixels, np.asarray(Image.open(file).convert("RGB")))
    assert (picture.grey, picture.notes) == (grey, ())
