"""Work: what people drop, with a book of it, so that each photograph can be found again."""

import contextlib
import hashlib
import json
import os
import socket
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import assert_never

import numpy as np
from numpy.random import Generator

from benchmarks.survival import pictures
from benchmarks.survival.invariant import Dropped, Originals
from benchmarks.survival.plan import (
    DropGroups,
    DropMutated,
    DropOdd,
    DropPhotos,
    DropPrompts,
    Submit,
)
from benchmarks.survival.world import World
from daemon.intake.requests import BulkSubmitRequest, leave

_WRONG_NAME = 0.1
"""Share of mutated photographs whose suffix is that of another format."""

_STRANGE_NAMES = (
    "line\nbreak.png",
    "escape\x1b[31m.png",
    "right\u202eto-left.png",
    "e\u0301clair.png",
    " leading and trailing .png",
    "-dash.png",
    "per%cent$(touch x);'quoted'.png",
    "a" * 240 + ".png",
    "b.png.error.json.png",
    "caf\udce9.png",
    "UPPER.PNG",
    "two..dots.png",
)
"""Names of photographs that programs stumble over; one has a byte that is no UTF-8."""

_NO_PHOTOS = {
    "notes.txt": b"no photograph\n",
    "Picasa.ini": b"[Picasa]\n",
    "half.jpg.part": b"\xff\xd8\xff",
    "film.mkv": b"\x1aE\xdf\xa3",
    "prompts.toml": b"prompt = " + b"[" * 5000,
}
"""Files that are left in an inbox."""


_HOSTILE_PROMPTS = (
    (".toml", "prompt = " + "[" * 100_000 + "\n"),
    (".toml", ".".join(["a"] * 50_000) + " = 1\n"),
    (".toml", 'prompt = "x"\ncount = 1' + "0" * 4000 + "\n"),
    (".toml", 'prompt = "x"\nseed = nan\n'),
    (".toml", 'prompt = "x"\nsize = [100000, 100000]\n'),
    (".toml", 'prompt = "x"\ncount = 100000\n'),
    (".toml", 'prompt = "\\u0000"\n'),
    (".toml", "prompt = 1\n"),
    (".txt", "\ud800\n"),
    (".txt", "a\0b\n"),
    (".txt", "x" * 900_000 + "\n"),
    (".txt", "x\n" * 5000),
    (".txt", "#\n" * 20_000),
    (".txt", "x" * 2_000_000 + "\n"),
)
"""Prompt files that are none, with their suffixes."""


class Book:
    """What was dropped and is not yet known to have ended well.

    Attributes:
        files: By digest.
        paths: Where each was dropped, by digest.
        counts: Photographs that were dropped, by what they are.
        bulk: Names of the bulk jobs, each with the digests of its photographs.
    """

    def __init__(self) -> None:
        self.files: dict[str, Dropped] = {}
        self.paths: dict[str, Path] = {}
        self.counts: Counter[str] = Counter()
        self.bulk: dict[str, tuple[str, ...]] = {}

    def forget(self, leads: Iterable[str]) -> list[Path]:
        """Drop photographs and what belongs to them; returns where they were dropped."""
        gone = set(leads)
        ended = [digest for digest, one in self.files.items() if one.lead in gone]
        for digest in ended:
            del self.files[digest]
        return [self.paths.pop(digest) for digest in ended]

    def cancel(self, name: str) -> None:
        """A bulk job was cancelled: its photographs may stay without a result."""
        for digest in self.bulk.get(name, ()):
            if digest in self.files:
                self.files[digest] = replace(self.files[digest], may_stay=True)


