"""Judging by policies: what is not a clean yes is a no; a tenant's rules only take away."""

import random
import re
import subprocess
import sys
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from types import SimpleNamespace
from typing import get_args
from uuid import uuid4

import cedarpy
import pytest

from authz import cedar
from authz.permissions import Permission as P
from authz.policy_facts import PolicyFacts, facts_of
from authz.roles import NOT_BY_REQUESTER, ONLY_BY_PEOPLE
from tenants.actor import ActorType, Door, SignedIn
from tests.at_browser import JUST_NOW

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)  # a Monday
FINE = PolicyFacts(
    rebac=True,
    actor="ada",
    kind="human",
    tenant="acme",
    door="page",
    token=False,
    mfa=True,
    thing="proposal:1",
    thing_tenant="acme",
    at=NOON,
    signed_in_seconds=60,
    requester="bo",
    author="agent",
    countersigned=True,
    checks_passed=True,
)


def rule(condition: str, scope: str = "action", name: str = "mine") -> str:
    return (
        f'@id("{name}")\n@reason("because of {name}")\n'
        f"forbid(principal, {scope}, resource)\n{condition};\n"
    )


def faults(text: str) -> list[tuple[int, str]]:
    return [(fault.line, fault.said) for fault in cedar.check(text)]


@pytest.mark.parametrize("permission", sorted(cedar.SENSITIVE))
def test_a_person_with_the_right_role_at_a_good_moment_may(permission):
    said = cedar.judge(permission, FINE, cedar.platform())

    assert (said.allowed, said.policies) == (True, ("platform:base",))
    assert said.reasons == ["your roles and relations allow it, and no policy forbids it"]


@pytest.mark.parametrize("permission", sorted(cedar.SENSITIVE))
def test_without_a_role_or_relation_nothing_is_allowed_and_it_is_said_why(permission):
    said = cedar.judge(permission, replace(FINE, rebac=False), cedar.platform())

    assert (said.allowed, said.policies) == (False, ("default-deny",))
    assert said.reasons == ["no role or relation of yours here allows this"]


APPROVE = [P.PROPOSAL_COUNTERSIGN, P.PROPOSAL_MERGE, P.POLICY_APPROVE, P.EMERGENCY_APPROVE]
ADMINISTER = [
    P.ROLE_CHANGE,
    P.PROJECT_ROLE_CHANGE,
    P.PROVIDER_CHANGE,
    P.DIRECTORY_CHANGE,
    P.TOKEN_CREATE,
    P.POLICY_CHANGE,
    P.POLICY_APPROVE,
    P.POLICY_RESTORE,
    P.BUDGET_RAISE,
]
TENANT, AGENT, REQUESTER = "platform:same-tenant", "platform:never-agents", "requester-never"


@pytest.mark.parametrize(
    ("permissions", "otherwise", "policy"),
    [
        (sorted(cedar.SENSITIVE), {"thing_tenant": "globex"}, TENANT),
        (sorted(cedar.SENSITIVE), {"kind": "agent"}, AGENT),
        (APPROVE, {"kind": "robot"}, "platform:programs-never-approve"),
        ([*ADMINISTER, P.PROPOSAL_COUNTERSIGN], {"kind": "robot"}, "platform:only-people-decide"),
        ([*ADMINISTER, P.PROPOSAL_COUNTERSIGN], {"kind": "system"}, "platform:only-people-decide"),
        (APPROVE, {"requester": "ada"}, "platform:requester-never-approves"),
        (APPROVE, {"author": "ada"}, "platform:author-never-approves"),
        ([*APPROVE, *ADMINISTER], {"token": True}, "platform:no-tokens"),
        (ADMINISTER, {"signed_in_seconds": 43_201}, "platform:recent-sign-in"),
        (ADMINISTER, {"signed_in_seconds": None}, "platform:recent-sign-in"),
        ([P.PROPOSAL_MERGE], {"kind": "robot"}, "platform:only-people-decide"),
        ([P.PROPOSAL_MERGE], {"signed_in_seconds": None}, "platform:recent-sign-in"),
        ([P.PROPOSAL_MERGE], {"countersigned": False}, "platform:merge-what-was-countersigned"),
        ([P.PROPOSAL_MERGE], {"countersigned": None}, "platform:merge-what-was-countersigned"),
        ([P.PROPOSAL_MERGE], {"checks_passed": False}, "platform:merge-what-was-countersigned"),
        ([P.PROPOSAL_MERGE], {"checks_passed": None}, "platform:merge-what-was-countersigned"),
    ],
)
def test_what_the_platform_forbids_everywhere(permissions, otherwise, policy):
    for permission in permissions:
        said = cedar.judge(permission, replace(FINE, **otherwise), cedar.platform())

        assert not said.allowed, permission
        assert policy in said.policies, permission
        assert said.reasons == [cedar.platform().rules[one].reason for one in said.policies]


