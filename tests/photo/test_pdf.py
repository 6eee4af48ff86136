"""Scans in PDFs: the image of each page in its own pixels, layers rendered, others refused."""

import io
import zlib
from collections.abc import Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import pypdfium2
import pytest
import tifffile
from PIL import Image

from daemon.config.recipe import Recipe
from daemon.engine.result_writer import stage
from daemon.messages.tasks import Job
from daemon.photo import Limits, Photo, pdf_pages, read_header
from daemon.photo.picture import Picture
from daemon.photo.profiles import ADOBE_RGB_ICC
from daemon.photo.reading import read_picture
from daemon.photo.truncation import is_truncated
from daemon.system.errors import PhotoError
from tests.support.photos import cat, photo_at

WIDTH, HEIGHT = 60, 40
CAT = cat(WIDTH, HEIGHT)
DEEP = CAT.astype(np.uint16) * 257 - (CAT > 0)
WHOLE = b"q 432 0 0 288 0 0 cm /I Do Q"
"""Draws the image over a page of 432 x 288 points: 10 pixels an inch."""


def stream(content: bytes, entries: str = "") -> bytes:
    head = f"<</Length {len(content)} {entries}>>"
    return head.encode() + b"stream\n" + content + b"\nendstream"


def image(codes: np.ndarray, entries: str = "", space: str = "") -> bytes:
    """An image of 8 or 16 bits, deflated."""
    grey = codes.ndim == 2
    colours = space or ("/DeviceGray" if grey else "/DeviceRGB")
    content = zlib.compress(codes.astype(codes.dtype.newbyteorder(">")).tobytes())
    says = f"/BitsPerComponent {8 * codes.itemsize} /ColorSpace {colours} /Filter /FlateDecode"
    size = f"/Subtype /Image /Width {codes.shape[1]} /Height {codes.shape[0]}"
    return stream(content, f"{size} {says} {entries}")


def jpeg_image(content: bytes, colours: str = "/DeviceRGB", entries: str = "") -> bytes:
    size = f"/Subtype /Image /Width {WIDTH} /Height {HEIGHT} /BitsPerComponent 8"
    return stream(content, f"{size} /ColorSpace {colours} /Filter /DCTDecode {entries}")


def pdf(
    path: Path,
    pages: Sequence[tuple[bytes, bytes]],
    *,
    entries: str = "",
    more: Sequence[bytes] = (),
    images: str = "",
) -> Path:
    """A PDF whose pages have an image and what is drawn with it; `more` objects begin at 3.

    Further images of all pages are told as `/K 3 0 R`.
    """
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"", *more]
    kids = []
    for drawing, content in pages:
        number = len(objects) + 1
        kids.append(f"{number} 0 R")
        page = (
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 432 288]/Contents {number + 1} 0 R {entries}"
            f"/Resources<</XObject<</I {number + 2} 0 R{images}>>"
            f"/Font<</F<</Type/Font/Subtype/Type1"
            f"/BaseFont/Helvetica>>>>>>>>"
        )
        objects += [page.encode(), stream(drawing), content]
    objects[1] = f"<</Type/Pages/Count {len(kids)}/Kids[{' '.join(kids)}]>>".encode()
    file, places = io.BytesIO(b"%PDF-1.7\n"), []
    file.seek(0, 2)
    for number, one in enumerate(objects, 1):
        places.append(file.tell())
        file.write(b"%d 0 obj\n%s\nendobj\n" % (number, one))
    table = file.tell()
    file.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    file.writelines(b"%010d 00000 n \n" % place for place in places)
    trailer = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n"
    file.write(trailer % (len(objects) + 1, table))
    path.write_bytes(file.getvalue())
    return path


def pictures(path: Path) -> list[Picture]:
    return [read_picture(page, Limits()) for page in photo_at(path).each_page()]


def refusal(path: Path) -> PhotoError:
    with pytest.raises(PhotoError) as caught:
        pictures(path)
    return caught.value


def test_an_image_has_its_own_pixels_depth_and_resolution(tmp_path: Path) -> None:
    path = pdf(tmp_path / "a.pdf", [(WHOLE, image(DEEP))])
    header = read_header(path, Limits())
    assert (header.format, header.width, header.height) == ("PDF", WIDTH, HEIGHT)
    assert header.page_sizes == ()
    (picture,) = pictures(path)
    assert picture.pixels.dtype == np.uint16
    assert np.array_equal(picture.pixels, DEEP)
    assert picture.metadata.dpi == pytest.approx((10, 10))
    assert picture.notes == ()


