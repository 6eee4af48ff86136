"""A page for people: each photograph of a folder before and after, and what was done in words.

One HTML file that needs nothing else: pictures are small JPEGs inside it, and it has no scripts.
"""

import base64
import html
import io
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from daemon.photo import Limits
from daemon.service.comparison_sheet import read_as_rgb
from daemon.service.record_words import record_in_words
from daemon.system.errors import CannotWriteError, PhotoError, UsageError
from daemon.system.files import place, sha256_of, shown
from daemon.system.json_files import read_json

MAX_RESULTS = 200
"""Most results of one page: at about 30 kB a picture it stays below 15 MB, as mail takes it."""

_THUMBNAIL_PX = 480
"""Longest side of a picture on the page."""

_QUALITY = 82
_MAX_ORIGINALS = 2

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fafaf8;
  max-width: 64rem; margin: 0 auto; padding: 1rem; }}
section {{ border-top: 1px solid #ccc; padding: 1rem 0; break-inside: avoid; }}
h1, h2 {{ line-height: 1.25; overflow-wrap: anywhere; }}
h2 {{ font-size: 1.15rem; margin: 0; }}
p, ul {{ margin: .25rem 0 .75rem; }}
.pictures {{ display: flex; flex-wrap: wrap; gap: 1rem; }}
figure {{ margin: 0; flex: 0 1 {width}px; }}
img {{ display: block; max-width: 100%; height: auto; }}
figcaption, .quiet {{ color: #555; font-size: .9rem; overflow-wrap: anywhere; }}
</style></head><body>
"""


@dataclass(frozen=True)
class ReportRequest:
    """What a page is made of.

    Attributes:
        folder: Folder of results with their records, searched with its subfolders.
        target: The file to write.
        originals: Folder in which originals lie, with its subfolders; None to look in the archive
            of a station, and beside the results.
        force: Replace a file that exists.
    """

    folder: Path
    target: Path
    originals: Path | None = None
    force: bool = False


@dataclass(frozen=True)
class ReportDone:
    """What a page shows.

    Attributes:
        shown: Results on the page.
        found: Results in the folder.
        without_original: Results on the page whose original was not found or cannot be shown.
    """

    shown: int
    found: int
    without_original: int


def write_report(request: ReportRequest, limits: Limits) -> ReportDone:
    """Write the page; it appears whole or not at all.

    Args:
        request: What to show, and where to write.
        limits: Sizes beyond which no picture is read.

    Raises:
        UsageError: The folder has no results with records.
        CannotWriteError: The target exists already.
        OSError: The target cannot be written.
    """
    if request.target.exists() and not request.force:
        raise CannotWriteError(f"{shown(request.target)} exists already; --force replaces it")
    results = list(_results(request.folder))
    if not results:
        raise UsageError(
            f"{shown(request.folder)}: no results with records; `restored apply --record` and "
            "stations write records"
        )
    originals = _Originals(request.originals)
    without = 0
    parent = request.target.parent
    with tempfile.TemporaryDirectory(prefix=".restored-", dir=parent) as scratch:
        part = Path(scratch) / "report.html"
        with part.open("w", encoding="utf-8") as page:
            title = f"Restored photographs: {shown(request.folder.resolve().name)}"
            page.write(_HEAD.format(title=html.escape(title), width=_THUMBNAIL_PX))
            page.write(f"<h1>{html.escape(title)}</h1>\n<p>{_count(len(results))}</p>\n")
            for result in results[:MAX_RESULTS]:
                before = _before(result, originals, limits)
                without += not before
                page.write(_section(result, before, request.folder, limits))
            page.write("</body></html>\n")
        if request.force:
            part.replace(request.target)
        elif not place(part, request.target):
            raise CannotWriteError(f"{shown(request.target)} exists already; --force replaces it")
    return ReportDone(min(len(results), MAX_RESULTS), len(results), without)


def _count(found: int) -> str:
    if found > MAX_RESULTS:
        return f"The first {MAX_RESULTS} of {found} results."
    return f"{found} results." if found > 1 else "1 result."


@dataclass(frozen=True)
class _Result:
    path: Path
    record: Mapping[str, Any]

    def parts(self, name: str) -> Sequence[Mapping[str, Any]]:
        """The entries of `inputs` or `outputs`."""
        values = self.record.get(name)
        return [v for v in values if isinstance(v, dict)] if isinstance(values, list) else []


def _results(folder: Path) -> Iterator[_Result]:
    """Results that lie beside their records, by path."""
    for above, folders, names in os.walk(folder):
        folders.sort()
        here = set(names)
        for name in sorted(names):
            path = Path(above, name.removesuffix(".json"))
            if not name.endswith(".json") or path.name not in here or path.is_symlink():
                continue
            try:
                record = read_json(path.with_name(name))
            except (OSError, ValueError):
                continue
            if isinstance(record, dict) and "recipe" in record and "outputs" in record:
                yield _Result(path, record)


@dataclass
class _Originals:
    """Finds originals by the digest in a record, wherever their names have gone since.

    Attributes:
        folder: The folder that was named, if one was.
    """

    folder: Path | None
    _by_size: dict[Path, dict[int, list[Path]]] = field(default_factory=dict)

    def find(self, result: _Result, photo: Mapping[str, Any]) -> Path | None:
        """The file that an entry of a record's inputs describes."""
        name, size, digest = (photo.get(key) for key in ("file", "bytes", "sha256"))
        if not isinstance(name, str) or not isinstance(size, int):
            return None
        root = self.folder or _archive_of(result)
        nearby = [result.path.parent, result.path.parent.parent] if root is None else [root]
        likely = [place / name for place in nearby]
        if found := _with_digest(likely, size, digest):
            return found
        return _with_digest(self._of_size(root, size), size, digest) if root else None

    def _of_size(self, root: Path, size: int) -> Sequence[Path]:
        if root not in self._by_size:
            sizes: dict[int, list[Path]] = {}
            for above, _, names in os.walk(root):
                for path in (Path(above, name) for name in names):
                    if path.is_file() and not path.is_symlink():
                        sizes.setdefault(path.stat().st_size, []).append(path)
            self._by_size[root] = sizes
        return self._by_size[root].get(size, ())


def _archive_of(result: _Result) -> Path | None:
    """The folder in which a station keeps the originals of this recipe; None outside stations."""
    for folder in result.path.resolve().parents:
        archive = folder.parent / "archive"
        if folder.name == "outbox" and archive.is_dir():
            recipe = result.path.resolve().relative_to(folder).parts[0]
            return archive / recipe
    return None


def _with_digest(paths: Sequence[Path], size: int, digest: object) -> Path | None:
    for path in paths:
        try:
            if path.is_symlink() or not path.is_file() or path.stat().st_size != size:
                continue
            if sha256_of(path) == digest:
                return path
        except OSError:
            continue
    return None


def _before(result: _Result, originals: _Originals, limits: Limits) -> list[str]:
    """Figures of the originals that were found and can be read."""
    figures = []
    photos = [one for one in result.parts("inputs") if one.get("role") == "photo"]
    for photo in photos[:_MAX_ORIGINALS]:
        path = originals.find(result, photo)
        picture = _thumbnail(path, limits) if path else None
        if picture is not None:
            figures.append(_figure(f"before: {shown(Path(str(photo.get('file'))).name)}", picture))
    return figures


def _section(result: _Result, before: Sequence[str], folder: Path, limits: Limits) -> str:
    """One result: its name, pictures, and what its record says."""
    name = shown(str(result.path.relative_to(folder)))
    after = _thumbnail(result.path, limits)
    more = len(result.parts("outputs")) - 1
    caption = f"after: {shown(result.path.name)}" + (f" and {more} more files" if more > 0 else "")
    figures = [*before, *([_figure(caption, after)] if after else [])]
    quiet = [] if before or not result.parts("inputs") else ["the original was not found here"]
    quiet += [] if after else ["the result cannot be shown here"]
    words = "".join(f"<li>{html.escape(shown(one))}</li>" for one in record_in_words(result.record))
    recipe, at = (shown(str(result.record.get(key, ""))) for key in ("recipe", "at"))
    return (
        f"<section><h2>{html.escape(name)}</h2>\n"
        f'<p class="quiet">{html.escape(f"{recipe}, {at[:10]}")}</p>\n'
        f"<ul>{words}</ul>\n"
        f'<div class="pictures">{"".join(figures)}</div>\n'
        + "".join(f'<p class="quiet">{one}</p>\n' for one in quiet)
        + "</section>\n"
    )


def _figure(caption: str, picture: tuple[str, int, int]) -> str:
    data, width, height = picture
    text = html.escape(caption)
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" width="{width}" height="{height}" '
        f'alt="{text}"><figcaption>{text}</figcaption></figure>'
    )


def _thumbnail(path: Path, limits: Limits) -> tuple[str, int, int] | None:
    """A small JPEG in base64, with its size; None if the file cannot be read as a picture."""
    try:
        image = read_as_rgb(path, limits)
    except (PhotoError, OSError):
        return None
    image.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY)
    return base64.b64encode(file.getvalue()).decode(), image.width, image.height
