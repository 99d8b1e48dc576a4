"""Connecting an identity provider: nothing goes live untested, secrets stay sealed."""

import base64
import json
import secrets as random

import pytest
from django.test import override_settings

from authz import providers
from authz.errors import BadRequest, Conflict, Denied
from authz.identities import Claimed, NotAdmitted, Reception
from evidence.models import StagedEntry
from tenants import secrets
from tenants.models import Identity, IdentityProvider
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW

OIDC = {
    "name": "Corporate",
    "discovery_url": "https://id.example/.well-known/openid-configuration",
    "client_id": "countersign",
    "client_secret": "s3cret-of-the-client",
}


def _by(company, name="tomas"):
    return company.people[name].actor("page", signed_in=JUST_NOW)


def _draft(company, **more):
    return providers.draft_provider("oidc", OIDC | more, by=_by(company))


def _tested(company, provider, subject="tomas@id", by="tomas"):
    claimed = Claimed("https://id.example", subject, email="tomas@acme.example", claims={"a": 1})
    providers.remember_test(provider, claimed, by=_by(company, by))
    provider.refresh_from_db()
    return provider


def test_a_secret_is_sealed_for_this_tenant_and_opens_again(acme, globex):
    with tenant_scope(acme.scope):
        provider = _draft(acme)
        stored = IdentityProvider.objects.values().get()
        payloads = b"".join(bytes(one.payload or b"") for one in StagedEntry.objects.all())

        assert OIDC["client_secret"] not in json.dumps(stored, default=str)
        assert OIDC["client_secret"].encode() not in payloads
        assert providers.secret_of(provider, "client_secret") == OIDC["client_secret"]
    with tenant_scope(globex.scope), pytest.raises(secrets.SecretsUnavailable):
        secrets.unseal(stored["client_secret"], "provider client_secret")


def test_a_sealed_secret_serves_one_purpose_and_notices_tampering(in_acme):
    sealed = secrets.seal("x", "one")

    with pytest.raises(secrets.SecretsUnavailable):
        secrets.unseal(sealed, "another")
    for damaged in ("", "v1:", "v1:!", "v1:AAAA", "v9:AAAA"):
        with pytest.raises(secrets.SecretsUnavailable):
            secrets.unseal(damaged, "one")
    broken = sealed[:-6] + ("A" if sealed[-6] != "A" else "B") + sealed[-5:]
    with pytest.raises(secrets.SecretsUnavailable):
        secrets.unseal(broken, "one")


def test_keys_can_be_rotated(in_acme):
    old, new = random.token_bytes(32), random.token_bytes(32)
    with override_settings(SECRETS_KEYS=(old,)):
        sealed = secrets.seal("x", "one")

    with override_settings(SECRETS_KEYS=(new, old)):
        assert secrets.unseal(sealed, "one") == "x"
        assert secrets.seal("x", "one") != sealed
    with override_settings(SECRETS_KEYS=(new,)), pytest.raises(secrets.SecretsUnavailable):
        secrets.unseal(sealed, "one")
    with override_settings(SECRETS_KEYS=()), pytest.raises(secrets.SecretsUnavailable):
        secrets.seal("x", "one")
    assert len(base64.b64decode(sealed.partition(":")[2])) == 12 + 1 + 16


def test_a_provider_goes_live_after_a_test_by_the_same_admin(in_acme, entries):
    provider = _draft(in_acme)
    with pytest.raises(Conflict, match="test sign-in yourself"):
        providers.switch_on(provider, by=_by(in_acme))

    _tested(in_acme, provider)
    providers.switch_on(provider, by=_by(in_acme))

    assert providers.provider_in_use() == provider
    # Whoever switched it on can come back in.
    assert Identity.objects.get().user == in_acme.people["tomas"]
    assert [action for action, _ in entries(in_acme)[-4:]] == [
        "provider.change",
        "provider.change.refused",
        "provider.change",
        "provider.change",
    ]


def test_a_change_of_the_connection_needs_a_new_test_one_of_the_claims_does_not(in_acme):
    provider = _tested(in_acme, _draft(in_acme))

    providers.change_provider(provider, {"groups_claim": "groups"}, by=_by(in_acme))
    assert providers.tested(provider)
    providers.change_provider(provider, {"client_id": "another"}, by=_by(in_acme))

    assert not providers.tested(provider)
    with pytest.raises(Conflict):
        providers.switch_on(provider, by=_by(in_acme))