def test_two_operators_may_open_an_emergency_and_a_service_may_take_a_pack_away():
    operator = replace(FINE, kind="system", door="cli", signed_in_seconds=None, mfa=False)
    service = replace(FINE, kind="robot", door="api", token=True, signed_in_seconds=None)

    assert cedar.judge(P.EMERGENCY_APPROVE, operator, cedar.platform()).allowed
    assert cedar.judge(P.PACK_EXPORT, service, cedar.platform()).allowed


def test_twelve_hours_after_sign_in_is_still_recent():
    last = replace(FINE, signed_in_seconds=43_200)

    assert cedar.judge(P.ROLE_CHANGE, last, cedar.platform()).allowed


def test_the_schema_knows_every_kind_of_actor_and_door():
    for kind, door in product(get_args(ActorType), get_args(Door)):
        said = cedar.judge(P.PACK_EXPORT, replace(FINE, kind=kind, door=door), cedar.platform())
        assert "error" not in said.policies, (kind, door)


def test_the_rules_of_the_roles_and_the_groups_of_the_policies_agree():
    by_people = {p for p in cedar.SENSITIVE if cedar.ACTIONS[p] & {"administer"}}

    # Plans, refreshes and documents change nothing that leaves here: roles alone decide.
    by_roles_alone = {P.PLAN_APPROVE, P.CATALOGUE_APPROVE, P.DOCUMENT_APPROVE}
    approving = {p for p in cedar.SENSITIVE if "approve" in cedar.ACTIONS[p]}
    assert approving == NOT_BY_REQUESTER - by_roles_alone
    assert not by_roles_alone & set(cedar.SENSITIVE)
    assert by_people <= ONLY_BY_PEOPLE
    assert {P.PROPOSAL_COUNTERSIGN, P.PROPOSAL_MERGE} <= ONLY_BY_PEOPLE


@pytest.mark.parametrize(
    "broken",
    [
        {"rebac": "yes"},
        {"kind": "ghost"},
        {"door": "window"},
        {"classification": "top secret"},
        {"signed_in_seconds": 2**70},
        {"risk": 0.5},
        {"thing_tenant": None},
    ],
)
def test_facts_that_make_no_sense_deny(broken):
    said = cedar.judge(P.PROPOSAL_COUNTERSIGN, replace(FINE, **broken), cedar.platform())

    assert (said.allowed, said.policies) == (False, ("error",))


def test_a_forbid_that_breaks_denies_though_the_engine_would_let_it_pass():
    """Cedar skips a policy that errors. This one is sound to its checker, and overflows."""
    text = rule("when { context.hour + 9223372036854775807 < 0 }")
    whole = cedar.PLATFORM + text
    engine = cedarpy.is_authorized(
        {
            "principal": 'Account::"ada"',
            "action": 'Action::"pack.export"',
            "resource": 'Thing::"1"',
            "context": cedar._context(FINE),
        },
        whole,
        cedar._entities(replace(FINE, thing="1")),
        schema=cedar.SCHEMA,
    )
    assert engine.allowed
    assert engine.diagnostics.errors

    said = cedar.judge(P.PACK_EXPORT, FINE, cedar.with_tenant(text))

    assert (said.allowed, said.policies) == (False, ("error",))


