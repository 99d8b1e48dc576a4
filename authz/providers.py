"""Connecting an identity provider: draft, test sign-in, switch on, switch off."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import rfc8785
from django.core.exceptions import ValidationError
from django.db.models import URLField
from django.utils import timezone

from authz import certificates
from authz.change import change
from authz.errors import BadRequest, Conflict
from authz.identities import Claimed, NotAdmitted, Reception, receive
from authz.people import AsTenant
from authz.permissions import Permission
from authz.roles import TENANT_ROLES
from tenants import secrets
from tenants.actor import Actor
from tenants.models import Identity, IdentityProvider
from tenants.scope import current_tenant_id

# What an admin fills in. Secrets are given in the clear and stored sealed.
OF_BOTH = (
    "name",
    "email_claim",
    "name_claim",
    "groups_claim",
    "directory_claim",
    "create_people",
    "first_role",
    "link_by_email",
)
OF_OIDC = ("discovery_url", "client_id", "client_secret", "scopes")
OF_SAML = ("entity_id", "sso_url", "slo_url", "certificates", "idp_initiated")
OURS = ("signing_key", "signing_certificate")  # made here when a SAML provider is drafted
NEEDED = {
    IdentityProvider.Protocol.OIDC.value: ("discovery_url", "client_id"),
    IdentityProvider.Protocol.SAML.value: ("entity_id", "sso_url", "certificates"),
}
SECRET = frozenset({"client_secret", "signing_key"})


def draft_provider(protocol: str, values: Mapping[str, Any], *, by: Actor) -> IdentityProvider:
    """Add a provider that nobody can sign in with yet.

    Raises Denied, BadRequest with an error for each field, SecretsUnavailable.
    """
    if protocol not in IdentityProvider.Protocol.values:
        raise BadRequest({"protocol": f"{protocol!r} is unknown; expected oidc or saml"})
    provider = IdentityProvider(protocol=protocol)
    if protocol == IdentityProvider.Protocol.SAML:
        values = {**values, **certificates.new_key_pair()}
    return _store(provider, values, by)


def change_provider(
    provider: IdentityProvider, values: Mapping[str, Any], *, by: Actor
) -> IdentityProvider:
    """Change what is known of a draft. A secret that is not given stays as it is.

    The provider that is on cannot be changed under the feet of those who sign in with it, except
    for what its claims mean and who comes in, and for certificates one by one: a draft would have
    other addresses. For all else make another draft, test it, switch.
    Raises Denied, BadRequest, SecretsUnavailable; Conflict when it is on.
    """
    connection = set(values) - set(OF_BOTH)
    if connection == {"certificates"} and _replaces_each_other(provider, values["certificates"]):
        connection = set()
    if provider.state == IdentityProvider.State.ON and connection:
        raise Conflict("this provider is in use; make a new draft, test it, then switch over to it")
    return _store(provider, values, by)


def remember_test(provider: IdentityProvider, claimed: Claimed, *, by: Actor) -> None:
    """Keep what a test sign-in brought back, so that the admin can look at it and switch on."""
    with change(by, Permission.PROVIDER_CHANGE, on=provider) as facts:
        IdentityProvider.objects.filter(pk=provider.pk).update(
            tested_at=timezone.now(),
            tested_digest=connection_digest(provider),
            tested_by=by.user_id,
            tested_claims={
                "issuer": claimed.issuer,
                "subject": claimed.subject,
                "email": claimed.email,
                "email_verified": claimed.email_verified,
                "name": claimed.name,
                "groups": list(claimed.groups),
                "directory_id": claimed.directory_id,
                "methods": list(claimed.methods),
                "claims": dict(claimed.claims),
            },
        )
        facts.update(step="tested", issuer=claimed.issuer, subject=claimed.subject)


def missing(provider: IdentityProvider) -> list[str]:
    """Fields without which nobody can be sent to the provider.

    A draft may lack them: many providers ask for our addresses before they show theirs.
    """
    return [name for name in NEEDED[provider.protocol] if not getattr(provider, name)]


def tested(provider: IdentityProvider) -> bool:
    """Whether the connection as it stands now has passed a test sign-in."""
    return bool(provider.tested_at) and provider.tested_digest == connection_digest(provider)


def switch_on(provider: IdentityProvider, *, by: Actor) -> None:
    """Let everybody sign in with this provider, with no other from now on.

    The identity of the admin's own test is connected to the admin's account, so that whoever
    switches it on can come back in. Raises Denied, or Conflict when there was no test by this
    admin since the last change of the connection, or the identity is somebody else's.
    """
    with change(by, Permission.PROVIDER_CHANGE, on=provider) as facts:
        provider = IdentityProvider.objects.select_for_update().get(pk=provider.pk)
        if not tested(provider) or provider.tested_by != by.user_id:
            raise Conflict("do a test sign-in yourself first, with the settings as they are now")
        said: dict[str, Any] = provider.tested_claims or {}
        identity, _ = Identity.objects.get_or_create(
            issuer=said["issuer"], subject=said["subject"], defaults={"user_id": by.user_id}
        )
        if identity.user_id != by.user_id:
            raise Conflict("the identity of your test belongs to somebody else's account here")
        on = IdentityProvider.State.ON
        facts["instead_of"] = [
            str(pk) for pk in IdentityProvider.objects.filter(state=on).values_list("pk", flat=True)
        ]
        IdentityProvider.objects.filter(state=on).update(state=IdentityProvider.State.DRAFT)
        provider.state = on
        provider.save(update_fields=["state"])
        facts.update(step="switched on", name=provider.name, digest=connection_digest(provider))


def switch_off(provider: IdentityProvider, *, by: Actor) -> None:
    """Let nobody sign in with this provider any more; open sessions stay. Raises Denied."""
    with change(by, Permission.PROVIDER_CHANGE, on=provider) as facts:
        IdentityProvider.objects.filter(pk=provider.pk).update(state=IdentityProvider.State.DRAFT)
        facts.update(step="switched off", name=provider.name)


def remove_provider(provider: IdentityProvider, *, by: Actor) -> None:
    """Forget a draft, with its secret. Raises Denied, or Conflict while it is on."""
    with change(by, Permission.PROVIDER_CHANGE, on=provider) as facts:
        if not IdentityProvider.objects.filter(
            pk=provider.pk, state=IdentityProvider.State.DRAFT
        ).delete()[0]:
            raise Conflict("this provider is in use; switch it off first")
        facts.update(step="removed", name=provider.name)


def provider_in_use() -> IdentityProvider | None:
    """The one that people of the pinned tenant sign in with."""
    found: IdentityProvider | None = IdentityProvider.objects.filter(
        state=IdentityProvider.State.ON
    ).first()
    return found


def secret_of(provider: IdentityProvider, field: str) -> str:
    """A secret of the provider in the clear; empty when there is none. Raises SecretsUnavailable.

    field: client_secret or signing_key.
    """
    sealed = getattr(provider, field)
    return secrets.unseal(sealed, _purpose(field)) if sealed else ""


def connection_digest(provider: IdentityProvider) -> str:
    """SHA-256 (hex) of the settings that a test sign-in proves."""
    fields = OF_OIDC if provider.protocol == IdentityProvider.Protocol.OIDC else OF_SAML
    proved = {name: getattr(provider, name) for name in (*fields, "signing_certificate")}
    return sha256(rfc8785.dumps(proved)).hexdigest()


def reception_of_test(provider: IdentityProvider) -> tuple[Claimed, Reception | NotAdmitted] | None:
    """What the last test brought back, with how that person would be received; None: no test.

    The second is a Reception, or the NotAdmitted that would turn them away.
    """
    said = provider.tested_claims
    if not said:
        return None
    lists = {name: tuple(said[name]) for name in ("groups", "methods")}
    claimed = Claimed(**{**said, **lists})
    try:
        return claimed, receive(provider, claimed, record=False)
    except NotAdmitted as refusal:
        return claimed, refusal


def _purpose(field: str) -> str:
    return f"provider {field}"


def _store(provider: IdentityProvider, values: Mapping[str, Any], by: Actor) -> IdentityProvider:
    own = OF_OIDC if provider.protocol == IdentityProvider.Protocol.OIDC else OF_SAML
    if unknown := set(values) - {*OF_BOTH, *own, *OURS}:
        raise BadRequest(dict.fromkeys(unknown, "is no setting of this protocol"))
    with change(by, Permission.PROVIDER_CHANGE, on=AsTenant(current_tenant_id())) as facts:
        changed = []
        for name, value in values.items():
            if name in SECRET:
                if not value:
                    continue
                stored = secrets.seal(value, _purpose(name))
            else:
                stored = value.strip() if isinstance(value, str) else value
            if stored != getattr(provider, name):
                setattr(provider, name, stored)
                changed.append(name)
        _check(provider)
        provider.save()
        facts.about = provider
        facts.update(step="saved", protocol=provider.protocol, changed=sorted(changed))
        facts.update({n: getattr(provider, n) for n in changed if n not in {*SECRET, *OURS}})
    return provider


def _replaces_each_other(provider: IdentityProvider, pasted: str) -> bool:
    """Whether one of the certificates that are trusted now stays, so that nobody is locked out."""
    try:
        return bool({*certificates.read(provider.certificates)} & {*certificates.read(pasted)})
    except ValueError:
        return False


def _plain(provider: IdentityProvider, field: str, said: list[ValidationError]) -> str:
    """What is wrong with a field, and what was expected."""
    if said[0].code in {"blank", "null"}:
        return "is empty"
    if isinstance(IdentityProvider._meta.get_field(field), URLField):
        return (
            f"{getattr(provider, field)!r} is no web address; expected https://id.example.com/..."
        )
    return " ".join(" ".join(error.messages) for error in said)


def _check(provider: IdentityProvider) -> None:
    errors: dict[str, str] = {}
    try:
        provider.clean_fields(exclude=["tenant"])
    except ValidationError as error:
        errors = {field: _plain(provider, field, said) for field, said in error.error_dict.items()}
    for name in ("name", "email_claim"):
        if not getattr(provider, name):
            errors[name] = "is empty"
    if provider.state == IdentityProvider.State.ON:
        errors |= dict.fromkeys(missing(provider), "is empty")
    if provider.certificates:
        try:
            certificates.read(provider.certificates)
        except ValueError as error:
            errors["certificates"] = str(error)
    if provider.first_role and provider.first_role not in TENANT_ROLES:
        errors["first_role"] = "cannot be handed out by a tenant"
    if errors:
        raise BadRequest(errors)
