"""Sorts settled files into claims: which recipe takes them, what belongs together, what waits.

One folder is decided at a time, from its settled files that are not claimed yet. The folder is
listed; nothing on disk is changed. Where a header decides, the reader process is asked for it, and
the photograph waits for the answer.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import assert_never

from daemon.config.error_messages import suggestion
from daemon.config.matching import Route, plain_inbox_order, route_by_match, route_to
from daemon.config.recipe import Recipe
from daemon.config.station import Notice
from daemon.intake.arrivals import Arrival, Claim
from daemon.intake.file_reader import FileReads
from daemon.intake.reader_process import HeaderQuestion, HeaderRead, Refused, Vanished
from daemon.intake.routing import is_below_recipe, named_recipe
from daemon.intake.scanner import list_files
from daemon.intake.settled_files import SettledFile, SettledFolder
from daemon.jobs.companions import (
    WHAT_PAIRS_ARE,
    Companions,
    Pair,
    SideFiles,
    by_name,
    called_after,
    companion_of,
    half_of,
    misnamed_in_words,
    nearly_side_of,
    of_folder,
    side_name,
    side_of,
    stem_of,
)
from daemon.jobs.failure_reasons import is_reason_name
from daemon.photo.file_names import is_photo_name
from daemon.system.errors import PhotoError, photo_message
from daemon.system.files import shown

_MAX_AWAITED = 1024
"""Headers that are asked for and not read yet beyond which nothing more is sorted."""

_MAX_LOOKS = 4096
"""Files that wait of which one turn sees whether they have changed: 20 ms."""

_NO_PHOTO = "its name is not that of a photograph; it is left here"
_NO_PHOTO_BESIDE = "no photograph lies beside it; it follows its own once that is in the archive"
_WAITS_FOR_PHOTO = "waits for the photograph it belongs to, of the same name"
_RENAME = "Rename it, or move it away"
_UNPAIRED = "unpaired: waits for its other half"
_HEADER_AWAITED = "its header is being read"
_PAIRS_AWAITED = "waits until the headers of what lies beside it have been read"


class _AwaitedError(Exception):
    """The header that decides has not been read yet."""


class FolderSorter:
    """One decision about one folder: what is claimed is taken out of it.

    Attributes:
        vanished: Files that are gone, found when their header was read.
    """

    def __init__(
        self, folder: SettledFolder, recipes: Mapping[str, Recipe], reads: FileReads
    ) -> None:
        self.vanished: list[Path] = []
        self._folder = folder
        self._recipes = recipes
        self._reads = reads
        self._awaited: set[str] = set()
        self._claims: list[Claim] = []
        self._on_disk: tuple[SideFiles, Companions] | None = None
        self._companions_claimed: set[str] = set()
        self._photos_called: dict[str, list[str]] = {}
        for name in folder.files:
            if side_of(name) is None and not self._is_stranger(name, None):
                for called in called_after(name):
                    self._photos_called.setdefault(called, []).append(name)

    def claims(self) -> list[Claim]:
        """Decide once; what is left in the folder waits, and `why` says for what."""
        folder = self._folder
        for name in [n for n, h in folder.files.items() if not (h.fresh or h.is_unchanged())]:
            del folder.files[name]
        routes = {name: self._route(name) for name in sorted(folder.files)}
        folder.stale = False  # answers that came while it was asked are taken into account
        pairs: dict[str, list[str]] = {}
        for name, route in routes.items():
            if route is None:
                continue
            recipe = route.recipe
            if recipe is not None and recipe.photos > 1 and not route.refusal:
                pairs.setdefault(recipe.name, []).append(name)
            else:
                self._claim_with_sides((name,), route, stem_of(name))
        awaited = {named_recipe(folder.files[n].arrival, self._recipes) for n in self._awaited}
        for recipe_name, names in pairs.items():
            if recipe_name in awaited:
                self._wait(tuple(names), _PAIRS_AWAITED)
            else:
                self._pair_up(names, self._recipes[recipe_name])
        return self._claims

    def _route(self, name: str) -> Route | None:
        """The route of a photograph; None for what waits, as every side file does."""
        file = self._folder.files.get(name)
        if file is None:  # it vanished while its side file was looked at
            return None
        asked = named_recipe(file.arrival, self._recipes)
        recipe = self._recipes.get(asked) if asked is not None else None
        file.stuck = asked is not None and recipe is None
        if asked is not None and recipe is None:
            known = ", ".join(sorted(self._recipes))
            meant = suggestion(asked, list(self._recipes))
            file.why = (
                f"no recipe is named {shown(asked)!r}{meant}; there are {known}; "
                "a new recipe counts from SIGHUP or the next start on"
            )
            return None
        if self._is_stranger(name, recipe):
            self._say_of_stranger(name, file)
            return None
        if self._is_side(name, recipe):
            file.why = _WAITS_FOR_PHOTO
            return None
        if (question := self._misnamed_side(name, recipe)) is not None:
            file.why = question
            return None
        label = shown(file.arrival.relative)
        try:
            if recipe is not None:
                return route_to(recipe, name, lambda: self._megapixels(file), label)
            return route_by_match(name, lambda: self._megapixels(file), self._recipes, label)
        except PhotoError as error:
            why = photo_message(error.photo, error.why, "")
            return Route(recipe, why, error.remedy)
        except FileNotFoundError:
            del self._folder.files[name]
            self.vanished.append(file.arrival.path)
            return None
        except _AwaitedError:
            file.why = _HEADER_AWAITED
            self._awaited.add(name)
            return None

    def _is_stranger(self, name: str, recipe: Recipe | None) -> bool:
        """Whether neither the name is a photograph's nor a recipe reads files that end like it."""
        if is_photo_name(name):
            return False
        recipes = plain_inbox_order(self._recipes.values()) if recipe is None else (recipe,)
        return not any(name.lower().endswith(each.suffixes) for each in recipes)

    def _say_of_stranger(self, name: str, file: SettledFile) -> None:
        """Say what a companion waits for, or that a file is no photograph."""
        photo = companion_of(name)
        if photo is not None and photo in self._photos_called:
            file.why = _WAITS_FOR_PHOTO
        else:
            kept = file.arrival.folder.originals == "archive" and not is_reason_name(name)
            strays = photo is not None and kept
            file.why, file.stuck = (_NO_PHOTO_BESIDE, False) if strays else (_NO_PHOTO, True)
        if photo is not None and file.arrival.folder.originals == "leave":
            file.fresh = False  # it stays beside its photograph, and nothing is to be said of it

    def _megapixels(self, file: SettledFile) -> float:
        """Size of a photograph by its header.

        Raises:
            PhotoError: It is no photograph that can be read.
            FileNotFoundError: It is gone.
            _AwaitedError: The answer has not come yet.
        """
        if not file.asked:
            file.asked = True
            self._folder.awaited += 1
            question = HeaderQuestion(Path(file.path), file.arrival.relative, self._folder.root)
            self._reads.ask(question, partial(self._folder.header_read, file))
        match file.header:
            case HeaderRead():
                return file.header.header.megapixels
            case Refused():
                raise PhotoError("", file.header.why, file.header.remedy)
            case Vanished():
                raise FileNotFoundError(file.path)
            case None:
                raise _AwaitedError
            case _:
                assert_never(file.header)

    def _is_side(self, name: str, recipe: Recipe | None) -> bool:
        """Whether a file is a side file rather than a photograph."""
        side = side_of(name)
        if side is None:
            return False
        if recipe is not None:
            return side.role in recipe.side_files
        if not any(side.role in r.side_files for r in self._recipes.values() if r.photos == 1):
            return False
        photos = self._photos_called.get(side.photo, [])
        found = [self._route(photo) for photo in photos if photo in self._folder.files]
        routes = [route for route in found if route is not None]
        if not self._awaited.isdisjoint(photos):
            return True  # it stays with its photograph until that is decided
        return not photos or any(side.role in route.side_files for route in routes)

    def _misnamed_side(self, name: str, recipe: Recipe | None) -> str | None:
        """What to say of a file that was probably meant as a side file; None of all others."""
        meant = nearly_side_of(name)
        if meant is None:
            return None
        for photo in filter(is_photo_name, self._list()):
            if photo == name or meant.photo not in called_after(photo):
                continue
            if self._beside()[0].misnamed(photo, meant.role) != name:
                continue
            readers: Iterable[Recipe | Route | None] = (recipe,)
            if recipe is None:  # one that is still arriving has no route yet
                settled = photo in self._folder.files
                readers = (self._route(photo),) if settled else self._recipes.values()
            if any(each is not None and meant.role in each.side_files for each in readers):
                return f"did you mean {shown(side_name(photo, meant.role))}? {_RENAME}"
        return None

    def _claim_with_sides(self, names: tuple[str, ...], route: Route, stem: str) -> None:
        """Claim photographs with the side files of the first, unless one has not settled yet."""
        sides: dict[str, str] = {}
        for role in route.side_files:
            side = self._side_on_disk(names[0], role)
            if side is not None and side not in self._folder.files:
                self._wait(names, f"waits for {shown(side)}, which is still arriving")
                self._folder.stale = True  # it may vanish, and no arrival would tell
                return
            if side is not None:
                sides[role] = side
                continue
            misnamed = self._beside()[0].misnamed(names[0], role)
            if misnamed is not None and not route.refusal:
                self._wait(names, f"{misnamed_in_words(misnamed, names[0], role)} {_RENAME}")
                self._folder.stale |= misnamed not in self._folder.files
                return
        if route.needs_mask and "mask" not in sides:
            mask = shown(side_name(names[0], "mask"))
            self._wait(names, f"waits for {mask}, which must be white where the picture is lost")
            return
        companions = self._companions_on_disk(names)
        arriving = next((name for name in companions if name not in self._folder.files), None)
        if arriving is not None:
            self._wait(names, f"waits for {shown(arriving)}, which is still arriving")
            self._folder.stale = True
            return
        self._claim(names, route, stem, sides, companions)

    def _pair_up(self, names: list[str], recipe: Recipe) -> None:
        """Claim the pairs among photographs; the others wait."""
        paired: set[str] = set()
        for pair in by_name(names):
            self._claim_with_sides((pair.first, pair.second), Route(recipe), pair.stem)
            paired |= {pair.first, pair.second}
        names = [name for name in names if name not in paired]
        for name in names:
            half = half_of(name)
            said = f"{shown(half.other)} with any suffix" if half else WHAT_PAIRS_ARE
            self._wait((name,), f"{_UNPAIRED} ({said})")
        below = any(is_below_recipe(self._folder.files[name].arrival) for name in names)
        if below and not any(map(half_of, names)):
            self._pair_of_folder(names, recipe)

    def _pair_of_folder(self, names: list[str], recipe: Recipe) -> None:
        """Claim two photographs that are alone in a sub-folder once nothing else arrives there."""
        pair: Pair | None = of_folder(names, PurePath(self._folder.path).name)
        if pair is None:
            number = "" if len(names) < 2 else f"; {len(names)} pictures lie beside each other here"
            self._wait(tuple(names), f"{_UNPAIRED} ({WHAT_PAIRS_ARE}{number})")
            return
        arriving = self._arriving()
        if arriving is not None:
            self._wait(tuple(names), f"waits for {shown(arriving)}, which is still arriving")
            self._folder.stale = True
            return
        self._claim_with_sides((pair.first, pair.second), Route(recipe), pair.stem)

    def _claim(
        self,
        names: tuple[str, ...],
        route: Route,
        stem: str,
        sides: Mapping[str, str] | None = None,
        companions: Sequence[str] = (),
    ) -> None:
        recipe = route.recipe
        files, sides = self._folder.files, sides or {}
        all_names = (*names, *sides.values(), *companions)
        if not any(files[name].fresh for name in all_names):
            return
        photos = tuple(files[name].arrival for name in names)
        found = {role: files[name].arrival for role, name in sides.items()}
        self._claims.append(
            Claim(
                photos,
                recipe.name if recipe is not None else "",
                stem,
                mask=found.get("mask"),
                hints=found.get("hints"),
                companions=tuple(files[name].arrival for name in companions),
                refusal=route.refusal,
                remedy=route.remedy,
            )
        )
        self._companions_claimed |= set(companions)
        together = len(all_names) > 1 or (recipe is not None and recipe.photos > 1)
        for name in all_names:
            if together and photos[0].folder.originals == "leave":
                files[name].fresh = False  # it stays, and may be needed beside a new version
            else:
                del files[name]

    def _wait(self, names: tuple[str, ...], why: str) -> None:
        for name in names:
            self._folder.files[name].why = why

    def _side_on_disk(self, photo: str, role: str) -> str | None:
        """Name of a photograph's side file in the folder, whether it has settled or not."""
        return self._beside()[0].of(photo, role)

    def _companions_on_disk(self, photos: Sequence[str]) -> list[str]:
        """Names of the companions that are to be taken along, whether they have settled or not.

        An empty one never settles. Where originals are removed, companions are not: what they hold
        is in no result.
        """
        if self._folder.files[photos[0]].arrival.folder.originals != "archive":
            return []
        beside = self._beside()[1]
        found = dict.fromkeys(name for photo in photos for name in beside.of(photo))
        return [
            name
            for name in found
            if name not in self._companions_claimed
            and (name in self._folder.files or _size(f"{self._folder.path}/{name}"))
        ]

    def _beside(self) -> tuple[SideFiles, Companions]:
        """The side files and companions in the folder, which is listed once."""
        if self._on_disk is None:
            names = self._list()
            self._on_disk = SideFiles(names), Companions(names)
        return self._on_disk

    def _list(self) -> tuple[str, ...]:
        """Names of the files in the folder."""
        root = str(self._folder.root)
        return list_files(root, self._folder.path[len(root) + 1 :])

    def _arriving(self) -> str | None:
        """Name of some file in the folder that has not settled yet."""
        names = self._list()
        return next((name for name in names if name not in self._folder.files), None)


