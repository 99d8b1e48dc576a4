"""The tests of the engines have teeth: each way of breaking an engine is noticed."""

import random
import sys
import time
from types import ModuleType

import pytest

from authz import graph, relations_sql
from authz.graph import ALWAYS, Edge
from tests.authz.relations import random_worlds
from tests.authz.relations.scratch_sql import scratch_sql

# What is broken: the module, what stands there once, what stands there instead.
GRAPH_MUTANTS = {
    "exclusions are forgotten": (
        "return has(graph, mine, id, now) and not bars(graph, mine, id, now)",
        "return has(graph, mine, id, now)",
    ),
    "an exclusion grants": (
        "return has(graph, mine, id, now) and not bars(graph, mine, id, now)",
        "return has(graph, mine, id, now) or bars(graph, mine, id, now)",
    ),
    "groups in groups are forgotten": (
        "                        waiting.append((group, one))\n",
        "",
    ),
    "what has expired counts on": (
        "return not self.ends or self.ends.get((slot, object, subject), ALWAYS) > now",
        "return True",
    ),
    "groups that have expired count on": (
        "if one not in mine[group] and self.holds(slot, one, id, now):",
        "if one not in mine[group]:",
    ),
    "what does not expire counts for nothing beside what does": (
        "self.ends.get((slot, object, subject), ALWAYS) > now",
        "self.ends.get((slot, object, subject), LONG_AGO) > now",
    ),
    "everybody counts as active": (
        "        mine[start].add(subject.id)\n",
        "        mine[start].add(subject.id)\n"
        "        mine[kinds.get(Subject('user', 'active'), 0)].add(subject.id)\n",
    ),
    "kinds of subjects are mixed up": (
        "            for slot, kind in pairs:\n                if not (groups := mine[kind]):",
        "            for slot, kind in pairs:\n                "
        "if not (groups := set().union(*mine)):",
    ),
    "only the first of several is followed": (
        "for one in (found,) if isinstance(found, int) else found:\n"
        "                    if graph.holds(slot, id, one, now) and test(graph, mine, one, now):",
        "for one in (found,) if isinstance(found, int) else sorted(found)[:1]:\n"
        "                    if graph.holds(slot, id, one, now) and test(graph, mine, one, now):",
    ),
    "only the first term counts": (
        "tests += [self._compile(type, one) for one in terms if not isinstance(one, Has)]",
        "tests += [self._compile(type, one) for one in terms[:1] if not isinstance(one, Has)]",
    ),
    "only one kind of subject counts": (
        "for slot in self.slots_of.get((type, relation), ())\n        ]\n\n        def has",
        "for slot in self.slots_of.get((type, relation), ())[:1]\n        ]\n\n        def has",
    ),
    "a relation leads to one type only": (
        "for slot, target in self.arrows(type, relation)\n"
        "            if (test := self.test(target, held)) is not None",
        "for slot, target in list(self.arrows(type, relation))[:1]\n"
        "            if (test := self.test(target, held)) is not None",
    ),
}

CHANGING_MUTANTS = {
    "what is taken out stays a group": (
        "        if slot in self._groups:\n            _remove(",
        "        if False:\n            _remove(",
    ),
    "a second edge takes the first one's place": (
        "        edges[key] = {found, value}",
        "        edges[key] = value",
    ),
    "taking one out takes all": ("        found.discard(value)", "        del edges[key]"),
    "an end that is put off stays where it was": (
        "            self.ends[slot, edge.object_id, edge.subject_id] = until",
        "            self.ends.setdefault((slot, edge.object_id, edge.subject_id), until)",
    ),
    "an end that is lifted stays": (
        "            self.ends.pop((slot, edge.object_id, edge.subject_id), None)\n        else:",
        "            pass\n        else:",
    ),
    "an end outlives its edge": (
        "        self.size -= 1\n"
        "        self.ends.pop((slot, edge.object_id, edge.subject_id), None)",
        "        self.size -= 1",
    ),
}

