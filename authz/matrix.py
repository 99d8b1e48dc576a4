"""The permission matrix in rows and columns, made from the model: for documentation and a page."""

from collections.abc import Iterator
from dataclasses import dataclass

from authz.graph import Edge, Graph, Ref, Rules
from authz.model import IN_PROJECT, MODEL
from authz.permissions import Permission
from authz.roles import Role

VIEWER = "viewer"
# Where something is held, in the order of the columns: as what, of which thing.
HELD_AS: tuple[tuple[Role | str, str], ...] = (
    *((role, "tenant") for role in Role),
    *((role, "project") for role in IN_PROJECT),
    (VIEWER, "project"),
    (VIEWER, "task"),
)
TYPES = tuple(name for name, one in MODEL.items() if one.permissions)

# One thing of each type, all in one project of one tenant, and who asks. Any numbers do.
_THING, _PERSON = 1, 2
_PLACES = (
    Edge("project", _THING, "tenant", "tenant", _THING),
    *(
        Edge(name, _THING, "project", "project", _THING)
        for name in TYPES
        if "project" in MODEL[name].relations
    ),
    Edge("proposal", _THING, "task", "task", _THING),
    Edge("user", _PERSON, "active", "user", _PERSON),
)


@dataclass(frozen=True)
class Cell:
    """Whether whoever is `held_as` (a role or viewer, of a thing) may do it to such a thing."""

    held_as: tuple[Role | str, str]
    permission: Permission
    type: str
    allowed: bool


def cells() -> Iterator[Cell]:
    """Every cell: by what is held, then by permission, then by type."""
    rules = Rules(MODEL)
    for held_as in HELD_AS:
        relation, place = held_as
        graph = Graph(rules)
        for edge in (*_PLACES, Edge(place, _THING, relation, "user", _PERSON, "active")):
            graph.put(edge)
        for permission in Permission:
            for type in TYPES:
                on = Ref(type, _THING)
                allowed = graph.check(Ref("user", _PERSON), permission, on, 0)
                yield Cell(held_as, permission, type, allowed)


def table() -> str:
    """The matrix in Markdown: for each permission and way to hold it, the things that it reaches.

    Permissions that nobody holds by a relation are left out: the product itself has those.
    """
    reached: dict[Permission, dict[tuple[Role | str, str], list[str]]] = {}
    for cell in cells():
        row = reached.setdefault(cell.permission, {})
        row.setdefault(cell.held_as, []).extend([cell.type] * cell.allowed)
    lines = [
        f"| Permission | {' | '.join(_title(*held_as) for held_as in HELD_AS)} |",
        f"| --- |{' --- |' * len(HELD_AS)}",
    ]
    for permission, row in reached.items():
        if any(row.values()):
            lines.append(f"| `{permission}` | {' | '.join(_said(row[h], h[1]) for h in HELD_AS)} |")
    return "\n".join(lines)


def _title(relation: Role | str, place: str) -> str:
    name = relation.title if isinstance(relation, Role) else str(relation).capitalize()
    return f"{name} of {place}"


def _said(types: list[str], place: str) -> str:
    """All that is at or below the place is "yes"; less than that is named."""
    below = {"tenant": TYPES, "project": TYPES[1:]}.get(place, ())
    if not types:
        return ""
    return "yes" if tuple(types) == below else ", ".join(types)
