"""Scans in a PDF: pages that show images alone, found by PDFium (pypdfium2), the extra `pdf`.

Most show one image. Some scanners cut a page into strips, or into layers of paper and ink (mixed
raster content): such a page is rendered. A page with text or drawings to be seen is no scan: a
rendering of it would be a picture that nobody took. PDFium is not safe for threads, so one thread
at a time has a document open.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, BinaryIO

from daemon.photo.picture import Header
from daemon.photo.tiff_directory import MAX_PAGES
from daemon.system.errors import PhotoError

if TYPE_CHECKING:
    from types import ModuleType

    from pypdfium2 import PdfDocument, PdfImage, PdfObject, PdfPage

SIGNATURE = b"%PDF"

_MAX_OBJECTS = 20_000
"""Objects of a page that are looked at: letters of a recognised page are a few thousand."""

_COVERING = 0.97
"""Share of a page's sides that an image must have to hide what lies below it."""

_MOST_TURN = math.radians(3)
"""Turn of a page that a scanner straightened; beyond it the image would look askew."""

_ORIENTATIONS = {
    ((1, 0), (0, 1)): 1,
    ((-1, 0), (0, 1)): 2,
    ((-1, 0), (0, -1)): 3,
    ((1, 0), (0, -1)): 4,
    ((0, -1), (-1, 0)): 5,
    ((0, -1), (1, 0)): 6,
    ((0, 1), (1, 0)): 7,
    ((0, 1), (-1, 0)): 8,
}
"""EXIF orientation by where an image's right and its top point to on the page, upwards positive."""

_LEAST_SHOWN = 0.9
"""Share of an image from which a page counts as showing all: paper sizes are rounded, and corners
turn out. Of another image what is shown is cut out."""

_COVERAGE_GRID = 64
_COVERED = 0.94
"""Share of a page that several images must cover together to be strips or layers of one scan."""

_LEAST_DPI, _MOST_DPI = 72.0, 600.0
"""Resolutions within which a page of several images is rendered."""

_INVISIBLE_TEXT = (3, 7)
"""Ways of writing text that show nothing: as recognised text lies over its scan."""

_AS_TIFF = "export its pages as TIFF (pdftoppm -tiff -r 300 IN.pdf OUT) and hand those in"

Matrix = tuple[float, ...]
"""Six numbers, as PDF writes a matrix."""

Box = tuple[float, float, float, float]
"""Left, bottom, right and top in points."""

_lock = threading.Lock()


class NoScanError(ValueError):
    """A page does not show images alone."""


@dataclass(frozen=True)
class Placed:
    """The image that a page shows.

    Attributes:
        image: The image; valid while its document is open.
        crop: Rows and columns that the page shows, of the image as stored.
        orientation: EXIF orientation that its place on the page amounts to.
        dpi: Resolution across and down on the page, of the stored image.
        box: Left, bottom, right and top on the page in points, before the page is turned.
        is_askew: Whether the page turns it by a small angle besides.
    """

    image: PdfImage
    crop: tuple[slice, slice]
    orientation: int
    dpi: tuple[float, float]
    box: Box
    is_askew: bool

    @property
    def width(self) -> int:
        """Columns that are shown."""
        return int(self.crop[1].stop - self.crop[1].start)

    @property
    def height(self) -> int:
        """Rows that are shown."""
        return int(self.crop[0].stop - self.crop[0].start)

    @property
    def is_cropped(self) -> bool:
        """Whether the page shows a part of the image only."""
        return bool((self.width, self.height) != self.image.get_px_size())


@dataclass(frozen=True)
class Layers:
    """Several images that make up a page together.

    Attributes:
        count: How many they are.
        width, height: Size in pixels in which the page is rendered, upright.
        dpi: Resolution of that.
    """

    count: int
    width: int
    height: int
    dpi: float


def read_pdf_header(file: BinaryIO, label: str) -> Header:
    """The header of a PDF: the size of each page in pixels of its images.

    A later page that is no scan has its size in points here, and is refused when it is read.

    Raises:
        PhotoError: What reads PDFs is not installed, it has a password, or its first page is no
            scan.
    """
    with open_pdf(file, label) as document:
        count = len(document)
        if count == 0:
            raise ValueError("it has no pages")
        numbers = range(count if count <= MAX_PAGES else 1)
        sizes = [_page_size(document, number, label) for number in numbers]
    return Header("PDF", *sizes[0], "RGB", page_sizes=tuple(sizes) if len(sizes) > 1 else ())


@contextmanager
def open_pdf(file: BinaryIO, label: str) -> Iterator[PdfDocument]:
    """Open a PDF; nobody else can open one meanwhile.

    Raises:
        PhotoError: What reads PDFs is not installed, or it has a password.
    """
    pdfium = _library(label)
    with _lock:
        file.seek(0)
        try:
            document = pdfium.PdfDocument(file)
        except pdfium.PdfiumError as error:
            if "password" in str(error).lower():
                why = "is a PDF with a password"
                remedy = "take the password out (qpdf --decrypt --password=... IN.pdf OUT.pdf)"
                raise PhotoError(label, why, remedy) from error
            raise
        try:
            yield document
        finally:
            document.close()


