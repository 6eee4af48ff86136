"""The routes below /api/: what pages show and do, for programs.

`API` is the table of them; `openapi` describes it and `app` serves it.
"""

import hashlib
import json
from typing import Any

from starlette.responses import Response

from daemon import __version__
from daemon.bulk.status import read_bulk
from daemon.config.recipe import recipe_named, schema
from daemon.config.station_setup import known_recipes
from daemon.intake.requests import (
    AgainRequest,
    ChooseRequest,
    answer_to,
    leave,
)
from daemon.service.startup import is_daemon_running
from daemon.service.status import read_status
from daemon.system.errors import UsageError
from daemon.web import actions, recipe_files
from daemon.web.api_models import (
    Accepted,
    AgainBody,
    BulkJobs,
    ChooseBody,
    Done,
    Health,
    MarkQuery,
    NewBulk,
    NewUpload,
    Nothing,
    OpenQuery,
    PageQuery,
    PartQuery,
    PictureQuery,
    RecipeCheck,
    Recipes,
    RecipeSource,
    RecipeView,
    RequestAnswer,
    ResultsQuery,
    StationState,
    UploadState,
)
from daemon.web.downloads import download
from daemon.web.jobs import (
    JobDetails,
    JobPage,
    JobReader,
    NotFoundError,
    reading_jobs,
    version_of,
)
from daemon.web.marking import restore_marked
from daemon.web.picture_questions import Drawn, PictureQuestion
from daemon.web.routing import ApiRoute, Call
from daemon.web.uploads import PART_BYTES, Upload

PICTURES = ("image/jpeg", "image/png")
_FOREVER = "private, max-age=31536000, immutable"


def health(call: Call) -> Health:
    """Say that the page lives."""
    return Health(version=__version__, running=is_daemon_running(call.site.station))


def station_state(call: Call) -> StationState:
    """The state of the station, as `restored status --json` has it."""
    return StationState.model_validate(read_status(call.site.station), from_attributes=True)


def open_page(call: Call) -> JobPage:
    """Jobs that have not ended."""
    with reading_or_nothing(call) as jobs:
        return JobPage(jobs=()) if jobs is None else jobs.open_page(call.query.limit)


def results_page(call: Call) -> JobPage:
    """Jobs with a result."""
    asked: ResultsQuery = call.query
    with reading_or_nothing(call) as jobs:
        if jobs is None:
            return JobPage(jobs=())
        return jobs.done_page(asked.limit, asked.after, recipe=asked.recipe, bulk=asked.bulk)


def failures_page(call: Call) -> JobPage:
    """Photographs in failed/."""
    with reading_or_nothing(call) as jobs:
        if jobs is None:
            return JobPage(jobs=())
        return jobs.failed_page(call.query.limit, call.query.after)


def job(call: Call) -> JobDetails:
    """One job."""
    with reading_jobs(call.site.station) as jobs:
        return jobs.details(call.path["row"], call.language)


def picture(call: Call) -> Response:
    """A part of a picture, as a browser shows it."""
    asked: PictureQuery = call.query
    with reading_jobs(call.site.station) as jobs:
        file = jobs.picture(call.path["row"], call.path["role"])
    if asked.left >= asked.right or asked.top >= asked.bottom:
        raise UsageError("left must be less than right, and top less than bottom")
    question = PictureQuestion(
        file.path,
        file.name,
        file.beneath,
        version_of(file.path),
        (asked.left, asked.top, asked.right, asked.bottom),
        (asked.width, asked.height),
        asked.lossless,
    )
    drawn = call.site.pictures.draw(question)
    if not isinstance(drawn, Drawn):
        raise NotFoundError(drawn.why)
    headers = {
        "cache-control": _FOREVER if asked.v else "private, max-age=5",
        "x-picture-size": f"{drawn.width}x{drawn.height}",
        "etag": f'"{hashlib.sha256(drawn.data).hexdigest()[:32]}"',
    }
    return Response(drawn.data, 200, headers, drawn.media_type)


