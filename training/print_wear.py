"""What befalls prints: cracks, folds, scratches, hairs, dust, flaked emulsion, torn edges.

Writing, wires, borders and stains belong to a print: they are drawn and are no damage.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy.ndimage import gaussian_filter

from training.print_marks import Floats, Pen, Points, clouds, uneven, walk, with_gaps


@dataclass(eq=False)
class Sheet:
    """A print at work.

    Attributes:
        truth: What it was, (H, H, 3) in levels of 0 to 255, not clipped.
        now: What it has become.
        cover: How much of each pixel is damaged, (H, H) in [0, 1].
        rng: What is random about it.
    """

    truth: Floats
    now: Floats
    cover: Floats
    rng: Generator

    @property
    def side(self) -> int:
        """Pixels of each side."""
        return int(self.now.shape[0])

    def lay(self, cover: Floats, tone: Floats) -> None:
        """Cover the print, (H, H) in [0, 1], with a tone, (3,) or (H, H, 3)."""
        self.now += cover[..., None] * (tone - self.now)
        np.maximum(self.cover, cover, out=self.cover)

    def light(self, height: Floats, strength: float) -> None:
        """Light a relief from one side: bright and dark flanks."""
        angle = self.rng.uniform(0, 2 * np.pi)
        down, across = np.gradient(height)
        shade = strength * (np.cos(angle) * across + np.sin(angle) * down)
        self.now += shade[..., None].astype(np.float32)
        np.maximum(self.cover, np.minimum(1, np.abs(shade) / 60), out=self.cover)


def cracks(sheet: Sheet) -> None:
    """Branching cracks that show paper, at times with lit flanks."""
    rng, pen, ridge = sheet.rng, Pen(sheet.side), Pen(sheet.side)
    wander, missing, width = rng.uniform(0.05, 0.35), rng.uniform(0, 0.6), _line_width(rng)

    def grow(start: Points, angle: float, length: float, thick: float, depth: int) -> None:
        line = walk(start, angle, length, wander, rng)
        count = len(line)
        widths = thick * np.linspace(1, rng.uniform(0.2, 1), count) * uneven(count, 0.45, rng)
        pen.line(line, widths, with_gaps(count, missing, rng))
        ridge.line(line, np.maximum(1.5, widths), np.ones(count))
        for _ in range(rng.poisson(length / rng.uniform(60, 200)) if depth < 3 else 0):
            turn = rng.choice((-1, 1)) * rng.uniform(0.4, 1.5)
            place = line[rng.integers(count)]
            shorter, thinner = length * rng.uniform(0.1, 0.6), thick * rng.uniform(0.4, 0.9)
            grow(place, angle + turn, shorter, thinner, depth + 1)

    for _ in range(rng.integers(1, 5)):
        start, angle = _from_an_edge(sheet)
        longest = np.log(1.2 * sheet.side)
        grow(start, angle, float(np.exp(rng.uniform(np.log(30), longest))), width, 0)
    if rng.random() < 0.6:
        relief = gaussian_filter(ridge.cover(), rng.uniform(0.7, 2.5))
        sheet.light(relief, rng.uniform(30, 160))
    core = _broken(pen.cover(), rng)
    sheet.lay(np.clip(core * rng.uniform(0.55, 1.1), 0, 1), _tone(rng, 0.88))


def folds(sheet: Sheet) -> None:
    """A crease across the print: a lit ridge, with broken emulsion along it."""
    rng, pen, ridge = sheet.rng, Pen(sheet.side), Pen(sheet.side)
    angle = rng.choice((0, np.pi / 2)) + rng.normal(0, 0.08)
    if rng.random() < 0.25:
        angle = rng.uniform(0, np.pi)
    middle = rng.uniform(0.1 * sheet.side, 0.9 * sheet.side, 2)
    start = middle - sheet.side * np.array((np.cos(angle), np.sin(angle)))
    line = walk(start, angle, 2 * sheet.side, 0.01, rng)
    widths = _line_width(rng) * uneven(len(line), 0.5, rng)
    pen.line(line, widths, with_gaps(len(line), rng.uniform(0, 0.75), rng))
    ridge.line(line, np.maximum(1.5, 1.5 * widths), np.ones(len(line)))
    if rng.random() < 0.7:
        relief = gaussian_filter(ridge.cover(), rng.uniform(0.8, 3.5))
        sheet.light(relief, rng.uniform(40, 180))
    core = _broken(pen.cover(), rng)
    sheet.lay(np.clip(core * rng.uniform(0.5, 1.1), 0, 1), _tone(rng, 0.85))


def scratches(sheet: Sheet) -> None:
    """Straight or bent scratches, some of them parallel."""
    rng, pen, main = sheet.rng, Pen(sheet.side), sheet.rng.uniform(0, 2 * np.pi)
    width, wander = _line_width(rng), rng.uniform(0, 0.08)
    for _ in range(rng.integers(1, 10)):
        angle = main + rng.normal(0, 0.25) if rng.random() < 0.5 else rng.uniform(0, 2 * np.pi)
        length = float(np.exp(rng.uniform(np.log(15), np.log(1.3 * sheet.side))))
        line = walk(rng.uniform(0, sheet.side, 2), angle, length, wander, rng)
        count = len(line)
        widths = width * rng.uniform(0.5, 1.2) * uneven(count, 0.25, rng)
        opacity = rng.uniform(0.35, 1) * with_gaps(count, rng.uniform(0, 0.4), rng)
        pen.line(line, widths, opacity)
    sheet.lay(pen.cover() * np.float32(rng.uniform(0.4, 1)), _tone(rng, 0.7))


def hairs(sheet: Sheet) -> None:
    """Hairs and fibres: thin, evenly wide, curled."""
    rng, pen, width = sheet.rng, Pen(sheet.side), sheet.rng.uniform(0.6, 2.6)
    for _ in range(rng.integers(1, 12)):
        length = float(np.exp(rng.uniform(np.log(15), np.log(220))))
        angle, wander = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.3)
        line = walk(rng.uniform(0, sheet.side, 2), angle, length, wander, rng)
        count = len(line)
        pen.line(line, np.full(count, width), np.full(count, rng.uniform(0.5, 1)))
    sheet.lay(pen.cover() * np.float32(rng.uniform(0.5, 1)), _tone(rng, 0.5))


def dust(sheet: Sheet) -> None:
    """Specks, everywhere and in clusters."""
    rng, pen = sheet.rng, Pen(sheet.side)
    size = np.exp(rng.uniform(np.log(0.5), np.log(2.5)))
    spots = [rng.uniform(0, sheet.side, (rng.integers(2, 60), 2))]
    for _ in range(rng.integers(0, 4)):
        centre = rng.uniform(0, sheet.side, 2)
        spots.append(rng.normal(centre, rng.uniform(10, 80), (rng.integers(5, 90), 2)))
    for spot in np.concatenate(spots):
        pen.patch(spot, float(np.clip(size * np.exp(rng.normal(0, 0.55)), 0.4, 9)), 0.35, rng)
    sheet.lay(pen.cover() * np.float32(rng.uniform(0.5, 1)), _tone(rng, 0.65))


def flakes(sheet: Sheet) -> None:
    """Emulsion that came off: ragged patches of paper, at times with a lit rim."""
    rng, pen = sheet.rng, Pen(sheet.side)
    size = np.exp(rng.uniform(np.log(2.5), np.log(28)))
    centre, spread = rng.uniform(0, sheet.side, 2), rng.uniform(20, sheet.side)
    for _ in range(rng.integers(1, 14)):
        radius = float(min(40, size * np.exp(rng.normal(0, 0.5))))
        pen.patch(rng.normal(centre, spread), radius, rng.uniform(0.2, 0.7), rng)
    cover = _broken(pen.cover(), rng)
    if rng.random() < 0.6:
        sheet.light(gaussian_filter(cover, 1.0), rng.uniform(20, 120))
    grain = rng.uniform(0, 9) * clouds(sheet.side, rng.uniform(1.5, 6), rng)
    sheet.lay(cover, _paper(rng) + grain[..., None])


def torn_edges(sheet: Sheet) -> None:
    """Corners and bits of the edge that are gone, with a fringe of fibres."""
    rng = sheet.rng
    beyond = np.full(3, rng.uniform(225, 255) if rng.random() < 0.7 else rng.uniform(0, 60))
    for _ in range(rng.integers(1, 4)):
        pen, (long, short) = Pen(sheet.side), np.exp(rng.uniform(2, np.log(0.3 * sheet.side), 2))
        corner = rng.random() < 0.6
        at = 0.0 if corner else rng.uniform(0, sheet.side)
        first = np.array((at + long, 0.0))
        last = np.array((0.0, short)) if corner else np.array((at, 0.0))
        share = np.linspace(0, 1, 40)[:, None]
        edge = first + share * (last - first)
        deep = 0 if corner else short * np.sin(np.pi * share[:, 0])
        edge[:, 1] += deep + np.abs(gaussian_filter(rng.standard_normal(40), 1.5)) * 6
        tip = np.array(((-4.0 if corner else at + long / 2, -4.0),))
        pen.area(np.concatenate((edge, tip)))
        cover = np.ascontiguousarray(np.rot90(pen.cover(), int(rng.integers(4))))
        if rng.random() < 0.7:
            fringe = np.clip(3 * gaussian_filter(cover, rng.uniform(1, 3)), 0, 1)
            sheet.lay(fringe * np.float32(rng.uniform(0.4, 1)), _paper(rng))
        sheet.lay(cover, beyond.astype(np.float32))


DAMAGES: tuple[tuple[Callable[[Sheet], None], float], ...] = (
    (cracks, 0.5),
    (folds, 0.25),
    (scratches, 0.3),
    (hairs, 0.2),
    (dust, 0.35),
    (flakes, 0.22),
    (torn_edges, 0.2),
)
"""Each kind of damage, and the share of damaged prints that have it."""


def draw_belongings(sheet: Sheet) -> None:
    """Draw into the truth what looks like damage and is none: writing, wires, a border, a stain."""
    rng, pen, side = sheet.rng, Pen(sheet.side), sheet.side
    if rng.random() < 0.1:
        place = (rng.uniform(0, 0.6 * side), rng.uniform(0, 0.9 * side))
        pen.text(place, "Berlin 19.6.1931", rng.uniform(10, 28))
    for _ in range(rng.integers(1, 5) if rng.random() < 0.1 else 0):
        angle = rng.uniform(-0.4, 0.4)
        line = walk(np.array((0.0, rng.uniform(0, side))), angle, 1.3 * side, 0.0, rng)
        pen.line(line, np.full(len(line), rng.uniform(0.7, 2.5)), np.ones(len(line)))
    drawn = pen.cover()[..., None] * np.float32(rng.uniform(0.5, 1))
    sheet.truth += drawn * (_tone(rng, 0.5) - sheet.truth)
    if rng.random() < 0.1:
        width = int(rng.uniform(3, 0.06 * side))
        frame = np.ones((side, side, 1), bool)
        frame[width : side - width, width : side - width] = False
        sheet.truth = np.where(frame, _paper(rng), sheet.truth).astype(np.float32)
    if rng.random() < 0.15:
        stain = np.clip(clouds(side, side / rng.uniform(1, 6), rng), 0, 1)[..., None]
        tint = rng.uniform(0.6, 1.15) * np.array((1, rng.uniform(0.9, 1.05), rng.uniform(0.75, 1)))
        sheet.truth *= (1 + (tint - 1) * stain).astype(np.float32)
    sheet.now = sheet.truth.copy()


def _from_an_edge(sheet: Sheet) -> tuple[Points, float]:
    """Where a crack begins and which way it runs: mostly in from an edge."""
    rng, side = sheet.rng, sheet.side
    if rng.random() < 0.4:
        return rng.uniform(0, side, 2), rng.uniform(0, 2 * np.pi)
    where, edge = rng.uniform(0, side), int(rng.integers(4))
    starts = ((0.0, where), (side, where), (where, 0.0), (where, side))
    inward = (0.0, np.pi, np.pi / 2, -np.pi / 2)[edge]
    return np.array(starts[edge]), inward + rng.normal(0, 0.6)


def _broken(cover: Floats, rng: Generator) -> Floats:
    """A mark with a ragged edge."""
    rough = gaussian_filter(cover, 0.7) + 0.12 * clouds(cover.shape[0], 2.5, rng)
    return np.asarray(np.clip(2.5 * (rough - 0.3), 0, 1) * (cover > 0), np.float32)


def _line_width(rng: Generator) -> float:
    return float(np.exp(rng.uniform(np.log(0.7), np.log(9))))


def _paper(rng: Generator) -> Floats:
    return np.asarray(rng.uniform(195, 255) * np.array((1, 0.97, rng.uniform(0.82, 1))), np.float32)


def _tone(rng: Generator, bright: float) -> Floats:
    """The tone of a mark: paper, or dirt in all but this share."""
    if rng.random() < bright:
        return _paper(rng)
    return np.asarray(rng.uniform(5, 70) * np.array((1, 0.95, 0.85)), np.float32)
