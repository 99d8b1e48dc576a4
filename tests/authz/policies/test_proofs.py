"""Theorems about the shipped policies, proved by z3 for every request there can be.

A theorem is a thing that no allowed request does. It is proved when z3 finds no counterexample;
each is then tried on a policy text that was widened on purpose, where z3 must find one, and the
engine itself must agree that the counterexample goes through.
"""

import random
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import z3
from cedar_in_z3 import ACCOUNT, CONTEXT, ENUMS, THING, Unknown, World
from test_cedar import examples_on

from authz import cedar
from authz.permissions import Permission as P
from authz.policy_facts import PolicyFacts

AMOUNTS = [name for name in CONTEXT if name.startswith(("raised_", "old_", "new_"))]
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
APPROVE = sorted(p for p in cedar.SENSITIVE if "approve" in cedar.ACTIONS[p])
ADMINISTER = sorted(p for p in cedar.SENSITIVE if "administer" in cedar.ACTIONS[p])

# Name -> permissions it is about, and what no allowed request of those does.
Theorem = tuple[list[P], Callable[[World], z3.BoolRef]]
THEOREMS: dict[str, Theorem] = {
    "tenants are apart": (
        sorted(cedar.SENSITIVE),
        lambda w: w["principal.tenant"] != w["resource.tenant"],
    ),
    "nothing without a role or relation": (
        sorted(cedar.SENSITIVE),
        lambda w: z3.Not(w["context.rebac"]),
    ),
    "agents never do anything sensitive": (
        sorted(cedar.SENSITIVE),
        lambda w: w.kind_is("agent"),
    ),
    "nobody but a person raises a budget": (
        [P.BUDGET_RAISE],
        lambda w: z3.Not(w.kind_is("human")),
    ),
    "a budget is raised by whoever signed in lately, not by a token": (
        [P.BUDGET_RAISE],
        lambda w: z3.Or(
            w["context.token"],
            z3.Not(w.has("context.signed_in_seconds")),
            w["context.signed_in_seconds"] > 43_200,
        ),
    ),
    "nobody but a person merges": ([P.PROPOSAL_MERGE], lambda w: z3.Not(w.kind_is("human"))),
    "whoever asked for it or made it never merges": (
        [P.PROPOSAL_MERGE],
        lambda w: z3.Or(
            z3.And(w.has("resource.requester"), w["resource.requester"] == w.principal),
            z3.And(w.has("resource.author"), w["resource.author"] == w.principal),
        ),
    ),
    "nothing is merged that was not countersigned with every check passed": (
        [P.PROPOSAL_MERGE],
        lambda w: z3.Or(
            z3.Not(w.has("context.countersigned")),
            z3.Not(w["context.countersigned"]),
            z3.Not(w.has("context.checks_passed")),
            z3.Not(w["context.checks_passed"]),
        ),
    ),
    "merging takes a sign-in within 12 hours": (
        [P.PROPOSAL_MERGE],
        lambda w: z3.Or(
            z3.Not(w.has("context.signed_in_seconds")), w["context.signed_in_seconds"] > 43_200
        ),
    ),
    "agents and programs never approve": (APPROVE, lambda w: w.kind_is("agent", "robot")),
    "only people countersign and administer": (
        sorted({*ADMINISTER, P.PROPOSAL_COUNTERSIGN}),
        lambda w: z3.Not(w.kind_is("human")),
    ),
    "requesters never approve": (
        APPROVE,
        lambda w: z3.And(w.has("resource.requester"), w["resource.requester"] == w.principal),
    ),
    "authors never approve": (
        APPROVE,
        lambda w: z3.And(w.has("resource.author"), w["resource.author"] == w.principal),
    ),
    "a token is not enough": (sorted({*APPROVE, *ADMINISTER}), lambda w: w["context.token"]),
    "administering takes a sign-in within 12 hours": (
        ADMINISTER,
        lambda w: z3.Or(
            z3.Not(w.has("context.signed_in_seconds")), w["context.signed_in_seconds"] > 43_200
        ),
    ),
}
# What the examples promise when they are switched on.
OF_EXAMPLES: dict[str, Theorem] = {
    "a second factor": (
        sorted({*APPROVE, *ADMINISTER} - {P.POLICY_RESTORE}),
        lambda w: z3.Not(w["context.mfa"]),
    ),
    "a fresh sign-in for roles": (
        [P.ROLE_CHANGE],
        lambda w: z3.Or(
            z3.Not(w.has("context.signed_in_seconds")), w["context.signed_in_seconds"] > 900
        ),
    ),
    "small steps": (
        [P.PROPOSAL_COUNTERSIGN],
        lambda w: z3.Or(
            z3.Not(w.has("context.diff_lines")),
            w["context.diff_lines"] > 3000,
            z3.Not(w.has("context.risk")),
            w["context.risk"] > 60,
        ),
    ),
    "a second factor above 60": (
        [P.PROPOSAL_COUNTERSIGN],
        lambda w: z3.And(
            z3.Not(w["context.mfa"]),
            z3.Or(z3.Not(w.has("context.risk")), w["context.risk"] > 60),
        ),
    ),
    "restricted in the window": (
        [P.PROPOSAL_COUNTERSIGN],
        lambda w: z3.And(
            w.has("context.classification"),
            w["context.classification"] == ENUMS["Classification"].index("restricted"),
            z3.Or(
                w["context.hour"] < 8,
                w["context.hour"] >= 16,
                w["context.weekday"] >= ENUMS["Day"].index("friday"),
            ),
        ),
    ),
    "working hours": (
        [P.PROPOSAL_COUNTERSIGN],
        lambda w: z3.Or(
            w["context.hour"] < 7,
            w["context.hour"] >= 19,
            w["context.weekday"] >= ENUMS["Day"].index("saturday"),
        ),
    ),
    "budgets in steps": (
        [P.BUDGET_RAISE],
        lambda w: z3.And(
            w.has("context.budget"),
            w["context.budget"] == ENUMS["Budget"].index("task"),
            z3.Or(
                z3.Not(w.has("context.raised_percent")),
                w["context.raised_percent"] > 200,
                z3.Not(w.has("context.new_cents")),
                w["context.new_cents"] > 2000,
            ),
        ),
    ),
    "budgets by a second person": (
        [P.BUDGET_RAISE],
        lambda w: z3.And(w.has("resource.requester"), w["resource.requester"] == w.principal),
    ),
    "merge window": (
        [P.PROPOSAL_MERGE],
        lambda w: z3.Or(
            w["context.hour"] < 8,
            w["context.hour"] >= 16,
            w["context.weekday"] >= ENUMS["Day"].index("friday"),
            z3.Not(w.has("context.risk")),
            w["context.risk"] > 80,
        ),
    ),
    "merged by a third person": (
        [P.PROPOSAL_MERGE],
        lambda w: z3.And(
            w.has("resource.countersigner"), w["resource.countersigner"] == w.principal
        ),
    ),
    "restricted evidence by hand": (
        [P.PACK_EXPORT],
        lambda w: z3.And(
            w.has("context.classification"),
            w["context.classification"] == ENUMS["Classification"].index("restricted"),
            z3.Or(w["context.token"], z3.Not(w.kind_is("human"))),
        ),
    ),
}


