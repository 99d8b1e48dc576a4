"""Sessions: where one is signed in, ending that; for admins, signing somebody out everywhere."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from ninja import Router, Schema, Status
from pydantic import Field

from authz import sessions
from authz.decisions import require
from authz.people import AsTenant
from authz.permissions import Permission
from portal.accounts import open_sessions_of, session_here, session_seen_by
from portal.api.problems import CHANGE, READ
from portal.directory import human, known_members_seen_by
from portal.http import PortalRequest
from tenants.models import Session
from tenants.scope import current_tenant_id

router = Router(tags=["Sessions"])
of_members = Router(tags=["Sessions"])


class SessionOut(Schema):
    """A browser that is signed in."""

    id: UUID = Field(alias="handle")
    way: str = Field(description="How they proved who they are: oidc, saml, invitation and so on.")
    device: str = Field(description="What the browser calls itself.")
    address: str | None
    opened_at: datetime
    seen_at: datetime = Field(description="To the minute.")
    this_one: bool = Field(False, description="Whether the request came with it.")


class Ended(Schema):
    """How many sessions are over now."""

    ended: int


@router.get("", response={200: list[SessionOut], **READ}, by_alias=False)
def list_sessions(request: PortalRequest) -> list[dict[str, Any]]:
    """Where the caller is signed in, the session used last first."""
    require(request.actor, Permission.SESSION_END, request.user)
    here = session_here(request)
    return [
        {**_columns(row), "this_one": here is not None and here.handle == row.handle}
        for row in open_sessions_of(request.user)
    ]


@router.delete("", response={200: Ended, **CHANGE})
def end_other_sessions(request: PortalRequest) -> dict[str, int]:
    """Sign the caller out everywhere but here."""
    ended = sessions.end_sessions_of(
        request.user, by=request.actor, why="all others ended", besides=session_here(request)
    )
    return {"ended": ended}


@router.delete("/{session_id}", response={204: None, **CHANGE})
def end_session(request: PortalRequest, session_id: UUID) -> Status[None]:
    """Sign one browser out: one's own, or (for admins) anybody's."""
    session = session_seen_by(request.actor, session_id)
    sessions.end_session(session, by=request.actor, why="ended over the API")
    return Status(204, None)


@of_members.delete("/{member_id}/sessions", response={200: Ended, **CHANGE})
def end_sessions_of_member(request: PortalRequest, member_id: UUID) -> dict[str, int]:
    """Sign a person out everywhere. They can sign in again; removing them keeps them out."""
    known = known_members_seen_by(request.actor, AsTenant(current_tenant_id()))
    person = get_object_or_404(human(known), pk=member_id)
    ended = sessions.end_sessions_of(
        person, by=request.actor, why="all ended by an admin", besides=session_here(request)
    )
    return {"ended": ended}


def _columns(row: Session) -> dict[str, Any]:
    names = ("handle", "way", "device", "address", "opened_at", "seen_at")
    return {name: getattr(row, name) for name in names}
