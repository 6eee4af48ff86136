"""What the picture process is asked, and what it answers."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PictureQuestion:
    """What does a part of a picture look like?

    Attributes:
        path: Its file.
        name: What it is called.
        beneath: Folder below which no link is followed to it; None trusts the way.
        version: Modification time and size in bytes of the file: what was read before is not
            shown if it changes.
        box: Left, top, right and bottom of the part, as shares of the picture.
        size: Most pixels across and down; it is made smaller, never larger, and keeps its shape.
        lossless: PNG instead of JPEG.
    """

    path: Path
    name: str
    beneath: Path | None
    version: tuple[int, int]
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    size: tuple[int, int] = (512, 512)
    lossless: bool = False


@dataclass(frozen=True)
class Drawn:
    """A part of a picture.

    Attributes:
        data: A JPEG or PNG file.
        media_type: MIME type.
        width: Width of the whole picture in pixels.
        height: Its height.
    """

    data: bytes
    media_type: str
    width: int
    height: int


@dataclass(frozen=True)
class NotDrawn:
    """Why there is nothing to see."""

    why: str


Answer = Drawn | NotDrawn
