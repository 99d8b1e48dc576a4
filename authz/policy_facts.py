"""What policies are told of one decision: who, to what, under which circumstances."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

from tenants.actor import Actor, ActorType, Door
from tenants.scope import current_tenant_id

# Where an entry of the ledger keeps them, so that other policies can be tried on it later.
RECORDED_AS = "policy_facts"


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
    classification; what it has not, or has as None, is not known.
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
    )


def _id(value: UUID | str | None) -> str | None:
    return str(value) if value else None
