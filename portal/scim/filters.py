"""Turns a SCIM filter into a database query, as far as columns tell what it asks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q
from scim2_models import ScimFilter
from scim2_models.path import (
    CompareOperator,
    Comparison,
    FilterNode,
    FilterVisitor,
    LogicalExpr,
    LogicalOperator,
    Not,
    Present,
    ValuePath,
)

from authz.provisioning import comparable
from portal.scim.protocol import CORE_GROUP, CORE_USER
from portal.scim.resources import id_of
from tenants.models import DirectoryMember


@dataclass(frozen=True)
class Column:
    """Where the values of an attribute stand. keyed: in the form that ignores case."""

    lookup: str
    keyed: bool = False


COLUMNS = {
    f"{CORE_USER}:userName": Column("user_name_key", keyed=True),
    f"{CORE_USER}:displayName": Column("display_name_key", keyed=True),
    f"{CORE_USER}:externalId": Column("external_id"),
    f"{CORE_GROUP}:displayName": Column("display_name_key", keyed=True),
    f"{CORE_GROUP}:externalId": Column("external_id"),
}
IDS: dict[str, Callable[[UUID], Q]] = {
    f"{CORE_USER}:id": lambda found: Q(pk=found),
    f"{CORE_GROUP}:id": lambda found: Q(pk=found),
    f"{CORE_USER}:groups.value": lambda found: Q(
        pk__in=DirectoryMember.objects.filter(group=found).values("person")
    ),
    f"{CORE_GROUP}:members.value": lambda found: Q(
        pk__in=DirectoryMember.objects.filter(person=found).values("group")
    ),
}
EMAILS = f"{CORE_USER}:emails.value"
# Columns hold "" for what is not there, so a test that "" would pass cannot be left to them.
SUFFIX = {
    CompareOperator.eq: "",
    CompareOperator.co: "__contains",
    CompareOperator.sw: "__startswith",
    CompareOperator.ew: "__endswith",
}


@dataclass(frozen=True)
class Narrowed:
    """Rows that may match. exact: all of them do; otherwise each still has to be looked at."""

    rows: Q
    exact: bool


EVERYTHING = Narrowed(Q(), exact=False)
NOTHING = Narrowed(Q(pk__in=[]), exact=True)


def narrow(scim_filter: ScimFilter[Any]) -> Narrowed:
    """The rows that can match a filter that is bound to one kind of resource."""
    return _Narrowing(scim_filter).visit(scim_filter.ast)


class _Narrowing(FilterVisitor[Narrowed]):
    def __init__(self, scim_filter: ScimFilter[Any]) -> None:
        self.filter = scim_filter

    def visit_comparison(self, node: Comparison) -> Narrowed:
        binding = self.filter.resolve_comparison(node.attr_path, strict=False)
        if binding is None:
            return NOTHING
        if not isinstance(node.value, str) or not node.value:
            return EVERYTHING
        if node.op == CompareOperator.eq:
            if binding.urn in IDS:
                asked = id_of(node.value)
                return Narrowed(IDS[binding.urn](asked), exact=True) if asked else NOTHING
            if binding.urn == EMAILS:
                return Narrowed(Q(email_keys__contains=[comparable(node.value)]), exact=True)
        column = COLUMNS.get(binding.urn)
        if column is None or node.op not in SUFFIX:
            return EVERYTHING
        value = comparable(node.value) if column.keyed else node.value
        return Narrowed(Q(**{column.lookup + SUFFIX[node.op]: value}), exact=True)

    def visit_logical_expr(self, node: LogicalExpr) -> Narrowed:
        terms = [self.visit(term) for term in node.terms]
        exact = all(term.exact for term in terms)
        if node.op == LogicalOperator.and_:
            rows = Q()
            for term in terms:
                rows &= term.rows
            return Narrowed(rows, exact)
        if any(term == EVERYTHING for term in terms):
            return EVERYTHING
        rows = Q(pk__in=[])
        for term in terms:
            rows |= term.rows
        return Narrowed(rows, exact)

    def visit_value_path(self, node: ValuePath) -> Narrowed:
        binding = self.filter.resolve(node.attr_path, strict=False)
        if binding is None:
            return NOTHING
        value = _value_asked(node.val_filter)
        if binding.urn == f"{CORE_USER}:emails" and value:
            return Narrowed(Q(email_keys__contains=[comparable(value)]), exact=False)
        return EVERYTHING

    def visit_present(self, node: Present) -> Narrowed:
        return EVERYTHING

    def visit_not(self, node: Not) -> Narrowed:
        return EVERYTHING


def _value_asked(node: FilterNode) -> str | None:
    """The `value` that every match of a value filter must have, such as an address."""
    if isinstance(node, LogicalExpr) and node.op == LogicalOperator.and_:
        return next(filter(None, map(_value_asked, node.terms)), None)
    if (
        isinstance(node, Comparison)
        and node.op == CompareOperator.eq
        and node.attr_path.attr.lower() == "value"
        and isinstance(node.value, str)
    ):
        return node.value
    return None