@contextmanager
def open_page(document: PdfDocument, number: int) -> Iterator[PdfPage]:
    """Open a page of a PDF."""
    page = document[number]
    try:
        yield page
    finally:
        page.close()


def refuse_page(label: str, number: int, why: str) -> PhotoError:
    """The error for a page, from 0, that is no scan."""
    remedy = f'{_AS_TIFF}, or set output.pages of the recipe to "first"' if number else _AS_TIFF
    return PhotoError(label, f"page {number + 1} of the PDF is no scan: {why}", remedy)


def scan_of(page: PdfPage) -> Placed | Layers:
    """The image that a page shows, or the layers that make it up.

    Raises:
        NoScanError: It shows something else, or nothing.
    """
    found: list[tuple[PdfImage, Matrix]] = []
    beside: set[str] = set()
    containers: list[Matrix] = []
    for count, one in enumerate(page.get_objects()):
        if count >= _MAX_OBJECTS:
            raise NoScanError(f"it has more than {_MAX_OBJECTS} parts")
        del containers[one.level :]
        kind = _kind(one)
        if kind in ("form", "image"):
            matrix = one.get_matrix().get()
            matrix = _product(matrix, containers[-1]) if containers else matrix
            if kind == "form":
                containers.append(matrix)
                continue
            found.append((one, matrix))
            if _covers(page, matrix):
                beside = set()
        elif kind:
            beside.add(kind)
    kinds = " and ".join(sorted(beside, reverse=True))
    if len(found) == 1 and not kinds:
        return _placed(page, *found[0])
    if len(found) == 1:
        raise NoScanError(f"it shows an image with {kinds}")
    if found and not kinds and _coverage(page, [matrix for _, matrix in found]) >= _COVERED:
        return _layers(page, found)
    shows = [f"{len(found)} images"] * bool(found) + [kinds] * bool(kinds)
    raise NoScanError(f"it shows {' and '.join(shows)}" if shows else "it is empty")


def _library(label: str) -> ModuleType:
    if find_spec("pypdfium2") is None:
        remedy = f"pip install 'restored[pdf]', or {_AS_TIFF}"
        raise PhotoError(label, "is a PDF, which needs the extra `pdf`", remedy)
    import pypdfium2

    found: ModuleType = pypdfium2
    return found


def _page_size(document: PdfDocument, number: int, label: str) -> tuple[int, int]:
    with open_page(document, number) as page:
        try:
            scan = scan_of(page)
        except NoScanError as error:
            if number == 0:
                raise refuse_page(label, number, str(error)) from error
            width, height = page.get_size()
            return max(1, round(width)), max(1, round(height))
        return scan.width, scan.height


def _kind(one: PdfObject) -> str:
    """Kind of an object of a page; "" for what shows nothing."""
    import pypdfium2.raw as pdfium

    match one.type:
        case pdfium.FPDF_PAGEOBJ_FORM:
            return "form"
        case pdfium.FPDF_PAGEOBJ_IMAGE:
            return "image"
        case pdfium.FPDF_PAGEOBJ_TEXT:
            mode = pdfium.FPDFTextObj_GetTextRenderMode(one)
            return "" if mode in _INVISIBLE_TEXT else "text"
        case pdfium.FPDF_PAGEOBJ_PATH:
            return "" if _is_white(one) else "drawings"
        case _:
            return "drawings"


def _is_white(path: PdfObject) -> bool:
    """Whether a drawing is the white of the paper, or draws nothing."""
    import ctypes

    import pypdfium2.raw as pdfium

    fill, stroke = ctypes.c_int(), ctypes.c_int()
    if not pdfium.FPDFPath_GetDrawMode(path, fill, stroke) or stroke.value:
        return False
    levels = [ctypes.c_uint() for _ in range(4)]
    if fill.value and not pdfium.FPDFPageObj_GetFillColor(path, *levels):
        return False
    return not fill.value or all(level.value == 255 for level in levels[:3])


def _covers(page: PdfPage, matrix: Matrix) -> bool:
    """Whether an image hides all that its page shows below it."""
    left, bottom, right, top = page.get_cropbox()
    box = _box(matrix)
    across = min(right, box[2]) - max(left, box[0])
    down = min(top, box[3]) - max(bottom, box[1])
    return bool(across >= _COVERING * (right - left) and down >= _COVERING * (top - bottom))


def _coverage(page: PdfPage, matrices: Sequence[Matrix]) -> float:
    """Share of a page that lies under images."""
    left, bottom, right, top = page.get_cropbox()
    import numpy as np  # headers are read without it, but for pages of several pictures

    middles = (np.arange(_COVERAGE_GRID) + 0.5) / _COVERAGE_GRID
    across, down = left + middles * (right - left), bottom + middles * (top - bottom)
    covered = np.zeros((_COVERAGE_GRID, _COVERAGE_GRID), bool)
    for x0, y0, x1, y1 in map(_box, matrices):
        covered |= np.outer((down >= y0) & (down <= y1), (across >= x0) & (across <= x1))
    return float(covered.mean())


