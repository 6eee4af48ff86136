"""What a GIF says beside its pixels: colours above all."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from daemon.photo.embedded_blocks import iptc_of
from daemon.photo.gif_blocks import gif_blocks
from daemon.photo.profiles import DISPLAY_P3_ICC
from tests.support.photos import cat, read, written

PACKET = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"></rdf:RDF></x:xmpmeta>'
)
TRAILER = bytes((1, *range(255, -1, -1), 0))


def sub_blocks(content: bytes) -> bytes:
    parts = (content[start : start + 255] for start in range(0, len(content), 255))
    return b"".join(bytes((len(part),)) + part for part in parts) + b"\0"


def application(name: bytes, body: bytes) -> bytes:
    return b"!\xff" + bytes((len(name),)) + name + body


def gif(*extensions: bytes) -> bytes:
    """A GIF of two frames with extensions before the first."""
    file = io.BytesIO()
    image = Image.fromarray(cat(24, 16)).quantize(32)
    image.save(
        file, "GIF", save_all=True, append_images=[image.transpose(Image.Transpose.ROTATE_180)]
    )
    content = file.getvalue()
    begin = 13 + (3 << (content[10] & 7) + 1)
    return content[:begin] + b"".join(extensions) + content[begin:]


def test_the_profile_of_a_gif_counts_and_is_kept(tmp_path: Path) -> None:
    (tmp_path / "plain.gif").write_bytes(gif())
    (tmp_path / "a.gif").write_bytes(gif(application(b"ICCRGBG1012", sub_blocks(DISPLAY_P3_ICC))))
    plain, picture = read(tmp_path / "plain.gif"), read(tmp_path / "a.gif")
    assert picture.metadata.icc == DISPLAY_P3_ICC
    assert picture.original is not None
    assert np.array_equal(picture.original.codes, plain.pixels)
    assert not np.array_equal(picture.pixels, plain.pixels)
    result = written(picture, tmp_path, "png")
    assert result.info["icc_profile"] == DISPLAY_P3_ICC
    assert np.array_equal(np.asarray(result), plain.pixels)


@pytest.mark.parametrize("body", [PACKET + TRAILER, sub_blocks(PACKET)])
def test_xmp_and_comments_of_a_gif_are_kept(tmp_path: Path, body: bytes) -> None:
    comments = b"!\xfe" + sub_blocks(b"Grandma " * 50) + b"!\xfe" + sub_blocks(b"1932")
    (tmp_path / "a.gif").write_bytes(gif(application(b"XMP DataXMP", body), comments))
    picture = read(tmp_path / "a.gif")
    assert picture.metadata.xmp == PACKET
    assert picture.metadata.comments == (b"Grandma " * 50, b"1932")
    assert all("left out:" not in note for note in picture.notes)


def test_iptc_of_a_gif_is_kept(tmp_path: Path) -> None:
    iptc = b"\x1c\x02\x78\x00\x07Grandma"
    (tmp_path / "a.gif").write_bytes(gif(application(b"MGKIPTC0000", sub_blocks(iptc))))
    picture = read(tmp_path / "a.gif")
    assert iptc_of(picture.metadata.photoshop or b"") == iptc


def test_what_else_stands_in_a_gif_is_said_to_be_lost(tmp_path: Path) -> None:
    others = application(b"FRACTINT001", sub_blocks(b"?")), application(b"C2PA_GIF\1\0\0", b"\1x\0")
    (tmp_path / "a.gif").write_bytes(gif(*others, b"!\1" + sub_blocks(b"0123456789ab" + b"Hallo")))
    notes = " ".join(read(tmp_path / "a.gif").notes)
    assert "left out: FRACTINT001, text that is drawn over the picture" in notes
    assert "C2PA manifest" in notes


def test_a_gif_cut_anywhere_has_no_blocks_or_some() -> None:
    whole = gif(application(b"ICCRGBG1012", sub_blocks(b"profile")), b"!\xfe" + sub_blocks(b"hi"))
    for end in range(len(whole)):
        found = gif_blocks(io.BytesIO(whole[:end]))
        assert found.icc is None or b"profile".startswith(found.icc)
    assert gif_blocks(io.BytesIO(whole)).comments == (b"hi",)
