"""The directory's door: SCIM 2.0, and OAuth client credentials for those who want them."""

import json
import re
from base64 import b64decode
from binascii import Error as NoBase64
from typing import Any
from urllib.parse import unquote_plus
from uuid import UUID

import structlog
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent
from django.db import DataError, IntegrityError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from scim2_models import (
    ConflictException,
    Error,
    InvalidValueException,
    PayloadTooLargeException,
    SCIMException,
    UnauthorizedException,
)
from scim2_server.handler import ScimHandler
from scim2_server.requests import ScimRequest
from scim2_server.responses import SCIM_MEDIA_TYPE

from authz import directory
from authz.decisions import require
from authz.people import AsTenant
from authz.permissions import Permission
from portal import limits
from portal.scim.peculiar import put_right
from portal.scim.resources import id_of
from portal.scim.service import SERVICE
from portal.scim.storage import DirectoryStorage
from tenants.errors import Refused
from tenants.models import DirectoryClient
from tenants.scope import current_tenant_id

log = structlog.get_logger(__name__)

LARGEST = 8 * 2**20  # bytes of one request: a group of 40,000 people
READS = frozenset({"GET", "HEAD", "OPTIONS"})

# What an admin reads about a request that failed: (status, scimType) -> words; the detail follows.
PLAIN = {
    (400, "invalidFilter"): "It searched in a way that is not understood",
    (400, "invalidPath"): "It asked to change a part that people or groups do not have",
    (400, "noTarget"): "It asked to change an entry that is not there",
    (400, "invalidSyntax"): "What it sent is no SCIM message",
    (400, "invalidValue"): "A value that it sent cannot be used",
    (400, "mutability"): "It asked to change something that cannot be changed",
    (401, ""): "It was not let in",
    (404, ""): "It asked about somebody or something that is not here; it may have to forget it"
    " and create it anew",
    (405, ""): "It asked for something that this address does not do",
    (409, "uniqueness"): "Somebody else has this name, address or id already",
    (409, ""): "It came in the way of another change; it will try again",
    (412, ""): "The version that it wanted to change is not the current one",
    (413, ""): "It sent more at once than is accepted",
    (415, ""): "What it sent is not JSON",
    (500, ""): "Something broke on our side",
    (501, ""): "It asked for something that is not offered",
}


@csrf_exempt
@login_not_required
def scim(request: HttpRequest, path: str = "") -> HttpResponse:
    """Every SCIM endpoint. Who asks is known by a bearer token and by nothing else."""
    try:
        client = _client(request)
    except limits.TooMany as refusal:
        return _too_many(refusal)
    except SCIMException as error:
        return _failed(error)
    answer, problem = _answer_of(client, request, path)
    directory.touch(client)
    directory.remember_request(
        client, str(request.method), _asked(request, path), answer.status_code, problem
    )
    return answer


@csrf_exempt
@login_not_required
def token(request: HttpRequest) -> HttpResponse:
    """OAuth 2.0 client credentials (RFC 6749, section 4.4): an access token for an hour."""
    if request.method != "POST":
        return HttpResponse(status=405, headers={"Allow": "POST"})
    try:
        limits.check("token", request)
        client_id, secret, by_header = _credentials(request)
    except limits.TooMany as refusal:
        return _too_many(refusal)
    except (RequestDataTooBig, TooManyFieldsSent):
        return _oauth_error(400, "invalid_request")
    if request.POST.get("grant_type") != "client_credentials":
        return _oauth_error(400, "unsupported_grant_type")
    client = directory.client_by_secret(client_id, secret)
    if client is None or directory.why_not(client):
        directory.record_refusal(client, directory.why_not(client))
        answer = _oauth_error(401, "invalid_client")
        if by_header:
            answer["WWW-Authenticate"] = 'Basic realm="SCIM"'
        return answer
    return _unstored(
        JsonResponse(
            {
                "access_token": directory.access_token(client),
                "token_type": "Bearer",
                "expires_in": directory.ACCESS_SECONDS,
            }
        )
    )


def _client(request: HttpRequest) -> DirectoryClient:
    """The directory that asks. Raises UnauthorizedException (recorded) or TooMany."""
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not given.strip():
        raise UnauthorizedException(detail="Send the token of this workspace's directory")
    client = directory.client_of(given.strip())
    if client is None or directory.why_not(client):
        # Only failures are counted: a first sync makes ten thousand requests.
        limits.check("token", request)
        reason = directory.why_not(client)
        directory.record_refusal(client, reason)
        if client is not None:
            directory.remember_request(
                client, str(request.method), request.path, 401, f"{PLAIN[401, '']}: {reason}"
            )
        raise UnauthorizedException(detail=reason.capitalize())
    return client


