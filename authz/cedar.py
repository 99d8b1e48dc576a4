"""The only file that knows the Cedar engine: reads policies, says what is wrong, judges by them.

Cedar lets a request pass when a `forbid` breaks on a missing attribute, and its parser takes the
process down on text that is nested deep enough. So: whatever is not a clean answer is a no, rules
are checked against the schema before they count, and text is measured before the engine sees it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import cedarpy
import rfc8785
from cedarpy import pst

from authz.permissions import Permission
from authz.policy_facts import BUDGET_UNITS, PolicyFacts

_HERE = Path(__file__).parent / "policies"
SCHEMA = (_HERE / "schema.cedarschema").read_text()
PLATFORM = (_HERE / "platform.cedar").read_text()
EXAMPLES = (_HERE / "examples.cedar").read_text()

LONGEST = 20_000  # characters of a tenant's rules
MOST = 50  # rules of a tenant
# What one rule may be. The engine recurses for each bracket and each operator of a chain, and
# overflows the stack of a thread somewhere above; measured with stacks of an eighth of the usual.
TOKENS, NESTED = 300, 20

BASE = "platform:base"  # the one that permits
# Never stopped by a tenant's own rules, so that nobody can lock everybody out for good.
ALWAYS_OPEN = Permission.POLICY_RESTORE
# Decided by the platform's policies alone when the tenant's own cannot be used, to repair them.
_REPAIRS = {Permission.POLICY_CHANGE, Permission.POLICY_APPROVE, Permission.POLICY_RESTORE}

_ACTION = re.compile(r'^action "([^"]+)"(?: in \[([^\]]*)\])?\s*appliesTo', re.MULTILINE)
# Sensitive permission -> groups that policies may name instead of it; as the schema says.
ACTIONS: dict[Permission, frozenset[str]] = {
    Permission(name): frozenset(re.findall(r'"([^"]+)"', groups))
    for name, groups in _ACTION.findall(SCHEMA)
}
SENSITIVE = frozenset(ACTIONS)

# As the engine takes text apart, or stricter: what it sees and we do not would not be measured.
_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n\r]*)|(?P<word>[A-Za-z_]\w*)|(?P<number>\d+)"""
    r"""|(?P<string>"(?:[^"\\]|\\.)*")|(?P<mark>==|!=|<=|>=|&&|\|\||::|[@(){}\[\];,.:?<>!+*=%/-])""",
    re.ASCII | re.DOTALL,
)


@dataclass(frozen=True)
class Judgement:
    """Yes or no, the ids of the policies that made it so, why in plain words."""

    allowed: bool
    policies: tuple[str, ...]
    reasons: list[str]


@dataclass(frozen=True)
class Fault:
    """Something in a tenant's rules that cannot be used. line: from 1."""

    line: int
    said: str


@dataclass(frozen=True)
class Rule:
    """One policy as people see it. text: as it was written, from its first annotation on."""

    id: str  # "tenant:" or "platform:", then its @id
    reason: str
    text: str
    about: frozenset[Permission]


@dataclass(frozen=True)
class PolicySet:
    """Policies ready to judge by: parsed once, cut up by permission.

    digest: SHA-256 (hex) of schema, platform's policies and tenant's rules. version: the tenant's
    version in it, if any. problem: why the tenant's rules cannot be used; all that they could
    have stopped is then denied.
    """

    digest: str
    shards: Mapping[Permission, cedarpy.PolicySet]
    rules: Mapping[str, Rule]
    version: UUID | None = None
    problem: str = ""


class BadPolicies(ValueError):
    """A tenant's rules cannot be used."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"line {fault.line}: {fault.said}" for fault in faults))
        self.faults = faults


def judge(permission: Permission, facts: PolicyFacts, policies: PolicySet) -> Judgement:
    """What the policies say. permission: one of SENSITIVE."""
    shard = policies.shards.get(permission)
    if shard is None:
        return Judgement(False, ("tenant:unusable",), [policies.problem or "nothing permits this"])
    answer = cedarpy.is_authorized(
        {
            "principal": {"type": "Account", "id": facts.actor},
            "action": {"type": "Action", "id": permission.value},
            "resource": {"type": "Thing", "id": facts.thing},
            "context": json.dumps(_context(facts)),
        },
        shard,
        json.dumps(_entities(facts)),
        schema=_schema(),
    )
    if errors := answer.diagnostics.errors:
        return Judgement(
            False, ("error",), [f"a policy could not be applied: {error}" for error in errors]
        )
    decided = sorted(answer.diagnostics.reasons)
    if not decided:
        return Judgement(
            False, ("default-deny",), ["no role or relation of yours here allows this"]
        )
    return Judgement(
        answer.allowed, tuple(decided), [policies.rules[rule].reason for rule in decided]
    )


@cache
def platform() -> PolicySet:
    """The platform's policies alone: a tenant without rules of its own."""
    rules, faults = _read(PLATFORM, "platform")
    if faults:
        raise BadPolicies(faults)
    return _assembled(rules, "", None)


