"""What may be spent on models: set aside before a question leaves, settled when it is answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import ceil, floor
from typing import Any

from django.db.models import Q, Sum
from django.utils import timezone

from agent.models import ModelCall, ModelRules, OfferedModel, Task
from authz.policy_facts import BudgetRaise, percent_of
from tenants.errors import Refused

MILLION = Decimal(1_000_000)
ZERO = Decimal(0)
# The limits of the rules.
NAMES = (
    *("tenant_month_usd", "tenant_month_tokens", "person_day_usd", "person_day_tokens"),
    *("task_usd", "task_tokens"),
)
# What a server adds around a question: its template, the schema once more as a grammar.
TEMPLATE_TOKENS = 512


class LimitReached(Refused):
    """The question could cost more than is left; it was not sent."""


@dataclass(frozen=True)
class Limit:
    """One limit: of whom, since when, which calls count, how much. period: in words."""

    of: str
    period: str
    which: Q
    usd: Decimal
    tokens: int


def rules() -> ModelRules:
    """The pinned tenant's rules; those that hold when nobody made any."""
    found: ModelRules | None = ModelRules.objects.first()
    return found or ModelRules()


def raised(
    before: Mapping[str, Decimal | int], after: Mapping[str, Decimal | int]
) -> BudgetRaise | None:
    """What policies are told when limits become `after`; None when none gets larger.

    Both: NAMES -> amount. Where several are raised, policies see the largest of them, and the most
    that any is raised by.
    """
    more = [name for name in NAMES if after[name] > before[name]]
    if not more:
        return None
    old, new = {}, {}
    for ending, unit, times in (("_usd", "cents", 100), ("_tokens", "tokens", 1)):
        if of_unit := [name for name in more if name.endswith(ending)]:
            largest = max(of_unit, key=lambda name: after[name])
            old[unit], new[unit] = floor(before[largest] * times), ceil(after[largest] * times)
    most = max(percent_of(float(after[name]), float(before[name])) for name in more)
    return BudgetRaise("models", most, old, new)


def most_tokens(size: int, most_out: int) -> tuple[int, int]:
    """Tokens in and out that a question of so many bytes can take at most."""
    return size + TEMPLATE_TOKENS, most_out


def price(model: OfferedModel, tokens_in: int, tokens_out: int) -> Decimal:
    """US dollars for so many tokens, at the prices that were entered."""
    return (model.usd_in * tokens_in + model.usd_out * tokens_out) / MILLION


def reserve(call: ModelCall) -> None:
    """Set aside what `call` can cost at most and store it, or raise LimitReached.

    Inside a transaction. Whoever reserves for a tenant waits for whoever does so right now, so
    that no two see the same money left.
    """
    ModelRules.objects.get_or_create()
    held = ModelRules.objects.select_for_update().get()
    now = timezone.now()
    for limit in limits_on(held, call, now):
        gone = spent(limit.which)
        if gone["usd"] + call.reserved_usd > limit.usd:
            raise LimitReached(
                f"{limit.of} may spend {limit.usd:.2f} US dollars {limit.period}; {gone['usd']:.4f}"
                f" are gone and this question can cost {call.reserved_usd:.4f}"
            )
        if gone["tokens"] + call.reserved_tokens > limit.tokens:
            raise LimitReached(
                f"{limit.of} may use {limit.tokens:,} tokens {limit.period}; {gone['tokens']:,} are"
                f" gone and this question can take {call.reserved_tokens:,}"
            )
    call.tokens, call.usd = call.reserved_tokens, call.reserved_usd
    call.save(force_insert=True)


def limits_on(held: ModelRules, call: ModelCall, now: datetime) -> list[Limit]:
    """Every limit that a call counts against."""
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    month = day.replace(day=1)
    found = [
        Limit(
            "the tenant", "a month", Q(created_at__gte=month),
            held.tenant_month_usd, held.tenant_month_tokens,
        ),
        Limit(
            "one person", "a day", Q(created_at__gte=day, person_id=call.person_id),
            held.person_day_usd, held.person_day_tokens,
        ),
    ]  # fmt: skip
    if call.task_id is not None:
        usd, tokens = held.task_usd, held.task_tokens
        asked = Task.objects.values_list("budgets", flat=True).get(pk=call.task_id)
        usd = min(usd, Decimal(str(asked.get("usd", usd))))
        tokens = min(tokens, int(asked.get("tokens", tokens)))
        found.append(Limit("this task", "in all", Q(task_id=call.task_id), usd, tokens))
    return found


def settle(call: ModelCall, model: OfferedModel, tokens_in: int | None, tokens_out: int | None,
           **also: Any) -> None:  # fmt: skip
    """Count what it took. Where the provider did not say, what was set aside stays counted."""
    if tokens_in is not None and tokens_out is not None:
        call.tokens_in, call.tokens_out, call.is_counted = tokens_in, tokens_out, True
        call.tokens, call.usd = tokens_in + tokens_out, price(model, tokens_in, tokens_out)
    _store(call, also)


def release(call: ModelCall, **also: Any) -> None:
    """Count nothing: it never left."""
    call.tokens, call.usd = 0, ZERO
    _store(call, also)


def spent(which: Q) -> Mapping[str, Any]:
    """usd and tokens that count, of the calls chosen."""
    sums = ModelCall.objects.filter(which).aggregate(usd=Sum("usd"), tokens=Sum("tokens"))
    return {"usd": sums["usd"] or ZERO, "tokens": sums["tokens"] or 0}


def _store(call: ModelCall, also: Mapping[str, Any]) -> None:
    for name, value in also.items():
        setattr(call, name, value)
    call.save()
