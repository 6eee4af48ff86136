"""Text of PNG and JPEG in formats that have no place for it."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from daemon.photo.carried_text import carried_text
from daemon.photo.picture import Metadata
from daemon.photo.writing import write_picture
from daemon.photo.xmp import with_texts
from tests.support.photos import cat, read, written

OTHERS = ("webp", "tiff", "jxl", "avif")


@pytest.fixture
def png(tmp_path: Path) -> Path:
    text = PngInfo()
    text.add_text("Title", "Wedding")
    text.add_text("Author", "Zo\xeb <& Sons>")
    text.add_itxt("Description", "Grandma, 1931 \u2014 left", zip=True)
    text.add_text("Software", "a scanner")
    Image.fromarray(cat()).save(tmp_path / "a.png", pnginfo=text)
    return tmp_path / "a.png"


def test_text_of_a_png_becomes_comments_of_a_jpeg(png: Path, tmp_path: Path) -> None:
    comment = written(read(png), tmp_path, "jpeg").info["comment"].decode()
    assert comment.split("\n") == [
        "Title: Wedding",
        "Author: Zo\xeb <& Sons>",
        "Description: Grandma, 1931 \u2014 left",
    ]


@pytest.mark.parametrize("format", OTHERS)
def test_text_becomes_xmp_where_nothing_else_has_it(png: Path, tmp_path: Path, format: str) -> None:
    path = tmp_path / f"a.{format}"
    write_picture(read(png), path, format=format, quality=100)
    xmp = (read(path).metadata.xmp or b"").decode()
    for text in (">Wedding<", ">Zo\xeb &lt;&amp; Sons&gt;<", ">Grandma, 1931 \u2014 left<"):
        assert text in xmp


@pytest.mark.parametrize("format", OTHERS)
def test_text_without_a_place_is_left_out_with_a_note(format: str) -> None:
    texts = ((b"tEXt", b"Plate\x0012"), (b"tEXt", b"Title\0A"), (b"zTXt", b"Source\0\0broken"))
    said = Metadata("PNG", "RGB", png_text=texts, comments=(b"one", b"another"))
    kept, notes = carried_text(said, format)
    assert notes == ("text that the format has no place for was left out: Plate, Comment",)
    assert (kept.png_text, kept.comments) == ((), ())
    assert b">one<" in (kept.xmp or b"")
    assert carried_text(said, "png") == (said, ())


def test_what_xmp_says_already_is_not_replaced() -> None:
    packet, missing = with_texts(None, {"title": "A", "rights": "\x01B"})
    assert (b">A<" in (packet or b""), b">B<" in (packet or b""), missing) == (True, True, ())
    assert with_texts(packet, {"title": "A", "rights": "C"}) == (packet, ("rights",))
    assert with_texts(b"<broken", {"title": "A"}) == (b"<broken", ("title",))
    said = Metadata("JPEG", "RGB", xmp=packet, comments=(b"x",))
    assert carried_text(replace(said, comments=()), "webp") == (replace(said, comments=()), ())
