"""Turns what an identity provider says of somebody into the account they have here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils import timezone

from authz import groups
from authz.change import change
from authz.models import Grant
from authz.permissions import Permission
from authz.roles import Role
from evidence import ledger
from tenants.actor import Actor, system_actor
from tenants.errors import Refused
from tenants.models import DirectoryPerson, Identity, IdentityProvider, Membership, User


class NotAdmitted(Refused):
    """The provider vouches for them, but they have no way in here. Recorded already."""


@dataclass(frozen=True)
class Claimed:
    """What a provider said of somebody, after everything about the message was verified.

    issuer, subject: the provider's own name for them, the only thing an account is found by.
    directory_id: their externalId in SCIM, when the provider says it. methods: how the provider
    made sure (OIDC: amr and acr; SAML: the class of its AuthnContext). claims: all of it, for the
    page of the test sign-in.
    """

    issuer: str
    subject: str
    email: str = ""
    email_verified: bool = False
    name: str = ""
    groups: tuple[str, ...] = ()
    directory_id: str = ""
    methods: tuple[str, ...] = ()
    claims: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reception:
    """How somebody would be received: the account (None: a new one), by what, with which roles."""

    user: User | None
    by: str  # identity, invitation, directory, email, creation
    roles: set[groups.Wanted]


def arrive(
    provider: IdentityProvider, claimed: Claimed, *, invited: User | None = None
) -> Identity:
    """The identity of somebody who just proved it; links or creates their account if need be.

    invited: the account whose invitation they opened in this browser. Roles that come from a
    groups claim are brought up to date. Raises NotAdmitted (recorded) when there is no account
    for them, theirs is switched off, or the invitation is for somebody else.
    """
    reception = receive(provider, claimed, invited=invited)
    if reception.by != "identity":
        _link(provider, claimed, reception)
    identity: Identity = Identity.objects.select_related("user").get(
        issuer=claimed.issuer, subject=claimed.subject
    )
    _follow_groups(provider, identity, claimed)
    Identity.objects.filter(pk=identity.pk).update(used_at=timezone.now())
    return identity


def receive(
    provider: IdentityProvider,
    claimed: Claimed,
    *,
    invited: User | None = None,
    record: bool = True,
) -> Reception:
    """How arrive() would receive them; changes nothing. Also what the test sign-in shows.

    record=False: a NotAdmitted is not put on record, because nobody really came.
    """

    def no(reason: str) -> NoReturn:
        if record:
            refused(provider, reason, issuer=claimed.issuer, subject=claimed.subject)
        raise NotAdmitted(reason)

    known = Identity.objects.filter(issuer=claimed.issuer, subject=claimed.subject).first()
    if known is not None:
        if invited is not None and known.user_id != invited.pk:
            no("the invitation is for another account than the one you signed in with")
        return Reception(_active(known.user, no), "identity", _roles(provider, claimed))
    user, way = _account_of(provider, claimed, invited, no)
    if user is None:
        if not provider.create_people:
            no("you have no account here; ask a tenant admin to add you")
        _check_newcomer(claimed, no)
        return Reception(None, "creation", _roles(provider, claimed) | _first_role(provider))
    return Reception(_active(user, no), way, _roles(provider, claimed))


def refused(
    provider: IdentityProvider | None,
    reason: str,
    *,
    action: str = "session.open.denied",
    **facts: Any,
) -> None:
    """Put a sign-in that was turned away on record. Called outside of any transaction.

    action: session.end.denied for a provider's log-out message that was turned away.
    """
    ledger.record(
        action,
        by=_DOORKEEPER,
        on=provider or _NoProvider(),
        facts={"reasons": [reason], **facts},
        outcome="denied",
    )


_DOORKEEPER: Actor = system_actor("sign-in", "page")


class _NoProvider:
    """Stands for the provider in the record of a sign-in that never reached one."""

    class _meta:
        model_name = "identityprovider"

    pk = "none"


def _account_of(
    provider: IdentityProvider, claimed: Claimed, invited: User | None, no: Any
) -> tuple[User | None, str]:
    if invited is not None:
        return invited, "invitation"
    if claimed.directory_id:
        person = (
            DirectoryPerson.objects.filter(external_id=claimed.directory_id)
            .select_related("user")
            .first()
        )
        if person is not None:
            return person.user, "directory"
    same_address = (
        User.objects.filter(email=claimed.email.lower()).first() if claimed.email else None
    )
    if same_address is not None:
        if same_address.kind != User.Kind.HUMAN:
            no("your address belongs to an account that nobody signs in with")
        # An address is not a person: it may be claimed by another, or given to a successor.
        if not provider.link_by_email:
            no("an account with your address exists; open your invitation to connect it")
        if not claimed.email_verified:
            no("your provider does not say that it verified your address")
        if same_address.identities.exists():
            no("the account with your address is connected to another identity")
        return same_address, "email"
    return None, ""


def _active(user: User, no: Any) -> User:
    state = Membership.objects.values_list("state", flat=True).get(user=user)
    if state != Membership.State.ACTIVE:
        no(f"your membership here is {state}")
    return user


def _check_newcomer(claimed: Claimed, no: Any) -> None:
    try:
        validate_email(claimed.email)
    except ValidationError:
        no("your provider does not say your e-mail address")
    if not claimed.email_verified:
        no("your provider does not say that it verified your address")


def _roles(provider: IdentityProvider, claimed: Claimed) -> set[groups.Wanted]:
    return groups.meaning(claimed.groups) if provider.groups_claim else set()


def _first_role(provider: IdentityProvider) -> set[groups.Wanted]:
    return {(Role(provider.first_role), None)} if provider.first_role else set()


def _link(provider: IdentityProvider, claimed: Claimed, reception: Reception) -> None:
    permission = Permission.IDENTITY_LINK if reception.user else Permission.MEMBER_ADMIT
    with change(_DOORKEEPER, permission, on=provider) as facts:
        user = reception.user or _newcomer(provider, claimed)
        Identity.objects.create(user=user, issuer=claimed.issuer, subject=claimed.subject)
        facts.about = user
        facts.update(
            found_by=reception.by,
            issuer=claimed.issuer,
            subject=claimed.subject,
            email=user.email,
            name=user.name,
        )


def _newcomer(provider: IdentityProvider, claimed: Claimed) -> User:
    email = claimed.email.lower()
    user = User.objects.create(email=email, name=(claimed.name or email)[:200])
    user.set_unusable_password()
    user.save(update_fields=["password"])
    Membership.objects.create(user=user, source="sso")
    for role, project_id in _first_role(provider):
        Grant.objects.create(user=user, role=role, project_id=project_id, source="admin")
    return user


def _follow_groups(provider: IdentityProvider, identity: Identity, claimed: Claimed) -> None:
    told = sorted(set(claimed.groups)) if provider.groups_claim else []
    wanted = groups.meaning(told)
    held = set(
        Grant.objects.filter(user=identity.user, source="sso").values_list("role", "project_id")
    )
    if told == identity.groups and held == wanted:
        return
    with change(_DOORKEEPER, Permission.DIRECTORY_SYNC, on=identity.user) as facts:
        Identity.objects.filter(pk=identity.pk).update(groups=told)
        facts.update(groups=told, **groups.regrant(identity.user, told, "sso"))