def _size(path: str) -> int:
    """Size of a file in bytes; 0 if it is gone."""
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


@dataclass(frozen=True)
class Decision:
    """A decision about the settled files.

    Attributes:
        claims: What to claim; no file is in two of them.
        again: Files that changed or vanished while they waited; the inbox must look at them again.
    """

    claims: tuple[Claim, ...]
    again: tuple[Path, ...]


class Sorter:
    """Keeps the settled files of all inboxes and sorts them into claims; used by one thread."""

    def __init__(
        self,
        recipes: Sequence[Recipe],
        *,
        reads: FileReads,
        pair_wait_s: float,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Start without files.

        Args:
            recipes: The recipes to choose from.
            reads: Reads headers.
            pair_wait_s: `waiting` names files that wait longer than this, in seconds.
            wall: Returns UTC seconds since the epoch.
        """
        self._reads = reads
        self._pair_wait_s = pair_wait_s
        self._wall = wall
        self._folders: dict[str, SettledFolder] = {}
        self._to_look_at: list[tuple[SettledFolder, str]] = []
        self._recipes: dict[str, Recipe] = {}
        self.set_recipes(recipes)

    @property
    def is_full(self) -> bool:
        """Whether nothing more is to be sorted until some of the headers asked for are there.

        A folder is decided as a whole, so each file that waits there costs time in every turn.
        """
        return sum(folder.awaited for folder in self._folders.values()) >= _MAX_AWAITED

    def set_recipes(self, recipes: Sequence[Recipe]) -> None:
        """Use other recipes from now on; what waits is decided anew."""
        self._recipes = {recipe.name: recipe for recipe in recipes}
        for folder in self._folders.values():
            folder.stale = True

    def sort(self, arrivals: Sequence[Arrival], now: float) -> Decision:
        """Sort new arrivals, and what waits, into claims.

        Call it without arrivals, too, from time to time: what a photograph waits for may vanish.

        Args:
            arrivals: Files that have just settled.
            now: Monotonic seconds.
        """
        again = self._forget_changed()
        utc = self._wall()
        for arrival in arrivals:
            path = str(arrival.path)
            above, _, name = path.rpartition("/")
            folder = self._folders.setdefault(above, SettledFolder(above, arrival.folder.path))
            folder.files[name] = SettledFile(arrival, path, now, utc)
            folder.stale = True
        claims: list[Claim] = []
        for folder in [folder for folder in self._folders.values() if folder.stale]:
            decided = FolderSorter(folder, self._recipes, self._reads)
            claims += decided.claims()
            again += decided.vanished
            if not folder.files:
                del self._folders[folder.path]
        return Decision(tuple(claims), tuple(again))

    def waiting(self, now: float, *, at_once: bool = False) -> tuple[Notice, ...]:
        """The files that wait, each with what it waits for.

        Args:
            now: Monotonic seconds.
            at_once: Include files that have waited less than `pair_wait_s` and may still go on.
        """
        return tuple(
            Notice(file.arrival.path, file.why, file.since_utc)
            for folder in self._folders.values()
            for file in folder.files.values()
            if file.fresh and (at_once or file.stuck or now - file.since_s >= self._pair_wait_s)
        )

    def strays(self, now: float, *, at_once: bool = False) -> list[Arrival]:
        """Companions that lie in an inbox without their photographs.

        Args:
            now: Monotonic seconds.
            at_once: Include those that have waited less than `pair_wait_s`.
        """
        return [
            file.arrival
            for folder in self._folders.values()
            for file in folder.files.values()
            if file.why == _NO_PHOTO_BESIDE and (at_once or now - file.since_s >= self._pair_wait_s)
        ]

    def forget(self, arrivals: Iterable[Arrival]) -> None:
        """Forget files that somebody has taken out of the inbox."""
        for arrival in arrivals:
            folder = self._folders.get(str(arrival.path.parent))
            if folder is not None:
                folder.files.pop(arrival.path.name, None)

    def _forget_changed(self) -> list[Path]:
        """Forget files that changed while they wait; of very many some are looked at in a turn."""
        if not self._to_look_at:
            self._to_look_at = [
                (folder, name)
                for folder in self._folders.values()
                for name, file in folder.files.items()
                if file.fresh
            ]
        again: list[Path] = []
        for folder, name in self._to_look_at[-_MAX_LOOKS:]:
            file = folder.files.get(name)
            if file is not None and file.fresh and not file.is_unchanged():
                del folder.files[name]
                folder.stale = True
                again.append(file.arrival.path)
        del self._to_look_at[-_MAX_LOOKS:]
        return again
