"""Frameworks of controls that a tenant brings along, and which rules show their controls."""

import re
from collections.abc import Sequence
from hashlib import sha256

from authz.change import change
from authz.errors import BadRequest, Conflict
from authz.people import AsTenant
from authz.permissions import Permission
from evidence.controls import Control, Framework, Known, frameworks, rules, with_own
from evidence.models import ControlDocument, OwnFramework
from evidence.oscal_catalogue import read_catalogue
from evidence.oscal_files import NotOscal
from tenants.actor import Actor
from tenants.scope import current_tenant_id

LARGEST = 32 << 20  # bytes of a catalogue
RESERVED = frozenset({"documents", "import"})
_ID = re.compile(r"[a-z0-9][a-z0-9.-]{1,48}")


def known() -> Known:
    """What coverage is judged by for the pinned tenant: what is shipped, and its own."""
    return with_own((framework_of(row), row.rules) for row in OwnFramework.objects.all())


def framework_of(row: OwnFramework) -> Framework:
    """A tenant's framework as coverage reads it."""
    return Framework(
        row.framework_id,
        row.title,
        row.version,
        f"imported by {row.imported_by_name}, file {row.sha256[:12]}",
        "",
        tuple(
            Control(row.framework_id, one["id"], one["title"], group["title"], one["level"])
            for group in row.groups
            for one in group["controls"]
        ),
    )


def import_framework(
    framework_id: str,
    content: bytes,
    profiles: Sequence[bytes] = (),
    *,
    names: Sequence[str] = (),
    by: Actor,
) -> OwnFramework:
    """Read an OSCAL catalogue into the tenant's frameworks, or anew in place of what it was.

    names: what the files are called, the catalogue first; each may be JSON, YAML or XML.
    What people said of which rules show its controls stays, for those that are still in it. Raises
    Denied, or BadRequest naming the field.
    """
    if not _ID.fullmatch(framework_id):
        raise BadRequest(
            {"id": "expected 2 to 49 small letters, digits, dots or hyphens, such as nist-800-53"}
        )
    if framework_id in RESERVED:
        raise BadRequest(
            {"id": f"is the address of another page; choose another than {framework_id}"}
        )
    if framework_id in frameworks():
        raise BadRequest({"id": f"is taken: {frameworks()[framework_id].title} comes with it"})
    if any(len(one) > LARGEST for one in (content, *profiles)):
        raise BadRequest({"file": f"has more than {LARGEST >> 20} MiB"})
    try:
        found = read_catalogue(content, profiles, names=names)
    except NotOscal as fault:
        raise BadRequest({"file": str(fault)}) from fault
    titles = {one.title for one in frameworks().values()}
    others = OwnFramework.objects.exclude(framework_id=framework_id)
    title = f"{found.title}"[:200]
    if title in titles | set(others.values_list("title", flat=True)):
        raise BadRequest({"file": f"another framework is called {title} already"})
    groups = [
        {
            "title": group,
            "controls": [
                {"id": one.id, "title": one.title, "level": one.level} for one in controls
            ],
        }
        for group, controls in found.groups
    ]
    ids = {one.id for _, controls in found.groups for one in controls}
    with change(by, Permission.FRAMEWORK_CHANGE, on=AsTenant(current_tenant_id())) as facts:
        row = OwnFramework.objects.select_for_update().filter(framework_id=framework_id).first()
        before = row.sha256 if row else ""
        row = row or OwnFramework(framework_id=framework_id)
        row.title, row.version, row.groups = title, found.version[:100], groups
        row.rules = {control: names for control, names in row.rules.items() if control in ids}
        row.sha256, row.imported_by_name = sha256(content).hexdigest(), by.name
        row.save()
        facts.about = row
        facts.update(
            step="imported",
            framework=framework_id,
            title=title,
            version=row.version,
            controls=len(ids),
            sha256=row.sha256,
            before=before,
        )
    return row


def say_what_shows(row: OwnFramework, control_id: str, names: Sequence[str], *, by: Actor) -> None:
    """Say which rules show a control of the tenant's own framework; none is an answer too.

    Raises Denied, BadRequest.
    """
    unknown = sorted(set(names) - {rule.id for rule in rules()})
    if unknown:
        raise BadRequest({"rules": f"there is no rule {unknown[0]}"})
    with change(by, Permission.FRAMEWORK_CHANGE, on=AsTenant(current_tenant_id())) as facts:
        row = OwnFramework.objects.select_for_update().get(pk=row.pk)
        if control_id not in {control.id for control in framework_of(row).controls}:
            raise Conflict(f"{control_id} is no longer in {row.title}")
        before = row.rules.pop(control_id, [])
        if names:
            row.rules[control_id] = sorted(set(names))
        row.save(update_fields=["rules"])
        facts.about = row
        facts.update(
            step="mapped", control=control_id, rules=sorted(set(names)), rules_before=before
        )


def remove_framework(row: OwnFramework, *, by: Actor) -> None:
    """Take a framework out again. Raises Denied; Conflict while documents count for it."""
    with change(by, Permission.FRAMEWORK_CHANGE, on=row) as facts:
        state = ControlDocument.State
        live = ControlDocument.objects.filter(state__in=[state.WAITING, state.ACCEPTED])
        names = {control.name for control in framework_of(row).controls}
        used = [one.title for one in live if names & set(one.controls)]
        if used:
            raise Conflict(f"{used[0]} is a document for it; withdraw that first")
        facts.update(step="removed", framework=row.framework_id, sha256=row.sha256)
        OwnFramework.objects.filter(pk=row.pk).delete()