def counterexample(text: str, permission: P, breach) -> PolicyFacts | None:
    """A request that `text` allows although it does what the theorem rules out; None: proved."""
    world = World(permission)
    solver = z3.Solver()
    # Moments there are, so that a counterexample can be handed to the engine.
    solver.add(*world.assumed, world["context.hour"] >= 0, world["context.hour"] <= 23)
    solver.add(world.allowed(text), breach(world))
    found = solver.check()
    assert found != z3.unknown
    return _facts(world, solver.model()) if found == z3.sat else None


def _facts(world: World, model: z3.ModelRef) -> PolicyFacts:
    def value(at: str):
        if not z3.is_true(model.eval(world.has(at), model_completion=True)):
            return None
        said = model.eval(world[at], model_completion=True)
        if z3.is_bool(said):
            return z3.is_true(said)
        return said.as_long()

    def name(at: str) -> str | None:
        return None if value(at) is None else str(value(at))

    at = MONDAY + timedelta(days=value("context.weekday"), hours=value("context.hour"))
    classified, budget = value("context.classification"), value("context.budget")
    return PolicyFacts(
        rebac=value("context.rebac"),
        actor=str(model.eval(world.principal, model_completion=True)),
        kind=ENUMS["Kind"][value("principal.kind")],
        tenant=name("principal.tenant"),
        door=ENUMS["Door"][value("context.door")],
        token=value("context.token"),
        mfa=value("context.mfa"),
        thing="thing:1",
        thing_tenant=name("resource.tenant"),
        at=at,
        signed_in_seconds=value("context.signed_in_seconds"),
        requester=name("resource.requester"),
        author=name("resource.author"),
        project=name("resource.project"),
        risk=value("context.risk"),
        diff_lines=value("context.diff_lines"),
        classification=None if classified is None else ENUMS["Classification"][classified],
        budget=None if budget is None else ENUMS["Budget"][budget],
        countersigner=name("resource.countersigner"),
        countersigned=value("context.countersigned"),
        checks_passed=value("context.checks_passed"),
        **{name: value(f"context.{name}") for name in AMOUNTS},
    )