def _layers(page: PdfPage, found: Sequence[tuple[PdfImage, Matrix]]) -> Layers:
    """A page of several images, to be rendered in the resolution of the finest of them."""
    finest = max(max(_dpi(image, matrix)) for image, matrix in found)
    dpi = min(_MOST_DPI, max(_LEAST_DPI, finest))
    # PDFium's binding rounds up, too.
    width, height = (math.ceil(side * dpi / 72) for side in page.get_size())
    return Layers(len(found), width, height, dpi)


def _dpi(image: PdfImage, matrix: Matrix) -> tuple[float, float]:
    """Pixels for each inch across and down.

    Raises:
        NoScanError: The image has no size.
    """
    width, height = image.get_px_size()
    a, b, c, d = matrix[:4]
    if width < 1 or height < 1 or not math.hypot(a, b) or not math.hypot(c, d):
        raise NoScanError("its image has no size")
    return width * 72 / math.hypot(a, b), height * 72 / math.hypot(c, d)


def _box(matrix: Matrix) -> Box:
    a, b, c, d, e, f = matrix
    xs, ys = (e, e + a, e + c, e + a + c), (f, f + b, f + d, f + b + d)
    return min(xs), min(ys), max(xs), max(ys)


def _product(inner: Matrix, outer: Matrix) -> Matrix:
    """The matrix that applies one and then another."""
    a, b, c, d, e, f = inner
    k, l, m, n, o, p = outer  # noqa: E741
    return (
        a * k + b * m,
        a * l + b * n,
        c * k + d * m,
        c * l + d * n,
        e * k + f * m + o,
        e * l + f * n + p,
    )


def _placed(page: PdfPage, image: PdfImage, matrix: Matrix) -> Placed:
    width, height = image.get_px_size()
    dpi = _dpi(image, matrix)
    a, b, c, d = matrix[:4]
    turns = page.get_rotation() // 90
    right, up = _axis(a, b), _axis(c, d)
    orientation = _ORIENTATIONS.get((_turned(right, turns), _turned(up, turns)))
    off = max(_angle((a, b), right), _angle((c, d), up))
    if orientation is None or off > _MOST_TURN:
        raise NoScanError("its image lies askew")
    is_askew = off * max(width, height) > 1
    return Placed(image, _crop(page, image, matrix), orientation, dpi, _box(matrix), is_askew)


def _crop(page: PdfPage, image: PdfImage, matrix: Matrix) -> tuple[slice, slice]:
    """Rows and columns of an image that its page shows: all where nearly all is shown.

    Raises:
        NoScanError: It shows nothing of it.
    """
    width, height = image.get_px_size()
    page_box, box = page.get_cropbox(), _box(matrix)
    left, bottom = max(page_box[0], box[0]), max(page_box[1], box[1])
    right, top = min(page_box[2], box[2]), min(page_box[3], box[3])
    if left >= right or bottom >= top:
        raise NoScanError("it shows nothing of its image")
    shown = (right - left) * (top - bottom)
    if shown >= _LEAST_SHOWN * (box[2] - box[0]) * (box[3] - box[1]):
        return slice(0, height), slice(0, width)
    corners = [_in_image(x, y, matrix) for x in (left, right) for y in (bottom, top)]
    columns = sorted(round(min(1.0, max(0.0, u)) * width) for u, _ in corners)
    rows = sorted(round(min(1.0, max(0.0, 1 - v)) * height) for _, v in corners)
    if columns[0] == columns[-1] or rows[0] == rows[-1]:
        raise NoScanError("it shows nothing of its image")
    return slice(rows[0], rows[-1]), slice(columns[0], columns[-1])


def _in_image(x: float, y: float, matrix: Matrix) -> tuple[float, float]:
    """A place on a page as shares of an image's width and height, from its lower left."""
    a, b, c, d, e, f = matrix
    x, y, area = x - e, y - f, a * d - b * c
    return (d * x - c * y) / area, (a * y - b * x) / area


def _axis(x: float, y: float) -> tuple[int, int]:
    """The direction, along an axis of the page, that is next to one."""
    if abs(x) >= abs(y):
        return (1, 0) if x > 0 else (-1, 0)
    return (0, 1) if y > 0 else (0, -1)


def _turned(axis: tuple[int, int], turns: int) -> tuple[int, int]:
    """A direction after quarter turns clockwise."""
    for _ in range(turns % 4):
        axis = (axis[1], -axis[0])
    return axis


def _angle(direction: tuple[float, float], axis: tuple[int, int]) -> float:
    cosine = (direction[0] * axis[0] + direction[1] * axis[1]) / math.hypot(*direction)
    return math.acos(min(1.0, cosine))
