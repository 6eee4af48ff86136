"""Handles requests: each is carried out, refused with a reason, or waits."""

from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

import structlog

from daemon.bulk.manager import BulkManager
from daemon.bulk.submission import check_name, check_roots_again
from daemon.config.recipe import Recipe
from daemon.intake.again import Again, Choose
from daemon.intake.redo import Redo
from daemon.intake.requests import (
    AgainRequest,
    BulkSubmitRequest,
    ChooseRequest,
    PauseRequest,
    Pending,
    RedoRequest,
    ReloadRequest,
    RequestFolder,
    RequestState,
    ResumeRequest,
    RetryRequest,
)
from daemon.intake.retry import RetryTaker
from daemon.system.clock import is_over
from daemon.system.errors import LedgerError, UsageError

_log = structlog.get_logger()

_PRUNE_S = 3600.0
"""Seconds between looks for answers that are old enough to be removed."""


class RequestHandler:
    """Carries out requests; called by the loop in each of its turns."""

    def __init__(
        self,
        folder: RequestFolder,
        retry: RetryTaker,
        redo: Redo,
        bulk_manager: BulkManager,
        *,
        again: Again,
        choose: Choose,
        paused: Path,
        own_folders: Sequence[Path],
    ) -> None:
        """Handle the requests of one station.

        Args:
            folder: Where they lie.
            retry: Takes failed originals again.
            redo: Does finished jobs again.
            bulk_manager: Carries out bulk jobs.
            again: Restores photographs once more.
            choose: Sets aside results that were not chosen.
            paused: The file whose existence keeps every job from starting.
            own_folders: Folders that results are written into, which nobody may submit.
        """
        self._folder = folder
        self._retry = retry
        self._redo = redo
        self._bulk_manager = bulk_manager
        self._again = again
        self._choose = choose
        self._paused = paused
        self._own_folders = own_folders
        self._held_up: set[str] = set()
        self._prune_at = 0.0

    def waiting(self) -> bool:
        """Whether a request waits that the file system does not hold up."""
        return not self._folder.is_empty(but=self._held_up)

    def name_recipes(self) -> bool:
        """Whether a request waits for which somebody read the recipes as they are now."""
        kinds = RedoRequest | AgainRequest | ReloadRequest | BulkSubmitRequest
        return any(isinstance(one.request, kinds) for one in self._folder.pending())

    def take_pauses(self, now: float) -> None:
        """Pause and resume as asked; also while paused, when no other request is taken."""
        self._prune(now)  # before anything is answered: what is newer than `now` looks old
        for pending in self._folder.pending(self._held_up):
            if isinstance(pending.request, PauseRequest | ResumeRequest):
                self._handle(pending, (), now)

    def turn(self, recipes: Sequence[Recipe], now: float) -> bool:
        """Carry out what has been asked; of redo one request in a turn, since files are hashed.

        Args:
            recipes: The recipes as they are now.
            now: UTC seconds since the epoch.

        Returns:
            Whether more of it can follow at once.
        """
        self._prune(now)
        waiting = self._folder.pending(self._held_up)
        redo = [one for one in waiting if isinstance(one.request, RedoRequest)]
        chosen = self._folder.next_in_turn(redo) if redo else None
        more = len(redo) > 1
        for pending in waiting:
            if pending is chosen or not isinstance(pending.request, RedoRequest):
                more |= self._handle(pending, recipes, now)
        return more

    def _prune(self, now: float) -> None:
        """Remove old answers from time to time."""
        if is_over(self._prune_at, now, _PRUNE_S):
            self._folder.prune(now)
            self._prune_at = now + _PRUNE_S

    def _handle(self, pending: Pending, recipes: Sequence[Recipe], now: float) -> bool:
        """Carry out one request and answer it; says whether more of it follows."""
        self._held_up.discard(pending.id)
        try:
            state = self._carry_out(pending, recipes, now)
        except UsageError as error:
            self._folder.refuse(pending, str(error))
            return False
        except (OSError, LedgerError):  # the disk or the ledger is at fault: the turn is repeated
            raise
        except Exception as error:  # whatever it is, one request must not end the loop
            _log.exception("request_failed", request=pending.id, kind=pending.request.kind)
            self._folder.refuse(pending, f"the daemon failed at it: {error!r}")
            return False
        match state:
            case "done":
                self._folder.take(pending)
            case "held_up":
                self._held_up.add(pending.id)
            case "begun":
                return True
            case _:
                assert_never(state)
        return False

    def _carry_out(self, pending: Pending, recipes: Sequence[Recipe], now: float) -> RequestState:
        match pending.request:
            case RetryRequest() as request:
                self._retry.take(request)
            case RedoRequest() as request:
                self._redo.take(request, recipes, now)
            case AgainRequest() as request:
                self._again.take(request, recipes, now)
            case ChooseRequest() as request:
                self._choose.take(request)
            case ReloadRequest():
                pass  # the loop has read them before this turn
            case PauseRequest():
                self._paused.touch()
                _log.info("paused", request=pending.id)
            case ResumeRequest():
                self._paused.unlink(missing_ok=True)
                _log.info("resumed", request=pending.id)
            case BulkSubmitRequest() as request:
                check_name(request.name)
                roots = check_roots_again(self._own_folders, request.roots)
                checked = request.model_copy(update={"roots": roots})
                return self._bulk_manager.take(checked, pending.id, now)
            case request:
                return self._bulk_manager.take(request, pending.id, now)
        return "done"