def test_the_connection_of_the_provider_in_use_cannot_be_changed(in_acme):
    provider = _tested(in_acme, _draft(in_acme))
    providers.switch_on(provider, by=_by(in_acme))
    provider.refresh_from_db()

    with pytest.raises(Conflict, match="new draft"):
        providers.change_provider(provider, {"client_id": "x"}, by=_by(in_acme))
    with pytest.raises(Conflict, match="switch it off"):
        providers.remove_provider(provider, by=_by(in_acme))
    providers.change_provider(provider, {"create_people": True}, by=_by(in_acme))

    provider.refresh_from_db()
    assert (provider.client_id, provider.create_people) == ("countersign", True)


def test_switching_over_leaves_exactly_one_on(in_acme):
    first = _tested(in_acme, _draft(in_acme))
    providers.switch_on(first, by=_by(in_acme))
    second = _tested(in_acme, _draft(in_acme, client_id="second"))

    providers.switch_on(second, by=_by(in_acme))

    assert providers.provider_in_use() == second
    first.refresh_from_db()
    assert first.state == "draft"
    providers.switch_off(second, by=_by(in_acme))
    assert providers.provider_in_use() is None


def test_an_identity_of_somebody_else_does_not_become_the_admins(in_acme):
    Identity.objects.create(
        user=in_acme.people["bo"], issuer="https://id.example", subject="tomas@id"
    )
    provider = _tested(in_acme, _draft(in_acme))

    with pytest.raises(Conflict, match="somebody else"):
        providers.switch_on(provider, by=_by(in_acme))

    assert providers.provider_in_use() is None


@pytest.mark.parametrize("name", ["ada", "bo", "iris"])
def test_only_tenant_admins_touch_sign_in(in_acme, entries, name):
    provider = _tested(in_acme, _draft(in_acme))

    for act in (
        lambda by: providers.draft_provider("oidc", OIDC, by=by),
        lambda by: providers.change_provider(provider, {"name": "x"}, by=by),
        lambda by: providers.switch_on(provider, by=by),
        lambda by: providers.switch_off(provider, by=by),
        lambda by: providers.remove_provider(provider, by=by),
    ):
        with pytest.raises(Denied):
            act(_by(in_acme, name))

    assert entries(in_acme)[-5:] == [("provider.change.denied", "denied")] * 5
    assert IdentityProvider.objects.count() == 1


@pytest.mark.parametrize(
    ("values", "fields"),
    [
        ({"name": ""}, {"name"}),
        ({"discovery_url": "not an address"}, {"discovery_url"}),
        ({"first_role": "platform_admin"}, {"first_role"}),
        ({"sso_url": "https://x.example"}, {"sso_url"}),
        ({"state": "on"}, {"state"}),
    ],
)
def test_settings_that_make_no_sense_are_named(in_acme, values, fields):
    with pytest.raises(BadRequest) as refusal:
        _draft(in_acme, **values)

    assert set(refusal.value.errors) == fields
    assert not IdentityProvider.objects.exists()


def test_a_secret_that_is_not_given_again_stays(in_acme):
    provider = _draft(in_acme)

    providers.change_provider(
        provider, {"client_secret": "", "client_id": "renamed"}, by=_by(in_acme)
    )

    provider.refresh_from_db()
    assert providers.secret_of(provider, "client_secret") == OIDC["client_secret"]


def test_the_test_shows_how_the_person_would_be_received(in_acme):
    provider = _draft(in_acme)
    assert providers.reception_of_test(provider) is None

    _tested(in_acme, provider)
    claimed, turned_away = providers.reception_of_test(provider)
    assert claimed.claims == {"a": 1}
    assert isinstance(turned_away, NotAdmitted)

    Identity.objects.create(
        user=in_acme.people["tomas"], issuer="https://id.example", subject="tomas@id"
    )
    _, reception = providers.reception_of_test(provider)
    assert isinstance(reception, Reception)
    assert reception.user == in_acme.people["tomas"]
