"""What a customer's directory says over SCIM becomes accounts, memberships and roles."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize
from uuid import UUID, uuid4

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import connection
from django.db.models import F
from django.utils import timezone

from authz import groups
from authz.admins import has_admin
from authz.change import Facts, change
from authz.errors import BadRequest, Conflict
from authz.models import GroupRole
from authz.people import AsTenant, end_membership
from authz.permissions import Permission
from authz.sessions import drop_sessions
from tenants.actor import Actor
from tenants.models import DirectoryGroup, DirectoryMember, DirectoryPerson, Membership, User
from tenants.scope import current_tenant_id

NAMED = 50  # people whom an entry about a group names; of the others it says how many
# Addresses of this domain reach nobody (RFC 2606): we give them to accounts without a real one.
NOWHERE = ".invalid"


class Taken(Conflict):
    """A name, address or id that must be the only one of its kind belongs to somebody else."""


@dataclass(frozen=True)
class PersonSaid:
    """A person as the directory describes them now.

    emails: every address, the main one first. name: what others shall see. resource: the SCIM
    resource without what is ours to say (id, meta, groups) and without any password.
    """

    user_name: str
    external_id: str
    display_name: str
    name: str
    emails: tuple[str, ...]
    active: bool
    resource: dict[str, Any]


@dataclass(frozen=True)
class GroupSaid:
    """A group as the directory describes it now, and how its members differ from before.

    joins, leaves: ids of DirectoryPerson. resource: as in PersonSaid, without members.
    """

    display_name: str
    external_id: str
    joins: frozenset[UUID]
    leaves: frozenset[UUID]
    resource: dict[str, Any]


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Run the block while no other request of the tenant's directory changes anything.

    Between reading a resource, applying a request to it and storing it nobody else must store
    it, or their change would be lost. Opens no transaction, so that a change() fits inside.
    """
    lock = [groups.DIRECTORY_LOCK, groups.lock_number()]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s, %s)", lock)
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", lock)


def comparable(text: str) -> str:
    """`text` as SCIM compares it where cases are not told apart."""
    return normalize("NFC", normalize("NFC", text).lower())


def add_person(said: PersonSaid, *, by: Actor) -> DirectoryPerson:
    """Let the directory have a person here: a new account, or one with the same address.

    Raises Denied, BadRequest; Taken when the name, the external id or the address belongs to
    another person of the directory, or the address to a program.
    """
    _check_person(said)
    with change(by, Permission.DIRECTORY_SYNC, on=AsTenant(current_tenant_id())) as facts:
        _check_free(said, None)
        person = DirectoryPerson(pk=uuid4())
        person.user = _account_for(person, said, facts)
        _write_person(person, said)
        facts.about = person.user
        facts.update(step="person added", user_name=said.user_name, email=person.user.email)
        if not said.active:
            _shut_out(person.user, facts)
    return person


def change_person(person: DirectoryPerson, said: PersonSaid, *, by: Actor) -> DirectoryPerson:
    """Bring a person up to date; who is not active any more is out when this returns.

    Raises Denied, BadRequest; Taken as add_person() does; Conflict when the person has changed
    since `person` was read.
    """
    _check_person(said)
    with change(by, Permission.DIRECTORY_SYNC, on=person.user) as facts:
        known = _locked(DirectoryPerson, person)
        _check_free(said, known)
        before, was_active = known.resource, active_of(known.resource)
        facts.update(
            step="person changed",
            user_name=said.user_name,
            changed=sorted(
                name
                for name in before.keys() | said.resource.keys()
                if before.get(name) != said.resource.get(name)
            ),
        )
        _follow_account(known, said, facts)
        _write_person(known, said)
        if was_active and not said.active:
            _shut_out(known.user, facts)
        if said.active and not was_active:
            _let_in(known.user, facts)
    return known


def remove_person(person: DirectoryPerson, *, by: Actor) -> None:
    """End the membership of a person whom the directory has no more; the account stays on record.

    Raises Denied; Conflict when the person has changed since `person` was read.
    """
    with change(by, Permission.DIRECTORY_SYNC, on=person.user) as facts:
        known = _locked(DirectoryPerson, person)
        user = known.user
        facts.update(step="person removed", user_name=known.user_name, email=user.email)
        DirectoryGroup.objects.filter(members__person=known).update(
            version=F("version") + 1, changed_at=timezone.now()
        )
        known.delete()
        end_membership(user, facts)
        _note_missing_admin(facts)