def test_an_image_keeps_its_profile(tmp_path: Path) -> None:
    profile = stream(ADOBE_RGB_ICC, "/N 3")
    path = pdf(tmp_path / "a.pdf", [(WHOLE, image(CAT, space="[/ICCBased 3 0 R]"))], more=[profile])
    (picture,) = pictures(path)
    assert picture.metadata.icc == ADOBE_RGB_ICC
    assert picture.original is not None
    assert np.array_equal(picture.original.codes, CAT)


def test_a_jpeg_comes_out_as_its_own_decoder_has_it(tmp_path: Path) -> None:
    content = bytes(imagecodecs.jpeg8_encode(CAT, level=90))
    (tmp_path / "a.jpg").write_bytes(content)
    (picture,) = pictures(pdf(tmp_path / "a.pdf", [(WHOLE, jpeg_image(content))]))
    (alone,) = pictures(tmp_path / "a.jpg")
    assert np.array_equal(picture.pixels, alone.pixels)


def test_a_jpeg_2000_comes_out_exactly(tmp_path: Path) -> None:
    content = bytes(imagecodecs.jpeg2k_encode(DEEP, level=0, codecformat="jp2"))
    within = jpeg_image(content).replace(b"/DCTDecode", b"/JPXDecode")
    (picture,) = pictures(pdf(tmp_path / "a.pdf", [(WHOLE, within)]))
    assert np.array_equal(picture.pixels, DEEP)


def test_the_page_says_which_way_up_an_image_is(tmp_path: Path) -> None:
    on_its_side = np.ascontiguousarray(np.rot90(CAT, 1))
    turned = b"q 0 -288 432 0 0 288 cm /I Do Q"
    (picture,) = pictures(pdf(tmp_path / "a.pdf", [(turned, image(on_its_side))]))
    assert np.array_equal(picture.pixels, CAT)
    mirrored = b"q -432 0 0 288 432 0 cm /I Do Q"
    flipped = np.ascontiguousarray(CAT[:, ::-1])
    (picture,) = pictures(pdf(tmp_path / "b.pdf", [(mirrored, image(flipped))]))
    assert np.array_equal(picture.pixels, CAT)
    for degrees, turns in ((90, -1), (180, 2), (270, 1)):
        entries = f"/Rotate {degrees}"
        path = pdf(tmp_path / f"{degrees}.pdf", [(WHOLE, image(CAT))], entries=entries)
        (picture,) = pictures(path)
        assert np.array_equal(picture.pixels, np.rot90(CAT, turns))


def test_inverted_levels_are_turned_back(tmp_path: Path) -> None:
    inverted = image(255 - CAT, "/Decode [1 0 1 0 1 0]")
    (picture,) = pictures(pdf(tmp_path / "a.pdf", [(WHOLE, inverted)]))
    assert np.array_equal(picture.pixels, CAT)


def test_bits_and_palettes_come_from_pdfium_exactly(tmp_path: Path) -> None:
    black = np.packbits(CAT[..., 1] > 120, axis=1)
    size = f"/Subtype /Image /Width {WIDTH} /Height {HEIGHT} /BitsPerComponent 1"
    bits = stream(black.tobytes(), f"{size} /ColorSpace /DeviceGray")
    (picture,) = pictures(pdf(tmp_path / "a.pdf", [(WHOLE, bits)]))
    assert np.array_equal(picture.pixels[..., 0].astype(int) > 0, CAT[..., 1] > 120)
    assert (picture.grey, picture.notes) == (True, ())


def test_recognised_text_below_or_invisible_over_a_scan_does_not_matter(tmp_path: Path) -> None:
    text = b" BT /F 20 Tf 3 Tr 20 20 Td (words) Tj ET "
    shown = b" BT /F 20 Tf 20 20 Td (words) Tj ET "
    for number, drawing in enumerate((WHOLE + text, shown + WHOLE)):
        (picture,) = pictures(pdf(tmp_path / f"{number}.pdf", [(drawing, image(CAT))]))
        assert np.array_equal(picture.pixels, CAT)


@pytest.mark.parametrize(
    ("drawing", "why"),
    [
        (b"BT /F 20 Tf 20 20 Td (words) Tj ET", "it shows text"),
        (b"", "it is empty"),
        (WHOLE + b" BT /F 20 Tf 20 20 Td (words) Tj ET", "it shows an image with text"),
        (WHOLE + b" 1 0 0 rg 9 9 99 99 re f", "it shows an image with drawings"),
        (b"q 99 0 0 99 0 0 cm /I Do Q q 99 0 0 99 200 0 cm /I Do Q", "it shows 2 images"),
        (b"q 300 300 -300 300 200 0 cm /I Do Q", "its image lies askew"),
        (b"q 432 0 0 288 500 500 cm /I Do Q", "it shows nothing of its image"),
    ],
)
def test_a_page_that_is_no_scan_is_refused_with_what_it_shows(
    tmp_path: Path, drawing: bytes, why: str
) -> None:
    error = refusal(pdf(tmp_path / "a.pdf", [(drawing, image(CAT))]))
    assert error.why == f"page 1 of the PDF is no scan: {why}"
    assert "pdftoppm" in error.remedy


