"""Three engines, one answer: the graph, the generated SQL and real SpiceDB over random worlds."""

import random
import time
from itertools import pairwise

import pytest

from authz.graph import ALWAYS, Ref, Rules
from tests.authz.relations import random_worlds
from tests.authz.relations.embedded_spicedb import Spicedb
from tests.authz.relations.scratch_sql import ScratchSql, scratch_sql


@pytest.fixture(scope="module")
def sql():
    with scratch_sql() as engine:
        yield engine


def _world(seed, size):
    """One world in five is of the product's own model."""
    dice = random.Random(seed)
    if seed % 5 == 0:
        return random_worlds.of_the_product(dice, min(size, 5))
    return random_worlds.of_any_kind(dice, size)


def _disagreements(world, sql: ScratchSql, most: int, seed: int):
    """How many questions were asked, how many were allowed, what was answered in two ways."""
    now = time.time()
    questions = list(world.questions())
    if len(questions) > most:
        # Neighbours stay together: SpiceDB answers those in one go.
        start = random.Random(seed).randrange(len(questions) - most)
        questions = questions[start : start + most]
    graph = world.graph(now)
    ours = [graph.check(*question, now) for question in questions]
    sql.hold(world, now)
    postgres = sql.check_many(questions)
    with Spicedb(world.model) as spicedb:
        spicedb.write(world.living())
        theirs = spicedb.check_many(questions)
    found = [
        (seed, question, answers)
        for question, *answers in zip(questions, ours, postgres, theirs, strict=True)
        if len(set(answers)) > 1
    ]
    return len(questions), sum(ours), found


def test_graph_sql_and_spicedb_give_the_same_answers(sql):
    asked = allowed = 0
    for seed in range(30):
        some, yes, found = _disagreements(_world(seed, 5), sql, 400, seed)
        assert found == []
        asked, allowed = asked + some, allowed + yes

    assert asked > 4_000
    assert 0.05 < allowed / asked < 0.95  # agreeing on nothing but "no" would prove little


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_million_answers_over_a_thousand_models_are_the_same(sql):
    asked = allowed = worlds = 0
    started = time.monotonic()
    while asked < 1_000_000 or worlds < 1_000:
        some, yes, found = _disagreements(_world(10_000 + worlds, 16), sql, 2_500, worlds)
        assert found == []
        asked, allowed, worlds = asked + some, allowed + yes, worlds + 1

    print(f"{asked:,} checks, {allowed / asked:.0%} allowed, {worlds:,} worlds,"
          f" {time.monotonic() - started:.0f} s")  # fmt: skip


def test_lists_hold_just_what_single_checks_allow(sql):
    for seed in range(100, 130):
        world = _world(seed, 5)
        now = time.time()
        graph = world.graph(now)
        sql.hold(world, now)
        for user in world.ids["user"][:2]:
            subject = Ref("user", user)
            for name, one in world.model.items():
                for held in [*one.relations, *one.permissions][:12]:
                    single = {
                        id
                        for id in world.ids[name]
                        if graph.check(subject, held, Ref(name, id), now)
                    }
                    # An id may stand for things of two types, which only its own type counts.
                    assert graph.objects_with(held, name, subject, now) == single, (seed, held)
                    assert sql.objects_with(subject, held, name) == single, (seed, held)


def test_who_may_are_just_those_whom_single_checks_allow():
    for seed in range(200, 240):
        world = _world(seed, 5)
        now = time.time()
        graph = world.graph(now)
        for name, one in world.model.items():
            for held in (*one.relations, *one.permissions):
                for id in world.ids[name]:
                    single = {
                        user
                        for user in world.ids["user"]
                        if graph.check(Ref("user", user), held, Ref(name, id), now)
                    }
                    found = graph.subjects_with(held, Ref(name, id), "user", now)
                    assert found == single, (seed, held)


def test_an_explanation_never_says_otherwise_than_the_check():
    said = set()
    for seed in range(300, 340):
        world = _world(seed, 5)
        now = time.time()
        graph = world.graph(now)
        for subject, held, on in world.questions():
            why = graph.explain(subject, held, on, now)
            said.add(why.why)
            assert why.allowed == graph.check(subject, held, on, now), (seed, subject, held, on)
            if why.allowed:
                _is_a_way(why.path, subject, on, world, now)

    assert said == {"granted", "missing", "inactive", "unknown", "excluded", "expired"}


def _is_a_way(path, subject, on, world, now):
    """Each step is a tuple that has not expired and starts where the one before it led to."""
    assert (path[0].edge.object_type, path[0].edge.object_id) == on
    assert (path[-1].edge.subject_type, path[-1].edge.subject_id) == subject
    for step in path:
        until = world.edges[step.edge]
        assert until > 0
        assert step.until == (ALWAYS if until == ALWAYS else now + until)
    for one, following in pairwise(path):
        assert (following.edge.object_type, following.edge.object_id) == (
            one.edge.subject_type,
            one.edge.subject_id,
        )
        if one.edge.subject_relation:
            assert following.edge.relation == one.edge.subject_relation


def test_groups_in_a_circle_end_the_question_all_the_same(sql):
    """SpiceDB gives up on circles; nothing here makes one, and the two of ours survive it."""
    for seed in range(20):
        world = random_worlds.of_the_product(random.Random(seed), 3, circles=True)
        now = time.time()
        graph = world.graph(now, Rules(world.model))
        questions = [one for one in world.questions() if "view" in one[1] or one[1] == "member"]
        sql.hold(world, now)
        assert [graph.check(*one, now) for one in questions] == sql.check_many(questions)