def test_names_cannot_smuggle_anything_into_a_policy():
    odd = 'ada" || true // \n{}'

    said = cedar.judge(P.PROPOSAL_COUNTERSIGN, replace(FINE, actor=odd), cedar.platform())
    own = cedar.judge(
        P.PROPOSAL_COUNTERSIGN, replace(FINE, actor=odd, requester=odd), cedar.platform()
    )

    assert said.allowed
    assert not own.allowed


def test_a_tenants_rule_stops_what_it_names_and_tells_its_reason():
    own = cedar.with_tenant(rule("unless { context.mfa }", 'action == Action::"role.change"'))
    without = replace(FINE, mfa=False)

    said = cedar.judge(P.ROLE_CHANGE, without, own)

    assert (said.allowed, said.policies) == (False, ("tenant:mine",))
    assert said.reasons == ["because of mine"]
    assert cedar.judge(P.ROLE_CHANGE, FINE, own).allowed
    assert cedar.judge(P.PROVIDER_CHANGE, without, own).allowed


def test_rules_about_a_group_or_about_everything_reach_each_permission():
    approve = cedar.with_tenant(rule("", 'action in Action::"approve"'))
    some = cedar.with_tenant(rule("", 'action in [Action::"approve", Action::"pack.export"]'))
    everything = cedar.with_tenant(rule(""))

    def stopped(policies):
        return {p for p in cedar.SENSITIVE if not cedar.judge(p, FINE, policies).allowed}

    assert stopped(approve) == set(APPROVE)
    assert stopped(some) == {*APPROVE, P.PACK_EXPORT}
    assert stopped(everything) == cedar.SENSITIVE - {P.POLICY_RESTORE}


def test_cutting_the_policies_up_changes_no_answer():
    text = cedar.EXAMPLES + rule('when { context.door == Door::"api" }', name="one")
    text += rule("when { context.hour > 9 }", 'action in Action::"administer"', name="two")
    shards, whole = cedar.with_tenant(text), cedarpy.PolicySet.from_str(cedar.PLATFORM + text)
    for permission, kind, mine, age, hour, rebac in product(
        sorted(cedar.SENSITIVE - {cedar.ALWAYS_OPEN}),
        get_args(ActorType),
        (True, False),
        (None, 5, 90_000),
        (8, 20),
        (True, False),
    ):
        facts = replace(
            FINE,
            kind=kind,
            door="api" if mine else "page",
            requester="ada" if mine else None,
            signed_in_seconds=age,
            at=NOON.replace(hour=hour),
            rebac=rebac,
        )
        uncut = cedarpy.is_authorized(
            {
                "principal": 'Account::"ada"',
                "action": {"type": "Action", "id": permission.value},
                "resource": 'Thing::"proposal:1"',
                "context": cedar._context(facts),
            },
            whole,
            cedar._entities(facts),
            schema=cedar._schema(),
        )
        assert cedar.judge(permission, facts, shards).allowed == uncut.allowed, (permission, facts)


def test_the_digest_names_the_text():
    one, other = cedar.with_tenant(rule("")), cedar.with_tenant(rule("unless { context.mfa }"))

    assert len({cedar.platform().digest, one.digest, other.digest}) == 3
    assert one.digest == cedar.with_tenant(rule("")).digest