def file(call: Call) -> Response:
    """A picture's file, as it lies on the disk."""
    with reading_jobs(call.site.station) as jobs:
        return download(jobs.picture(call.path["row"], call.path["role"]))


def retry(call: Call) -> Done:
    """Put a failed photograph back."""
    site = call.site
    return Done(done=actions.retry_job(site.station, site.settings, call.path["row"]))


def retry_all(call: Call) -> Done:
    """Put all failed photographs back."""
    number = actions.retry_all(call.site.station, call.site.settings)
    return Done(done=f"{number} put back")


def again(call: Call) -> Accepted:
    """Restore a photograph once more."""
    body: AgainBody = call.body
    with reading_jobs(call.site.station) as jobs:
        jobs.job(call.path["row"])
    request = AgainRequest(row=call.path["row"], recipe=body.recipe, changes=body.changes)
    return Accepted(request=leave(call.site.station, request))


def mark(call: Call) -> Done:
    """Restore a photograph with a mask or hints that somebody painted."""
    asked: MarkQuery = call.query
    row: int = call.path["row"]
    return Done(done=restore_marked(call.site, row, asked.role, asked.recipe, call.body))


def choose(call: Call) -> Accepted:
    """Keep one result of a photograph."""
    row: int = call.path["row"]
    body: ChooseBody = call.body
    with reading_jobs(call.site.station) as jobs:
        jobs.job(row)
        others = body.others
        if others is None:
            others = tuple(one.row for one in jobs.details(row, call.language).versions)
    return Accepted(request=leave(call.site.station, ChooseRequest(row=row, others=others)))


def request_answer(call: Call) -> RequestAnswer:
    """What the daemon said to a request."""
    request_id: str = call.path["id"]
    if not _is_request_id(request_id):
        raise NotFoundError("no request has this id")
    answer = answer_to(call.site.station, request_id)
    if answer is not None:
        return RequestAnswer(state=answer.state, reason=answer.reason)
    if not (call.site.station.requests / f"{request_id}.json").exists():
        raise NotFoundError("no request has this id, or its answer was removed after a week")
    return RequestAnswer(state="waiting")


def pause(call: Call) -> Accepted:
    """Start no more jobs."""
    return Accepted(request=actions.pause(call.site.station, paused=True))


def resume(call: Call) -> Accepted:
    """Start jobs again."""
    return Accepted(request=actions.pause(call.site.station, paused=False))


def begin_upload(call: Call) -> UploadState:
    """Begin to send a file."""
    body: NewUpload = call.body
    recipe = None
    if body.recipe is not None:
        recipe = recipe_named(body.recipe, known_recipes(call.site.station))
    return _upload_state(call.site.uploads.begin(recipe, body.path, body.bytes, call.visitor))


def add_part(call: Call) -> UploadState:
    """Send a part of a file."""
    upload = call.site.uploads.find(call.path["id"])
    if len(call.body) > PART_BYTES:
        raise UsageError(f"a part has at most {PART_BYTES} bytes")
    name = call.site.uploads.add(upload.id, call.query.offset, call.body)
    return _upload_state(upload, name or "")


def upload_state(call: Call) -> UploadState:
    """How much of a file is there."""
    return _upload_state(call.site.uploads.find(call.path["id"]))


def cancel_upload(call: Call) -> Done:
    """Give up a file."""
    call.site.uploads.cancel(call.path["id"])
    return Done(done="given up")


def recipes(call: Call) -> Recipes:
    """All recipes."""
    return recipe_files.list_recipes(call.site.station)


def recipe(call: Call) -> RecipeView:
    """One recipe with its file."""
    return recipe_files.show_recipe(call.site.station, call.path["name"])


def check_recipe(call: Call) -> RecipeCheck:
    """Say what is wrong with a recipe."""
    try:
        found = recipe_files.check_recipe(call.site.settings, call.path["name"], call.body.source)
    except UsageError as error:
        return RecipeCheck(error=str(error))
    return RecipeCheck(name=found.name)


def save_recipe(call: Call) -> Accepted:
    """Save a recipe."""
    site = call.site
    request = recipe_files.save_recipe(
        site.station, site.settings, call.path["name"], call.body.source
    )
    return Accepted(request=request)


