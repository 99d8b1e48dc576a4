"""Our policies as formulas of z3, so that a theorem about them is proved, not sampled.

Covers what our schema and policies use. Whatever else a policy says raises Unknown: a policy that
was not understood must fail the proofs, never slip by them. An expression becomes two formulas:
its value, and whether evaluating it is an error, because an error anywhere is a denial with us.
"""

import re
from dataclasses import dataclass

import cedarpy
import z3
from cedarpy import pst

from authz import cedar
from authz.permissions import Permission


class Unknown(Exception):
    """A policy says something that is not translated."""


# The enumerations of the schema, read from it; a place in them stands for a value.
ENUMS = {
    kind: re.findall(r'"(\w+)"', names)
    for kind, names in re.findall(r"^entity (\w+) enum \[([^\]]+)\]", cedar.SCHEMA, re.MULTILINE)
}
# Attribute -> its sort, and whether it is always there. As the schema has it.
ACCOUNT = {"tenant": ("Tenant", True), "kind": ("Kind", True)}
THING = {
    "tenant": ("Tenant", True),
    "requester": ("Account", False),
    "author": ("Account", False),
    "countersigner": ("Account", False),
    "project": ("Project", False),
}
CONTEXT = {
    "rebac": ("Bool", True),
    "door": ("Door", True),
    "token": ("Bool", True),
    "mfa": ("Bool", True),
    "signed_in_seconds": ("Long", False),
    "risk": ("Long", False),
    "diff_lines": ("Long", False),
    "classification": ("Classification", False),
    "countersigned": ("Bool", False),
    "checks_passed": ("Bool", False),
    "budget": ("Budget", False),
    "raised_percent": ("Long", False),
    **{
        f"{when}_{unit}": ("Long", False)
        for unit in ("steps", "seconds", "tokens", "cents")
        for when in ("old", "new")
    },
    "hour": ("Long", True),
    "weekday": ("Day", True),
}
VARIABLES = {"principal": ACCOUNT, "resource": THING, "context": CONTEXT}
# Known by id only, which a number stands for: all that is asked is whether two are the same.
IDS = frozenset({"Tenant", "Account", "Project"})


@dataclass(frozen=True)
class Said:
    """An expression as formulas. kind: the schema's name for its type."""

    value: object
    error: z3.BoolRef
    kind: str


