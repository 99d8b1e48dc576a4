"""How the way from an object to a person is called: its steps by name, in a picture, in words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from authz.graph import ALWAYS, Explanation, Path, Ref
from authz.models import Team
from authz.roles import Role
from portal.pages.path_graph import Node, sentence
from portal.things import CALLED, KINDS
from tenants import asked
from tenants.models import Project, User
from tenants.scope import current


@dataclass(frozen=True)
class Way:
    """One way in full. until: when the first of its steps ends by itself, if any does."""

    chain: list[Node]
    said: str
    until: datetime | None

    @property
    def held(self) -> str:
        """What is held where, without the object and the person."""
        return " → ".join(
            f"{node.said} {node.name}".strip()
            for node in self.chain
            if node.kind in {"place", "held", "team"}
        )


class Names:
    """Names of everything that some ways lead over, looked up together.

    Only for those who may know the object and the people there: names of projects and teams on
    the way to what one may see are no secret then.
    """

    @asked.without_asking(asked.Purpose.DECIDE)
    def __init__(self, paths: Iterable[Path], known: dict[Ref, str] | None = None) -> None:
        self.names: dict[Ref, str] = dict(known or {})
        wanted: dict[str, set[UUID]] = {}
        for path in paths:
            for step in path:
                edge = step.edge
                for type, id in (
                    (edge.object_type, edge.object_id),
                    (edge.subject_type, edge.subject_id),
                ):
                    wanted.setdefault(type, set()).add(UUID(int=id))
        for type, ids in wanted.items():
            rows, title = self._rows(type)
            for id, name in rows.filter(pk__in=ids).values_list("pk", title) if rows else ():
                self.names.setdefault(Ref(type, id.int), name)

    @staticmethod
    def _rows(type: str) -> tuple[Any, str]:
        match type:
            case "user":
                return User.objects.all(), "name"
            case "team":
                return Team.objects.all(), "name"
            case "project":
                return Project.objects.all(), "name"
            case "tenant":
                return None, ""
        model, _, title = KINDS[type]
        return model._default_manager.all(), title

    def of(self, ref: Ref) -> str:
        if ref.type == "tenant":
            return current().name
        return self.names.get(ref, "")

    def way(self, explanation: Explanation) -> Way:
        """The path of an explanation; nothing for one without."""
        return self.way_along(explanation.path)

    def way_along(self, path: Path) -> Way:
        chain: list[Node] = []
        if path:
            edge = path[0].edge
            chain.append(self._box(Ref(edge.object_type, edge.object_id), "object"))
        for step in path:
            edge = step.edge
            subject = Ref(edge.subject_type, edge.subject_id)
            if edge.object_type == "user":
                continue  # an active account stands for itself
            if edge.subject_relation and edge.object_type != "team":
                key = ("held", edge.object_type, edge.object_id, edge.relation)
                chain.append(Node(key, "held", *_held(edge.relation, edge.object_type)))
            kind = {"user": "person", "team": "team"}.get(subject.type, "place")
            chain.append(self._box(subject, kind))
        ends = [step.until for step in path if step.until != ALWAYS]
        until = datetime.fromtimestamp(min(ends), UTC) if ends else None
        return Way(chain, sentence(chain), until)

    def _box(self, ref: Ref, kind: str) -> Node:
        called = {"user": "", "team": "Team"}.get(ref.type, CALLED.get(ref.type, "").capitalize())
        return Node((ref.type, ref.id), kind, called or "Person", self.of(ref))


def _held(relation: str, type: str) -> tuple[str, str]:
    if relation == "viewer":
        return f"Shared {CALLED[type]}", "may look at it"
    if relation == "requester":
        return "Asked", "asked for it"
    where = "of the whole tenant" if type == "tenant" else "of the project"
    return f"Role {where}", Role(relation).title


def ways_of(found: Sequence[Explanation], known: dict[Ref, str] | None = None) -> list[Way]:
    """The ways of several explanations, in their order."""
    names = Names([one.path for one in found], known)
    return [names.way(one) for one in found]
