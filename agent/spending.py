"""What language models cost: by day, by project, by task, by person, by model."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from agent.gateway import limits
from agent.models import ModelCall, ModelRules, Task
from authz.decisions import may, require, visible
from authz.people import AsTenant
from authz.permissions import Permission
from tenants.actor import Actor
from tenants.models import Project
from tenants.scope import current_tenant_id

MOST_ROWS = 100
# How calls are put together: id and name of what they count for. Nothing: of no project or task.
GROUPS: Mapping[str, tuple[str, str]] = {
    "project": ("project_id", "project__name"),
    "task": ("task_id", "task__goal"),
    "person": ("person_id", "person__name"),
    "model": ("model", "model"),
    "purpose": ("purpose", "purpose"),
}


@dataclass(frozen=True)
class Row:
    """What something cost. calls: questions, also those answered from memory. usd: US dollars."""

    id: str
    name: str
    calls: int
    kept: int
    tokens: int
    usd: Decimal


@dataclass(frozen=True)
class Spending:
    """The cost of some days. days: each of them, also those without any. whole: of the tenant, not
    of some projects only. month: what counts against the tenant's limit, None for some projects."""

    first: date
    last: date
    days: tuple[tuple[date, Decimal], ...]
    total: Row
    groups: Mapping[str, tuple[Row, ...]]
    whole: bool
    rules: ModelRules
    month: Decimal | None


def spending(by: Actor, *, days: int = 30) -> Spending:
    """What was spent in the last days, today included, as far as the actor may see it.

    Who may see it for the whole tenant sees everything; others their projects. Raises Denied when
    there is neither.
    """
    tenant = AsTenant(current_tenant_id())
    calls: QuerySet[ModelCall] = ModelCall.objects.all()
    whole = may(by, Permission.SPEND_VIEW, tenant)
    projects = visible(by, Permission.SPEND_VIEW, Project.objects.all())
    if not whole and projects.exists():
        calls = calls.filter(project__in=projects)
    else:
        require(by, Permission.SPEND_VIEW, tenant)
    last = timezone.now().date()
    first = last - timedelta(days=days - 1)
    calls = calls.filter(created_at__date__gte=first).order_by()
    by_day = {
        row["day"]: row["usd"] or Decimal(0)
        for row in calls.annotate(day=TruncDate("created_at"))
        .values("day")
        .annotate(usd=Sum("usd"))
    }
    month = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return Spending(
        first,
        last,
        tuple(
            (day, by_day.get(day, Decimal(0)))
            for day in (first + timedelta(days=n) for n in range(days))
        ),
        _row(calls.aggregate(**_SUMS), "", ""),
        {name: tuple(_rows(calls, *columns)) for name, columns in GROUPS.items()},
        whole,
        limits.rules(),
        limits.spent(Q(created_at__gte=month))["usd"] if whole else None,
    )


def spent_on(task: Task) -> Row:
    """What one task asked of models so far; for whoever may look at the task."""
    return _row(task.model_calls.order_by().aggregate(**_SUMS), str(task.pk), task.goal)


def as_csv(found: Spending) -> str:
    """Every row of every group, for a spreadsheet."""
    written = StringIO()
    rows = csv.writer(written)
    rows.writerow(["by", "id", "name", "questions", "from_memory", "tokens", "usd"])
    for group, members in found.groups.items():
        for row in members:
            # What begins like a formula would be one in a spreadsheet.
            name = f"'{row.name}" if row.name[:1] in "=+-@\t\r" else row.name
            rows.writerow([group, row.id, name, row.calls, row.kept, row.tokens, row.usd])
    return written.getvalue()


_SUMS = {
    "calls": Count("pk"),
    "kept": Count("pk", filter=Q(state=ModelCall.State.KEPT)),
    "tokens": Sum("tokens"),
    "usd": Sum("usd"),
}


def _rows(calls: QuerySet[ModelCall], id_column: str, name_column: str) -> Iterable[Row]:
    """The dearest first, at most MOST_ROWS."""
    found = calls.values(id_column, name_column).annotate(**_SUMS)
    for row in found.order_by(F("usd").desc(), name_column)[:MOST_ROWS]:
        yield _row(row, str(row[id_column] or ""), str(row[name_column] or ""))


def _row(sums: Mapping[str, Any], id: str, name: str) -> Row:
    return Row(
        id, name, sums["calls"], sums["kept"], sums["tokens"] or 0, sums["usd"] or Decimal(0)
    )