def test_unusable_rules_deny_all_that_they_could_have_stopped_but_can_be_repaired():
    broken = cedar.unusable(uuid4(), "line 1: odd")

    may = {p for p in cedar.SENSITIVE if cedar.judge(p, FINE, broken).allowed}

    assert may == {P.POLICY_CHANGE, P.POLICY_APPROVE, P.POLICY_RESTORE}
    assert "odd" in cedar.judge(P.PACK_EXPORT, FINE, broken).reasons[0]
    agent = replace(FINE, kind="agent")
    assert not cedar.judge(P.POLICY_APPROVE, agent, broken).allowed


RESTRICTED = {"diff_lines": 1, "risk": 0, "classification": "restricted"}
RAISE = {"budget": "task", "raised_percent": 200, "old_cents": 1000, "new_cents": 2000}
WINDOW = "restricted-in-the-window"


def test_the_examples_are_off_and_each_works_when_it_is_switched_on():
    assert cedar.check(cedar.EXAMPLES) == []
    assert cedar.rules_of(cedar.EXAMPLES) == []

    own = cedar.with_tenant(examples_on())

    sunday, night = NOON + timedelta(days=6), NOON.replace(hour=3)
    for permission, otherwise, stopped_by in [
        (P.POLICY_CHANGE, {"mfa": False}, "second-factor"),
        (P.ROLE_CHANGE, {"signed_in_seconds": 901}, "fresh-sign-in-for-roles"),
        (P.PROPOSAL_COUNTERSIGN, {"diff_lines": 3001, "risk": 0}, "small-steps"),
        (P.PROPOSAL_COUNTERSIGN, {"diff_lines": 1, "risk": 61}, "small-steps"),
        (P.PROPOSAL_COUNTERSIGN, {"diff_lines": 1}, "small-steps"),
        (P.PROPOSAL_COUNTERSIGN, RESTRICTED | {"at": NOON + timedelta(days=4)}, WINDOW),
        (P.PROPOSAL_COUNTERSIGN, RESTRICTED | {"at": NOON.replace(hour=7)}, WINDOW),
        (P.PROPOSAL_COUNTERSIGN, RESTRICTED | {"at": NOON.replace(hour=16)}, WINDOW),
        (P.PROPOSAL_COUNTERSIGN, {"diff_lines": 1, "risk": 0, "at": sunday}, "working-hours"),
        (P.PROPOSAL_COUNTERSIGN, {"diff_lines": 1, "risk": 0, "at": night}, "working-hours"),
        (P.PACK_EXPORT, {"classification": "restricted", "kind": "robot"}, "restricted-by-hand"),
        (P.BUDGET_RAISE, RAISE | {"new_cents": 2001}, "budgets-in-steps"),
        (P.BUDGET_RAISE, RAISE | {"raised_percent": 201}, "budgets-in-steps"),
        (P.BUDGET_RAISE, RAISE | {"new_cents": None}, "budgets-in-steps"),
        (P.BUDGET_RAISE, RAISE | {"requester": "ada"}, "budgets-by-a-second-person"),
        (P.PROPOSAL_MERGE, {"risk": 81}, "merge-window"),
        (P.PROPOSAL_MERGE, {}, "merge-window"),
        (P.PROPOSAL_MERGE, {"risk": 80, "at": NOON.replace(hour=16)}, "merge-window"),
        (P.PROPOSAL_MERGE, {"risk": 80, "at": NOON + timedelta(days=4)}, "merge-window"),
        (P.PROPOSAL_MERGE, {"risk": 80, "countersigner": "ada"}, "merged-by-a-third-person"),
    ]:
        said = cedar.judge(permission, replace(FINE, **otherwise), own)
        assert said.policies == (f"tenant:{stopped_by}",), otherwise
    small = replace(FINE, diff_lines=3000, risk=60)
    assert cedar.judge(P.PROPOSAL_COUNTERSIGN, small, own).allowed
    assert cedar.judge(P.BUDGET_RAISE, replace(FINE, **RAISE), own).allowed
    limits = replace(FINE, budget="models", raised_percent=900, new_cents=500_000)
    assert cedar.judge(P.BUDGET_RAISE, limits, own).allowed
    in_window = replace(FINE, **RESTRICTED)
    assert cedar.judge(P.PROPOSAL_COUNTERSIGN, in_window, own).allowed


