"""What programs send to the routes below /api/ and get from them; the OpenAPI page shows these."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from daemon.bulk.status import BulkStatus
from daemon.config.recipe import RECIPE_NAME
from daemon.service.status import (
    FailureStatus,
    HeldBackStatus,
    NotesStatus,
    NoticeStatus,
    RecipeStatus,
)
from daemon.web.jobs import MAX_PAGE

RecipeName = Annotated[str, Field(pattern=RECIPE_NAME)]
_MAX_TEXT = 4096


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Problem(_Frozen):
    """Why something was not done."""

    error: str


class Accepted(_Frozen):
    """The daemon was asked; `/api/requests/{id}` has its answer."""

    request: str


class Done(_Frozen):
    """It was done, in a few words."""

    done: str


class RequestAnswer(_Frozen):
    """What became of a request."""

    state: Literal["waiting", "taken", "refused"]
    reason: str = ""


class Health(_Frozen):
    """The page lives; `running` says whether a daemon is at work on its station."""

    version: str
    running: bool


class OpenQuery(_Sent):
    """Which of the jobs that have not ended."""

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50


class PageQuery(OpenQuery):
    """Which page of the jobs that have ended."""

    after: Annotated[str, Field(max_length=64)] = ""


class ResultsQuery(PageQuery):
    """Which results."""

    recipe: RecipeName | None = None
    bulk: Annotated[str, Field(max_length=100)] | None = None


class PictureQuery(_Sent):
    """Which part of a picture, as shares of it, and how large in pixels at most."""

    width: Annotated[int, Field(ge=16, le=2048)] = 512
    height: Annotated[int, Field(ge=16, le=2048)] = 512
    left: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.0
    top: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.0
    right: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 1.0
    bottom: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 1.0
    lossless: bool = False
    v: Annotated[str, Field(max_length=64)] = ""


class MarkQuery(_Sent):
    """Which side file is sent, and the recipe that reads it."""

    role: Literal["mask", "hints"]
    recipe: RecipeName


class NewUpload(_Sent):
    """A file that is about to be sent.

    Attributes:
        path: Its name, with folders before it where a whole folder is sent.
        bytes: Its size.
        recipe: Whose inbox it goes to; none: the daemon decides by what is seen.
    """

    path: Annotated[str, Field(min_length=1, max_length=_MAX_TEXT)]
    bytes: Annotated[int, Field(ge=1, le=2**53)]
    recipe: RecipeName | None = None


class UploadState(_Frozen):
    """How much of a file is there.

    Attributes:
        id: Where parts go: /api/uploads/{id}.
        received: Bytes that are there.
        bytes: Its size.
        part_bytes: Size of a part at most.
        name: Name that it got in the inbox; "" until it is whole.
    """

    id: str
    received: int
    bytes: int
    part_bytes: int
    name: str = ""


class PartQuery(_Sent):
    """Where a part of a file begins."""

    offset: Annotated[int, Field(ge=0, le=2**53)] = 0


class RecipeView(_Frozen):
    """A recipe.

    Attributes:
        name: Its name.
        about: What it does, in a line.
        steps: Its steps with the values that it sets.
        side_files: Side files that its steps read: `mask`, `hints`.
        photos: How many photographs one job takes.
        shipped: It came with the program, and was not changed here.
        source: Its file, as TOML.
    """

    name: str
    about: str
    steps: tuple[dict[str, Any], ...]
    side_files: tuple[str, ...]
    photos: int
    shipped: bool
    source: str = ""


class Recipes(_Frozen):
    """All recipes, by name; `problem` says why there are none if one of them is wrong."""

    recipes: tuple[RecipeView, ...]
    problem: str = ""


class RecipeSource(_Sent):
    """A recipe as TOML."""

    source: Annotated[str, Field(max_length=65536)]


class RecipeCheck(_Frozen):
    """What is wrong with a recipe; `error` is "" if nothing is."""

    error: str = ""
    name: str = ""


class NewBulk(_Sent):
    """Folders to be restored where they lie.

    Attributes:
        recipe: Name of the recipe.
        folders: Whole paths, below folders that the setting `web_roots` names.
        name: Name of the bulk job; "" makes one up.
    """

    recipe: RecipeName
    folders: Annotated[
        tuple[Annotated[str, Field(max_length=_MAX_TEXT)], ...], Field(min_length=1, max_length=100)
    ]
    name: Annotated[str, Field(max_length=100)] = ""


class Nothing(_Sent):
    """Nothing has to be said."""


class AgainBody(_Sent):
    """How to restore a photograph again.

    Attributes:
        recipe: Name of the recipe; none: the same.
        changes: Keys of its steps and their values, such as "denoise.realism=0.5".
    """

    recipe: RecipeName | None = None
    changes: Annotated[
        tuple[Annotated[str, Field(max_length=_MAX_TEXT)], ...], Field(max_length=16)
    ] = ()


class ChooseBody(_Sent):
    """Which results to set aside; none: all others of this photograph."""

    others: (
        Annotated[tuple[Annotated[int, Field(ge=1, le=2**63 - 1)], ...], Field(max_length=64)]
        | None
    ) = None


class BulkJobs(_Frozen):
    """Bulk jobs, the oldest first."""

    jobs: tuple[BulkStatus, ...]


class StationState(_Frozen):
    """The state of a station; the keys are those of `restored status --json`."""

    station: str
    paused: bool
    running: bool
    recipes: tuple[RecipeStatus, ...]
    held_back: tuple[HeldBackStatus, ...]
    problem: str | None
    failures: tuple[FailureStatus, ...]
    notices: tuple[NoticeStatus, ...]
    notes: NotesStatus
    bulk: tuple[BulkStatus, ...]
    models: tuple[str, ...]
    rate_per_h: float
    left_s: int | None
    opens: str | None
    inbox_counted: bool