def with_tenant(text: str, version: UUID | None = None) -> PolicySet:
    """The platform's policies and a tenant's rules. Raises BadPolicies."""
    if faults := check(text):
        raise BadPolicies(faults)
    rules, _ = _read(PLATFORM, "platform")
    own, _ = _read(text, "tenant")
    return _assembled([*rules, *own], text, version)


def unusable(version: UUID, why: str) -> PolicySet:
    """Stands in for rules in force that cannot be used any more: denies, but lets admins repair."""
    whole = platform()
    return replace(
        whole,
        digest=_digest(f"unusable: {version}"),
        shards={permission: whole.shards[permission] for permission in _REPAIRS},
        version=version,
        problem=f"the policies of this workspace cannot be used ({why}); an admin must repair them",
    )


def check(text: str) -> list[Fault]:
    """What is wrong with a tenant's rules, in the order of lines; nothing when they can be used."""
    if len(text) > LONGEST:
        return [Fault(1, f"these are {len(text):,} characters; at most {LONGEST:,} are taken")]
    if "\0" in text:
        return [Fault(text[: text.index("\0")].count("\n") + 1, "holds a zero character")]
    rules, faults = _read(text, "tenant")
    if len(rules) > MOST:
        faults.append(Fault(1, f"these are {len(rules)} rules; at most {MOST} are taken"))
    ids: set[str] = set()
    for rule in rules:
        faults += _against_the_envelope(rule)
        if rule.said.id in ids:
            name = rule.said.id.removeprefix("tenant:")
            faults.append(Fault(rule.line, f"the @id “{name}” is used twice"))
        ids.add(rule.said.id)
    return sorted(dict.fromkeys(faults), key=lambda fault: fault.line)


def rules_of(text: str) -> list[Rule]:
    """The rules in a text that passed check()."""
    return [rule.said for rule in _read(text, "tenant")[0]]


@dataclass(frozen=True)
class _Token:
    text: str
    kind: str
    line: int
    start: int
    end: int


@dataclass(frozen=True)
class _Read:
    """One rule with where it stands and what the engine makes of it."""

    said: Rule
    line: int
    parsed: pst.Template


def _read(text: str, whose: str) -> tuple[list[_Read], list[Fault]]:
    """The rules in a text, besides those with faults."""
    rules, faults = [], []
    for tokens in _rules_in(text):
        line = _head(tokens)
        written = text[tokens[0].start : tokens[-1].end]
        if fault := _too_much(tokens):
            faults.append(fault)
            continue
        try:
            parsed = [*cedarpy.policies_to_pst(written).static_policies.values()]
        except ValueError as error:
            faults.append(_syntax_fault(text, tokens, str(error)))
            continue
        if len(parsed) != 1:
            faults.append(
                Fault(line, "is no plain rule; ?principal and ?resource mean nothing here")
            )
            continue
        found = _schema_faults(written, tokens)
        said = parsed[0].annotations
        name, reason = said.get("id", "").strip(), said.get("reason", "").strip()
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,59}", name):
            found.append(
                Fault(line, 'needs an @id of small letters, digits, hyphens: @id("second-factor")')
            )
        if not reason or len(reason) > 200:
            found.append(
                Fault(line, 'needs a @reason that people will read: @reason("sign in again")')
            )
        faults += found
        if not found:
            about = frozenset(p for p in SENSITIVE if _concerns(parsed[0], p))
            if whose == "tenant":
                about -= {ALWAYS_OPEN}
            rules.append(_Read(Rule(f"{whose}:{name}", reason, written, about), line, parsed[0]))
    return rules, faults


