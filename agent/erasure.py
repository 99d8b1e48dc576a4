"""Erases a tenant, or one person who has left, so far that every proof of the log still holds."""

from dataclasses import dataclass
from typing import Any

import rfc8785
from django.apps import apps
from django.db import connection
from django.db.models import Model, Q, Value
from django.db.models.functions import Replace
from django.utils import timezone

from agent.models import BriefReading, Draft
from agent.places import artifact_store, local_forge
from authz import tenancy
from authz.change import change, effect
from authz.errors import Conflict
from authz.models import ApiToken, Grant
from authz.people import AsTenant
from authz.permissions import Permission
from authz.sessions import drop_sessions
from evidence import ledger
from evidence.models import Pack, Payload, StagedEntry
from tenants.actor import Actor
from tenants.cells.models import Tenant
from tenants.models import (
    DirectoryPerson,
    DirectoryRequest,
    Identity,
    IdentityProvider,
    Invitation,
    Membership,
    User,
)
from tenants.scope import scope_of_tenant, tenant_scope

NOBODY = "Erased person"

# Columns that keep a person's name beside what they did: model -> column -> the column that says by
# id whose name it is. Where there is none it is empty, and whoever had that name counts.
NAMES_BESIDE: dict[str, dict[str, str]] = {
    "agent.CatalogueEntry": {"author_name": ""},
    "agent.CatalogueRefresh": {"requester_name": "requester_id", "decided_by_name": ""},
    "agent.Plan": {"approved_by": ""},
    "agent.Proposal": {"withdrawn_by": ""},
    "agent.Task": {"cancel_asked_by": ""},
    "authz.AccessReview": {"started_by_name": "started_by", "closed_by_name": "closed_by"},
    "authz.AccessReviewItem": {"answered_by_name": "answered_by"},
    "authz.Emergency": {"operator": "user", "operator_email": "user", "decided_by": ""},
    "authz.PolicyVersion": {"requester_name": "requester_id", "decided_by_name": "decided_by"},
    "authz.Share": {"shared_by": ""},
    "evidence.ControlDocument": {
        "owner_name": "",
        "requester_name": "requester_id",
        "decided_by_name": "decided_by",
    },
    "evidence.LogCheck": {"requested_by_name": "requested_by"},
    "evidence.OwnFramework": {"imported_by_name": ""},
    "evidence.Pack": {"requested_by_name": "requested_by"},
    "tenants.Invitation": {"made_by_name": ""},
}
# Columns of sentences that we wrote, with a name inside.
NAMES_WITHIN = (
    ("agent.Task", "reason"),
    ("authz.AccessReviewItem", "source"),
)

# What a decision was about stays: without it nobody could say what was countersigned.
DECISIONS = ("proposal.countersign", "proposal.reject")

# Facts are about somebody when the entry is, or when they say their address or another name of
# theirs. An address is looked for anywhere; the others only as a whole value, because a short
# name is part of many words.
_SEALED = """
    SELECT p.id FROM evidence_payload p
    JOIN evidence_entry e ON e.tenant_id = p.tenant_id AND e.id = p.id
    WHERE e.action <> ALL(%(decisions)s)
    AND (e.object_type = 'user' AND e.object_id = %(user)s
        OR EXISTS (SELECT 1 FROM unnest(%(words)s::text[]) word
            WHERE strpos(lower(convert_from(p.body, 'UTF8')), word) > 0))
"""
_STAGED = """
    SELECT s.id FROM evidence_stagedentry s,
        LATERAL (SELECT convert_from(s.leaf, 'UTF8')::jsonb AS said) leaf
    WHERE s.payload IS NOT NULL AND said->>'action' <> ALL(%(decisions)s)
    AND (said->'object'->>'type' = 'user' AND said->'object'->>'id' = %(user)s
        OR EXISTS (SELECT 1 FROM unnest(%(words)s::text[]) word
            WHERE strpos(lower(convert_from(s.payload, 'UTF8')), word) > 0))
"""


@dataclass(frozen=True)
class Erased:
    """What is gone of a tenant."""

    rows: dict[str, int]
    artifacts: int
    repositories: int


def erase_tenant(tenant: Tenant, *, by: Actor) -> Erased:
    """Erase a tenant: rows, facts and salts of its log, artifacts, repositories.

    As the owner. What stays is the log's leaves, its signed heads and its key, so that whoever
    holds a proof or a pack can still verify it. First the rows, then the files, each with an entry
    of its own; run again after a failure, it goes on. Raises LogBroken, ForgeUnavailable.
    """
    rows = tenancy.erase_rows(tenant, by=by)
    with tenant_scope(scope_of_tenant(tenant.pk)):
        on = AsTenant(tenant.pk)
        said = {"erase": ["artifacts", "repositories"]}
        with effect(by, Permission.TENANT_ERASE, on=on, **said) as facts:
            artifacts = artifact_store().erase(tenant.pk)
            repositories = local_forge().erase(tenant.pk)
            facts.update(artifacts=artifacts, repositories=repositories)
    return Erased(rows, artifacts, repositories)