def add_group(said: GroupSaid, *, by: Actor) -> DirectoryGroup:
    """Let the directory have a group here; its members hold what the group means at once.

    Raises Denied; BadRequest for a member who is nobody here.
    """
    _check_group(said)
    with change(by, Permission.DIRECTORY_SYNC, on=AsTenant(current_tenant_id())) as facts:
        group = DirectoryGroup()
        _write_group(group, said)
        facts.about = group
        facts.update(step="group added", group=said.display_name)
        _move_members(group, said, facts)
        _regrant(said.joins, {said.display_name}, facts)
    return group


def change_group(group: DirectoryGroup, said: GroupSaid, *, by: Actor) -> DirectoryGroup:
    """Bring a group up to date, with the roles of everybody whom that concerns.

    Raises Denied; BadRequest for a member who is nobody here; Conflict when the group has
    changed since `group` was read.
    """
    _check_group(said)
    with change(by, Permission.DIRECTORY_SYNC, on=group) as facts:
        known = _locked(DirectoryGroup, group)
        facts.update(step="group changed", group=said.display_name)
        names, concerned = {said.display_name}, set(said.joins | said.leaves)
        if known.display_name != said.display_name:
            names.add(known.display_name)
            facts["name"] = [known.display_name, said.display_name]
            concerned |= _people_in(known)
        _write_group(known, said)
        _move_members(known, said, facts)
        _regrant(concerned, names, facts)
    return known


def remove_group(group: DirectoryGroup, *, by: Actor) -> None:
    """Forget a group; whoever held roles because of it holds them no more.

    Raises Denied; Conflict when the group has changed since `group` was read.
    """
    with change(by, Permission.DIRECTORY_SYNC, on=group) as facts:
        known = _locked(DirectoryGroup, group)
        people = _people_in(known)
        facts.update(step="group removed", group=known.display_name, members=len(people))
        # Its rows are gone, its id still names it in the entry.
        DirectoryGroup.objects.filter(pk=known.pk).delete()
        _regrant(people, {known.display_name}, facts)


def active_of(resource: dict[str, Any]) -> bool:
    """Whether a resource describes somebody who may come in, which it does when it is silent."""
    return resource.get("active") is not False


def _locked[M: (DirectoryPerson, DirectoryGroup)](model: type[M], row: M) -> M:
    known: M | None = (
        model.objects.select_for_update().filter(pk=row.pk, version=row.version).first()
    )
    if known is None:
        raise Conflict("it has changed in the meantime; read it again")
    return known


def _check_person(said: PersonSaid) -> None:
    errors = {}
    if not said.user_name.strip():
        errors["userName"] = "is empty"
    for field, value in {
        "userName": said.user_name,
        "externalId": said.external_id,
        "displayName": said.display_name,
    }.items():
        if len(value) > 255:
            errors[field] = "is longer than 255 characters"
    if errors:
        raise BadRequest(errors)


def _check_group(said: GroupSaid) -> None:
    errors = {}
    if not said.display_name.strip():
        errors["displayName"] = "is empty"
    elif len(said.display_name) > 255:
        errors["displayName"] = "is longer than 255 characters"
    if len(said.external_id) > 255:
        errors["externalId"] = "is longer than 255 characters"
    if errors:
        raise BadRequest(errors)


def _check_free(said: PersonSaid, known: DirectoryPerson | None) -> None:
    others = DirectoryPerson.objects.exclude(pk=known.pk if known else None)
    if others.filter(user_name_key=comparable(said.user_name)).exists():
        raise Taken(f"there is another person with the userName {said.user_name}")
    if said.external_id and others.filter(external_id=said.external_id).exists():
        raise Taken(f"there is another person with the externalId {said.external_id}")


def _account_for(person: DirectoryPerson, said: PersonSaid, facts: Facts) -> User:
    """The account with the same address, if the directory may have it, or a new one."""
    email = _address(person, said)
    user = User.objects.filter(email=email).first()
    if user is None:
        user = User.objects.create(email=email, name=said.name)
        user.set_unusable_password()
        user.save(update_fields=["password"])
        Membership.objects.create(user=user, source="scim")
        return user
    if DirectoryPerson.objects.filter(user=user).exists():
        raise Taken(f"there is another person with the address {email}")
    if user.kind != User.Kind.HUMAN:
        raise Taken(f"the address {email} belongs to a program here, not to a person")
    if user.name != said.name:
        facts["name"] = [user.name, said.name]
        User.objects.filter(pk=user.pk).update(name=said.name)
    member = Membership.objects.filter(user=user)
    facts["membership_before"] = member.values_list("state", flat=True).get()
    facts["adopted"] = True
    member.filter(state=Membership.State.REMOVED).update(since=timezone.now())
    member.update(state=Membership.State.ACTIVE, ended_at=None, source="scim")
    return user