def _rules_in(text: str) -> Iterator[list[_Token]]:
    """The tokens of one rule after the other; comments and space are left out."""
    tokens: list[_Token] = []
    for token in _tokens(text):
        tokens.append(token)
        if token.text == ";":
            yield tokens
            tokens = []
    if tokens:
        yield tokens


def _tokens(text: str) -> Iterator[_Token]:
    at, line = 0, 1
    while at < len(text):
        found = _TOKEN.match(text, at)
        # What is no token at all goes to the rule it stands in, which will not parse.
        kind = found.lastgroup or "" if found else "strange"
        said = found.group() if found else text[at]
        if kind != "space":
            yield _Token(said, kind, line, at, at + len(said))
        at, line = at + len(said), line + said.count("\n")


def _too_much(tokens: list[_Token]) -> Fault | None:
    """Why a rule must not reach the engine, if so."""
    for token in tokens:
        if token.kind == "strange":
            what = "this text does not end" if token.text == '"' else f"“{token.text}” is not known"
            return Fault(token.line, what)
    if len(tokens) > TOKENS:
        return Fault(_head(tokens), f"is too long: at most {TOKENS} words and signs in one rule")
    depth = 0
    for token in tokens:
        depth += (token.text in "([{") - (token.text in ")]}")
        if depth > NESTED:
            return Fault(token.line, f"is nested too deep: at most {NESTED} brackets in each other")
    return None


def _syntax_fault(text: str, tokens: list[_Token], error: str) -> Fault:
    """Where the parser stumbled. It does not say; but a beginning that it would have gone on
    from makes it stumble over a “;” put after it, and no sooner."""
    if "nesting exceeds" in error:
        return Fault(_head(tokens), "is too long a chain of conditions; make it several rules")
    if error == "unexpected end of input":
        return Fault(tokens[-1].line, "this rule is not finished; each ends with “;”")
    if "unexpected token" not in error:
        return Fault(_line_of(error, tokens), _plain(error))
    good, bad = 0, len(tokens)
    while good + 1 < bad:
        middle = (good + bad) // 2
        try:
            cedarpy.policies_to_pst(text[tokens[0].start : tokens[middle - 1].end] + ";")
        except ValueError as stumbled:
            good, bad = (middle, bad) if "token `;`" in str(stumbled) else (good, middle)
        else:
            good = middle
    return Fault(tokens[bad - 1].line, f"“{tokens[bad - 1].text}” was not expected here")


def _schema_faults(written: str, tokens: list[_Token]) -> list[Fault]:
    """What does not fit the schema: each thing once, though the engine says it for each action."""
    found: dict[str, Fault] = {}
    for one in cedarpy.validate_policies(written, _schema()).errors:
        if "unable to find an applicable action" in one.error and found:
            continue  # follows from the one before
        error = re.sub(r' (in context )?for Action::"[^"]+"', r" \1", one.error)
        found.setdefault(_plain(error), Fault(_line_of(error, tokens), _plain(error)))
    return list(found.values())


# What the engine says -> what people read.
_SAID = (
    (r"^for policy `\w+`[,:] ", ""),
    (
        r"^unable to guarantee safety of access to optional attribute `(\w+)` in context.*",
        r"“\1” is not always known; ask “context has \1 &&” before it",
    ),
    (
        r"^unable to guarantee safety of access to optional attribute `(\w+)`.*",
        r"“\1” is not always known; ask “resource has \1 &&” before it",
    ),
    (r"entity `(.+?)` is of an enumerated.*", r"there is no \1"),
    (r"attribute `(\w+)` in context.*", r"there is no “\1” in context"),
    (r"attribute `(\w+)` on entity type `(\w+)`.*", r"there is no “\1” in \2"),
    (r"unrecognized (action|entity type) `(.+?)`.*", r"there is no \1 \2"),
    (r"the types (.+) are not compatible", r"\1 cannot be compared"),
    (r"unexpected type: expected (.+) but saw (.+)", r"this takes \1, not \2"),
    (r"__cedar::internal::AnyEntity", "an entity"),
    (r"invalid (variable|policy effect): (.+)", r"“\2” is not known"),
    (r"`(.+?)`", r"“\1”"),
    (r"\s+", " "),
)


def _plain(error: str) -> str:
    for pattern, said in _SAID:
        error = re.sub(pattern, said, error.strip())
    return error