@pytest.mark.parametrize(
    ("otherwise", "allowed"),
    [
        ({"risk": 61, "mfa": False}, False),
        ({"mfa": False}, False),  # not known counts as risky
        ({"risk": 60, "mfa": False}, True),
        ({"risk": 61, "mfa": True}, True),
    ],
)
def test_a_risk_above_sixty_takes_a_second_factor(otherwise, allowed):
    examples = cedar.rules_of(examples_on())
    text = next(one.text for one in examples if one.id == "tenant:second-factor-above-60")

    said = cedar.judge(P.PROPOSAL_COUNTERSIGN, replace(FINE, **otherwise), cedar.with_tenant(text))

    assert said.allowed == allowed


def examples_on() -> str:
    lines = cedar.EXAMPLES.splitlines()
    code = ("// @", "// forbid", "// )", "// un", "// when", "// }", "//   ")
    return "\n".join(line[3:] if line.startswith(code) else line for line in lines)


HEAD = '@id("mine")\n@reason("because")\n'


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("forbid(principal, action, resource)\nwhen {\n context.\n};", 6, "“}” was not expected"),
        ("forbid(principal action, resource);", 3, "“action” was not expected here"),
        ("forbid(principal, action, resource)\n", 3, "not finished; each ends with “;”"),
        ("forbid(principal, action, resource)\nwhen { foo };", 4, "“foo” is not known"),
        ("\n\nfobrid(principal, action, resource);", 5, "“fobrid” is not known"),
        ("forbid(principal, action, resource)\nwhen { context.x };", 4, "there is no “x” in"),
        (
            "forbid(principal, action, resource)\nwhen {\n true && context.risk > 3 };",
            5,
            "“risk” is not always known; ask “context has risk &&” before it",
        ),
        (
            "forbid(principal, action, resource)\nwhen { resource.author == principal };",
            4,
            "“author” is not always known; ask “resource has author &&” before it",
        ),
        (
            'forbid(principal, action, resource)\nwhen { principal.kind == Kind::"persn" };',
            4,
            'there is no Kind::"persn"',
        ),
        ('forbid(principal, action ==\nAction::"task.view", resource);', 4, "there is no action"),
        ("forbid(principal == User::\n'x', action, resource);", 4, "“'” is not known"),
        ('forbid(principal == User::"x", action, resource);', 3, "there is no entity type User"),
        ("forbid(principal, action, resource)\nwhen { context.hour };", 3, "takes Bool, not Long"),
        ('forbid(principal, action, resource)\nwhen { context.mfa == "\n};', 4, "does not end"),
        ("forbid(principal, action, resource)\nwhen { # };", 4, "“#” is not known"),
        ("forbid(principal == ?principal, action, resource);", 3, "mean nothing here"),
        ("permit(principal, action, resource);", 3, "only “forbid” may stand here"),
        (
            'forbid(principal, action in [Action::"policy.restore"], resource);',
            3,
            "“policy.restore” cannot be forbidden",
        ),
        (
            'forbid(principal, action == Action::"policy.restore", resource);',
            3,
            "“policy.restore” cannot be forbidden",
        ),
    ],
)
def test_a_fault_is_told_with_its_line(text, line, said):
    found = faults(HEAD + text)

    assert [number for number, _ in found] == [line]
    assert said in found[0][1]
    with pytest.raises(cedar.BadPolicies):
        cedar.with_tenant(HEAD + text)


