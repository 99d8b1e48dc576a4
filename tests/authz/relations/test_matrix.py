"""Each role, permission and type of thing: the table, the graph and PostgreSQL say the same."""

import time
from uuid import uuid4

import pytest

from authz.graph import Edge, Ref
from authz.matrix import cells, table
from authz.model import IN_PROJECT, MODEL
from authz.permissions import Permission
from authz.roles import NOT_BY_REQUESTER, ROLES, Role
from tests.authz.relations.random_worlds import World
from tests.authz.relations.scratch_sql import scratch_sql
from tests.conftest import ROOT

TYPES = [name for name, one in MODEL.items() if one.permissions]
WIDE, NARROW = "tenant", "project"


def _world():
    """One thing of each type, in one project of one tenant; a person for each role and place."""
    ids = {name: [uuid4().int] for name in MODEL}
    ids["user"], ids["project"] = [], [uuid4().int for _ in range(2)]
    project, other = ids["project"]
    (tenant,), (task,), (proposal,) = ids["tenant"], ids["task"], ids["proposal"]
    edges = {Edge("project", one, "tenant", "tenant", tenant) for one in ids["project"]}
    for name in ("repository", "task", "proposal", "pack"):
        edges.add(Edge(name, ids[name][0], "project", "project", project))
    edges.add(Edge("proposal", proposal, "task", "task", task))
    people = {}
    for role in Role:
        for place, on in ((WIDE, tenant), (NARROW, project)):
            if place == WIDE or role in IN_PROJECT:
                people[role, place] = user = uuid4().int
                edges.add(Edge(place, on, role.value, "user", user, "active"))
    for place, on in (("project", project), ("task", task)):
        people["viewer", place] = user = uuid4().int
        edges.add(Edge(place, on, "viewer", "user", user, "active"))
    ids["user"] = list(people.values())
    edges |= {Edge("user", user, "active", "user", user) for user in ids["user"]}
    return World(MODEL, ids, dict.fromkeys(edges, float("inf"))), people, other


def _expected(who, place, permission, type):
    """Written down apart from the model: what the product's roles have always meant."""
    if who == "viewer":
        if permission not in {"task.view", "proposal.view", "repository.view"}:
            return False
        # A project's work is seen with the project; a task's proposal with the task.
        return type != "tenant" if place == "project" else type in {"task", "proposal"}
    return permission in ROLES[who] and (place == WIDE or type != "tenant")


def test_every_role_permission_and_type():
    world, people, other = _world()
    now = time.time()
    graph = world.graph(now)
    asked = [
        (who, place, permission, type)
        for who, place in people
        for permission in Permission
        for type in TYPES
    ]
    questions = [
        (Ref("user", people[who, place]), permission.value, Ref(type, world.ids[type][0]))
        for who, place, permission, type in asked
    ]
    with scratch_sql() as sql:
        sql.hold(world, now)
        in_sql = sql.check_many(questions)

    for cell, question, postgres in zip(asked, questions, in_sql, strict=True):
        wanted = _expected(*cell)
        assert graph.check(*question, now) == wanted, cell
        assert postgres == wanted, cell
    for (who, place), user in people.items():
        for permission in Permission:
            elsewhere = graph.check(Ref("user", user), permission, Ref("project", other), now)
            assert elsewhere == (place == WIDE and permission in ROLES.get(who, ())), permission
    assert len(asked) == len(people) * len(Permission) * len(TYPES) > 2_000


def test_the_table_for_people_is_what_the_graph_answers():
    world, people, _ = _world()
    now = time.time()
    graph = world.graph(now)

    for cell in cells():
        on = Ref(cell.type, world.ids[cell.type][0])
        answer = graph.check(Ref("user", people[cell.held_as]), cell.permission, on, now)
        assert cell.allowed == answer, cell


@pytest.mark.parametrize("permission", sorted(NOT_BY_REQUESTER))
@pytest.mark.parametrize("type", ["task", "proposal"])
def test_no_role_makes_up_for_having_asked(permission, type):
    world, people, _ = _world()
    (task,) = world.ids["task"]
    for user in people.values():
        world.edges[Edge("task", task, "requester", "user", user)] = float("inf")
    now = time.time()
    graph = world.graph(now)

    on = Ref(type, world.ids[type][0])
    assert graph.subjects_with(permission, on, "user", now) == set()


def test_the_documentation_has_the_table_of_this_version():
    said = (ROOT / "docs" / "authorization.md").read_text()

    assert table() in said, "run: manage.py write_matrix"