@pytest.mark.parametrize("name", THEOREMS)
def test_the_platforms_policies_keep_their_promise(name):
    permissions, breach = THEOREMS[name]

    assert permissions
    for permission in permissions:
        assert counterexample(cedar.PLATFORM, permission, breach) is None, permission


@pytest.mark.parametrize("name", OF_EXAMPLES)
def test_the_examples_keep_their_promise_when_switched_on(name):
    permissions, breach = OF_EXAMPLES[name]

    for permission in permissions:
        off = counterexample(cedar.PLATFORM, permission, breach)
        on = counterexample(cedar.PLATFORM + examples_on(), permission, breach)

        assert off is not None, permission
        assert cedar.judge(permission, off, cedar.platform()).allowed
        assert on is None, permission


@pytest.mark.parametrize("permission", sorted(cedar.SENSITIVE))
def test_the_proofs_are_not_about_nothing(permission):
    allowed = counterexample(cedar.PLATFORM, permission, lambda _: z3.BoolVal(True))
    denied = World(permission)
    solver = z3.Solver()
    solver.add(z3.Not(denied.allowed(cedar.PLATFORM)))

    assert allowed is not None
    assert cedar.judge(permission, allowed, cedar.platform()).allowed
    assert solver.check() == z3.sat


def without(name: str) -> str:
    """The platform's policies with one taken out."""
    text, taken = re.subn(rf'@id\("{name}"\).*?;\n', "", cedar.PLATFORM, flags=re.DOTALL)
    assert taken == 1
    return text


def edited(old: str, new: str) -> str:
    assert cedar.PLATFORM.count(old) == 1, old
    return cedar.PLATFORM.replace(old, new)


def whoever(permission: P) -> str:
    """The platform's policies, with the rules about kinds of actors leaving this permission out."""
    others = ", ".join(f'Action::"{p}"' for p in sorted(cedar.SENSITIVE - {permission}))
    text = cedar.PLATFORM
    for name in ("never-agents", "programs-never-approve", "only-people-decide"):
        text, changed = re.subn(
            rf'(@id\("{name}"\).*?forbid\(\s*principal,\s*)action[^)]*?(,\s*resource)',
            rf"\1action in [{others}]\2",
            text,
            flags=re.DOTALL,
        )
        assert changed == 1, name
    return text