def test_each_rule_has_a_name_and_a_reason_of_its_own():
    bare = "forbid(principal, action, resource);\n"

    assert [said for _, said in faults(bare)] == [
        'needs an @id of small letters, digits, hyphens: @id("second-factor")',
        'needs a @reason that people will read: @reason("sign in again")',
    ]
    assert faults(rule("") + rule("unless { context.mfa }")) == [
        (7, "the @id “mine” is used twice")
    ]
    assert faults(HEAD.replace("mine", "Mine!") + bare)[0][1].startswith("needs an @id")


def test_a_good_rule_after_a_bad_one_is_still_read():
    text = rule("when { context.x }", name="bad") + rule("when { context.y }", name="worse")

    assert [line for line, _ in faults(text)] == [4, 8]


def test_there_is_an_end_to_how_much_is_taken():
    assert "20,000" in faults(" " * 20_001)[0][1]
    many = "".join(rule("", name=f"r{number}") for number in range(51))
    assert "at most 50" in faults(many)[0][1]
    assert cedar.check("".join(rule("", name=f"r{number}") for number in range(50))) == []
    assert faults(rule("\0"))[0] == (4, "holds a zero character")


DEEP = {
    "brackets": "(" * 9_000 + "true" + ")" * 9_000,
    "lists": "[" * 9_000 + "]" * 9_000 + ".isEmpty()",
    "records": "{a:" * 4_000 + "1" + "}" * 4_000 + " == 3",
    "chain": " && ".join(["context.mfa"] * 1_500),
    "dots": "context" + ".a" * 9_000,
    "sum": "1" + "+1" * 9_000 + " > 3",
    "long has": "context has " + ".".join("a" * 5_000),
    "if": "if true then " * 500 + "true" + " else false" * 500,
}


@pytest.mark.parametrize("shape", DEEP)
def test_text_that_would_take_the_process_down_never_reaches_the_engine(shape):
    found = faults(rule("when { " + DEEP[shape] + " }"))

    assert len(found) == 1
    assert "at most" in found[0][1]


def test_nothing_hides_from_the_measuring_where_the_engine_looks():
    """To the engine a comment ends at a carriage return too, so what follows counts for it."""
    deep = "// all is well\r && " + "(" * 9_000 + "true" + ")" * 9_000

    found = faults(rule("when { context.mfa " + deep + "\n }"))

    assert len(found) == 1
    assert "at most" in found[0][1]
    hidden = cedar.rules_of("// nothing\r" + rule(""))
    assert [one.id for one in hidden] == ["tenant:mine"]


def test_the_engine_does_fall_over_without_that():
    """When this fails, the engine bounds itself and our limits may go."""
    script = (
        "import cedarpy\n"
        "deep = '(' * 9000 + 'true' + ')' * 9000\n"
        "cedarpy.PolicySet.from_str('forbid(principal, action, resource) when {' + deep + '};')"
    )
    fallen = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)

    assert fallen.returncode < 0


