"""Read the pictures of a folder as `restored` does, and compare with libvips pixel by pixel.

    python -m benchmarks.formats FOLDER... [--list]

Every file is decoded by both to upright sRGB of 8 bits. Lines name what one alone reads and where
pixels differ beyond rounding; the table counts. Needs the command `vips` (Debian: libvips-tools).
"""

import argparse
import io
import multiprocessing
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from benchmarks.measuring import Row, markdown_table
from daemon.photo import Limits, Photo, read_header
from daemon.photo.reading import read_picture, to_eight_bits
from daemon.system.errors import RestoredError

Verdict = Literal["same", "different", "only ours", "only the peer's", "neither's", "killed"]

_LIMITS = Limits(max_file_mb=200, max_input_megapixels=60)
_PEER_S = 60
"""Seconds that libvips has for a file."""

_LARGEST_PX = "30000"
"""Side up to which `vips thumbnail` keeps the size: it turns upright and converts any depth."""

_IN_LAYERS = (".jp2", ".j2k", ".jpc", ".jpf", ".jpx")
"""JPEG 2000, of which a thumbnail is a smaller layer; nothing in it is to be turned upright."""

_LEVELS = 4
"""Levels of 255 that decoders may differ by: DCT, enlarged chroma and profiles are rounded."""

_SHARE = 0.01
"""Share of the samples that may differ by more, at edges of enlarged chroma."""

_WORDS = 20
"""Words of libvips' message that are listed."""


@dataclass(frozen=True)
class Reading:
    """What one program made of a file.

    Attributes:
        pixels: RGB of 8 bits, (H, W, 3), or None where it refused.
        alpha: Opacity of 8 bits, (H, W), or None.
        why: Why it refused; notes of what it read.
    """

    pixels: NDArray[np.uint8] | None
    alpha: NDArray[np.uint8] | None = None
    why: str = ""


@dataclass(frozen=True)
class Found:
    """How both agree on a file."""

    path: Path
    verdict: Verdict
    format: str
    why: str = ""


def main() -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--list", action="store_true", help="print a line for files of both, too")
    given = parser.parse_args()
    found = []
    for one in compared(sorted(_files(given.folders))):
        found.append(one)
        if given.list or one.verdict not in ("same", "neither's"):
            print(f"{one.verdict}: {one.path} ({one.format}): {one.why}", flush=True)
    print(f"\n{markdown_table(summary(found))}")
    return 0


def summary(found: Iterable[Found]) -> list[Row]:
    """Counts and shares of the verdicts."""
    found = list(found)
    counts = Counter(one.verdict for one in found)
    by_peer = counts["same"] + counts["different"] + counts["only the peer's"]
    by_both = counts["same"] + counts["different"]
    rows = [Row(verdict, str(counts[verdict])) for verdict in sorted(counts)]
    if by_peer:
        rows.append(Row("of what the peer reads, read", f"{by_both / by_peer:.1%}", "99 %"))
    if by_both:
        rows.append(Row("of what both read, equal", f"{counts['same'] / by_both:.1%}"))
    return rows


def compared(paths: list[Path]) -> Iterator[Found]:
    """How both agree on each file; one that kills its process is said to, and the rest go on."""
    while paths:
        done = 0
        try:
            with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
                for found in pool.map(compare, paths):
                    done += 1
                    yield found
            return
        except BrokenProcessPool:
            yield from _one_by_one(paths[done : done + 4])
            paths = paths[done + 4 :]


def _one_by_one(paths: list[Path]) -> Iterator[Found]:
    for path in paths:
        try:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                yield pool.submit(compare, path).result()
        except BrokenProcessPool:
            yield Found(path, "killed", "?", "its reader was killed")


def compare(path: Path) -> Found:
    """Read a file by both and judge."""
    format, ours = read_ours(path)
    return Found(path, *judge(ours, read_by_vips(path), format))


def judge(ours: Reading, peer: Reading, format: str) -> tuple[Verdict, str, str]:
    """Whether two readings are the same, the format, and why not."""
    if ours.pixels is None or peer.pixels is None:
        if ours.pixels is None:
            verdict: Verdict = "neither's" if peer.pixels is None else "only the peer's"
            return verdict, format, ours.why
        return "only ours", format, peer.why
    notes = f" [{ours.why}]" if ours.why else ""
    if ours.pixels.shape != peer.pixels.shape:
        sizes = [f"{one.shape[1]}x{one.shape[0]}" for one in (ours.pixels, peer.pixels)]
        return "different", format, f"{sizes[0]} here, {sizes[1]} there{notes}"
    seen = np.ones(ours.pixels.shape[:2], bool)
    alphas = [one.alpha for one in (ours, peer) if one.alpha is not None]
    for alpha in alphas:
        seen &= alpha > 0
    if len(alphas) == 2 and (np.abs(np.diff(np.stack(alphas).astype(int), axis=0)) > _LEVELS).any():
        return "different", format, f"opacity{notes}"
    off = np.abs(ours.pixels.astype(int) - peer.pixels)[seen]
    share = float((off > _LEVELS).mean()) if off.size else 0.0
    if share > _SHARE:
        why = f"{share:.1%} of the samples differ, by {off.mean():.1f} levels on average{notes}"
        return "different", format, why
    return "same", format, ours.why


def read_ours(path: Path) -> tuple[str, Reading]:
    """The format of a file and what `restored` makes of it."""
    format = "?"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = read_header(path, _LIMITS)
            format = header.format
            picture = read_picture(Photo(path, path.name, "", header), _LIMITS)
    except (RestoredError, OSError) as error:
        return format, Reading(None, why=str(error))
    alpha = None if picture.alpha is None else to_eight_bits(picture.alpha)
    return format, Reading(to_eight_bits(picture.pixels), alpha, "; ".join(picture.notes))


def read_by_vips(path: Path) -> Reading:
    """What libvips makes of a file: upright, in sRGB."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.png"
        names = [f"{path}", f"{out}[bitdepth=8,compression=1]"]
        if path.suffix.lower() in _IN_LAYERS:
            command = ["vips", "colourspace", *names, "srgb"]
        else:
            command = ["vips", "thumbnail", *names, _LARGEST_PX, "--size", "down"]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_PEER_S, check=False)
        except subprocess.TimeoutExpired:
            return Reading(None, why="no end")
        if done.returncode or not out.exists():
            said = done.stderr.decode(errors="replace").split()
            return Reading(None, why=" ".join(said[:_WORDS]))
        with Image.open(out) as image:
            image.load()
    alpha = np.asarray(image.getchannel("A")) if "A" in image.getbands() else None
    return Reading(np.asarray(_srgb(image)), alpha)


def _srgb(image: Image.Image) -> Image.Image:
    """Colours of an image in sRGB, by its profile, without those of `daemon.photo`."""
    profile = image.info.get("icc_profile")
    plain = image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
    if profile is None:
        return plain.convert("RGB")
    try:
        return ImageCms.profileToProfile(
            plain,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        ) or plain.convert("RGB")
    except ImageCms.PyCMSError:
        return plain.convert("RGB")


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)


if __name__ == "__main__":
    sys.exit(main())
