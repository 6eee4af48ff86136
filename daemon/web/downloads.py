"""Files as they lie on the disk, sent to a browser that must not mistake them for a page."""

import os
from collections.abc import Iterator
from pathlib import PurePath
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from daemon.system.files import as_text, open_regular
from daemon.web.jobs import NotFoundError, PictureFile

_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".jxl": "image/jxl",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".gif": "image/gif",
}
"""Types of what is sent; whatever else it is, it is bytes. SVG and HTML are never named."""

_BLOCK = 1 << 18


def download(file: PictureFile) -> Response:
    """A file, to be saved under its name.

    Raises:
        NotFoundError: It is not there any more, or is no regular file.
    """
    try:
        opened = open_regular(file.path, file.beneath)
    except OSError as error:
        raise NotFoundError("the file is not there any more") from error

    def blocks() -> Iterator[bytes]:
        with opened:
            while block := opened.read(_BLOCK):
                yield block

    kind = _TYPES.get(PurePath(file.name).suffix.lower(), "application/octet-stream")
    headers = {
        "content-length": str(os.fstat(opened.fileno()).st_size),
        "content-disposition": f"attachment; filename*=UTF-8''{quote(as_text(file.name), safe='')}",
        "cache-control": "private, no-cache",
    }
    return StreamingResponse(blocks(), 200, headers, kind)
