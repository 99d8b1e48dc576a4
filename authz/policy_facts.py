"""What policies are told of one decision: who, to what, under which circumstances."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from math import ceil
from typing import Any, Self
from uuid import UUID

from tenants.actor import Actor, ActorType, Door
from tenants.scope import current_tenant_id

# Where an entry of the ledger keeps them, so that other policies can be tried on it later.
RECORDED_AS = "policy_facts"


# What budgets are counted in, towards policies.
BUDGET_UNITS = ("steps", "seconds", "tokens", "cents")
# From nothing to something, or to more than this many times as much.
MOST_PERCENT = 1_000_000


@dataclass(frozen=True)
class BudgetRaise:
    """A budget that somebody wants larger: what policies may ask about it.

    of: "task" or "models". raised_percent: new of old, the most of all that is raised. old, new:
    whole numbers of steps, seconds, tokens, cents (of US dollars), those that there are.
    """

    of: str
    raised_percent: int
    old: Mapping[str, int]
    new: Mapping[str, int]


def percent_of(new: float, old: float) -> int:
    """How much `new` is of `old`, in whole percent, rounded up; at most MOST_PERCENT."""
    return min(MOST_PERCENT, ceil(new * 100 / old)) if old > 0 else MOST_PERCENT


@dataclass(frozen=True)
class PolicyFacts:
    """Everything that a policy can ask about. None: not known, or nothing of the kind."""

    rebac: bool  # what roles and relations said
    actor: str
    kind: ActorType
    tenant: str  # the actor's
    door: Door
    token: bool  # by an API token, not by a signed-in browser
    mfa: bool
    thing: str  # "proposal:<id>"
    thing_tenant: str
    at: datetime
    signed_in_seconds: int | None = None
    requester: str | None = None
    author: str | None = None
    project: str | None = None
    risk: int | None = None  # 0 to 100
    diff_lines: int | None = None
    classification: str | None = None  # public, internal, confidential, restricted
    countersigner: str | None = None  # of a proposal: who let it through
    countersigned: bool | None = None  # of a proposal
    checks_passed: bool | None = None  # of a proposal: there are some, and none fails
    # Of a BudgetRaise.
    budget: str | None = None
    raised_percent: int | None = None
    old_steps: int | None = None
    new_steps: int | None = None
    old_seconds: int | None = None
    new_seconds: int | None = None
    old_tokens: int | None = None
    new_tokens: int | None = None
    old_cents: int | None = None
    new_cents: int | None = None

    def recorded(self) -> dict[str, Any]:
        """As the ledger keeps them: JSON values, without what is not known."""
        said = {name: value for name, value in asdict(self).items() if value is not None}
        return said | {"at": self.at.isoformat()}

    @classmethod
    def of_record(cls, said: object) -> Self | None:
        """The facts that recorded() wrote; None for anything else."""
        if not isinstance(said, Mapping) or set(said) - {field.name for field in fields(cls)}:
            return None
        try:
            return cls(**{**said, "at": datetime.fromisoformat(said["at"])})
        except (KeyError, TypeError, ValueError):
            return None


def facts_of(by: Actor, on: Any, *, rebac: bool, now: datetime) -> PolicyFacts:
    """What policies are told when `by` wants to do something to `on`.

    on: may have requester_id, author_id, project_id, risk_score (0 to 100), diff_lines,
    classification, countersigned, checks_passed, countersigner_id, budget_raise; what it has not,
    or has as None, is not known.
    """
    here = current_tenant_id()
    age = now - by.signed_in.at if by.signed_in else None
    return PolicyFacts(
        rebac=rebac,
        actor=by.id,
        kind=by.type,
        tenant=str(here),
        door=by.door,
        token=by.only is not None,
        mfa=by.signed_in.with_second_factor if by.signed_in else False,
        thing=f"{on._meta.model_name}:{on.pk}",
        thing_tenant=str(getattr(on, "tenant_id", None) or here),
        at=now.astimezone(UTC),
        signed_in_seconds=max(0, int(age.total_seconds())) if age is not None else None,
        requester=_id(getattr(on, "requester_id", None)),
        author=_id(getattr(on, "author_id", None)),
        project=_id(getattr(on, "project_id", None)),
        risk=getattr(on, "risk_score", None),
        diff_lines=getattr(on, "diff_lines", None),
        classification=getattr(on, "classification", None),
        countersigner=_id(getattr(on, "countersigner_id", None)),
        countersigned=getattr(on, "countersigned", None),
        checks_passed=getattr(on, "checks_passed", None),
        **_amounts(getattr(on, "budget_raise", None)),
    )


def _amounts(wanted: BudgetRaise | None) -> dict[str, Any]:
    if wanted is None:
        return {}
    return {
        "budget": wanted.of,
        "raised_percent": wanted.raised_percent,
        **{f"old_{unit}": amount for unit, amount in wanted.old.items()},
        **{f"new_{unit}": amount for unit, amount in wanted.new.items()},
    }


def _id(value: UUID | str | None) -> str | None:
    return str(value) if value else None
