"""What forms of the pages send: each is done, and the browser goes on to a page that shows it.

A form carries the session's token; scripts use the API instead.
"""

import hmac
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from daemon.config.recipe import recipe_named
from daemon.config.station_setup import known_recipes
from daemon.intake.requests import AgainRequest, ChooseRequest, leave
from daemon.system.errors import UsageError
from daemon.web import actions, recipe_files
from daemon.web.guard import CSRF_FIELD, session_cookie, visit_of
from daemon.web.jobs import reading_jobs
from daemon.web.language import languages
from daemon.web.rate_limits import RateLimit
from daemon.web.rendering import page
from daemon.web.routing import status_of
from daemon.web.site import LANGUAGE_COOKIE, language_of, site_of
from daemon.web.strengths import strengths_of, sweep_changes
from daemon.web.uploads import PART_BYTES, UploadRefusedError

_MAX_FIELDS = 100
_MAX_FILES = 500
_SEEDS = 4
"""Results with other noise that are asked for at once."""

_wrong_tokens = RateLimit(10, 0.1, time.monotonic)

Handler = Callable[[Request, FormData], Awaitable[str] | str]
"""Does what a form asks for, and returns the address of the page that shows it."""


class ForgedFormError(UsageError):
    """A form without the session's token: another site may have sent it."""


async def form_of(request: Request) -> FormData:
    """The form of a request, whose token is right.

    Raises:
        ForgedFormError: It is not.
    """
    form = await request.form(max_fields=_MAX_FIELDS, max_files=_MAX_FILES)
    said = form.get(CSRF_FIELD)
    if not isinstance(said, str) or not hmac.compare_digest(
        said.encode(), visit_of(request).session.csrf.encode()
    ):
        await form.close()
        raise ForgedFormError("this page is too old; go back, load it again, and try once more")
    return form


def _form(path: str, handler: Handler) -> Route:
    async def endpoint(request: Request) -> Response:
        try:
            form = await form_of(request)
            try:
                found = handler(request, form)
                where = found if isinstance(found, str) else await found
            finally:
                await form.close()
        except ForgedFormError as error:
            return page(request, "error.html", {"status": 403, "why": str(error)}, 403)
        except Exception as error:
            status, why = status_of(error)
            if status == 500:
                raise
            return page(request, "error.html", {"status": status, "why": why}, status)
        return RedirectResponse(where, 303)

    return Route(path, endpoint, methods=["POST"])


async def _retry(request: Request, form: FormData) -> str:
    site, row = site_of(request), int(request.path_params["row"])
    await run_in_threadpool(actions.retry_job, site.station, site.settings, row)
    return "/failed?said=retried"


async def _retry_all(request: Request, form: FormData) -> str:
    site = site_of(request)
    await run_in_threadpool(actions.retry_all, site.station, site.settings)
    return "/failed?said=retried"


async def _again(request: Request, form: FormData) -> str:
    """Restore again: with another recipe, another strength, several strengths or several seeds."""
    row = int(request.path_params["row"])
    await run_in_threadpool(_leave_again, request, row, dict(form))
    return f"/jobs/{row}?said=asked"


def _leave_again(request: Request, row: int, said: Mapping[str, object]) -> None:
    site = site_of(request)
    with reading_jobs(site.station) as jobs:
        entry = jobs.job(row).entry
    name = str(said.get("recipe") or entry.recipe)
    recipe = recipe_named(name, known_recipes(site.station))
    changes: list[list[str]] = [[]]
    strengths = {one.path: one for one in strengths_of(recipe)}
    match said.get("how"):
        case "strength":
            one = strengths.get(str(said.get("key")))
            if one is None:
                raise UsageError("this recipe has no such strength")
            changes = [[f"{one.path}={_number(said.get('value')):g}"]]
        case "sweep":
            one = strengths.get(str(said.get("key")))
            if one is None:
                raise UsageError("this recipe has no such strength")
            changes = [[change] for change in sweep_changes(one)]
        case "seeds":
            start = int(time.time()) % 1_000_000
            seeds = range(start, start + _SEEDS)
            steps = range(len(recipe.steps))
            changes = [[f"{index}.seed={seed}" for index in steps] for seed in seeds]
    for one_change in changes:
        leave(site.station, AgainRequest(row=row, recipe=recipe.name, changes=tuple(one_change)))


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError as error:
        raise UsageError(f"{str(value)[:40]!r} is no number") from error


async def _choose(request: Request, form: FormData) -> str:
    row = int(request.path_params["row"])

    def choose() -> None:
        site = site_of(request)
        with reading_jobs(site.station) as jobs:
            details = jobs.details(row, language_of(request))
        others = tuple(one.row for one in details.versions)
        leave(site.station, ChooseRequest(row=row, others=others))

    await run_in_threadpool(choose)
    return f"/jobs/{row}?said=chosen"