class Dropper:
    """Drops photographs into the folders of a world and books them."""

    def __init__(self, world: World, book: Book) -> None:
        self._world = world
        self._book = book
        self._number = 0

    def photos(self, drop: DropPhotos) -> None:
        """Drop single, sound photographs."""
        rng = np.random.default_rng(drop.seed)
        folder, originals = self._folder(drop)
        for _ in range(drop.count):
            suffix, content = pictures.photograph(rng, self._format(rng))
            name = f"{self._next()}{suffix}"
            self._put(folder / name, content, originals=originals, slowly=drop.slowly)
            self._book.counts["photographs"] += 1

    def mutated(self, drop: DropMutated) -> None:
        """Drop damaged photographs; some of them may be whole all the same."""
        rng = np.random.default_rng(drop.seed)
        folder = self._world.station.inbox / drop.recipe
        for _ in range(drop.count):
            format = self._format(rng)
            suffix, content = pictures.photograph(rng, format)
            other, graft = pictures.photograph(rng, self._format(rng))
            suffix = other if rng.random() < _WRONG_NAME else suffix
            content = pictures.mutated(rng, content, graft)
            self._put(folder / f"{self._next()}{suffix}", content, sound=False)
            self._book.counts[f"mutated {format}"] += 1

    def groups(self, drop: DropGroups) -> None:
        """Drop photographs with what belongs to them, in a random order."""
        rng = np.random.default_rng(drop.seed)
        inbox = self._world.station.inbox
        for _ in range(drop.count):
            name = self._next()
            suffix, content = pictures.photograph(rng, self._format(rng))
            files = [(f"{name}{suffix}", content)]
            match drop.what:
                case "pairs":
                    recipe = "morph"
                    files = [(f"{name}-a{suffix}", content)]
                    suffix, content = pictures.photograph(rng, self._format(rng))
                    files.append((f"{name}-b{suffix}", content))
                case "masks":
                    recipe = "mend"
                    mask = pictures.mask(rng, empty=rng.random() < 0.7)
                    files.append((f"{name}.mask.png", mask))
                case "hints":
                    recipe = "tint"
                    files.append((f"{name}.hints.png", pictures.hints(rng)))
                case "companions":
                    recipe = "unfade"
                    for kind in (".xmp", ".aae"):
                        files.append((f"{name}{kind}", f"<!-- {rng.bytes(8).hex()} -->".encode()))
                case _:
                    assert_never(drop.what)
            self._put_group(rng, inbox / recipe, files, drop.what)
            self._book.counts[drop.what] += 1

    def odd(self, drop: DropOdd) -> None:
        """Drop what is no photograph, and photographs with strange names."""
        rng = np.random.default_rng(drop.seed)
        folder = self._world.station.inbox / "unfade" / self._next()
        folder.mkdir()
        for name in _STRANGE_NAMES:
            self._put(folder / name, pictures.photograph(rng, "PNG")[1])
            self._book.counts["strange names"] += 1
        for name, content in _NO_PHOTOS.items():
            content += rng.bytes(8).hex().encode()
            self._put(folder / name, content, waits=True)
        self._put(folder / "b.jpg.error.json", rng.bytes(16), waits=True)
        self._put(folder / "b.jpg", rng.bytes(64), sound=False)
        self._put(folder / "ff.jpg", b"\xff" * 70_000 + rng.bytes(8), sound=False)
        _make_sparse(folder / "sparse.tif", 30 << 20, rng)
        self._book_file(folder / "sparse.tif", sound=False)
        (folder / "empty.jpg").touch()
        (folder / "link.jpg").symlink_to(self._world.guarded / "secret.txt")
        (folder / "loop").symlink_to(folder)
        (folder / "dangling.png").symlink_to(folder / "nowhere")
        (folder / "folder.jpg").mkdir()
        os.mkfifo(folder / "fifo.jpg")
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as server:
            server.bind(str(folder / "socket.jpg"))

    def prompts(self, drop: DropPrompts) -> None:
        """Drop prompt files, sound and hostile in turn."""
        rng = np.random.default_rng(drop.seed)
        folder = self._world.station.inbox / "picture"
        if not folder.is_dir():  # there is no pipeline
            return
        for index in range(drop.count):
            mark = f"a photograph of {rng.bytes(8).hex()}"
            if index % 2 == 0:
                content = f"{mark}\n# comment\n\nthe same in snow\n".encode()
                self._put(folder / f"{self._next()}.txt", content)
                self._book.counts["prompt files"] += 1
                continue
            suffix, text = _HOSTILE_PROMPTS[int(rng.integers(len(_HOSTILE_PROMPTS)))]
            content = text.encode("utf-8", "surrogatepass") + f"# {mark}\n".encode()
            self._put(folder / f"{self._next()}{suffix}", content, sound=False)
            self._book.counts["hostile prompt files"] += 1

    def submit(self, submit: Submit) -> None:
        """Submit a folder of photographs as a bulk job."""
        rng = np.random.default_rng(submit.seed)
        name = f"bulk-{self._next()}"
        folder = self._world.collections / name
        for sub in ("", "one", "two/three"):
            (folder / sub).mkdir(parents=True, exist_ok=True)
        digests = []
        for index in range(submit.count):
            suffix, content = pictures.photograph(rng, self._format(rng))
            path = folder / ("", "one", "two/three")[index % 3] / f"{self._next()}{suffix}"
            digests.append(self._put(path, content, originals="leave"))
            self._book.counts["bulk photographs"] += 1
        self._book.bulk[name] = tuple(digests)
        request = BulkSubmitRequest(name=name, recipe=submit.recipe, roots=(folder,), at=0.0)
        with contextlib.suppress(OSError):
            leave(self._world.station, request)
            return
        self._book.cancel(name)  # the disk was full: nobody was asked

    def _folder(self, drop: DropPhotos) -> tuple[Path, Originals]:
        match drop.place:
            case "inbox":
                folder = self._world.station.inbox / drop.recipe / drop.folder
                folder.mkdir(exist_ok=True)
                return folder, self._world.originals
            case "scans":
                return self._world.root / "scans", "archive"
            case "kept":
                return self._world.root / "kept", "leave"
            case "gone":
                return self._world.root / "gone", "delete"
            case _:
                assert_never(drop.place)

    def _put_group(
        self, rng: Generator, folder: Path, files: list[tuple[str, bytes]], what: str
    ) -> None:
        """Drop files that belong together; companions must be there before their photograph."""
        lead = hashlib.sha256(files[0][1]).hexdigest()
        order = [int(index) for index in rng.permutation(len(files))]
        if what in ("companions", "hints"):  # the photograph does not wait for them
            order.sort(key=lambda index: index == 0)
        put = [self._put(folder / files[index][0], files[index][1], lead=lead) for index in order]
        if "" in put:  # not all of it could be written: what is there may wait or go without
            for digest in filter(None, put):
                self._book.files[digest] = replace(
                    self._book.files[digest], lead=digest, sound=False, waits=False, may_stay=True
                )

    def _put(
        self,
        path: Path,
        content: bytes,
        *,
        lead: str = "",
        sound: bool = True,
        originals: Originals = "archive",
        waits: bool = False,
        slowly: bool = False,
    ) -> str:
        """Write a file into a folder and book it; returns its digest, or "" if it did not work."""
        digest = hashlib.sha256(content).hexdigest()
        if digest in self._book.files:  # two that were cut off to the same few bytes
            return ""
        part = path.with_name(f".{self._number}-{os.getpid()}")
        try:
            if slowly:
                _write_slowly(path, content)
            else:
                part.write_bytes(content)
                part.rename(path)
        except OSError:  # the disk is full or away: the photograph stays with whoever has it
            for left in (part, path):
                with contextlib.suppress(OSError):
                    left.unlink()
            self._book.counts["could not be dropped"] += 1
            return ""
        self._book.files[digest] = Dropped(
            digest,
            str(path.relative_to(self._world.root)),
            lead or digest,
            sound=sound,
            originals=originals,
            waits=waits,
        )
        self._book.paths[digest] = path
        return digest

    def _book_file(self, path: Path, *, sound: bool) -> None:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        name = str(path.relative_to(self._world.root))
        self._book.files[digest] = Dropped(digest, name, digest, sound=sound)
        self._book.paths[digest] = path

    def _next(self) -> str:
        self._number += 1
        return f"{self._number:07}"

    def _format(self, rng: Generator) -> str:
        formats = pictures.read_formats()
        return formats[int(rng.integers(len(formats)))]


