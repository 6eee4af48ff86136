"""Whether a JPEG's compressed data are all there, which Pillow does not say.

libjpeg fills what is lost with grey and only warns, and Pillow drops its warnings. So the picture
is decoded again with other bytes put at the end of its data. Whole data fill the picture exactly:
bytes behind them change nothing, and their own last bytes do.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from daemon.photo.notes import Note, NoteKind
from daemon.photo.picture import SLAB_PIXELS, Header

if TYPE_CHECKING:
    from PIL.Image import Image

DAMAGED = Note(NoteKind.DAMAGE, "the JPEG's data are damaged: part of the picture may be lost")
NO_END = Note(NoteKind.DAMAGE, "the JPEG lacks its end marker; its picture is whole")

_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_RESTART_INTERVAL = 0xDD
_SEGMENTS = {*range(0xC0, 0xD0), _SCAN, *range(0xDB, 0xF0), 0xFE}
"""Markers that a length follows."""

_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_LOSSLESS_FRAMES = {0xC3, 0xC7, 0xCB, 0xCF}
_MAX_SEGMENTS = 10_000
"""Segments and fill bytes that are followed to the frame header; photographs have some dozens."""

_COMPONENTS = 5
"""Offset of the number of components in a frame header."""

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""Markers that end compressed data: any but a restart."""

_RESTART = re.compile(rb"\xff([\xd0-\xd7])")

_OTHER_BYTES = tuple(bytes(k * k * step % 251 for k in range(1, 4096)) for step in (13, 101, 197))
"""Other data: irregular, because bits that repeat may stand for blocks without change. No 0xFF."""

_LAST_BYTES = 8
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Frame:
    """The frame header of a JPEG.

    Attributes:
        bits: Bits of a sample.
        width, height: Size in pixels.
        components: Channels: 1 for grey, 3 for colours, 4 for CMYK.
        lossless: Whether it is of the lossless kind, which scanners and raw files have.
    """

    bits: int
    width: int
    height: int
    components: int
    lossless: bool


@dataclass(frozen=True)
class Scan:
    """The compressed data of a JPEG's last scan.

    Attributes:
        start: Offset of its first byte.
        end: Offset behind its last byte.
        ended: Whether the file's end marker follows.
        sound: Whether its restart markers are in order, and the data end with the file or at a
            marker that may follow them.
        complete: Whether the scans together have every coefficient to its last bit.
        restarts: Restart markers among the data; None if the file has none by its headers.
    """

    start: int
    end: int
    ended: bool
    sound: bool
    complete: bool
    restarts: int | None = None


def read_frame(file: BinaryIO) -> Frame | None:
    """The frame header of a JPEG; None if it is no JPEG or has none near its beginning."""
    offset = 2
    for _ in range(_MAX_SEGMENTS):
        file.seek(offset)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] not in (*_SEGMENTS, 0xFF):
            return None
        if head[1] == 0xFF:  # a fill byte
            offset += 1
            continue
        if head[1] in _FRAMES:
            segment = file.read(6)
            if len(segment) < 6:
                return None
            height, width = int.from_bytes(segment[1:3]), int.from_bytes(segment[3:5])
            lossless = head[1] in _LOSSLESS_FRAMES
            return Frame(segment[0], width, height, segment[_COMPONENTS], lossless)
        offset += 2 + int.from_bytes(head[2:])
    return None


def is_deep_jpeg(file: BinaryIO) -> bool:
    """Whether a JPEG has more than 8 bits or is lossless, which Pillow does not read."""
    frame = read_frame(file)
    return frame is not None and (frame.bits != 8 or frame.lossless)


def read_jpeg_header(file: BinaryIO, label: str) -> Header:
    """The header of a JPEG, from its frame header."""
    frame = read_frame(file)
    if frame is None:
        raise ValueError("it has no frame header")
    mode = {1: "L", 3: "RGB", 4: "CMYK"}.get(frame.components, "RGB")
    return Header("JPEG", frame.width, frame.height, f"{mode};{frame.bits}")


def without_scans(file: BinaryIO) -> bytes:
    """The headers of a JPEG before its first scan, as a JPEG of 8 bits and one pixel.

    Whatever reads metadata takes it, of whichever kind the file's own pixels are.
    """
    offset, kept = 2, bytes((0xFF, _START))
    for _ in range(_MAX_SEGMENTS):
        file.seek(offset)
        head = file.read(4)
        if (
            len(head) < 4
            or head[0] != 0xFF
            or head[1] not in (*_SEGMENTS, 0xFF)
            or head[1] == _SCAN
        ):
            break
        if head[1] == 0xFF:  # a fill byte
            offset += 1
            continue
        length = int.from_bytes(head[2:])
        if head[1] in range(0xE0, 0xF0):
            kept += head + file.read(max(0, length - 2))
        offset += 2 + length
    frame = bytes((0xFF, 0xC0, 0, 11, 8, 0, 1, 0, 1, 1, 1, 0x11, 0))
    scan = bytes((0xFF, _SCAN, 0, 8, 1, 1, 0, 0, 63, 0))
    return kept + frame + scan + bytes((0, 0xFF, _END))


