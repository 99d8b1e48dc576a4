"""Who may tell us over SCIM who the customer's people are: clients, secrets, last requests."""

import secrets
from datetime import timedelta
from hashlib import sha256
from hmac import compare_digest
from typing import Any
from uuid import UUID

from django.core import signing
from django.db.models import QuerySet
from django.utils import timezone

from authz.change import change
from authz.errors import BadRequest, Conflict
from authz.people import AsTenant
from authz.permissions import Permission
from evidence import ledger
from tenants import asked
from tenants.actor import Actor, directory_actor, system_actor
from tenants.models import DirectoryClient, DirectoryRequest
from tenants.scope import current_tenant_id

# Recognisable, so that scanners find one that was committed by mistake.
TOKEN_PREFIX, SECRET_PREFIX = "csd_", "cso_"
HINT = len(TOKEN_PREFIX) + 6  # characters kept to tell tokens apart
VALID_FOR = timedelta(days=365)
ACCESS_SECONDS = 3600  # how long an OAuth access token is good for
TOUCHED_EVERY = timedelta(minutes=1)
KEPT = 500  # requests remembered of each client: so many that went well, so many that did not


def add_client(name: str, *, by: Actor) -> tuple[DirectoryClient, str, str]:
    """Let a directory in. Returns it with its token and its OAuth client secret.

    Both are shown now and never again; a directory uses the one that its product knows. They are
    good for a year. Raises Denied, or BadRequest for a name that is empty or too long.
    """
    _check_name(name)
    with change(by, Permission.DIRECTORY_CHANGE, on=AsTenant(current_tenant_id())) as facts:
        client = DirectoryClient(name=name.strip())
        token, secret = _new_secrets(client)
        client.save(force_insert=True)
        facts.about = client
        facts.update(_said(client), step="added")
    return client, token, secret


def renew_client(client: DirectoryClient, *, by: Actor) -> tuple[DirectoryClient, str, str]:
    """New secrets for another year; the old ones stop working at once. Returns as add_client().

    Raises Denied, or Conflict when the client was revoked.
    """
    with change(by, Permission.DIRECTORY_CHANGE, on=client) as facts:
        client = DirectoryClient.objects.select_for_update().get(pk=client.pk)
        if client.revoked_at:
            raise Conflict("this directory was revoked; add it anew")
        token, secret = _new_secrets(client)
        client.save()
        facts.update(_said(client), step="renewed")
    return client, token, secret


def revoke_client(client: DirectoryClient, *, by: Actor) -> None:
    """Let a directory in no more; its people and groups stay as they are.

    Raises Denied, or Conflict when it was revoked before.
    """
    with change(by, Permission.DIRECTORY_CHANGE, on=client) as facts:
        revoked = DirectoryClient.objects.filter(pk=client.pk, revoked_at=None).update(
            revoked_at=timezone.now()
        )
        if not revoked:
            raise Conflict("this directory was revoked before")
        facts.update(_said(client), step="revoked")


def clients() -> QuerySet[DirectoryClient]:
    """Every directory that was ever let in, oldest first, revoked ones too."""
    rows: QuerySet[DirectoryClient] = DirectoryClient.objects.order_by("created_at")
    return rows


def last_requests(
    client: DirectoryClient, only_problems: bool = False
) -> QuerySet[DirectoryRequest]:
    """What the directory asked lately, newest first; the last 500 that failed are kept apart."""
    rows: QuerySet[DirectoryRequest] = DirectoryRequest.objects.filter(client=client)
    return (rows.exclude(problem="") if only_problems else rows).order_by("-at")


@asked.without_asking(asked.Purpose.SIGN_IN)
def client_of(token: str) -> DirectoryClient | None:
    """The client that a token or access token belongs to, even one that is let in no more."""
    if token.startswith(TOKEN_PREFIX):
        found: DirectoryClient | None = DirectoryClient.objects.filter(
            token_digest=_digest(token)
        ).first()
        return found
    try:
        said = signing.loads(token, salt=_access_salt(), max_age=ACCESS_SECONDS)
    except signing.BadSignature:
        return None
    client: DirectoryClient | None = DirectoryClient.objects.filter(pk=said["client"]).first()
    # New secrets end what was handed out for the old ones.
    return client if client and said["for"] == client.secret_digest[:16] else None