async def _add(request: Request, form: FormData) -> str:
    """Whole files in one form, for browsers without scripts."""
    site = site_of(request)
    name = form.get("recipe")
    recipe = None
    if isinstance(name, str) and name:
        recipe = recipe_named(name, known_recipes(site.station))
    visitor = request.client.host if request.client else ""
    files = [one for one in form.getlist("files") if isinstance(one, UploadFile) and one.filename]
    if not files:
        raise UploadRefusedError("choose at least one photograph")
    for one in files:
        size = one.size or 0
        upload = await run_in_threadpool(
            site.uploads.begin, recipe, one.filename or "", size, visitor
        )
        offset = 0
        while data := await one.read(PART_BYTES):
            await run_in_threadpool(site.uploads.add, upload.id, offset, data)
            offset += len(data)
    return "/queue?said=added"


async def _pause(request: Request, form: FormData) -> str:
    actions.pause(site_of(request).station, paused=True)
    return "/queue?said=asked"


async def _resume(request: Request, form: FormData) -> str:
    actions.pause(site_of(request).station, paused=False)
    return "/queue?said=asked"


async def _submit_bulk(request: Request, form: FormData) -> str:
    site = site_of(request)
    folders = str(form.get("folders") or "").splitlines()
    name, recipe = str(form.get("name") or ""), str(form.get("recipe") or "")
    await run_in_threadpool(actions.submit_bulk, site.station, site.settings, name, recipe, folders)
    return "/bulk?said=asked"


async def _control_bulk(request: Request, form: FormData) -> str:
    station = site_of(request).station
    name, action = str(form.get("name") or ""), str(form.get("action") or "")
    await run_in_threadpool(actions.control_bulk, station, name, action)
    return "/bulk?said=asked"


async def _save_recipe(request: Request) -> Response:
    """Save a recipe, or show what is wrong beside what was written."""
    try:
        form = await form_of(request)
    except ForgedFormError as error:
        return page(request, "error.html", {"status": 403, "why": str(error)}, 403)
    site = site_of(request)
    name = str(form.get("name") or "").strip()
    source = str(form.get("source") or "").replace("\r\n", "\n")
    is_new = form.get("is_new") == "1"
    try:
        await run_in_threadpool(recipe_files.save_recipe, site.station, site.settings, name, source)
    except (UsageError, OSError) as error:
        values: dict[str, Any] = {"recipe": None, "source": source, "is_new": is_new}
        values |= {"error": str(error), "name": name}
        return page(request, "recipe.html", values, 422)
    return RedirectResponse(f"/recipes/{quote(name)}?said=saved", 303)


async def _remove_recipe(request: Request, form: FormData) -> str:
    station = site_of(request).station
    await run_in_threadpool(recipe_files.remove_recipe, station, str(request.path_params["name"]))
    return "/recipes?said=removed"


async def _login(request: Request) -> Response:
    """Begin a session for whoever knows the token."""
    site = site_of(request)
    form = await request.form(max_fields=4, max_files=0)
    token, after = str(form.get("token") or ""), str(form.get("next") or "/")
    visitor = request.client.host if request.client else ""
    allowed = _wrong_tokens.allows(visitor)
    if not (allowed and site.sessions.is_token(token.strip())):
        _wrong_tokens.take(visitor)
        values = {"wrong": True, "next": _own_path(after)}
        return page(request, "login.html", values, 401 if allowed else 429)
    _, cookie = site.sessions.begin(time.time())
    answer = RedirectResponse(_own_path(after), 303)
    secure = visit_of(request).secure
    answer.headers.append("set-cookie", session_cookie(site.guard.cookie, cookie, secure=secure))
    return answer


async def _set_language(request: Request) -> Response:
    code = request.query_params.get("code", "")
    answer = RedirectResponse(_own_path(request.query_params.get("next", "/")), 303)
    if code in languages():
        answer.set_cookie(
            LANGUAGE_COOKIE, code, max_age=365 * 86400, httponly=True, samesite="strict"
        )
    return answer


def _own_path(text: str) -> str:
    """A path of this page; "/" for whatever leads elsewhere."""
    parts = urlsplit(text)
    is_own = not parts.scheme and not parts.netloc and text.startswith("/")
    safe = is_own and not text.startswith(("//", "/\\")) and text.isprintable()
    return text if safe else "/"


FORMS: tuple[Route, ...] = (
    _form("/jobs/{row:int}/retry", _retry),
    _form("/jobs/{row:int}/again", _again),
    _form("/jobs/{row:int}/choose", _choose),
    _form("/failed/retry", _retry_all),
    _form("/add", _add),
    _form("/pause", _pause),
    _form("/resume", _resume),
    _form("/bulk", _submit_bulk),
    _form("/bulk/control", _control_bulk),
    Route("/recipes/save", _save_recipe, methods=["POST"]),
    _form("/recipes/{name}/remove", _remove_recipe),
    Route("/login", _login, methods=["POST"]),
    Route("/language", _set_language),
)
"""Every route that takes a form; and the one that changes only the language, which is a link."""
