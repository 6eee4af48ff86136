"""The image of a PDF's page in its own pixels, by PDFium, an extra.

PDFium tells neither of a page's ways to invert, mask or blend its image, so each is compared with a
small rendering of the page. An image that looks other by itself, and images that make up a page
together, are rendered in their own resolution, with a note.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from daemon.photo.bit_depth import highest_level, slabs, to_depth
from daemon.photo.decoded import CHANNELS, Codes, ColourTags, Decoded, Model
from daemon.photo.notes import Note, NoteKind
from daemon.photo.pdf_pages import (
    Layers,
    NoScanError,
    Placed,
    open_page,
    open_pdf,
    refuse_page,
    scan_of,
)
from daemon.photo.picture import Metadata
from daemon.photo.preprocessing import is_grey, preprocess
from daemon.photo.tiff_directory import MAX_PAGES

if TYPE_CHECKING:
    from pypdfium2 import PdfImage, PdfPage

_GRID, _CELL_PX = 32, 4
"""Side of the grid of mean colours by which an image is compared with its page, and the fewest
pixels of the image in a cell: how PDFium interpolates shall not matter."""

_RENDERED_PX = 512
"""Longer side of the rendering."""

_MOST_OFF = {"grey": 12.0, "rgb": 12.0, "cmyk": 45.0, "lab": 16.0}
"""Mean difference of the grids in levels of 255; CMYK is converted by another rule."""

_MOST_OFF_ASKEW = 8.0
"""Room for more where the page turns the image."""

_MOST_AROUND, _SMALL_PX = 4, 1e6
"""Times that a page may be larger than its image where it must be rendered for it, and pixels that
any page may have."""

_LAST_UNTURNED = 4
"""Orientations beyond this one exchange width and height."""

_TELLING = 0.5
"""Times that the right one of two readings must be nearer than the other."""

_CROPPED = Note(NoteKind.OTHER, "the page shows a part of its image: cropped to that")
_ON_WHITE = Note(
    NoteKind.TRANSPARENCY,
    "the page masks its image: what it hides is white, and its colours are sRGB of 8 bits",
)
_MASKED = "the page masks, blends or colours its image"
_CONVERTED = Note(NoteKind.COLOUR, "its colours were converted to sRGB of 8 bits by PDFium")
_ASKEW = Note(NoteKind.OTHER, "the small angle by which the page turns its image was left out")
_TOO_MANY = Note(NoteKind.PAGES, f"it has more than {MAX_PAGES} pages: the first was restored")


def decode(file: BinaryIO, label: str, page: int = 0) -> Decoded:
    """Decode the image of a page; see `photo.decoded.Decode`.

    Raises:
        PhotoError: The page is no scan, or the file needs a password or the extra.
    """
    with open_pdf(file, label) as document:
        count = len(document)
        with open_page(document, page) as pdf_page:
            try:
                scan = scan_of(pdf_page)
                if isinstance(scan, Layers):
                    decoded = _of_layers(pdf_page, scan)
                else:
                    decoded = _of_image(pdf_page, scan, label)
            except NoScanError as error:
                raise refuse_page(label, page, str(error)) from error
            notes = _annotations(pdf_page)
    notes += (_TOO_MANY,) if count > MAX_PAGES else ()
    return replace(
        decoded,
        metadata=replace(decoded.metadata, format="PDF"),
        pages=count if count <= MAX_PAGES else 1,
        notes=(*notes, *decoded.notes),
    )


def _of_layers(page: PdfPage, layers: Layers) -> Decoded:
    """A page of several images, rendered upright."""
    pixels = _rendering(page, layers.dpi / 72)[: layers.height, : layers.width]
    return _rendered_scan(pixels, layers.dpi, f"the page is made up of {layers.count} images")


def _of_image(page: PdfPage, placed: Placed, label: str) -> Decoded:
    """The image of a page; rendered where by itself it would look other."""
    decoded = _like_page(page, placed, label)
    if decoded is None:
        return _as_shown(page, placed)
    notes = (_ASKEW,) * placed.is_askew + (_CROPPED,) * placed.is_cropped
    return replace(
        decoded,
        metadata=replace(decoded.metadata, dpi=placed.dpi),
        orientation=placed.orientation,
        notes=(*notes, *decoded.notes),
    )


def _as_shown(page: PdfPage, placed: Placed) -> Decoded:
    """The part of a page where its image is, rendered upright and no finer than the image is."""
    dpi = min(placed.dpi)
    width, height = placed.width, placed.height
    page_width, page_height = (side * dpi / 72 for side in page.get_size())
    if page_width * page_height > _MOST_AROUND * width * height + _SMALL_PX:
        raise NoScanError(f"{_MASKED}, which is small on the page")
    if placed.orientation > _LAST_UNTURNED:
        width, height = height, width
    return _rendered_scan(_around(page, placed, dpi / 72)[:height, :width], dpi, _MASKED)


def _rendered_scan(pixels: Codes, dpi: float, why: str) -> Decoded:
    """A page, or a part of it, as PDFium draws it."""
    note = Note(NoteKind.COLOUR, f"{why}: rendered at {dpi:.0f} pixels an inch, sRGB of 8 bits")
    is_of_grey = is_grey(pixels)
    codes = np.array(pixels[..., :1] if is_of_grey else pixels, order="C")
    metadata = Metadata("PDF", "L" if is_of_grey else "RGB", dpi=(dpi, dpi))
    return Decoded(codes, "grey" if is_of_grey else "rgb", metadata, white=255, notes=(note,))


def _like_page(page: PdfPage, placed: Placed, label: str) -> Decoded | None:
    """The first reading of the image that looks as its page does; None if none does."""
    wanted = _rendered(page, placed)
    for read in (_as_stored, _as_pdfium_has_it, _as_masked):
        decoded = read(placed.image, label)
        if decoded is None:
            continue
        width, height = placed.image.get_px_size()
        if decoded.codes.shape[:2] != (height, width):
            raise ValueError(f"its image is not of {width}x{height} pixels")
        chosen = _matching(_cropped(decoded, placed), placed, wanted)
        if chosen is not None:
            is_converted = read is _as_pdfium_has_it and not _is_plain(placed.image)
            notes = (*chosen.notes, _CONVERTED) if is_converted else chosen.notes
            return replace(chosen, notes=notes)
    return None


def _cropped(decoded: Decoded, placed: Placed) -> Decoded:
    if not placed.is_cropped:
        return decoded
    alpha = None if decoded.alpha is None else decoded.alpha[placed.crop]
    return replace(decoded, codes=decoded.codes[placed.crop], alpha=alpha)


def _matching(decoded: Decoded, placed: Placed, wanted: Codes) -> Decoded | None:
    """A reading, or its negative, whichever looks like the page; None if neither does."""
    negative = replace(decoded, codes=_inverted(decoded.codes))
    off = [float(np.abs(_grid(one, placed) - wanted).mean()) for one in (decoded, negative)]
    best = int(off[1] < off[0])
    limit = _MOST_OFF[decoded.model] + _MOST_OFF_ASKEW * placed.is_askew
    # A page of one middle grey looks as its negative does; it is taken as it is.
    tells_apart = off[best] <= _TELLING * off[1 - best]
    if off[best] > limit or ((best == 1 or off[0] > _MOST_OFF["rgb"]) and not tells_apart):
        return None
    return (decoded, negative)[best]


def _inverted(codes: Codes) -> Codes:
    inverted: Codes = codes.dtype.type(highest_level(codes.dtype)) - codes
    return inverted


def _grid(decoded: Decoded, placed: Placed) -> NDArray[np.float64]:
    """Mean colours of an upright image, (grid, grid, 3), in levels of 255."""
    upright = preprocess(replace(decoded, orientation=placed.orientation, notes=()))
    return _means(to_depth(upright.pixels, np.uint8), placed)


def _means(pixels: Codes, placed: Placed) -> NDArray[np.float64]:
    side = max(1, min(_GRID, placed.width // _CELL_PX, placed.height // _CELL_PX))
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((side, side), Image.Resampling.BOX), np.float64)


def _rendered(page: PdfPage, placed: Placed) -> NDArray[np.float64]:
    """Mean colours of the part of a page where its image is."""
    width, height = page.get_size()
    margins = _margins(page, placed)
    longer = max(width - margins[0] - margins[2], height - margins[1] - margins[3], 1e-3)
    scale = min(_RENDERED_PX, max(placed.width, placed.height)) / longer
    if max(width, height) * scale > 20 * _RENDERED_PX:
        raise NoScanError("its image is a speck on the page")
    return _means(_around(page, placed, scale), placed)


def _around(page: PdfPage, placed: Placed, scale: float) -> Codes:
    """The part of a page where its image is, rendered at some pixels a point, (h, w, 3)."""
    pixels, margins = _rendering(page, scale), _margins(page, placed)
    rows, columns = pixels.shape[:2]
    top_px, left_px = round(margins[3] * scale), round(margins[0] * scale)
    bottom_px, right_px = rows - round(margins[1] * scale), columns - round(margins[2] * scale)
    return pixels[top_px : max(top_px + 1, bottom_px), left_px : max(left_px + 1, right_px)]


def _rendering(page: PdfPage, scale: float) -> Codes:
    """A whole page without what people wrote onto it, (H, W, 3)."""
    bitmap = page.render(scale=scale, draw_annots=False, may_draw_forms=False, rev_byteorder=True)
    pixels: Codes = bitmap.to_numpy()[..., :3]
    return pixels


def _margins(page: PdfPage, placed: Placed) -> tuple[float, float, float, float]:
    """Points at the left, bottom, right and top of an upright page beside its image."""
    left, bottom, right, top = page.get_cropbox()
    margins = (
        max(0.0, placed.box[0] - left),
        max(0.0, placed.box[1] - bottom),
        max(0.0, right - placed.box[2]),
        max(0.0, top - placed.box[3]),
    )
    for _ in range(page.get_rotation() // 90):  # what was at the left is then at the top
        margins = (margins[1], margins[2], margins[3], margins[0])
    return margins


def _as_stored(image: PdfImage, label: str) -> Decoded | None:
    """An image of 8 bits or more as the file has it; None where PDFium must read it."""
    filters = image.get_filters(skip_simple=True)
    icc = _profile(image)
    if filters in (["DCTDecode"], ["JPXDecode"]):
        return _of_file(bytes(image.get_data(decode_simple=True)), icc, label)
    return None if filters else _of_samples(image, icc)


def _of_file(content: bytes, icc: bytes | None, label: str) -> Decoded | None:
    """A JPEG or JPEG 2000 as it lies in the PDF; the page says what its colours are."""
    from daemon.photo.input_formats import format_of

    file = io.BytesIO(content)
    format = format_of(file)
    if format is None or format.name not in ("JPEG", "JPEG2000"):
        return None
    decoded = format.decoder()(file, label)
    is_its_own = icc is None and format.name == "JPEG2000"
    tags = decoded.tags if is_its_own else ColourTags(icc=icc)
    return replace(decoded, tags=tags, metadata=replace(decoded.metadata, icc=tags.icc), pages=1)


def _of_samples(image: PdfImage, icc: bytes | None) -> Decoded | None:
    """Samples of 8 or 16 bits that lie in the PDF one by one."""
    model = _model(image, icc)
    if model is None:
        return None
    width, height = image.get_px_size()
    count = width * height * CHANNELS[model]
    content = image.get_data(decode_simple=True)
    if len(content) not in (count, 2 * count):
        return None
    stored = np.dtype(np.uint8 if len(content) == count else ">u2")
    codes = np.frombuffer(content, stored).reshape(height, width, CHANNELS[model])
    codes = codes.astype(stored.newbyteorder("="))
    white = float(highest_level(codes.dtype))
    mode = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}[model]
    deep = f";{8 * stored.itemsize}" if stored.itemsize > 1 else ""
    return Decoded(codes, model, Metadata("PDF", mode + deep, icc), ColourTags(icc=icc), white)


def _model(image: PdfImage, icc: bytes | None) -> Model | None:
    import pypdfium2.raw as pdfium

    if icc is not None:
        return {b"GRAY": "grey", b"RGB ": "rgb", b"CMYK": "cmyk"}.get(icc[16:20])  # type: ignore[return-value]
    models: dict[int, Model] = {
        pdfium.FPDF_COLORSPACE_DEVICEGRAY: "grey",
        pdfium.FPDF_COLORSPACE_CALGRAY: "grey",
        pdfium.FPDF_COLORSPACE_DEVICERGB: "rgb",
        pdfium.FPDF_COLORSPACE_CALRGB: "rgb",
        pdfium.FPDF_COLORSPACE_DEVICECMYK: "cmyk",
    }
    return models.get(image.get_metadata().colorspace)


def _profile(image: PdfImage) -> bytes | None:
    import ctypes

    import pypdfium2.raw as pdfium

    size = ctypes.c_size_t()
    if not pdfium.FPDFImageObj_GetIccProfileDataDecoded(image, image.page, None, 0, size):
        return None
    buffer = (ctypes.c_uint8 * size.value)()
    pdfium.FPDFImageObj_GetIccProfileDataDecoded(image, image.page, buffer, size.value, size)
    return bytes(buffer) or None


def _as_pdfium_has_it(image: PdfImage, label: str) -> Decoded:
    """An image as PDFium decodes it: 8 bits of sRGB or grey."""
    bitmap = image.get_bitmap()
    codes = bitmap.to_numpy()
    codes = codes.reshape(*codes.shape[:2], -1)
    model: Model = "grey" if bitmap.n_channels == 1 else "rgb"
    codes = np.array(codes[..., :1] if model == "grey" else codes[..., 2::-1], order="C")
    if model == "rgb" and is_grey(codes):
        codes, model = np.ascontiguousarray(codes[..., :1]), "grey"
    mode = "L" if model == "grey" else "RGB"
    return Decoded(codes, model, Metadata("PDF", mode), white=255)


def _as_masked(image: PdfImage, label: str) -> Decoded | None:
    """An image on white paper through its mask, at its own size; None where it has no mask."""
    bitmap = image.get_bitmap(render=True, scale_to_original=True)
    codes: Codes = bitmap.to_numpy()
    width, height = image.get_px_size()
    if codes.shape != (height, width, 4):
        return None
    on_white = np.empty((height, width, 3), np.uint8)
    for rows in slabs(height, width):
        opacity = codes[rows, :, 3:].astype(np.uint32)
        mixed = codes[rows, :, 2::-1] * opacity + 255 * (255 - opacity) + 127
        on_white[rows] = mixed // 255
    return Decoded(on_white, "rgb", Metadata("PDF", "RGB"), white=255, notes=(_ON_WHITE,))


def _is_plain(image: PdfImage) -> bool:
    """Whether PDFium gives the very pixels: bits and levels of grey, palettes."""
    import pypdfium2.raw as pdfium

    meta = image.get_metadata()
    plain = (pdfium.FPDF_COLORSPACE_DEVICEGRAY, pdfium.FPDF_COLORSPACE_INDEXED)
    return meta.bits_per_pixel == 1 or meta.colorspace in plain


def _annotations(page: PdfPage) -> tuple[str, ...]:
    """A note on what people wrote onto the page."""
    left = sum(1 for kind in _annotation_kinds(page))
    text = f"{left} annotation{'s' * (left > 1)} of the page left out"
    return (Note(NoteKind.OTHER, text),) if left else ()


def _annotation_kinds(page: PdfPage) -> Iterator[int]:
    """Kinds of the annotations of a page that can be seen."""
    import pypdfium2.raw as pdfium

    for number in range(pdfium.FPDFPage_GetAnnotCount(page)):
        annotation = pdfium.FPDFPage_GetAnnot(page, number)
        kind = pdfium.FPDFAnnot_GetSubtype(annotation)
        pdfium.FPDFPage_CloseAnnot(annotation)
        if kind not in (pdfium.FPDF_ANNOT_LINK, pdfium.FPDF_ANNOT_POPUP):
            yield kind