def _answer_of(
    client: DirectoryClient, request: HttpRequest, path: str
) -> tuple[HttpResponse, str]:
    """The answer to a directory that was let in, with the problem in plain words if there is one.

    A bug of ours passes as an exception, and is remembered as one first.
    """
    try:
        return _served(client, request, path), ""
    except SCIMException as error:
        failure = error
    except DataError:
        failure = InvalidValueException(detail="Something in it cannot be stored, such as a NUL")
    except (IntegrityError, Refused) as error:
        detail = str(error) if isinstance(error, Refused) else "It was changed at the same moment"
        failure = ConflictException(detail=detail)
    except Exception:
        directory.remember_request(
            client, str(request.method), _asked(request, path), 500, PLAIN[500, ""]
        )
        raise
    return _failed(failure), _in_plain_words(failure.to_error())


def _served(client: DirectoryClient, request: HttpRequest, path: str) -> HttpResponse:
    body = request.read(LARGEST + 1)
    if len(body) > LARGEST:
        raise PayloadTooLargeException(detail=f"More than {LARGEST} bytes in one request")
    asked = ScimRequest(
        method=str(request.method),
        base_url=request.build_absolute_uri("/scim/v2"),
        path=f"/{path.removesuffix('.scim')}",
        query=request.GET.dict(),
        headers=dict(request.headers),
        body=put_right(body) if request.method == "PATCH" else body,
    )
    actor = directory.actor_of(client)
    require(actor, Permission.DIRECTORY_SYNC, AsTenant(current_tenant_id()))
    storage = DirectoryStorage(
        actor,
        asked.base_url,
        writes=request.method not in READS and not path.endswith(".search"),
        members_asked=_members_asked(asked),
        finished=True,
    )
    answer = ScimHandler(SERVICE, storage).handle(asked)
    response = HttpResponse(
        b"" if answer.body is None else json.dumps(answer.body).encode(), status=answer.status
    )
    for name, value in answer.headers.items():
        response[name] = value
    return _unstored(response)


_ONE_MEMBER = re.compile(r'members\[\s*value\s+eq\s+"([^"]+)"\s*\]', re.IGNORECASE)


def _members_asked(asked: ScimRequest) -> frozenset[UUID] | None:
    """The people that a PATCH of a group is about, if it only lets some in or out.

    None for whatever is out of the ordinary, which is done with the whole group.
    """
    if asked.method != "PATCH" or not asked.path.startswith("/Groups/") or asked.query:
        return None
    try:
        operations = json.loads(asked.body)["Operations"]
        named = [name for operation in operations for name in _named(operation)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    people = [id_of(name) for name in named]
    return frozenset(filter(None, people)) if people and all(people) else None


def _named(operation: dict[str, Any]) -> list[str]:
    """Ids that one operation lets in or out. Raises ValueError when it does something else."""
    path, value = str(operation["path"]), operation.get("value")
    match str(operation["op"]).lower():
        case "remove" if (one := _ONE_MEMBER.fullmatch(path)) and not value:
            return [one[1]]
        case "add" | "remove" if path.lower() == "members" and value:
            entries = value if isinstance(value, list) else [value]
            return [str(entry["value"]) for entry in entries]
    raise ValueError("more than members")


def _credentials(request: HttpRequest) -> tuple[str, str, bool]:
    """Client id and secret, with whether they came in the Authorization header."""
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "basic":
        try:
            client_id, _, secret = b64decode(given, validate=True).decode().partition(":")
        except (NoBase64, UnicodeDecodeError):
            return "", "", True
        return unquote_plus(client_id), unquote_plus(secret), True
    return request.POST.get("client_id", ""), request.POST.get("client_secret", ""), False


def _failed(error: SCIMException) -> HttpResponse:
    answer = SERVICE.error_response(error)
    response = JsonResponse(answer.body, status=answer.status)
    for name, value in answer.headers.items():
        response[name] = value
    return _unstored(response)


def _too_many(refusal: limits.TooMany) -> HttpResponse:
    body = Error(status=429, detail=str(refusal)).model_dump()
    response = JsonResponse(body, status=429, content_type=SCIM_MEDIA_TYPE)
    response["Retry-After"] = str(refusal.seconds)
    return _unstored(response)


def _oauth_error(status: int, error: str) -> HttpResponse:
    return _unstored(JsonResponse({"error": error}, status=status))


def _unstored[R: HttpResponse](response: R) -> R:
    response["Cache-Control"] = "no-store"
    return response


def _asked(request: HttpRequest, path: str) -> str:
    """What an admin sees of the address: the filter tells whom the directory looked for."""
    sought = request.GET.get("filter")
    return f"/{path}?filter={sought}" if sought else f"/{path}"


def _in_plain_words(error: Error) -> str:
    status, kind = error.status or 500, error.scim_type or ""
    said = PLAIN.get((status, kind)) or PLAIN.get((status, ""), "It was refused")
    return f"{said}: {error.detail}" if error.detail else said
