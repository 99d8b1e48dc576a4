"""Who is acting, through which door."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

ActorType = Literal["human", "agent", "robot", "system"]
Door = Literal["page", "api", "job", "cli", "scim"]


@dataclass(frozen=True)
class Actor:
    """A person, agent or program as the ledger names it.

    user_id: the account whose grants count; None for `system`, whose rights are a fixed list.
    on_behalf_of: id of the person that an agent works for.
    only: permissions that the token in use is limited to; None for everything the roles give.
    """

    type: ActorType
    id: str
    name: str
    door: Door
    user_id: UUID | None = None
    on_behalf_of: str | None = None
    only: frozenset[str] | None = None


def system_actor(name: str, door: Door) -> Actor:
    """The product acting by itself, or an operator at the command line."""
    return Actor(type="system", id=f"system:{name}", name=name, door=door)


def directory_actor(client_id: UUID, name: str) -> Actor:
    """A customer's directory, which says over SCIM who its people are."""
    return Actor(type="robot", id=f"directory:{client_id}", name=name, door="scim")