def remove_recipe(call: Call) -> Accepted:
    """Remove one of the station's own recipes."""
    return Accepted(request=recipe_files.remove_recipe(call.site.station, call.path["name"]))


def recipe_schema(call: Call) -> Response:
    """JSON Schema of a recipe."""
    return Response(json.dumps(schema()), media_type="application/schema+json")


def bulk_jobs(call: Call) -> BulkJobs:
    """All bulk jobs."""
    return BulkJobs(jobs=read_bulk(call.site.station))


def submit_bulk(call: Call) -> Accepted:
    """Submit folders."""
    body: NewBulk = call.body
    site = call.site
    request = actions.submit_bulk(site.station, site.settings, body.name, body.recipe, body.folders)
    return Accepted(request=request)


def bulk_job(call: Call) -> BulkJobs:
    """One bulk job."""
    for one in read_bulk(call.site.station):
        if one.name == call.path["name"]:
            return BulkJobs(jobs=(one,))
    raise NotFoundError("no bulk job is called so")


def control_bulk(call: Call) -> Accepted:
    """Pause, resume, cancel or retry a bulk job."""
    name, action = call.path["name"], call.path["action"]
    return Accepted(request=actions.control_bulk(call.site.station, name, action))


def reading_or_nothing(call: Call) -> "_MaybeReading":
    """Read jobs; nothing where no daemon has run yet."""
    return _MaybeReading(call)


class _MaybeReading:
    def __init__(self, call: Call) -> None:
        self._reading = (
            reading_jobs(call.site.station) if call.site.station.ledger.exists() else None
        )

    def __enter__(self) -> JobReader | None:
        return None if self._reading is None else self._reading.__enter__()

    def __exit__(self, *error: Any) -> None:  # noqa: ANN401
        if self._reading is not None:
            self._reading.__exit__(*error)


def _upload_state(upload: Upload, name: str = "") -> UploadState:
    return UploadState(
        id=upload.id,
        received=upload.received_bytes,
        bytes=upload.size_bytes,
        part_bytes=PART_BYTES,
        name=name,
    )


def _is_request_id(text: str) -> bool:
    at, _, rest = text.partition("-")
    return len(text) == 37 and at.isdigit() and all(sign in "0123456789abcdef" for sign in rest)


