"""Frameworks of controls that the tenant brought along, and which rules show their controls."""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from ninja import File, Form, Router, Schema, Status, params
from ninja.files import UploadedFile
from pydantic import Field

from agent import own_frameworks
from authz.decisions import require
from authz.errors import BadRequest
from authz.people import AsTenant
from authz.permissions import Permission
from evidence.controls import rules
from evidence.models import OwnFramework
from portal.api.fields import Text
from portal.api.problems import CHANGE, READ
from portal.http import PortalRequest
from tenants.scope import current_tenant_id

router = Router(tags=["Controls"])
rules_router = Router(tags=["Controls"])
NO_PROFILES: list[UploadedFile] = params.functions.File([])


class OwnFrameworkOut(Schema):
    """A framework of the tenant's own. What shows its controls: GET /controls/{id}."""

    id: str = Field(alias="framework_id")
    title: str
    version: str
    controls: int
    rules: dict[str, list[str]] = Field(description="Control to the rules that show it.")
    sha256: str = Field(description="Of the file that it was read from.")
    imported_by_name: str
    imported_at: datetime

    @staticmethod
    def resolve_controls(row: OwnFramework) -> int:
        return sum(len(group["controls"]) for group in row.groups)


class FrameworkIn(Schema):
    """Sent as a form beside the file."""

    id: str = Field(examples=["nist-800-53"], max_length=49)


class RuleOut(Schema):
    """What has to be in the log, in a record or in the settings for a control to be shown."""

    id: str
    says: str
    strength: str


class ShownBy(Schema):
    """The rules that show a control; none is an answer too."""

    rules: list[Text] = Field(max_length=100)


@router.get("", response={200: list[OwnFrameworkOut], **READ}, by_alias=False)
def list_own_frameworks(request: PortalRequest) -> QuerySet[OwnFramework]:
    """Frameworks that the tenant brought along."""
    require(request.actor, Permission.LEDGER_VIEW, _tenant())
    rows: QuerySet[OwnFramework] = OwnFramework.objects.order_by("framework_id")
    return rows


@router.post("", response={201: OwnFrameworkOut, **CHANGE}, by_alias=False)
def import_own_framework(
    request: PortalRequest,
    said: Form[FrameworkIn],
    file: File[UploadedFile],
    profiles: list[UploadedFile] = NO_PROFILES,
) -> Status[OwnFramework]:
    """Bring an OSCAL catalogue along, or anew in place of what it was. profiles: OSCAL profiles;
    the first one given is level 1, and so on. Each file may be JSON, YAML or XML."""
    require(request.actor, Permission.FRAMEWORK_CHANGE, _tenant())
    given = [file, *profiles]
    if any((one.size or 0) > own_frameworks.LARGEST for one in given):
        raise BadRequest({"file": f"has more than {own_frameworks.LARGEST >> 20} MiB"})
    content, *levels = [one.read() for one in given]
    names = [one.name or "" for one in given]
    row = own_frameworks.import_framework(said.id, content, levels, names=names, by=request.actor)
    return Status(201, row)


@router.put(
    "/{framework_id}/controls/{path:control_id}",
    response={200: OwnFrameworkOut, **CHANGE},
    by_alias=False,
)
def map_control(
    request: PortalRequest, framework_id: str, control_id: str, shown: ShownBy
) -> OwnFramework:
    """Say which rules show a control of the tenant's own framework."""
    row = _found(request, framework_id)
    own_frameworks.say_what_shows(row, control_id, shown.rules, by=request.actor)
    row.refresh_from_db()
    return row


@router.delete("/{framework_id}", response={204: None, **CHANGE})
def remove_own_framework(request: PortalRequest, framework_id: str) -> Status[None]:
    """Take it out again. Answers 409 while documents count for it."""
    own_frameworks.remove_framework(_found(request, framework_id), by=request.actor)
    return Status(204, None)


@rules_router.get("", response={200: list[RuleOut], **READ})
def list_rules(request: PortalRequest) -> list[Any]:
    """Every rule that a control can be mapped to."""
    require(request.actor, Permission.LEDGER_VIEW, _tenant())
    return list(rules())


def _found(request: PortalRequest, framework_id: str) -> OwnFramework:
    require(request.actor, Permission.LEDGER_VIEW, _tenant())
    row: OwnFramework = get_object_or_404(OwnFramework, framework_id=framework_id)
    return row


def _tenant() -> AsTenant:
    return AsTenant(current_tenant_id())