WIDENED = {
    "rebac forgotten": (
        "nothing without a role or relation",
        edited("when { context.rebac };", ";"),
    ),
    "a permit added": (
        "nothing without a role or relation",
        cedar.PLATFORM + 'permit(principal, action == Action::"pack.export", resource);',
    ),
    "the wall between tenants gone": ("tenants are apart", without("same-tenant")),
    "tenants compared the wrong way": (
        "tenants are apart",
        edited("unless { principal.tenant ==", "unless { principal.tenant !="),
    ),
    "agents forgotten": ("agents never do anything sensitive", without("never-agents")),
    "agents, some": (
        "agents never do anything sensitive",
        edited(
            'when { principal.kind == Kind::"agent" };',
            'when { principal.kind == Kind::"agent" && !context.mfa };',
        ),
    ),
    "programs approve": ("agents and programs never approve", without("programs-never-approve")),
    "agents raise budgets": (
        "nobody but a person raises a budget",
        whoever(P.BUDGET_RAISE),
    ),
    "budgets by a token": (
        "a budget is raised by whoever signed in lately, not by a token",
        # The group forgotten: every rule about it passes the action by.
        edited(
            'action in [Action::"approve", Action::"administer"],\n  resource\n)\n'
            "when { context.token }",
            'action in Action::"approve",\n  resource\n)\nwhen { context.token }',
        ),
    ),
    "agents merge": ("nobody but a person merges", whoever(P.PROPOSAL_MERGE)),
    "requesters merge": (
        "whoever asked for it or made it never merges",
        # As if merging were no letting through.
        edited(
            'forbid(principal, action in Action::"approve", resource)\n'
            "when { resource has requester",
            'forbid(principal, action in [Action::"proposal.countersign",'
            ' Action::"emergency.approve", Action::"policy.approve"], resource)\n'
            "when { resource has requester",
        ),
    ),
    "authors merge": (
        "whoever asked for it or made it never merges",
        edited(
            'forbid(principal, action in Action::"approve", resource)\nwhen { resource has author',
            'forbid(principal, action == Action::"proposal.countersign", resource)\n'
            "when { resource has author",
        ),
    ),
    "what is not countersigned is merged": (
        "nothing is merged that was not countersigned with every check passed",
        edited("context has countersigned && context.countersigned &&\n", ""),
    ),
    "what fails its checks is merged": (
        "nothing is merged that was not countersigned with every check passed",
        edited("context has checks_passed && context.checks_passed", "context has checks_passed"),
    ),
    "merged long after the sign-in": (
        "merging takes a sign-in within 12 hours",
        edited(
            'action in [Action::"administer", Action::"proposal.merge"]',
            'action in Action::"administer"',
        ),
    ),
    "anybody decides": ("only people countersign and administer", without("only-people-decide")),
    "requesters approve": ("requesters never approve", without("requester-never-approves")),
    "requesters approve one thing": (
        "requesters never approve",
        edited(
            'forbid(principal, action in Action::"approve", resource)\n'
            "when { resource has requester",
            'forbid(principal, action == Action::"policy.approve", resource)\n'
            "when { resource has requester",
        ),
    ),
    "authors approve": ("authors never approve", without("author-never-approves")),
    "authors approve with a second factor": (
        "authors never approve",
        edited("resource.author == principal", "resource.author == principal && !context.mfa"),
    ),
    "tokens suffice": ("a token is not enough", without("no-tokens")),
    "old sign-ins suffice": (
        "administering takes a sign-in within 12 hours",
        without("recent-sign-in"),
    ),
    "a limit widened by one second": (
        "administering takes a sign-in within 12 hours",
        edited("<= 43200", "<= 43201"),
    ),
    "an unknown sign-in suffices": (
        "administering takes a sign-in within 12 hours",
        edited(
            "unless { context has signed_in_seconds && context.signed_in_seconds <= 43200 };",
            "when { context has signed_in_seconds && context.signed_in_seconds > 43200 };",
        ),
    ),
}