def hostile_requests(rng: Generator, count: int, world: World) -> list[str]:
    """Leave files in the folder of requests that are none, or that ask for what must not be.

    Returns:
        What they are.
    """
    made = []
    folder = world.station.requests
    for _ in range(count):
        kind = list(_HOSTILE)[int(rng.integers(len(_HOSTILE)))]
        path = folder / f"{rng.bytes(8).hex()}.json"
        with contextlib.suppress(OSError):
            if kind == "fifo":
                os.mkfifo(path)
            elif kind == "folder":
                path.mkdir()
            elif kind == "link":
                path.symlink_to(world.guarded / "secret.txt")
            else:
                text = _HOSTILE[kind].replace("WORLD", str(world.root))
                path.write_bytes(text.encode("utf-8", "surrogatepass"))
            made.append(kind)
    return made


def _bulk(roots: list[str], name: str = "x", recipe: str = "unfade", at: float = 0.0) -> str:
    body = {"kind": "bulk_submit", "name": name, "recipe": recipe, "roots": roots, "at": at}
    return json.dumps(body)


_HOSTILE = {
    "fifo": "",
    "folder": "",
    "link": "",
    "empty": "",
    "no JSON": "{",
    "deep": "[" * 100_000,
    "deep objects": '{"kind":' * 50_000,
    "huge number": '{"kind": "redo", "rows": [1' + "0" * 5000 + "]}",
    "float": '{"kind": "redo", "rows": [1e400]}',
    "NaN": '{"kind": "bulk_retry", "name": "x", "at": NaN}',
    "negative row": '{"kind": "redo", "rows": [-1]}',
    "many rows": '{"kind": "redo", "rows": [' + ",".join(["1"] * 5000) + "]}",
    "surrogate": '{"kind": "bulk_pause", "name": "\\ud800"}',
    "bad UTF-8": '{"kind": "\ud800"}',
    "NUL": '{"kind": "retry", "paths": ["/a\\u0000b"]}',
    "relative": '{"kind": "retry", "paths": ["../../guarded/secret.txt"]}',
    "outside": '{"kind": "retry", "paths": ["WORLD/guarded/secret.txt"]}',
    "large": '{"kind": "bulk_pause", "name": "' + "x" * (2 << 20) + '"}',
    "unknown kind": '{"kind": "remove", "paths": ["WORLD/guarded"]}',
    "no kind": '{"paths": []}',
    "extra key": '{"kind": "bulk_pause", "name": "x", "and": 1}',
    "list": "[]",
    "bulk over the station": _bulk(["WORLD/station"]),
    "bulk over all": _bulk(["/"]),
    "bulk dots": _bulk(["WORLD/collections/../guarded"]),
    "bulk name with path": _bulk(["WORLD/guarded/album"], name="../../guarded/album"),
    "bulk recipe with path": _bulk(["WORLD/guarded/album"], recipe="../../guarded"),
    "bulk of nothing": _bulk(["WORLD/nowhere"]),
    "bulk in a far time": _bulk(["WORLD/guarded/album"], at=1e300),
}
"""Hostile requests by what they are; the first three are no files."""


def _write_slowly(path: Path, content: bytes) -> None:
    """Write a file under its own name in pieces, as a scanner does."""
    with path.open("xb") as file:
        for start in range(0, len(content), max(1, len(content) // 3)):
            file.write(content[start : start + max(1, len(content) // 3)])
            file.flush()


def _make_sparse(path: Path, size: int, rng: Generator) -> None:
    with path.open("wb") as file:
        file.write(b"II*\0" + rng.bytes(8))
        file.truncate(size)