def last_scan(file: BinaryIO) -> Scan | None:
    """Find the last scan of a JPEG; None if it is no JPEG or has none."""
    file.seek(0)
    if file.read(2) != bytes((0xFF, _START)):
        return None
    found: Scan | None = None
    components = interval = 0
    done: set[tuple[int, int]] = set()
    offset = 2
    while True:
        file.seek(offset)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] not in (*_SEGMENTS, 0xFF):
            return found
        if head[1] == 0xFF:  # a fill byte
            offset += 1
            continue
        segment = file.read(max(0, int.from_bytes(head[2:]) - 2))
        offset += 2 + int.from_bytes(head[2:])
        if head[1] in _FRAMES and len(segment) > _COMPONENTS:
            components = segment[_COMPONENTS]
        if head[1] == _RESTART_INTERVAL:
            interval = int.from_bytes(segment[:2])
        if head[1] != _SCAN:
            continue
        done |= _finished_coefficients(segment)
        end, marker, restarts, ordered = _end_of_data(file, offset)
        sound = ordered and (marker is None or marker == _END or marker in _SEGMENTS)
        complete = len(done) >= 64 * components
        ended, count = marker == _END, restarts if interval else None
        found = Scan(offset, end, ended, sound, complete, count)
        if marker is None or marker not in _SEGMENTS:
            return found
        offset = end


def picture_file(file: BinaryIO, scan: Scan | None) -> BinaryIO:
    """The file as a decoder takes it: with an end marker, if that is missing."""
    if scan is None or scan.ended:
        return file
    return _spliced(file, scan.end, b"")


def is_damaged(file: BinaryIO, scan: Scan, image: Image) -> bool:
    """Whether data of a JPEG are lost or changed.

    Args:
        file: The file.
        scan: Its last scan.
        image: What it was decoded to.
    """
    if not (scan.sound and scan.complete):
        return True
    if not all(_same(image, _spliced(file, scan.end, more)) for more in _more_data(scan)):
        return True  # the data end before the picture does
    cut = max(scan.start, scan.end - _LAST_BYTES)
    if not all(_same(image, _spliced(file, cut, other)) for other in _OTHER_BYTES):
        return False
    # The picture was full before its data ended, or it is so even that no data change it.
    return not _same(image, _spliced(file, scan.start, _OTHER_BYTES[0]))


def _more_data(scan: Scan) -> tuple[bytes, ...]:
    """What a decoder would take for more of a picture whose data end here.

    Data that end with a restart interval go on with the next restart marker, and with nothing else.
    """
    if scan.restarts is None:
        return _OTHER_BYTES[:1]
    return _OTHER_BYTES[0], bytes((0xFF, 0xD0 + scan.restarts % 8)) + _OTHER_BYTES[0]


def _finished_coefficients(scan_header: bytes) -> set[tuple[int, int]]:
    """Component and number of each coefficient whose lowest bit a scan holds (ITU T.81, B.2.3)."""
    if not scan_header or len(scan_header) < 4 + 2 * scan_header[0]:
        return set()
    count = scan_header[0]
    first, last, bits = scan_header[1 + 2 * count : 4 + 2 * count]
    if bits & 15:
        return set()
    return {(scan_header[1 + 2 * c], k) for c in range(count) for k in range(first, last + 1)}


def _end_of_data(file: BinaryIO, offset: int) -> tuple[int, int | None, int, bool]:
    """Read through compressed data from an offset on.

    Returns:
        Where they end, the marker there (None at the file's end), how many restart markers are
        among them, and whether those are numbered in order.
    """
    file.seek(offset)
    before, restarts, ordered = b"", 0, True
    while block := file.read(_BLOCK):
        data = before + block
        match = _MARKER.search(data)
        filled = data[: match.start()] if match else data
        for restart in _RESTART.finditer(filled):
            ordered &= restart[1][0] == 0xD0 + restarts % 8
            restarts += 1
        if match:
            return offset + len(filled.rstrip(b"\xff")), match[0][1], restarts, ordered
        before = data[-1:] if data.endswith(b"\xff") else b""
        offset += len(data) - len(before)
    return offset, None, restarts, ordered


def _same(image: Image, file: BinaryIO) -> bool:
    """Whether a file decodes to the same pixels."""
    from PIL.JpegImagePlugin import JpegImageFile

    other = JpegImageFile(file)
    try:
        other.load()
    except OSError as error:
        if error.errno is not None:
            raise
        return False
    width, height = image.size
    rows = max(1, SLAB_PIXELS // width)
    return all(
        image.crop(box).tobytes() == other.crop(box).tobytes()
        for box in ((0, top, width, min(height, top + rows)) for top in range(0, height, rows))
    )


def _spliced(file: BinaryIO, cut: int, tail: bytes) -> BinaryIO:
    """A file up to an offset, then other bytes and an end marker."""
    return io.BufferedReader(_Spliced(file, cut, tail + bytes((0xFF, _END))))


class _Spliced(io.RawIOBase):
    """The beginning of a file with another end."""

    def __init__(self, file: BinaryIO, cut: int, tail: bytes) -> None:
        super().__init__()
        self._file, self._cut, self._tail = file, cut, tail
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place}.get(whence, self._cut + len(self._tail))
        self._place = max(0, base + offset)
        return self._place

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        if self._place < self._cut:
            self._file.seek(self._place)
            data = self._file.read(min(len(buffer), self._cut - self._place))
        else:
            begin = self._place - self._cut
            data = self._tail[begin : begin + len(buffer)]
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)
