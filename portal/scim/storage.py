"""Where the SCIM server reads and writes: the directory's tables of the pinned tenant."""

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet, Value
from django.db.models.functions import NullIf
from scim2_models import (
    InvalidValueException,
    NotFoundException,
    PreconditionFailedException,
    Resource,
    ResourceType,
    ResponseParameters,
    ScimFilter,
    SearchRequest,
    UniquenessException,
)
from scim2_server.storage import ScimStorage, SearchPage

from authz import provisioning
from authz.errors import BadRequest
from portal.scim.filters import narrow
from portal.scim.protocol import CORE_GROUP, CORE_USER, GROUP_TYPE, USER_TYPE, Group, User
from portal.scim.resources import (
    finished_users,
    group_resources,
    group_said,
    id_of,
    person_said,
    user_resources,
    version_of,
)
from tenants.actor import Actor
from tenants.models import DirectoryGroup, DirectoryMember, DirectoryPerson

SHOWN = ("resource", "version", "created_at", "changed_at")  # what an answer is made of
CHUNK = 500  # rows looked at together when a filter has to be evaluated here
MODELS = {USER_TYPE.name: User, GROUP_TYPE.name: Group}

_NAME = NullIf(F("display_name_key"), Value(""))
_EXTERNAL_ID = NullIf(F("external_id"), Value(""))
# Attributes that PostgreSQL sorts by; for others every match is read and sorted here.
SORTED_BY: dict[str, Any] = {
    f"{CORE_USER}:userName": F("user_name_key"),
    f"{CORE_USER}:displayName": _NAME,
    f"{CORE_USER}:externalId": _EXTERNAL_ID,
    f"{CORE_USER}:meta.created": F("created_at"),
    f"{CORE_USER}:meta.lastModified": F("changed_at"),
    f"{CORE_GROUP}:displayName": F("display_name_key"),
    f"{CORE_GROUP}:externalId": _EXTERNAL_ID,
    f"{CORE_GROUP}:meta.created": F("created_at"),
    f"{CORE_GROUP}:meta.lastModified": F("changed_at"),
}

Row = DirectoryPerson | DirectoryGroup


class DirectoryStorage(ScimStorage):
    """Serves one request of a directory.

    members_asked: people a PATCH is about, when it does no more than let some into a group or
    out of it; then the rest of the group is neither read nor changed. finished: search() may
    hand out what goes over the wire instead of resources, for a service that takes both.
    """

    def __init__(
        self,
        by: Actor,
        base_url: str,
        *,
        writes: bool,
        members_asked: Collection[UUID] | None = None,
        finished: bool = False,
    ) -> None:
        self.by = by
        self.base_url = base_url
        self.writes = writes
        self.members_asked = members_asked
        self.finished = finished

    def operation(self) -> AbstractContextManager[None]:
        return provisioning.one_at_a_time() if self.writes else nullcontext()

    def get(
        self,
        resource_type: ResourceType,
        resource_id: str,
        *,
        response_parameters: ResponseParameters[Any] | None = None,
    ) -> Resource[Any]:
        row = self._row(resource_type, resource_id)
        return self._resources(resource_type, [row], response_parameters)[0]

    def search(
        self,
        resource_types: list[ResourceType],
        search_request: SearchRequest[Any],
        *,
        position: Any = None,
    ) -> SearchPage:
        start, count = search_request.start_index_0 or 0, search_request.count
        stop = None if count is None else start + count
        found = [_Found(self, each, search_request) for each in resource_types]
        if all(each.by_database for each in found) and (
            len(found) == 1 or not search_request.sort_by
        ):
            resources: list[Any] = []
            total = 0
            for each in found:
                part, size = each.page(max(0, start - total), stop and max(0, stop - total))
                resources += part
                total += size
            return SearchPage(total, resources)
        matching = [resource for each in found for resource in each.matching()]
        if search_request.sort_by:
            matching = search_request.sort(matching)
        return SearchPage(len(matching), matching[start:stop])

    def create(self, resource_type: ResourceType, resource: Resource[Any]) -> Resource[Any]:
        row: Row
        with _answering():
            if resource_type.name == USER_TYPE.name:
                said = resource.model_copy()
                if said.active is None:  # type: ignore[attr-defined]
                    said.active = True  # type: ignore[attr-defined]  # so that it can be read
                row = provisioning.add_person(person_said(said), by=self.by)
            else:
                row = provisioning.add_group(group_said(resource, ()), by=self.by)
        return self._resources(resource_type, [row])[0]

    def update(
        self,
        resource_type: ResourceType,
        resource: Resource[Any],
        *,
        expected_version: str | None = None,
    ) -> Resource[Any]:
        row = self._row(resource_type, str(resource.id), expected_version)
        # Directories repeat themselves; what changes nothing leaves no entry and no new version.
        with _answering():
            if isinstance(row, DirectoryPerson):
                person = person_said(resource)
                if person.resource != row.resource:
                    row = provisioning.change_person(row, person, by=self.by)
            else:
                group = group_said(resource, self._members(row))
                if group.joins or group.leaves or group.resource != row.resource:
                    row = provisioning.change_group(row, group, by=self.by)
        return self._resources(resource_type, [row])[0]

    def delete(
        self,
        resource_type: ResourceType,
        resource_id: str,
        *,
        expected_version: str | None = None,
    ) -> None:
        row = self._row(resource_type, resource_id, expected_version)
        with _answering():
            if isinstance(row, DirectoryPerson):
                provisioning.remove_person(row, by=self.by)
            else:
                provisioning.remove_group(row, by=self.by)

    def _row(
        self, resource_type: ResourceType, resource_id: str, expected_version: str | None = None
    ) -> Row:
        row: Row | None = rows_of(resource_type).filter(pk=id_of(resource_id)).first()
        if row is None:
            raise NotFoundException(detail=f"There is no {resource_type.name} with this id")
        if expected_version not in (None, version_of(row)):
            raise PreconditionFailedException
        return row

    def _members(self, group: DirectoryGroup) -> set[UUID]:
        rows = DirectoryMember.objects.filter(group=group)
        if self.members_asked is not None:
            rows = rows.filter(person__in=self.members_asked)
        return set(rows.values_list("person_id", flat=True))

    def _resources(
        self,
        resource_type: ResourceType,
        rows: Collection[Any],
        response_parameters: ResponseParameters[Any] | None = None,
    ) -> list[Resource[Any]]:
        if resource_type.name == USER_TYPE.name:
            return user_resources(rows, self.base_url)
        return group_resources(
            rows,
            self.base_url,
            members=_wants_members(response_parameters),
            among=self.members_asked,
        )


