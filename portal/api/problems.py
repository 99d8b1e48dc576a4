"""What the API answers when the answer is no: RFC 9457 problem documents."""

from http import HTTPStatus

from django.core.exceptions import SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from ninja import NinjaAPI, Schema
from ninja.errors import HttpError, ValidationError
from pydantic import Field

from portal.api.fields import Named
from portal.errors import problem, problem_json

# What ninja says in a word or two, said so that somebody can act on it.
DETAIL = {
    401: "Send a token that is good here (Authorization: Bearer cst_...), or sign in first.",
    403: "The CSRF token is missing: send the csrftoken cookie's value in the header X-CSRFToken.",
}


class Problem(Schema):
    """Why the answer is no. Nothing was changed."""

    type: str = "about:blank"
    title: str = Field(examples=["You may not do this"])
    status: int = Field(examples=[403])
    detail: str
    instance: str = Field(description="Number of the request, as in the logs.")
    errors: dict[str, str] | None = Field(None, description="Field to what was expected of it.")
    permission: str | None = Field(None, description="With 403: what was asked for.")
    decision: str | None = Field(None, description="With 403: id of the refusal in the ledger.")
    help: list[Named] | None = Field(None, description="With 403: people who can help.")


# Which problems an endpoint may answer with. Reading, then changing.
READ: dict[int, type[Schema]] = dict.fromkeys((401, 403), Problem)
READ_ONE = READ | {404: Problem, 422: Problem}
READ_MANY = READ | {422: Problem}
CHANGE = READ_ONE | {400: Problem, 409: Problem}


def answer_problems(api: NinjaAPI) -> None:
    """Let every error of an endpoint leave as a problem document."""
    for kind in (Exception, Http404, HttpError, ValidationError):
        api.add_exception_handler(kind, _answer)


def _answer(request: HttpRequest, error: Exception | type[Exception]) -> HttpResponse:
    match error:
        case ValidationError():
            return _bad_input(request, error)
        case HttpError(status_code=status):
            detail = DETAIL.get(status, str(error))
            return problem_json(request, status, HTTPStatus(status).phrase, detail)
        case MultiPartParserError() | SuspiciousOperation():
            return problem_json(request, 400, HTTPStatus(400).phrase, str(error))
        case Exception() if answer := problem(request, error):
            return answer
    raise error


def _bad_input(request: HttpRequest, error: ValidationError) -> HttpResponse:
    errors = {_field(found["loc"]): found["msg"] for found in reversed(error.errors)}
    detail = "; ".join(f"{field}: {message}" for field, message in sorted(errors.items()))
    title = "Something in what you sent cannot be used"
    return problem_json(request, 422, title, detail, errors)


def _field(location: tuple[str | int, ...]) -> str:
    # A body's fields come as (body, name of our argument, field, ...); others as (query, field).
    start = 2 if location[0] == "body" and len(location) > 2 else 1
    return ".".join(map(str, location[start:]))