class World:
    """Any request at all for one permission, as far as policies can see it."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission
        self.principal = z3.Int("principal")
        self.values: dict[tuple[str, str], object] = {}
        self.known: dict[tuple[str, str], z3.BoolRef] = {}
        self.assumed: list[z3.BoolRef] = []
        for variable, attributes in VARIABLES.items():
            for name, (kind, always) in attributes.items():
                at = variable, name
                self.values[at] = self._any(f"{variable}.{name}", kind)
                self.known[at] = z3.BoolVal(True) if always else z3.Bool(f"{variable} has {name}")

    def _any(self, name: str, kind: str) -> object:
        if kind == "Bool":
            return z3.Bool(name)
        number = z3.Int(name)
        if kind in IDS:
            return number
        low, high = (0, len(ENUMS[kind]) - 1) if kind in ENUMS else (-(2**63), 2**63 - 1)
        self.assumed += [number >= low, number <= high]
        return number

    def __getitem__(self, at: str) -> object:
        """The value of "context.mfa" and the like."""
        variable, name = at.split(".")
        return self.values[variable, name]

    def has(self, at: str) -> z3.BoolRef:
        variable, name = at.split(".")
        return self.known[variable, name]

    def kind_is(self, *kinds: str) -> z3.BoolRef:
        return z3.Or([self["principal.kind"] == ENUMS["Kind"].index(kind) for kind in kinds])

    def allowed(self, text: str) -> z3.BoolRef:
        """When this permission is granted by the policies in `text`."""
        permits, forbids, errors = [], [], []
        nodes = cedarpy.policies_to_pst(text)
        if nodes.templates or nodes.template_links:
            raise Unknown("templates")
        for policy in nodes.static_policies.values():
            if not self._concerns(policy):
                continue
            value, error = self._conditions(policy)
            (permits if policy.effect == "permit" else forbids).append(value)
            errors.append(error)
        return z3.And(z3.Or(permits), z3.Not(z3.Or(forbids)), z3.Not(z3.Or(errors)))

    def _concerns(self, policy: pst.Template) -> bool:
        for scope in (policy.principal, policy.resource):
            if not isinstance(scope, pst.ScopeAny):
                raise Unknown(f"scope {scope}")
        names = {self.permission.value, *cedar.ACTIONS[self.permission]}
        match policy.action:
            case pst.ScopeAny():
                return True
            case pst.ActionEq(entity):
                return entity.id == self.permission.value
            case pst.ActionIn(entities):
                return any(entity.id in names for entity in entities)
        raise Unknown(str(policy.action))

    def _conditions(self, policy: pst.Template) -> tuple[z3.BoolRef, z3.BoolRef]:
        value, error = z3.BoolVal(True), z3.BoolVal(False)
        for clause in policy.clauses:
            said = self._said(clause.expr)
            _want(said, "Bool")
            error = z3.Or(error, z3.And(value, said.error))
            holds = said.value if isinstance(clause, pst.When) else z3.Not(said.value)
            value = z3.And(value, z3.Not(said.error), holds)
        return value, error

    def _said(self, expression: pst.Expr) -> Said:
        sound = z3.BoolVal(False)
        match expression:
            case pst.BoolLit(value):
                return Said(z3.BoolVal(value), sound, "Bool")
            case pst.LongLit(value):
                return Said(z3.IntVal(value), sound, "Long")
            case pst.EntityLit(uid) if str(uid.type) in ENUMS:
                kind = str(uid.type)
                return Said(z3.IntVal(ENUMS[kind].index(uid.id)), sound, kind)
            case pst.Var("principal"):
                return Said(self.principal, sound, "Account")
            case pst.GetAttr(pst.Var(variable), name) if name in VARIABLES.get(variable, {}):
                at = variable, name
                return Said(self.values[at], z3.Not(self.known[at]), VARIABLES[variable][name][0])
            case pst.HasAttr(pst.Var(variable), (name,)) if name in VARIABLES.get(variable, {}):
                return Said(self.known[variable, name], sound, "Bool")
            case pst.UnaryOp("not", inner):
                said = self._said(inner)
                _want(said, "Bool")
                return Said(z3.Not(said.value), said.error, "Bool")
            case pst.BinaryOp("and" | "or" as name, left, right):
                return self._joined(name, self._said(left), self._said(right))
            case pst.BinaryOp("contains", pst.Set(elements), needle):
                wanted = self._said(needle)
                those = [self._said(element) for element in elements]
                for one in those:
                    _want(one, wanted.kind)
                error = z3.Or(wanted.error, *(one.error for one in those))
                return Said(z3.Or([one.value == wanted.value for one in those]), error, "Bool")
            case pst.BinaryOp(name, left, right) if name in _COMPARED:
                one, other = self._said(left), self._said(right)
                _want(other, one.kind)
                if name not in {"eq", "not_eq"}:
                    _want(one, "Long")
                return Said(
                    _COMPARED[name](one.value, other.value), z3.Or(one.error, other.error), "Bool"
                )
        raise Unknown(str(expression))

    def _joined(self, name: str, left: Said, right: Said) -> Said:
        """As Cedar does it: the right side is not looked at when the left one settles it."""
        _want(left, "Bool")
        _want(right, "Bool")
        goes_on = left.value if name == "and" else z3.Not(left.value)
        join = z3.And if name == "and" else z3.Or
        return Said(
            join(left.value, right.value),
            z3.Or(left.error, z3.And(goes_on, right.error)),
            "Bool",
        )


_COMPARED = {
    "eq": lambda one, other: one == other,
    "not_eq": lambda one, other: one != other,
    "less": lambda one, other: one < other,
    "less_eq": lambda one, other: one <= other,
    "greater": lambda one, other: one > other,
    "greater_eq": lambda one, other: one >= other,
}


def _want(said: Said, kind: str) -> None:
    if said.kind != kind:
        raise Unknown(f"{said.kind} where {kind} was expected")
