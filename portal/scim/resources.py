"""From rows to SCIM resources, and from SCIM resources to what the directory said."""

from collections.abc import Collection, Iterable
from operator import itemgetter
from typing import Any
from uuid import UUID

from scim2_models import InvalidValueException, Resource

from authz.provisioning import GroupSaid, PersonSaid
from portal.scim.protocol import Group, User
from tenants.models import DirectoryGroup, DirectoryMember, DirectoryPerson

# Ours to say, or kept in rows of their own: no part of what is stored of a resource.
OURS = ("id", "meta", "groups", "members")


def user_resources(people: Collection[DirectoryPerson], base_url: str) -> list[Resource[Any]]:
    """SCIM users, in the order of `people`, with the groups that each is in."""
    groups = _groups_of(people, base_url)
    return [
        User.model_validate(
            {**person.resource, **_ours(person, "User"), "groups": groups.get(person.pk)}
        )
        for person in people
    ]


def finished_users(people: Collection[DirectoryPerson], base_url: str) -> list[dict[str, Any]]:
    """As user_resources(), in the form that goes over the wire, with nothing left out.

    What is stored has this form already. Taking it through the library and back costs half a
    millisecond a person, more than all the rest of a long list.
    """
    groups = _groups_of(people, base_url)
    finished = []
    for person in people:
        said = {**person.resource, **_ours(person, "User")}
        said["meta"]["location"] = f"{base_url}/Users/{person.pk}"
        for moment in ("created", "lastModified"):
            said["meta"][moment] = said["meta"][moment].isoformat().replace("+00:00", "Z")
        if person.pk in groups:
            said["groups"] = groups[person.pk]
        finished.append(said)
    return finished


def group_resources(
    groups: Collection[DirectoryGroup],
    base_url: str,
    *,
    members: bool = True,
    among: Collection[UUID] | None = None,
) -> list[Resource[Any]]:
    """SCIM groups, in the order of `groups`.

    members: whether to say who is in them. among: only these people's membership, which is all
    that a request about them needs to know of a group of thousands.
    """
    found: dict[UUID, list[dict[str, str]]] = {}
    if members:
        rows = DirectoryMember.objects.filter(group__in=groups)
        if among is not None:
            rows = rows.filter(person__in=among)
        for group_id, person_id in rows.order_by("person_id").values_list("group_id", "person_id"):
            found.setdefault(group_id, []).append(
                {
                    "value": str(person_id),
                    "$ref": f"{base_url}/Users/{person_id}",
                    "type": "User",
                }
            )
    return [
        Group.model_validate(
            {**group.resource, **_ours(group, "Group"), "members": found.get(group.pk)}
        )
        for group in groups
    ]


def person_said(resource: Resource[Any]) -> PersonSaid:
    """What a SCIM user says, whole."""
    stored = _stored(resource)
    name = stored.get("name") or {}
    parts = (name.get("givenName"), name.get("familyName"))
    user_name = stored.get("userName", "")
    display_name = stored.get("displayName", "")
    shown = (display_name, name.get("formatted"), " ".join(filter(None, parts)), user_name)
    return PersonSaid(
        user_name=user_name,
        external_id=stored.get("externalId", ""),
        display_name=display_name,
        name=next((text.strip() for text in shown if text and text.strip()), user_name)[:200],
        emails=tuple(_addresses(stored.get("emails", []))),
        active=stored.get("active") is not False,
        resource=stored,
    )


def group_said(resource: Resource[Any], before: Collection[UUID]) -> GroupSaid:
    """What a SCIM group says. before: the members that it is compared with."""
    members = member_ids(resource)
    stored = _stored(resource)
    return GroupSaid(
        display_name=stored.get("displayName", ""),
        external_id=stored.get("externalId", ""),
        joins=members.difference(before),
        leaves=frozenset(before) - members,
        resource=stored,
    )


def member_ids(resource: Resource[Any]) -> frozenset[UUID]:
    """Ids of the people in a SCIM group. Raises InvalidValueException."""
    found = set()
    for member in getattr(resource, "members", None) or []:
        said = member.value or str(member.ref or "").rpartition("/")[2]
        person_id = id_of(said)
        if person_id is None:
            raise InvalidValueException(detail=f"members: there is no person {said[:100]!r} here")
        found.add(person_id)
    return frozenset(found)


def id_of(text: str) -> UUID | None:
    """The id that `text` is, spelled as we spell ids; None for anything else."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text else None


def _groups_of(
    people: Collection[DirectoryPerson], base_url: str
) -> dict[UUID, list[dict[str, str]]]:
    # Not joined: PostgreSQL takes the wrong way through the join right after a first sync, when
    # it does not know yet how much there is, and then needs as long for it as for all the rest.
    ids = [person.pk for person in people]
    rows = DirectoryMember.objects.filter(person__in=ids)
    memberships = list(rows.values_list("person_id", "group_id"))
    named = DirectoryGroup.objects.filter(pk__in={group_id for _, group_id in memberships})
    names = dict(named.values_list("pk", "display_name"))
    groups: dict[UUID, list[dict[str, str]]] = {}
    for person_id, group_id in memberships:
        if name := names.get(group_id):  # not gone since
            groups.setdefault(person_id, []).append(
                {
                    "value": str(group_id),
                    "$ref": f"{base_url}/Groups/{group_id}",
                    "display": name,
                    "type": "direct",
                }
            )
    for told in groups.values():
        told.sort(key=itemgetter("display", "value"))
    return groups


def _stored(resource: Resource[Any]) -> dict[str, Any]:
    dumped: dict[str, Any] = resource.model_dump()
    return {name: value for name, value in dumped.items() if name not in OURS}


def _addresses(emails: Iterable[dict[str, Any]]) -> list[str]:
    """Every address once, the main one first: the primary, else the one for work, else the first.

    Sorting keeps the order of equals.
    """

    def rank(email: dict[str, Any]) -> int:
        if email.get("primary"):
            return 0
        return 1 if str(email.get("type", "")).lower() == "work" else 2

    given = [email for email in emails if email.get("value")]
    return list(dict.fromkeys(email["value"] for email in sorted(given, key=rank)))


def _ours(row: DirectoryPerson | DirectoryGroup, name: str) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "meta": {
            "resourceType": name,
            "created": row.created_at,
            "lastModified": row.created_at if row.version == 1 else row.changed_at,
            "version": version_of(row),
        },
    }


def version_of(row: DirectoryPerson | DirectoryGroup) -> str:
    """The ETag of a resource. Weak: what it says of others (names, groups) may change under it."""
    return f'W/"{row.version}"'
