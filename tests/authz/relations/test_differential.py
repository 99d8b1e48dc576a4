"""Three engines, one answer: the graph, the generated SQL and real SpiceDB over random worlds."""

import random
import time
from dataclasses import dataclass, field
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


@dataclass
class Compared:
    """How much was asked, how much of it was allowed, what was answered in two ways."""

    asked: int = 0
    allowed: int = 0
    alone: int = 0  # questions that SQL and SpiceDB were asked one by one as well
    lists: int = 0
    found: list[object] = field(default_factory=list)


def _compare(world, sql: ScratchSql, compared: Compared, most: int, seed: int, apart: int = 50):
    """Ask all three the same. The graph is asked one by one; SQL and SpiceDB all at once, which is
    not the way a door asks them, so every so many (`apart`) questions one by one as well."""
    now = time.time()
    questions = list(world.questions())
    if len(questions) > most:
        # Neighbours stay together: SpiceDB answers those in one go.
        start = random.Random(seed).randrange(len(questions) - most)
        questions = questions[start : start + most]
    alone = range(seed % apart, len(questions), apart)
    wanted = list(dict.fromkeys((who, held, on.type) for who, held, on in questions))
    lists = wanted[seed % apart :: apart]
    graph = world.graph(now)
    ours = [graph.check(*question, now) for question in questions]
    sql.hold(world, now)
    postgres = sql.check_many(questions)
    with Spicedb(world.model) as spicedb:
        spicedb.write(world.living())
        theirs = spicedb.check_many(questions)
        answers = list(zip(questions, ours, postgres, theirs, strict=True))
        for number in alone:
            question = questions[number]
            answers.append(
                (question, ours[number], *sql.check_many([question]), spicedb.check(*question))
            )
        for who, held, type in lists:
            mine = graph.objects_with(held, type, who, now)
            by_name = {id.int for id in spicedb.objects_with(who, held, type)}
            answers.append(((who, held, type), mine, sql.objects_with(who, held, type), by_name))
    compared.found += [
        (seed, *answer) for answer in answers if not answer[1] == answer[2] == answer[3]
    ]
    compared.asked += len(questions)
    compared.allowed += sum(ours)
    compared.alone += len(alone)
    compared.lists += len(lists)


def test_graph_sql_and_spicedb_give_the_same_answers(sql):
    compared = Compared()
    for seed in range(30):
        _compare(_world(seed, 5), sql, compared, 400, seed, apart=25)
        assert compared.found == []

    assert compared.asked > 4_000
    assert compared.alone > 100
    assert compared.lists > 30
    # Agreeing on nothing but "no" would prove little.
    assert 0.05 < compared.allowed / compared.asked < 0.95


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_million_answers_over_a_thousand_models_are_the_same(sql):
    compared, worlds = Compared(), 0
    started, before = time.monotonic(), time.process_time() + sql.processor_seconds()
    while compared.asked < 1_000_000 or worlds < 1_000:
        _compare(_world(10_000 + worlds, 16), sql, compared, 1_600, worlds)
        assert compared.found == []
        worlds += 1

    spent = time.process_time() + sql.processor_seconds() - before
    print(
        f"{compared.asked:,} checks, {compared.allowed / compared.asked:.0%} allowed,"
        f" {worlds:,} worlds, 0 answered in two ways; {compared.alone:,} also one by one,"
        f" {compared.lists:,} lists; {spent:.0f} s of processor, {time.monotonic() - started:.0f} s"
    )


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