_JOB = "/api/jobs/{row:int}"
API = (
    ApiRoute(
        "GET",
        "/api/health",
        "Whether the page and a daemon are at work",
        health,
        Health,
        tag="station",
    ),
    ApiRoute(
        "GET", "/api/state", "The state of the station", station_state, StationState, tag="station"
    ),
    ApiRoute(
        "POST", "/api/pause", "Start no more jobs", pause, Accepted, body=Nothing, tag="station"
    ),
    ApiRoute(
        "POST", "/api/resume", "Start jobs again", resume, Accepted, body=Nothing, tag="station"
    ),
    ApiRoute(
        "GET",
        "/api/requests/{id}",
        "What the daemon said to a request",
        request_answer,
        RequestAnswer,
        errors=(404,),
        tag="station",
    ),
    ApiRoute(
        "GET", "/api/jobs", "Jobs that have not ended", open_page, JobPage, OpenQuery, tag="jobs"
    ),
    ApiRoute(
        "GET",
        "/api/results",
        "Jobs with a result, the latest first",
        results_page,
        JobPage,
        ResultsQuery,
        tag="jobs",
    ),
    ApiRoute(
        "GET",
        "/api/failures",
        "Photographs that failed, the latest first",
        failures_page,
        JobPage,
        PageQuery,
        tag="jobs",
    ),
    ApiRoute(
        "POST",
        "/api/failures/retry",
        "Put all failed photographs back into their inboxes",
        retry_all,
        Done,
        body=Nothing,
        errors=(403,),
        tag="jobs",
    ),
    ApiRoute("GET", _JOB, "One job with its record", job, JobDetails, errors=(404,), tag="jobs"),
    ApiRoute(
        "GET",
        _JOB + "/pictures/{role}",
        "A part of a picture, to be looked at",
        picture,
        query=PictureQuery,
        media=PICTURES,
        errors=(404,),
        tag="jobs",
    ),
    ApiRoute(
        "GET",
        _JOB + "/files/{role}",
        "A picture's file",
        file,
        media=("application/octet-stream", "image/*"),
        errors=(404,),
        tag="jobs",
    ),
    ApiRoute(
        "POST",
        _JOB + "/retry",
        "Put a failed photograph back into its inbox",
        retry,
        Done,
        body=Nothing,
        errors=(403, 404),
        tag="jobs",
    ),
    ApiRoute(
        "POST",
        _JOB + "/again",
        "Restore a photograph again, with other values",
        again,
        Accepted,
        body=AgainBody,
        errors=(404,),
        tag="jobs",
    ),
    ApiRoute(
        "POST",
        _JOB + "/mark",
        "Restore a photograph with a mask or hints (PNG)",
        mark,
        Done,
        MarkQuery,
        bytes,
        errors=(404, 429, 507),
        tag="jobs",
    ),
    ApiRoute(
        "POST",
        _JOB + "/choose",
        "Keep this result and set the others aside",
        choose,
        Accepted,
        body=ChooseBody,
        errors=(404,),
        tag="jobs",
    ),
    ApiRoute(
        "POST",
        "/api/uploads",
        "Begin to send a photograph",
        begin_upload,
        UploadState,
        body=NewUpload,
        errors=(413, 429, 507),
        tag="uploads",
    ),
    ApiRoute(
        "GET",
        "/api/uploads/{id}",
        "How much of a file is there",
        upload_state,
        UploadState,
        errors=(404,),
        tag="uploads",
    ),
    ApiRoute(
        "PUT",
        "/api/uploads/{id}",
        "Send a part of a file",
        add_part,
        UploadState,
        PartQuery,
        bytes,
        errors=(404, 409, 413),
        tag="uploads",
    ),
    ApiRoute("DELETE", "/api/uploads/{id}", "Give up a file", cancel_upload, Done, tag="uploads"),
    ApiRoute("GET", "/api/recipes", "All recipes", recipes, Recipes, tag="recipes"),
    ApiRoute(
        "GET",
        "/api/recipes/{name}",
        "One recipe with its file",
        recipe,
        RecipeView,
        errors=(404,),
        tag="recipes",
    ),
    ApiRoute(
        "PUT",
        "/api/recipes/{name}",
        "Save a recipe",
        save_recipe,
        Accepted,
        body=RecipeSource,
        errors=(403,),
        tag="recipes",
    ),
    ApiRoute(
        "DELETE",
        "/api/recipes/{name}",
        "Remove one of the station's own recipes",
        remove_recipe,
        Accepted,
        errors=(403, 404),
        tag="recipes",
    ),
    ApiRoute(
        "POST",
        "/api/recipes/{name}/check",
        "Say what is wrong with a recipe",
        check_recipe,
        RecipeCheck,
        body=RecipeSource,
        tag="recipes",
    ),
    ApiRoute(
        "GET",
        "/api/schema/recipe",
        "JSON Schema of a recipe",
        recipe_schema,
        media=("application/schema+json",),
        tag="recipes",
    ),
    ApiRoute("GET", "/api/bulk", "All bulk jobs", bulk_jobs, BulkJobs, tag="bulk"),
    ApiRoute(
        "POST",
        "/api/bulk",
        "Submit folders as a bulk job",
        submit_bulk,
        Accepted,
        body=NewBulk,
        tag="bulk",
    ),
    ApiRoute(
        "GET", "/api/bulk/{name}", "One bulk job", bulk_job, BulkJobs, errors=(404,), tag="bulk"
    ),
    ApiRoute(
        "POST",
        "/api/bulk/{name}/{action}",
        "Pause, resume, cancel or retry a bulk job",
        control_bulk,
        Accepted,
        body=Nothing,
        errors=(404,),
        tag="bulk",
    ),
)
"""Every route but the stream of events."""