def _line_of(error: str, tokens: list[_Token]) -> int:
    """The line of the thing that an error names; of the rule's first word when it names none."""
    names = {re.split(r"::", name)[-1].strip('"') for name in re.findall(r"`([^`]+)`", error)}
    names.add(error.split()[-1])
    lines = (token.line for token in tokens if token.text.strip('"') in names)
    return next(lines, _head(tokens))


def _head(tokens: list[_Token]) -> int:
    """The line of `forbid`, below the annotations."""
    lines = (token.line for token in tokens if token.text in {"forbid", "permit"})
    return next(lines, tokens[0].line)


def _against_the_envelope(rule: _Read) -> list[Fault]:
    """Tenants only forbid, and never the way back."""
    faults = []
    if rule.parsed.effect != "forbid":
        faults.append(
            Fault(
                rule.line,
                "only “forbid” may stand here: what is permitted, roles and relations say",
            )
        )
    scope = rule.parsed.action
    named = scope.entities if isinstance(scope, pst.ActionIn) else ()
    named = (scope.entity,) if isinstance(scope, pst.ActionEq) else named
    if any(uid.id == ALWAYS_OPEN for uid in named):
        faults.append(
            Fault(
                rule.line,
                f"“{ALWAYS_OPEN}” cannot be forbidden, so that nobody locks everybody out",
            )
        )
    return faults


def _assembled(rules: list[_Read], text: str, version: UUID | None) -> PolicySet:
    """Cut up by permission, because the engine looks at every policy it is given."""
    shards = {}
    for permission in SENSITIVE:
        asked = {
            rule.said.id: replace(rule.parsed, id=rule.said.id)
            for rule in rules
            if permission in rule.said.about
        }
        nodes = pst.PolicySet(templates={}, static_policies=asked, template_links=())
        shards[permission] = cedarpy.PolicySet.from_pst(nodes)
    return PolicySet(_digest(text), shards, {rule.said.id: rule.said for rule in rules}, version)


def _concerns(policy: pst.Template, permission: Permission) -> bool:
    names = {permission.value, *ACTIONS[permission]}
    match policy.action:
        case pst.ActionEq(entity):
            return entity.id == permission
        case pst.ActionIn(entities):
            return any(entity.id in names for entity in entities)
        case pst.ScopeAny():
            return True


def _digest(text: str) -> str:
    parts = {"schema": SCHEMA, "platform": PLATFORM, "tenant": text}
    said = {name: sha256(part.encode()).hexdigest() for name, part in parts.items()}
    return sha256(rfc8785.dumps(said)).hexdigest()


@cache
def _schema() -> cedarpy.Schema:
    return cedarpy.Schema.from_str(SCHEMA)


def _entity(kind: str, name: str) -> dict[str, Any]:
    return {"__entity": {"type": kind, "id": name}}


def _entities(facts: PolicyFacts) -> list[dict[str, Any]]:
    thing = {
        "tenant": _entity("Tenant", facts.thing_tenant),
        "requester": facts.requester and _entity("Account", facts.requester),
        "author": facts.author and _entity("Account", facts.author),
        "countersigner": facts.countersigner and _entity("Account", facts.countersigner),
        "project": facts.project and _entity("Project", facts.project),
    }
    actor = {"tenant": _entity("Tenant", facts.tenant), "kind": _entity("Kind", facts.kind)}
    return [
        {"uid": {"type": "Account", "id": facts.actor}, "attrs": actor, "parents": []},
        {"uid": {"type": "Thing", "id": facts.thing}, "attrs": _known(thing), "parents": []},
    ]


def _context(facts: PolicyFacts) -> dict[str, Any]:
    classified = facts.classification
    return _known(
        {
            "rebac": facts.rebac,
            "door": _entity("Door", facts.door),
            "token": facts.token,
            "mfa": facts.mfa,
            "signed_in_seconds": facts.signed_in_seconds,
            "risk": facts.risk,
            "diff_lines": facts.diff_lines,
            "classification": classified and _entity("Classification", classified),
            "countersigned": facts.countersigned,
            "checks_passed": facts.checks_passed,
            "budget": facts.budget and _entity("Budget", facts.budget),
            **{name: getattr(facts, name) for name in _AMOUNTS},
            "hour": facts.at.hour,
            "weekday": _entity("Day", _DAYS[facts.at.weekday()]),
        }
    )


_AMOUNTS = (
    "raised_percent",
    *(f"{when}_{unit}" for unit in BUDGET_UNITS for when in ("old", "new")),
)
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _known(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value is not None}