@asked.without_asking(asked.Purpose.SIGN_IN)
def client_by_secret(client_id: str, secret: str) -> DirectoryClient | None:
    """The client with these OAuth credentials, even one that is let in no more."""
    try:
        client = DirectoryClient.objects.filter(pk=UUID(client_id)).first()
    except ValueError:
        return None
    known = client.secret_digest if client else ""
    return client if compare_digest(known, _digest(secret)) else None


def why_not(client: DirectoryClient | None) -> str:
    """Why this client is not let in, in plain words; empty when it is."""
    if client is None:
        return "this token or secret is not one of this workspace"
    if client.revoked_at:
        return "this directory was revoked by an admin"
    if client.expires_at and client.expires_at <= timezone.now():
        return "the secrets of this directory have expired; an admin can renew them"
    return ""


def record_refusal(client: DirectoryClient | None, reason: str) -> None:
    """Put on record that a directory was not let in. Called outside of any transaction."""
    ledger.record(
        f"{Permission.DIRECTORY_SYNC}.denied",
        by=actor_of(client) if client else _DOORKEEPER,
        on=client or AsTenant(current_tenant_id()),
        facts={"reasons": [reason]},
        outcome="denied",
    )


def access_token(client: DirectoryClient) -> str:
    """A short-lived token for one that proved its OAuth credentials; ACCESS_SECONDS it is good."""
    return signing.dumps(
        {"client": str(client.pk), "for": client.secret_digest[:16]}, salt=_access_salt()
    )


def actor_of(client: DirectoryClient) -> Actor:
    """The directory as the one who acts."""
    return directory_actor(client.pk, client.name)


@asked.without_asking(asked.Purpose.SIGN_IN)
def touch(client: DirectoryClient) -> None:
    """Remember, to the minute, that the directory is in use."""
    now = timezone.now()
    if client.used_at is None or client.used_at < now - TOUCHED_EVERY:
        DirectoryClient.objects.filter(pk=client.pk).update(used_at=now)


@asked.without_asking(asked.Purpose.RECORD)
def remember_request(
    client: DirectoryClient, method: str, path: str, status: int, problem: str
) -> None:
    """Keep one request for the admin to look at, and let go of the oldest of its kind.

    problem: in plain words; empty when it went well.
    """
    DirectoryRequest.objects.create(
        client=client, method=method[:6], path=path[:300], status=status, problem=problem[:1000]
    )
    alike = last_requests(client)
    alike = alike.exclude(problem="") if problem else alike.filter(problem="")
    oldest = alike.values_list("at", flat=True)[KEPT : KEPT + 1]
    alike.filter(at__lte=oldest).order_by().delete()


_DOORKEEPER = system_actor("directory", "scim")


def _new_secrets(client: DirectoryClient) -> tuple[str, str]:
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    secret = SECRET_PREFIX + secrets.token_urlsafe(32)
    client.token_digest, client.secret_digest = _digest(token), _digest(secret)
    client.token_hint = token[:HINT]
    client.expires_at = timezone.now() + VALID_FOR
    return token, secret


def _said(client: DirectoryClient) -> dict[str, Any]:
    return {"name": client.name, "hint": client.token_hint, "expires_at": client.expires_at}


def _check_name(name: str) -> None:
    if not name.strip():
        raise BadRequest({"name": "is empty; say which directory it is, such as “Entra ID”"})
    if len(name.strip()) > 100:
        raise BadRequest({"name": "is longer than 100 characters"})


def _access_salt() -> str:
    # The tenant is part of the signature: an access token is noise at any other.
    return f"countersign.directory/{current_tenant_id()}"


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