SQL_MUTANTS = {
    "what has expired counts on": (
        '"({t}.expires_at IS NULL OR {t}.expires_at > at)"',
        '"({t}.expires_at IS NULL OR true)"',
    ),
    "exclusions are forgotten": ("AND NOT {self.test(type, without, id)}", ""),
    "groups in groups are forgotten": (
        "FROM groups g JOIN {self.tuples} t ON t.subject_id = g.id",
        "FROM groups g JOIN {self.tuples} t ON t.subject_id = g.id AND g.relation <> 'member'"
        " AND g.relation NOT LIKE 'role%'",
    ),
    "kinds of subjects are mixed up": (
        'f" AND {t}.subject_id = ANY (mine_{self.kinds[kind]})"',
        'f" AND {t}.subject_id = ANY (mine)"',
    ),
    "only the first way counts": ("return f\"({' OR '.join(said)})\"", 'return f"({said[0]})"'),
    "types of objects are mixed up": (
        'return f"{t}.object_id = {id} AND {t}.object_type = {_text(type)}"',
        'return f"{t}.object_id = {id}"',
    ),
}


def _mutant(module: ModuleType, old: str, new: str) -> ModuleType:
    with open(module.__file__) as file:
        source = file.read()
    assert source.count(old) == 1, f"the code has changed; name another place than {old!r}"
    broken = ModuleType("broken")
    sys.modules["broken"] = broken  # dataclasses look their module up
    exec(compile(source.replace(old, new), "broken", "exec"), broken.__dict__)
    return broken


@pytest.fixture(scope="module")
def sound():
    """Worlds with what the two sound engines answer, the same."""
    now = time.time()
    answered = []
    with scratch_sql() as sql:
        for seed in range(500, 540):
            dice = random.Random(seed)
            if seed % 5:
                world = random_worlds.of_any_kind(dice, 5)
            else:
                world = random_worlds.of_the_product(dice, 3)
            questions = list(world.questions())
            questions = dice.sample(questions, min(len(questions), 500))
            sound = world.graph(now)
            answers = [sound.check(*question, now) for question in questions]
            sql.hold(world, now)
            assert sql.check_many(questions) == answers
            answered.append((world, questions, answers))
    return now, answered


@pytest.mark.parametrize("name", GRAPH_MUTANTS)
def test_a_broken_graph_is_noticed(sound, name):
    broken = _mutant(graph, *GRAPH_MUTANTS[name])
    now, answered = sound

    def noticed(world, questions, answers):
        changed = broken.Graph(broken.Rules(world.model))
        for edge, until in world.edges.items():
            changed.put(edge, until if until == ALWAYS else now + until)
        return [changed.check(*question, now) for question in questions] != answers

    assert any(noticed(*one) for one in answered)


def _changed(module: ModuleType, seed: int):
    """A graph that edges were put into and taken out of at random, and what it should be."""
    dice = random.Random(seed)
    world = random_worlds.of_the_product(dice, 3)
    rules = module.Rules(world.model)
    changed = module.Graph(rules)
    standing: dict[Edge, float] = {}
    edges = list(world.edges)
    for _ in range(len(edges) * 3):
        edge = dice.choice(edges)
        if dice.random() < 0.6:
            standing[edge] = dice.choice([ALWAYS, 50.0, 150.0])
            changed.put(edge, standing[edge])
        else:
            standing.pop(edge, None)
            changed.drop(edge)
    anew = graph.Graph(graph.Rules(world.model))
    for edge, until in standing.items():
        anew.put(edge, until)
    return world, changed, anew


def _same(world, changed, anew) -> bool:
    questions = [one for one in world.questions() if "view" in one[1] or "." not in one[1]]
    alike = (changed.size, changed.ends) == (anew.size, anew.ends)
    return alike and all(
        changed.check(*one, now) == anew.check(*one, now) for now in (0, 100) for one in questions
    )


def test_a_graph_that_was_changed_answers_as_one_made_anew():
    for seed in range(12):
        assert _same(*_changed(graph, seed))


@pytest.mark.parametrize("name", CHANGING_MUTANTS)
def test_a_graph_that_changes_in_a_broken_way_is_noticed(name):
    broken = _mutant(graph, *CHANGING_MUTANTS[name])

    def noticed(seed):
        try:
            return not _same(*_changed(broken, seed))
        except KeyError:
            return True

    assert any(noticed(seed) for seed in range(12))


@pytest.mark.parametrize("name", SQL_MUTANTS)
def test_broken_sql_is_noticed(sound, name, monkeypatch):
    broken = _mutant(relations_sql, *SQL_MUTANTS[name])
    now, answered = sound
    monkeypatch.setattr(relations_sql, "statements", broken.statements)

    with scratch_sql() as sql:

        def noticed(world, questions, answers):
            sql.hold(world, now)
            return sql.check_many(questions) != answers

        assert any(noticed(*one) for one in answered)
