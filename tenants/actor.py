"""Who is acting, through which door."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

ActorType = Literal["human", "agent", "robot", "system"]
Door = Literal["page", "api", "job", "cli", "scim"]


# What providers call having asked for more than a password (RFC 8176; SAML AuthnContext classes).
SECOND_FACTORS = frozenset(
    {"mfa", "otp", "hwk", "swk", "fpt", "face", "sms", "tel", "phr", "phrh"}
    | {
        "urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken",
        "urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorContract",
        "urn:oasis:names:tc:SAML:2.0:ac:classes:SmartcardPKI",
        "https://refeds.org/profile/mfa",
        "http://schemas.microsoft.com/claims/multipleauthn",
    }
)


@dataclass(frozen=True)
class SignedIn:
    """When (UTC) and how a person signed in. methods: in the provider's words."""

    at: datetime
    way: str
    methods: tuple[str, ...] = ()

    @property
    def with_second_factor(self) -> bool:
        """Whether the provider says that it asked for one; False when it does not say."""
        return not SECOND_FACTORS.isdisjoint(self.methods)


@dataclass(frozen=True)
class Actor:
    """A person, agent or program as the ledger names it.

    user_id: the account whose grants count; None for `system`, whose rights are a fixed list.
    on_behalf_of: id of the person that an agent works for.
    only: permissions that the token in use is limited to; None for everything the roles give.
    signed_in: None where nobody sat at a browser: tokens, jobs, commands.
    """

    type: ActorType
    id: str
    name: str
    door: Door
    user_id: UUID | None = None
    on_behalf_of: str | None = None
    only: frozenset[str] | None = None
    signed_in: SignedIn | None = None


def system_actor(name: str, door: Door) -> Actor:
    """The product acting by itself, or an operator at the command line."""
    return Actor(type="system", id=f"system:{name}", name=name, door=door)


def directory_actor(client_id: UUID, name: str) -> Actor:
    """A customer's directory, which says over SCIM who its people are."""
    return Actor(type="robot", id=f"directory:{client_id}", name=name, door="scim")