@pytest.mark.parametrize("how", WIDENED)
def test_a_widened_policy_is_found_and_the_engine_agrees(how, monkeypatch):
    name, text = WIDENED[how]
    permissions, breach = THEOREMS[name]

    found = {p: counterexample(text, p, breach) for p in permissions}

    examples = {p: facts for p, facts in found.items() if facts}
    assert examples
    monkeypatch.setattr(cedar, "PLATFORM", _named(text))
    cedar.platform.cache_clear()
    try:
        for permission, facts in examples.items():
            assert cedar.judge(permission, facts, cedar.platform()).allowed, (permission, facts)
    finally:
        monkeypatch.undo()
        cedar.platform.cache_clear()
    for permission, facts in examples.items():
        assert not cedar.judge(permission, facts, cedar.platform()).allowed


def _named(text: str) -> str:
    return re.sub(
        r"^permit\(principal, action ==", '@id("x")\n@reason("x")\n\\g<0>', text, flags=re.M
    )


def test_no_policy_of_the_platform_is_without_a_theorem_that_misses_it():
    """Taking any one of them out must break a theorem, or nobody would notice that it is gone."""
    for rule in cedar.platform().rules.values():
        text = without(rule.id.removeprefix("platform:"))
        if rule.id == cedar.BASE:
            assert counterexample(text, P.PACK_EXPORT, lambda _: z3.BoolVal(True)) is None
            continue
        assert any(
            counterexample(text, permission, breach)
            for permissions, breach in THEOREMS.values()
            for permission in permissions
        ), rule.id


def test_a_tenants_rules_can_only_take_away():
    for permission in cedar.SENSITIVE:
        world = World(permission)
        solver = z3.Solver()
        solver.add(world.allowed(cedar.PLATFORM + examples_on()))
        solver.add(z3.Not(world.allowed(cedar.PLATFORM)))
        assert solver.check() == z3.unsat

    permit = 'permit(principal, action == Action::"pack.export", resource);\n'
    (fault,) = cedar.check(_named(permit))
    assert "only “forbid” may stand here" in fault.said


@pytest.mark.parametrize("text", [cedar.PLATFORM, cedar.PLATFORM + examples_on()])
def test_formulas_and_engine_give_the_same_answers(text):
    """4,000 requests, made so that half of them get far; both must agree on every one."""
    policies = cedar.platform() if text == cedar.PLATFORM else cedar.with_tenant(examples_on())
    chance = random.Random(4)
    worlds = {permission: World(permission) for permission in sorted(cedar.SENSITIVE)}
    formulas = {
        # The tenant's rules never reach this one.
        p: w.allowed(cedar.PLATFORM if p == cedar.ALWAYS_OPEN else text)
        for p, w in worlds.items()
    }
    allowed = 0
    for _ in range(4_000):
        permission = chance.choice(sorted(worlds))
        facts = _drawn(chance)
        said = cedar.judge(permission, facts, policies)
        assert "error" not in said.policies, said
        formula = z3.simplify(
            z3.substitute(formulas[permission], *_meant(worlds[permission], facts))
        )
        assert z3.is_true(formula) or z3.is_false(formula), formula
        assert z3.is_true(formula) == said.allowed, (permission, facts)
        allowed += said.allowed
    assert 200 < allowed < 3_800


def _drawn(chance: random.Random) -> PolicyFacts:
    often = chance.random
    return PolicyFacts(
        rebac=often() < 0.9,
        actor=chance.choice(["ada", "bo"]),
        kind="human" if often() < 0.8 else chance.choice(ENUMS["Kind"]),
        tenant="acme",
        door=chance.choice(ENUMS["Door"]),
        token=often() < 0.1,
        mfa=often() < 0.8,
        thing="thing:1",
        thing_tenant="acme" if often() < 0.9 else "globex",
        at=MONDAY + timedelta(hours=chance.randrange(7 * 24)),
        signed_in_seconds=chance.choice([None, 0, 900, 901, 43_200, 43_201, 10**6]),
        requester=chance.choice([None, "ada", "cy", "cy"]),
        author=chance.choice([None, "cy", "cy", "bo"]),
        project=chance.choice([None, "one"]),
        risk=chance.choice([None, 0, 60, 61]),
        diff_lines=chance.choice([None, 1, 3000, 3001]),
        classification=chance.choice([None, *ENUMS["Classification"]]),
        countersigner=chance.choice([None, "ada", "cy"]),
        countersigned=chance.choice([None, True, True, False]),
        checks_passed=chance.choice([None, True, True, False]),
        budget=chance.choice([None, *ENUMS["Budget"]]),
        **{name: chance.choice([None, 0, 200, 201, 2000, 2001]) for name in AMOUNTS},
    )