class _Found:
    """What a search finds among the resources of one type."""

    def __init__(
        self, storage: DirectoryStorage, resource_type: ResourceType, request: SearchRequest[Any]
    ) -> None:
        self.storage = storage
        self.resource_type = resource_type
        self.request = request
        self.rows = rows_of(resource_type)
        model = MODELS[resource_type.name]
        self.filter: ScimFilter[Any] | None = None
        if request.filter is not None:
            bound: ScimFilter[Any] = ScimFilter[model](str(request.filter))  # type: ignore[valid-type]
            narrowed = narrow(bound)
            self.rows = self.rows.filter(narrowed.rows)
            self.filter = None if narrowed.exact else bound
        order, self.by_database = "created_at", self.filter is None
        if request.sort_by is not None:
            binding = request.sort_binding(model)
            column = SORTED_BY.get(binding.urn) if binding else None
            if column is None:
                self.by_database = False
            elif request.sort_order == SearchRequest.SortOrder.descending:
                order = column.desc(nulls_first=True)
            else:
                order = column.asc(nulls_last=True)
        self.order = (order, "pk")
        self.rows = self.rows.order_by(*self.order)

    def page(self, start: int, stop: int | None) -> tuple[list[Any], int]:
        """One page, with how many there are in all."""
        if stop is not None and stop <= start:
            return [], self.rows.count()
        rows = self._rows(start, stop)
        # A page that is not full is the last one: no need to count.
        last = bool(rows or not start) and (stop is None or len(rows) < stop - start)
        total = start + len(rows) if last else self.rows.count()
        whole = not (self.request.attributes or self.request.excluded_attributes)
        if self.storage.finished and whole and self.resource_type.name == USER_TYPE.name:
            return finished_users(rows, self.storage.base_url), total
        return self.storage._resources(self.resource_type, rows, self.request), total

    def _rows(self, start: int, stop: int | None) -> list[Any]:
        # Ids first: sorting whole resources to leave most of them out takes five times as long.
        ids = self.rows.values("pk")[start:stop]
        rows = rows_of(self.resource_type).filter(pk__in=ids).order_by(*self.order)
        return list(rows.only(*SHOWN))

    def matching(self) -> Iterator[Resource[Any]]:
        """Every match, read in chunks, so that what does not match is let go of."""
        start = 0
        while rows := self._rows(start, start + CHUNK):
            # Whole: the filter or the order may ask for what the answer leaves out.
            for resource in self.storage._resources(self.resource_type, rows):
                if self.filter is None or self.filter.match(resource):
                    yield resource
            start += CHUNK


@contextmanager
def _answering() -> Iterator[None]:
    """Says in the protocol's words why a change was refused."""
    try:
        yield
    except provisioning.Taken as error:
        raise UniquenessException(detail=str(error)) from error
    except BadRequest as error:
        raise InvalidValueException(detail=str(error)) from error


def rows_of(resource_type: ResourceType) -> QuerySet[Any]:
    """Every resource of a type in the pinned tenant."""
    if resource_type.name == USER_TYPE.name:
        rows: QuerySet[Any] = DirectoryPerson.objects.all()
        return rows
    return DirectoryGroup.objects.all()  # type: ignore[no-any-return]


def _wants_members(parameters: ResponseParameters[Any] | None) -> bool:
    """Whether an answer says who is in a group: a group of thousands is read for nothing else."""
    if parameters is None:
        return True
    if parameters.attributes:
        return any(_names_members(path) for path in parameters.attributes)
    return not any(_is_members(path) for path in parameters.excluded_attributes or [])


def _names_members(path: Any) -> bool:
    return str(path).lower().removeprefix(f"{CORE_GROUP}:".lower()).startswith("members")


def _is_members(path: Any) -> bool:
    return str(path).lower().removeprefix(f"{CORE_GROUP}:".lower()) == "members"
