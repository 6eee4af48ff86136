"""Intake: which recipe each arrival goes to, and what must wait for something else.

Comes in: settled files. Goes out: claims. Halves of pairs, side files and photographs whose side
file is still arriving are remembered here and stay in the inbox until they can be claimed.
"""

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from daemon.errors import PhotoError
from daemon.ignored import ignored as is_ignored
from daemon.photo import Limits, read_header
from daemon.recipe import Recipe
from daemon.station import Arrival, Claim, InboxFolder, Notice

_HALF = re.compile(r"^(?P<name>.+)[-_](?P<half>[ab12])$", re.IGNORECASE)
_SIDE = re.compile(r"^(?P<name>.+)\.(?P<role>mask|hints)\.png$", re.IGNORECASE)
_FIRST = {"a": "b", "1": "2"}


@dataclass(frozen=True)
class Decision:
    """What is to be claimed now, and which files changed and must settle anew."""

    claims: tuple[Claim, ...]
    again: tuple[Path, ...]


@dataclass(frozen=True)
class _Waiting:
    arrival: Arrival
    since_s: float
    since_utc: float


class Intake:
    """Sorts arrivals into claims; owned and called by one thread."""

    def __init__(self, recipes: Sequence[Recipe], *, limits: Limits, pair_wait_s: float) -> None:
        self._recipes = {recipe.name: recipe for recipe in recipes}
        self._limits = limits
        self._pair_wait_s = pair_wait_s
        self._waiting: dict[Path, _Waiting] = {}

    def set_recipes(self, recipes: Sequence[Recipe]) -> None:
        """Use these from now on; what waits is considered anew."""
        self._recipes = {recipe.name: recipe for recipe in recipes}

    def consider(self, arrivals: Sequence[Arrival], now: float) -> Decision:
        """Sort new arrivals, and whatever waits, into claims.

        Args:
            arrivals: Files that have just settled.
            now: Monotonic seconds.
        """
        again = self._forget_changed()
        utc = time.time()
        for arrival in arrivals:
            known = self._waiting.get(arrival.path)
            since = (known.since_s, known.since_utc) if known else (now, utc)
            self._waiting[arrival.path] = _Waiting(arrival, *since)
        claims: list[Claim] = []
        pairs: dict[tuple[Path, str], list[Arrival]] = defaultdict(list)
        for waiting in list(self._waiting.values()):
            arrival = waiting.arrival
            recipe = self._recipe_of(arrival)
            if recipe is not None and recipe.photos == 2:
                pairs[arrival.path.parent, recipe.name].append(arrival)
            elif (claim := self._single(arrival, recipe)) is not None:
                claims.append(claim)
        for (_, name), members in pairs.items():
            claims += self._pairs(members, self._recipes[name])
        for claim in claims:
            for taken in (*claim.arrivals, claim.mask, claim.hints):
                if taken is not None:
                    self._waiting.pop(taken.path, None)
        return Decision(tuple(claims), again)

    def waiting(self, now: float) -> tuple[Notice, ...]:
        """What has waited longer than `pair_wait_s`, for a person to look at."""
        late = (w for w in self._waiting.values() if now - w.since_s >= self._pair_wait_s)
        return tuple(Notice(w.arrival.path, self._why(w.arrival), w.since_utc) for w in late)

    def unpaired(self) -> tuple[Path, ...]:
        """Everything that waits."""
        return tuple(self._waiting)

    def _forget_changed(self) -> tuple[Path, ...]:
        again = []
        for path, waiting in list(self._waiting.items()):
            arrival = waiting.arrival
            try:
                found = path.lstat()
            except OSError:
                del self._waiting[path]
                continue
            if (found.st_size, found.st_mtime_ns) != (arrival.size_bytes, arrival.mtime_ns):
                del self._waiting[path]
                again.append(path)
        return tuple(again)

    def _recipe_of(self, arrival: Arrival) -> Recipe | None:
        """The recipe that a file's folder names, or None where the file's own traits decide."""
        if arrival.folder.recipe is not None:
            return self._recipes.get(arrival.folder.recipe)
        parts = arrival.relative.parts
        return self._recipes.get(parts[0]) if len(parts) > 1 else None

    def _single(self, arrival: Arrival, recipe: Recipe | None) -> Claim | None:
        """The claim of a photograph that goes alone, or None if it must wait."""
        name = arrival.relative.name
        side = _SIDE.match(name)
        readers = [recipe] if recipe else list(self._recipes.values())
        if side and any(side["role"].lower() in reader.companions for reader in readers):
            return None
        claim = Claim((arrival,), recipe.name if recipe else "", arrival.relative.stem)
        if recipe is None and arrival.folder.recipe is not None:
            return replace(claim, refusal=f"no recipe is named {arrival.folder.recipe!r}")
        try:
            header = read_header(arrival.path, self._limits)
        except PhotoError as error:
            return replace(claim, refusal=str(error))
        except OSError:
            return None
        recipe, refusal = self._choice(recipe, name, header.megapixels)
        if recipe is None:
            return replace(claim, refusal=f"{name}: {refusal}")
        return self._with_sides(replace(claim, recipe=recipe.name), recipe)

    def _choice(
        self, named: Recipe | None, name: str, megapixels: float
    ) -> tuple[Recipe | None, str]:
        """The recipe that takes a photograph, or why none does."""
        candidates = [named] if named else list(self._recipes.values())
        refusals = []
        for recipe in candidates:
            if recipe.photos == 2:
                refusals.append(f"{recipe.name}: it takes pairs, from its own folder only")
                continue
            why = recipe.takes(name, megapixels)
            if why is None:
                return recipe, ""
            refusals.append(f"{recipe.name}: {why}")
        return None, "no recipe matches. " + "; ".join(refusals)

    def _with_sides(self, claim: Claim, recipe: Recipe) -> Claim | None:
        """Add the side files that lie beside the photograph; None while one still arrives."""
        photo = claim.arrivals[0].path
        for role in recipe.companions:
            for path in _beside(photo, role):
                known = self._waiting.get(path)
                if known is None:
                    return None
                claim = (
                    replace(claim, mask=known.arrival)
                    if role == "mask"
                    else replace(claim, hints=known.arrival)
                )
        return claim

    def _pairs(self, members: Sequence[Arrival], recipe: Recipe) -> list[Claim]:
        """The complete pairs among the files of one folder."""
        claims = []
        left: list[Arrival] = []
        halves = {m.relative.stem.lower(): m for m in reversed(members) if _half(m)}
        taken: set[Path] = set()
        for member in members:
            half = _half(member)
            if half is None or half["half"].lower() not in _FIRST or member.path in taken:
                continue
            stem = member.relative.stem
            other = halves.get(f"{stem[:-1]}{_FIRST[half['half'].lower()]}".lower())
            if other is not None and other.path not in taken:
                taken |= {member.path, other.path}
                claims.append(self._pair(member, other, half["name"], recipe))
        left = [m for m in members if m.path not in taken]
        folder = members[0].path.parent
        own = folder != _top(members[0].folder, recipe)
        if own and len(left) == 2 and not taken and _pictures_in(folder) == 2:
            first, second = sorted(left, key=lambda m: m.relative.name.lower())
            claims.append(self._pair(first, second, folder.name, recipe))
        return claims

    def _pair(self, first: Arrival, second: Arrival, stem: str, recipe: Recipe) -> Claim:
        claim = Claim((first, second), recipe.name, stem)
        for arrival in (first, second):
            try:
                header = read_header(arrival.path, self._limits)
            except (PhotoError, OSError) as error:
                return replace(claim, refusal=str(error))
            refusal = recipe.takes(arrival.relative.name, header.megapixels)
            if refusal is not None:
                return replace(claim, refusal=f"{arrival.relative.name}: {refusal}")
        return claim

    def _why(self, arrival: Arrival) -> str:
        if _SIDE.match(arrival.relative.name):
            return "waits for the photograph it belongs to"
        recipe = self._recipe_of(arrival)
        if recipe is not None and recipe.photos == 2:
            return (
                "unpaired: waits for its other half (NAME-a with NAME-b, NAME_1 with NAME_2, "
                "or a sub-folder with exactly two pictures)"
            )
        return "waits for its side file to arrive"


def _half(arrival: Arrival) -> re.Match[str] | None:
    return _HALF.match(arrival.relative.stem)


def _top(folder: InboxFolder, recipe: Recipe) -> Path:
    return folder.path / recipe.name if folder.recipe is None else folder.path


def _beside(photo: Path, role: str) -> Iterable[Path]:
    """The side files of a role beside a photograph: NAME.mask.png or NAME.ext.mask.png."""
    for name in (f"{photo.stem}.{role}.png", f"{photo.name}.{role}.png"):
        path = photo.with_name(name)
        if path.is_file():
            yield path
            return


def _pictures_in(folder: Path) -> int:
    """How many files that are not ignored lie in a folder, settled or not."""
    try:
        return sum(p.is_file() and not is_ignored(p.name) for p in folder.iterdir())
    except OSError:
        return 0