def test_the_longest_rules_that_are_taken_fit_into_a_small_stack():
    """1 MB; threads usually have 8. Whatever passes our limits is an answer, not a crash."""
    script = f"""
import sys, threading
sys.path.insert(0, {str(cedar._HERE.parent.parent)!r})
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
from authz import cedar
head = '@id("a")\\n@reason("b")\\nforbid(principal, action, resource) when {{ '
shapes = [
    "(" * 17 + "true" + ")" * 17,
    " && ".join(["true"] * 125),
    " && ".join(["true"] * 90),
    " || ".join(["context.mfa"] * 65),
    "context" + ".a" * 120,
    "1" + "+1" * 120 + " > 3",
    "context has " + ".".join("a" * 120),
    "!(" * 17 + "true" + ")" * 17,
    "if true then " * 40 + "true" + " else false" * 40,
]
def run():
    for shape in shapes:
        cedar.check(head + shape + " }};")
    print("done")
threading.stack_size(1024 * 1024)
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr


def test_facts_come_from_the_actor_the_thing_and_the_sign_in(in_acme):
    signed_in = SignedIn(NOON - timedelta(minutes=2), "oidc", ("pwd", "mfa"))
    ada = replace(in_acme.people["ada"].actor("page", signed_in=JUST_NOW), signed_in=signed_in)
    requester, author = uuid4(), uuid4()
    thing = SimpleNamespace(
        _meta=SimpleNamespace(model_name="proposal"),
        pk="7",
        tenant_id=in_acme.scope.tenant_id,
        requester_id=requester,
        author_id=author,
        project_id=in_acme.project.pk,
        risk_score=26,
        diff_lines=12,
        classification="internal",
    )

    facts = facts_of(ada, thing, rebac=True, now=NOON)

    assert facts == PolicyFacts(
        rebac=True,
        actor=str(in_acme.people["ada"].pk),
        kind="human",
        tenant=str(in_acme.scope.tenant_id),
        door="page",
        token=False,
        mfa=True,
        thing="proposal:7",
        thing_tenant=str(in_acme.scope.tenant_id),
        at=NOON,
        signed_in_seconds=120,
        requester=str(requester),
        author=str(author),
        project=str(in_acme.project.pk),
        risk=26,
        diff_lines=12,
        classification="internal",
    )
    assert cedar.judge(P.PROPOSAL_COUNTERSIGN, facts, cedar.platform()).allowed
    assert PolicyFacts.of_record(facts.recorded()) == facts
    foreign = SimpleNamespace(**{**vars(thing), "tenant_id": uuid4()})
    across = facts_of(ada, foreign, rebac=True, now=NOON)
    assert across.thing_tenant == str(foreign.tenant_id) != across.tenant
    password_only = replace(ada, signed_in=SignedIn(NOON, "oidc", ("pwd",)))
    assert not facts_of(password_only, thing, rebac=True, now=NOON).mfa


def test_what_is_not_known_is_not_made_up(in_acme):
    token = in_acme.people["ada"].actor("api", only=frozenset({"pack.export"}))

    facts = facts_of(token, in_acme.project, rebac=True, now=NOON)

    assert (facts.token, facts.mfa) == (True, False)
    unknown = {f.name for f in fields(facts) if getattr(facts, f.name) is None}
    assert unknown == {
        "signed_in_seconds",
        "requester",
        "author",
        "risk",
        "diff_lines",
        "countersigner",
        "countersigned",
        "checks_passed",
        "budget",
        *cedar._AMOUNTS,
    }
    assert facts.classification == "internal"
    assert PolicyFacts.of_record(facts.recorded()) == facts


@pytest.mark.parametrize(
    "record", [None, "x", {}, {"rebac": True}, FINE.recorded() | {"new": 1}, {"at": "x"}]
)
def test_a_record_that_does_not_hold_all_the_facts_is_no_record(record):
    assert PolicyFacts.of_record(record) is None


# What is put between the words of two good rules; the engine and we must take it the same way.
NOISE = [
    "//",
    "// x\n",
    "\n",
    "\r",
    "\r\n",
    '"',
    "\\",
    ";",
    "(",
    ")",
    "\u2028",
    "\x0b",
    "\xa0",
    "é",
]


def test_what_is_taken_is_what_the_engine_reads():
    words = re.findall(r'"[^"]*"|\w+|\S', rule("when { true }", name="a") + rule("", name="b"))
    chance, taken = random.Random(7), 0
    for _ in range(1_500):
        mixed = list(words)
        for _ in range(chance.randrange(1, 4)):
            mixed.insert(chance.randrange(len(mixed) + 1), chance.choice(NOISE))
        text = " ".join(mixed)
        if cedar.check(text):
            continue
        engine = cedarpy.policies_to_pst(text).static_policies.values()
        ours = [one.id.removeprefix("tenant:") for one in cedar.rules_of(text)]
        assert sorted(ours) == sorted(policy.annotations["id"] for policy in engine), text
        taken += 1
    assert taken > 200
