"""Domain error to HTTP status: the only place that knows both."""

from typing import Any

import structlog
from django.db import DataError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from agent.forge import ForgeRefused, ForgeUnavailable
from authz import access, relations
from authz.errors import BadRequest, Conflict, Denied, NotRecorded
from evidence.store import Damaged, Missing
from portal.limits import TooMany
from tenants.errors import Refused
from tenants.models import User
from tenants.scope import Scope

log = structlog.get_logger(__name__)

# First match wins, so narrower classes come first.
STATUS: tuple[tuple[type[Exception], int, str], ...] = (
    (Denied, 403, "You may not do this"),
    (BadRequest, 422, "Something in what you sent cannot be used"),
    (Conflict, 409, "Things have changed"),
    (TooMany, 429, "Too many attempts"),
    (NotRecorded, 503, "This cannot be put on record, so it is not shown"),
    (Refused, 409, "The answer is no"),
    (Http404, 404, "There is nothing here"),
    (ForgeRefused, 409, "The code host refuses"),
    (ForgeUnavailable, 503, "The code host does not answer"),
    (DataError, 422, "Something in what you sent cannot be stored"),
    (Missing, 410, "The file is gone from the store"),
    (Damaged, 500, "A stored file is damaged"),
)

HELP = {
    403: "A tenant admin can change your roles; the People page shows who they are.",
    404: "It may never have existed, or it belongs to somewhere you have no access to.",
    409: "Nothing was changed. Go back, look at how things stand now, then decide again.",
    429: "Nothing was changed. Wait a little, then try again.",
    422: "Nothing was changed, and what you typed is still in the form when you go back.",
    503: "Nothing was changed. Whoever runs this portal has to make room or mend its disk first.",
    500: "It is in our log under the number below; nothing of yours was lost.",
}


def status_of(error: Exception) -> tuple[int, str] | None:
    """Status and headline of an error that we can answer for, else None."""
    for kind, status, headline in STATUS:
        if isinstance(error, kind):
            return status, headline
    return None


def problem(request: HttpRequest, error: Exception) -> HttpResponse | None:
    """The answer to a domain error, as a page or (for the API) as an RFC 9457 problem."""
    found = status_of(error)
    if found is None:
        return None
    status, headline = found
    detail = HELP[404] if isinstance(error, Http404) else str(error)
    if isinstance(error, NotRecorded):
        log.error("a decision cannot be recorded", error=detail)
        detail = HELP[503]
    if isinstance(error, Denied):
        return _denied(request, error, status, headline)
    response = _answer(request, status, headline, detail, getattr(error, "errors", None))
    if isinstance(error, TooMany):
        response["Retry-After"] = str(error.seconds)
    return response


def _denied(request: HttpRequest, error: Denied, status: int, headline: str) -> HttpResponse:
    """Why not, under which id that is on record, who can help."""
    helpers = _helpers(request, error)
    record = str(error.record_id or "")
    if request.path.startswith("/api/"):
        more = {
            "permission": error.permission.value,
            "decision": record,
            "help": [{"id": str(one.pk), "name": one.name} for one in helpers],
        }
        return problem_json(request, status, headline, str(error), more=more)
    return page(request, status, headline, str(error), helpers=helpers, record=record)


def _helpers(request: HttpRequest, error: Denied) -> list[User]:
    actor = getattr(request, "actor", None)
    if actor is None or actor.user_id is None or error.on is None:
        return []
    on = relations.object_of(error.on)
    said = error.explanation
    if said is None:
        # Refused before roles were asked: as whoever asked for it, or for a token's narrow scope.
        said = relations.explain(relations.person(actor.user_id), error.permission, on)
        if said.allowed:
            return []
    return access.who_can_help(error.permission, said, on, actor.user_id)


def _answer(
    request: HttpRequest, status: int, headline: str, detail: str, errors: object = None
) -> HttpResponse:
    if request.path.startswith("/api/"):
        return problem_json(request, status, headline, detail, errors)
    return page(request, status, headline, detail)


def problem_json(
    request: HttpRequest,
    status: int,
    title: str,
    detail: str,
    errors: object = None,
    more: dict[str, Any] | None = None,
) -> JsonResponse:
    """An RFC 9457 problem document. more: members of this kind of problem."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": getattr(request, "id", ""),
    }
    if errors:
        body["errors"] = errors
    body |= more or {}
    return JsonResponse(body, status=status, content_type="application/problem+json")


def page(
    request: HttpRequest, status: int, headline: str, detail: str, **more: Any
) -> HttpResponse:
    """An error page: what happened, what was kept, what to do, under which number it is logged."""
    context = {
        "status": status,
        "headline": headline,
        "detail": detail,
        "help": HELP.get(status, ""),
        "request_id": getattr(request, "id", ""),
        **more,
    }
    return render(request, "errors/problem.html", context, status=status)


def unknown_host(request: HttpRequest) -> HttpResponse:
    """The host belongs to no tenant. Says nothing about which hosts do."""
    return HttpResponse(
        "This address belongs to no workspace. Check the spelling of the link you were given.\n",
        status=404,
        content_type="text/plain; charset=utf-8",
    )


def suspended(request: HttpRequest, scope: Scope) -> HttpResponse:
    """The workspace is closed for now, for everybody, whether they can sign in or not."""
    if request.path.startswith("/api/"):
        return problem_json(
            request,
            503,
            "This workspace is closed for now",
            "Nothing of it is lost. Whoever runs this portal can open it again.",
        )
    return HttpResponse(
        "This workspace is closed for now. Nothing of it is lost. Whoever runs this portal"
        f" can say more and open it again (number {getattr(request, 'id', '')}).\n",
        status=503,
        content_type="text/plain; charset=utf-8",
    )


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form came back without its token, most often from a page left open too long."""
    return page(request, 403, "This form has expired", "Go back, reload the page, send it again.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's 404."""
    return _answer(request, 404, "There is nothing here", HELP[404])


def broken(request: HttpRequest) -> HttpResponse:
    """Django's 500: a bug of ours."""
    return _answer(request, 500, "Something broke on our side", HELP[500])