def erase_person(user: User, *, by: Actor) -> dict[str, int]:
    """Erase who an account of the pinned tenant belonged to; returns how much of what is gone.

    The account stays as a number under another name, because tasks and reviews point to it. Facts
    in the ledger that name the person go with their salts. What stays: the name in the leaves of
    what they did themselves, and what they wrote. Raises Conflict while they are a member.
    """
    with change(by, Permission.TENANT_ERASE, on=user) as facts:
        facts.phase = "redaction"
        user = User.objects.select_for_update().get(pk=user.pk)
        if user.kind != User.Kind.HUMAN:
            raise Conflict(f"{user.name} is no person")
        if Membership.objects.filter(user=user, state=Membership.State.ACTIVE).exists():
            raise Conflict(f"{user.email} is a member; remove them first, then erase them")
        # Nothing may be sealed between looking for facts and deleting them.
        ledger.lock_log()
        erased = {"facts": _erase_facts(user)}
        erased |= _erase_ways_in(user)
        erased |= _erase_names(user)
        Membership.objects.filter(user=user).update(state=Membership.State.REMOVED)
        facts.update(erased=erased)
    return erased


def _erase_facts(user: User) -> int:
    values: dict[str, Any] = {
        "user": str(user.pk),
        "words": sorted(_words_about(user)),
        "decisions": list(DECISIONS),
    }
    with connection.cursor() as cursor:
        cursor.execute(_SEALED, values)
        sealed = [row[0] for row in cursor.fetchall()]
        cursor.execute(_STAGED, values)
        staged = [row[0] for row in cursor.fetchall()]
    Payload.objects.filter(pk__in=sealed).delete()
    # The portal's role may not change a staged entry, but it may put the same leaf there again.
    waiting = list(StagedEntry.objects.filter(pk__in=staged))
    StagedEntry.objects.filter(pk__in=staged).delete()
    for entry in waiting:
        entry.payload = entry.salt = None
    StagedEntry.objects.bulk_create(waiting)
    return len(sealed) + len(staged)


def _words_about(user: User) -> set[str]:
    """In lower case, as they stand in the facts: an address anywhere, a name as a whole value."""
    whole = {user.name}
    whole.update(Identity.objects.filter(user=user).values_list("subject", flat=True))
    addresses = {user.email}
    for person in DirectoryPerson.objects.filter(user=user):
        whole |= {person.user_name, person.external_id, person.display_name_key}
        addresses.update(person.email_keys)
    words = {rfc8785.dumps(name).decode().lower() for name in whole if name}
    return words | {address.lower() for address in addresses if address}


def _erase_ways_in(user: User) -> dict[str, int]:
    directory = DirectoryPerson.objects.filter(user=user)
    told = Q()
    for person in directory:
        names = {person.user_name, person.external_id, user.email, *person.email_keys} - {""}
        for name in names:
            told |= Q(problem__icontains=name)
        told |= Q(path__icontains=str(person.pk))
    erased = {
        "directory_requests": DirectoryRequest.objects.filter(told).delete()[0] if told else 0,
        "directory": directory.delete()[0],
        "sessions": drop_sessions(user),
        "identities": Identity.objects.filter(user=user).delete()[0],
        "invitations": Invitation.objects.filter(user=user).delete()[0],
        "tokens": ApiToken.objects.filter(user=user).delete()[0],
        "drafts": Draft.objects.filter(user=user).delete()[0],
        "briefs": BriefReading.objects.filter(user=user).delete()[0],
    }
    Grant.objects.filter(user=user).delete()
    return erased


def _erase_names(user: User) -> dict[str, int]:
    tests = IdentityProvider.objects.filter(tested_by=user.pk)
    # They hold everything as it was, this person too; the files go within the hour.
    exports = Pack.objects.filter(kind=Pack.Kind.EXPORT, state=Pack.State.READY, deleted_at=None)
    address = f"erased-{user.pk.hex}@erased.invalid"
    erased = {
        "exports": exports.update(expires_at=timezone.now()),
        "test_sign_ins": tests.update(tested_claims=None, tested_by=None),
        "names_beside": sum(_erase_beside(user, address, *named) for named in NAMES_BESIDE.items()),
        "names_in_sentences": sum(_erase_within(user, *named) for named in NAMES_WITHIN),
    }
    User.objects.filter(pk=user.pk).update(name=NOBODY, email=address, last_login=None)
    return erased


def _erase_beside(user: User, address: str, label: str, columns: dict[str, str]) -> int:
    rows, erased = apps.get_model(label)._default_manager, 0
    for column, of in columns.items():
        # Where no id stands beside it, the name itself is all that says whose it is.
        whose = {of: _as_kept(user, rows.model, of)} if of else {column: user.name}
        said = address if column.endswith("email") else NOBODY
        erased += rows.filter(**whose).exclude(**{column: ""}).update(**{column: said})
    return erased


def _as_kept(user: User, model: type[Model], column: str) -> Any:
    return user.pk if model._meta.get_field(column).is_relation else str(user.pk)


def _erase_within(user: User, label: str, column: str) -> int:
    rows = apps.get_model(label)._default_manager.filter(**{f"{column}__contains": user.name})
    return int(rows.update(**{column: Replace(column, Value(user.name), Value(NOBODY))}))