@pytest.mark.parametrize("degrees", [0, 90])
def test_what_a_mask_hides_of_an_image_is_white(tmp_path: Path, degrees: int) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:20] = 255
    masked, entries = image(CAT, "/SMask 3 0 R"), f"/Rotate {degrees}"
    path = pdf(tmp_path / "a.pdf", [(WHOLE, masked)], more=[image(mask)], entries=entries)
    (picture,) = pictures(path)
    shown = np.where(mask[..., None] == 255, CAT, 255)
    assert np.array_equal(picture.pixels, np.rot90(shown, -degrees // 90))
    said = "the page masks its image: what it hides is white, and its colours are sRGB of 8 bits"
    assert picture.notes == (said,)


def test_an_image_that_the_page_blends_is_rendered_as_the_page_shows_it(tmp_path: Path) -> None:
    grey = b"0.5 g 0 0 432 288 re f /G gs " + WHOLE
    entries = "/Group<</S/Transparency/CS/DeviceRGB>>"
    states = b"<</BM/Multiply>>"
    path = pdf(
        tmp_path / "a.pdf",
        [(grey, image(CAT))],
        more=[states],
        entries=entries,
        images=">>/ExtGState<</G 3 0 R",
    )
    (picture,) = pictures(path)
    assert picture.pixels.shape == CAT.shape
    assert np.abs(picture.pixels.astype(float) - CAT / 2).mean() < 4
    said = "the page masks, blends or colours its image: rendered at 10 pixels an inch"
    assert picture.notes == (f"{said}, sRGB of 8 bits",)


def test_a_masked_image_that_is_small_on_its_page_is_refused(tmp_path: Path) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:20] = 255
    speck = b"q 4 0 0 3 0 0 cm /I Do Q"
    path = pdf(tmp_path / "a.pdf", [(speck, image(CAT, "/SMask 3 0 R"))], more=[image(mask)])
    assert "no scan" in refusal(path).why


def test_of_a_cropped_page_what_it_shows_is_cut_out_of_its_image(tmp_path: Path) -> None:
    """The crop box is the left half and the lower three quarters of the page."""
    entries = "/CropBox[0 0 216 216]"
    path = pdf(tmp_path / "a.pdf", [(WHOLE, image(DEEP))], entries=entries)
    header = read_header(path, Limits())
    assert (header.width, header.height) == (30, 30)
    (picture,) = pictures(path)
    assert np.array_equal(picture.pixels, DEEP[10:, :30])
    assert picture.metadata.dpi == pytest.approx((10, 10))
    assert picture.notes == ("the page shows a part of its image: cropped to that",)
    turned = b"q 0 -288 432 0 0 288 cm /I Do Q"
    on_its_side = image(np.ascontiguousarray(np.rot90(DEEP, 1)))
    path = pdf(tmp_path / "b.pdf", [(turned, on_its_side)], entries=f"{entries} /Rotate 90")
    (picture,) = pictures(path)
    assert np.array_equal(picture.pixels, np.rot90(DEEP[10:, :30], -1))


def test_layers_of_a_scan_are_rendered_in_the_finest_resolution(tmp_path: Path) -> None:
    """Mixed raster content has paper below and ink, through a mask, above it."""
    black = stream(
        np.packbits(CAT[..., 1] > 120, axis=1).tobytes(),
        f"/Subtype/Image /Width {WIDTH} /Height {HEIGHT} /BitsPerComponent 1 /ImageMask true",
    )
    paper = image(np.full((10, 15, 3), (250, 240, 220), np.uint8))
    layers = WHOLE + b" 0.2 0 0 rg q 432 0 0 288 0 0 cm /K Do Q"
    path = pdf(tmp_path / "a.pdf", [(layers, paper)], more=[black], images="/K 3 0 R")
    (picture,) = pictures(path)
    assert picture.pixels.shape == (288, 432, 3)
    small = np.asarray(
        Image.fromarray(picture.pixels).resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    )
    ink = CAT[..., 1:2] <= 120
    wanted = np.where(ink, (51, 0, 0), (250, 240, 220))
    assert np.abs(small - wanted).mean() < 12
    assert picture.metadata.dpi == (72, 72)
    said = "the page is made up of 2 images: rendered at 72 pixels an inch, sRGB of 8 bits"
    assert picture.notes == (said,)


def test_strips_of_a_scan_are_put_together(tmp_path: Path) -> None:
    upper, lower = image(CAT[:20]), image(CAT[20:])
    strips = b"q 432 0 0 144 0 144 cm /I Do Q q 432 0 0 144 0 0 cm /K Do Q"
    (picture,) = pictures(
        pdf(tmp_path / "a.pdf", [(strips, upper)], more=[lower], images="/K 3 0 R")
    )
    small = Image.fromarray(picture.pixels).resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    assert np.abs(np.asarray(small).astype(int) - CAT).mean() < 4


def test_every_page_is_restored_into_one_tiff(tmp_path: Path) -> None:
    small = CAT[:20, :30]
    path = pdf(tmp_path / "a.pdf", [(WHOLE, image(DEEP)), (WHOLE, image(small[..., 1]))])
    assert read_header(path, Limits()).page_sizes == ((60, 40), (30, 20))
    first, second = pictures(path)
    assert np.array_equal(first.pixels, DEEP)
    assert np.array_equal(second.pixels[..., 0], small[..., 1])
    assert first.notes == second.notes == ()
    (staging := tmp_path / "staging").mkdir()
    steps = [{"kind": "denoise", "sigma": 0}]
    how = Recipe.model_validate({"name": "r", "steps": steps, "output": {"format": "same"}})
    job = Job("j", how, (photo_at(path),), "j", 0, ("0",) * len(how.models))
    (staged,), _ = stage([first, second], job, staging)
    with tifffile.TiffFile(staged.path) as tiff:
        assert np.array_equal(tiff.pages[0].asarray(), DEEP)
        assert np.array_equal(tiff.pages[1].asarray(), small[..., 1])


def test_of_pages_the_first_can_be_read_alone(tmp_path: Path) -> None:
    text = b"BT /F 20 Tf 20 20 Td (words) Tj ET"
    path = pdf(tmp_path / "a.pdf", [(WHOLE, image(CAT)), (text, image(CAT))])
    photo = photo_at(path)
    picture = read_picture(photo, Limits())
    assert np.array_equal(picture.pixels, CAT)
    assert picture.notes == (
        "the first of 2 pages or frames was restored; 1 more page was left out",
    )
    error = refusal(path)
    assert error.why == "page 2 of the PDF is no scan: it shows text"
    assert 'set output.pages of the recipe to "first"' in error.remedy


def test_what_people_wrote_onto_a_page_is_left_out_with_a_note(tmp_path: Path) -> None:
    entries = "/Annots [<</Type/Annot/Subtype/Square/Rect[9 9 99 99]/C[1 0 0]>>]"
    (picture,) = pictures(pdf(tmp_path / "a.pdf", [(WHOLE, image(CAT))], entries=entries))
    assert picture.notes == ("1 annotation of the page left out",)


def test_a_pdf_with_a_password_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(file: io.BytesIO) -> None:
        raise pypdfium2.PdfiumError("Failed to load document (PDFium: Incorrect password error).")

    monkeypatch.setattr(pypdfium2, "PdfDocument", refused)
    with pytest.raises(PhotoError, match="is a PDF with a password"):
        read_header(pdf(tmp_path / "a.pdf", [(WHOLE, image(CAT))]), Limits())


def test_without_the_extra_a_pdf_is_refused_and_the_extra_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf_pages, "find_spec", lambda name: None)
    with pytest.raises(PhotoError, match="needs the extra `pdf`") as caught:
        read_header(pdf(tmp_path / "a.pdf", [(WHOLE, image(CAT))]), Limits())
    assert "restored[pdf]" in caught.value.remedy


def test_an_image_beyond_the_limits_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    huge = image(CAT).replace(b"/Width 60 /Height 40", b"/Width 60000 /Height 40000")
    with pytest.raises(PhotoError, match=r"2400\.0 megapixels"):
        read_header(pdf(tmp_path / "a.pdf", [(WHOLE, huge)]), Limits())


def test_a_damaged_pdf_is_refused(tmp_path: Path) -> None:
    path = pdf(tmp_path / "a.pdf", [(WHOLE, image(CAT))])
    assert not is_truncated(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert is_truncated(path)
    with pytest.raises(PhotoError):
        read_picture(Photo(path, "a.pdf", "", read_header(path, Limits())), Limits())
    path.write_bytes(b"%PDF-1.7\nnothing")
    assert refusal(path)