def _follow_account(person: DirectoryPerson, said: PersonSaid, facts: Facts) -> None:
    """Give the account the name and address that the directory says now."""
    user, email = person.user, _address(person, said)
    if email != user.email:
        if User.objects.filter(email=email).exists():
            raise Taken(f"the address {email} belongs to another account here")
        facts["email"] = [user.email, email]
    if said.name != user.name:
        facts["name"] = [user.name, said.name]
    if email != user.email or said.name != user.name:
        user.email, user.name = email, said.name
        user.save(update_fields=["email", "name"])


def _address(person: DirectoryPerson, said: PersonSaid) -> str:
    for candidate in (*said.emails[:1], said.user_name):
        email = candidate.strip().lower()
        try:
            validate_email(email)
        except ValidationError:
            continue
        if len(email) <= 254 and not email.endswith(NOWHERE):
            return email
    return f"{person.pk}@directory{NOWHERE}"


def _write_person(person: DirectoryPerson, said: PersonSaid) -> None:
    added = person._state.adding
    person.version = 1 if added else person.version + 1
    person.user_name, person.user_name_key = said.user_name, comparable(said.user_name)
    person.external_id = said.external_id
    person.display_name_key = comparable(said.display_name)
    person.email_keys = [comparable(email) for email in said.emails]
    person.resource = said.resource
    person.save(force_insert=added)


def _write_group(group: DirectoryGroup, said: GroupSaid) -> None:
    added = group._state.adding
    group.version = 1 if added else group.version + 1
    group.display_name, group.display_name_key = said.display_name, comparable(said.display_name)
    group.external_id = said.external_id
    group.resource = said.resource
    group.save(force_insert=added)


def _shut_out(user: User, facts: Facts) -> None:
    suspended = Membership.objects.filter(user=user, state=Membership.State.ACTIVE).update(
        state=Membership.State.SUSPENDED
    )
    facts["membership"] = Membership.State.SUSPENDED if suspended else "as it was"
    facts["sessions_ended"] = drop_sessions(user)
    _note_missing_admin(facts)


def _let_in(user: User, facts: Facts) -> None:
    Membership.objects.filter(user=user).update(
        state=Membership.State.ACTIVE, ended_at=None, source="scim"
    )
    facts["membership"] = Membership.State.ACTIVE
    told = DirectoryMember.objects.filter(person__user=user)
    roles = groups.regrant(user, told.values_list("group__display_name", flat=True), "directory")
    if roles:
        facts["roles"] = roles


def _people_in(group: DirectoryGroup) -> set[UUID]:
    return set(DirectoryMember.objects.filter(group=group).values_list("person_id", flat=True))


def _move_members(group: DirectoryGroup, said: GroupSaid, facts: Facts) -> None:
    known = DirectoryPerson.objects.filter(pk__in=said.joins)
    names = dict(known.values_list("pk", "user_name"))
    if unknown := said.joins - names.keys():
        raise BadRequest({"members": f"there is no person with the id {min(map(str, unknown))}"})
    leaving = DirectoryMember.objects.filter(group=group, person__in=said.leaves)
    left = sorted(leaving.values_list("person__user_name", flat=True))
    leaving.delete()
    DirectoryMember.objects.bulk_create(
        DirectoryMember(group=group, person_id=person_id) for person_id in said.joins
    )
    for what, people in {"joined": sorted(names.values()), "left": left}.items():
        if people:
            facts[what], facts[f"{what}_count"] = people[:NAMED], len(people)


def _regrant(people: Iterable[UUID], names: set[str], facts: Facts) -> None:
    """Bring the roles of `people` up to date after groups called `names` have changed."""
    if not people or not GroupRole.objects.filter(group__in=names).exists():
        return
    users = User.objects.filter(directory_person__in=people).exclude(
        membership__state=Membership.State.REMOVED
    )
    emails = dict(users.order_by("email").values_list("pk", "email"))
    told: dict[UUID, set[str]] = {user_id: set() for user_id in emails}
    for user_id, group in DirectoryMember.objects.filter(person__in=people).values_list(
        "person__user_id", "group__display_name"
    ):
        if user_id in told:
            told[user_id].add(group)
    if changed := groups.regrant_all(told, "directory"):
        facts["roles"] = {
            emails[user_id]: {"before": roles["before"], "after": roles["after"]}
            for user_id, roles in list(changed.items())[:NAMED]
        }
        facts["roles_changed"] = len(changed)
        _note_missing_admin(facts)


def _note_missing_admin(facts: Facts) -> None:
    """The directory is obeyed even so: break-glass lets somebody in who can repair it."""
    if not has_admin():
        facts["without_admin"] = True