def _meant(world: World, facts: PolicyFacts) -> list[tuple[z3.ExprRef, z3.ExprRef]]:
    said = {
        "principal.tenant": facts.tenant,
        "principal.kind": facts.kind,
        "resource.tenant": facts.thing_tenant,
        "resource.requester": facts.requester,
        "resource.author": facts.author,
        "resource.countersigner": facts.countersigner,
        "resource.project": facts.project,
        "context.hour": facts.at.hour,
        "context.weekday": ENUMS["Day"][facts.at.weekday()],
    }
    for name in ("rebac", "door", "token", "mfa", "signed_in_seconds", "risk", "diff_lines",
                 "countersigned", "checks_passed", "budget", *AMOUNTS):  # fmt: skip
        said[f"context.{name}"] = getattr(facts, name)
    said["context.classification"] = facts.classification
    pairs = [(world.principal, z3.IntVal(_number(facts.actor)))]
    for at, value in said.items():
        if not z3.is_true(world.has(at)):
            pairs.append((world.has(at), z3.BoolVal(value is not None)))
        # What is not known may be anything: nobody may look at it.
        if z3.is_bool(world[at]):
            pairs.append((world[at], z3.BoolVal(bool(value))))
        else:
            pairs.append((world[at], z3.IntVal(_number(value))))
    return pairs


_PLACES = {value: place for names in ENUMS.values() for place, value in enumerate(names)}
_IDS = ["ada", "bo", "cy", "acme", "globex", "one"]


def _number(value: object) -> int:
    """What stands for a value in the formulas."""
    if value is None:
        return -7
    if isinstance(value, int):
        return value
    return _PLACES[value] if value in _PLACES else 100 + _IDS.index(str(value))


@pytest.mark.parametrize(
    "unheard_of",
    [
        "permit(principal, action, resource) when { context.hour + 1 > 3 };",
        'permit(principal == Account::"ada", action, resource);',
        'permit(principal, action, resource) when { resource.requester.kind == Kind::"human" };',
        'permit(principal, action, resource) when { principal == Account::"ada" };',
        "permit(principal, action, resource) when { if context.mfa then true else false };",
        "permit(principal, action, resource) when { context.mfa == 3 };",
        "permit(principal, action, resource) when { context.unheard_of };",
        "permit(principal == ?principal, action, resource);",
    ],
)
def test_a_policy_that_is_not_understood_fails_the_proof(unheard_of):
    with pytest.raises(Unknown):
        World(P.PACK_EXPORT).allowed(unheard_of)


def test_the_formulas_know_every_attribute_of_the_schema():
    def attributes(header: str) -> dict[str, tuple[str, bool]]:
        body = re.search(rf"{header} = {{(.*?)}};", cedar.SCHEMA, re.DOTALL).group(1)
        return {
            name: (kind, not optional)
            for name, optional, kind in re.findall(r"(\w+)(\??): (\w+)", body)
        }

    assert attributes("entity Account") == ACCOUNT
    assert attributes("entity Thing") == THING
    assert attributes("type Facts") == CONTEXT


def test_a_request_that_errs_is_no_allowed_request():
    risky = cedar.PLATFORM + "forbid(principal, action, resource) when { context.risk > 3 };"

    found = counterexample(risky, P.PACK_EXPORT, lambda w: z3.Not(w.has("context.risk")))

    assert found is None
