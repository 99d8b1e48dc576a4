"""The pages about policies, as tomas, tara, ada, iris and eve see them; no JavaScript needed."""

import pytest
from test_policy_versions import FROZEN, MFA, by, recorded

from authz import in_force, people, policy_versions
from authz.models import PolicyVersion
from authz.roles import Role
from tenants.actor import system_actor
from tenants.scope import tenant_scope

POLICIES = "/settings/policies/"
EDIT = "/settings/policies/edit/"


@pytest.fixture
def admins(acme):
    with tenant_scope(acme.scope):
        acme.people["tara"] = people.admit(
            "tara@acme.example",
            "Tara",
            [Role.TENANT_ADMIN],
            tenant=people.AsTenant(acme.scope.tenant_id),
            project=None,
            by=system_actor("test", "cli"),
        )
    return acme


@pytest.fixture
def waiting(admins):
    with tenant_scope(admins.scope):
        return policy_versions.propose(MFA, "a second factor for admins", by=by(admins, "tomas"))


def page(company, sign_in, name, address=POLICIES):
    answer = sign_in(company, name).get(address)
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


def active(company):
    with tenant_scope(company.scope):
        return in_force.active_version()


def at(version):
    return f"{POLICIES}{version.pk}/"


def test_before_there_are_rules_the_page_shows_what_the_platform_forbids(admins, sign_in):
    said = page(admins, sign_in, "tomas")

    assert "No rules of your own" in said
    assert "whoever asked for it cannot let it through: a second person must" in said
    assert "start from examples" in said
    assert "Policies" in page(admins, sign_in, "tomas", "/settings/")


def test_the_editor_starts_with_examples_that_are_off(admins, sign_in):
    said = page(admins, sign_in, "tomas", EDIT)

    assert "// @id(&quot;second-factor&quot;)" in said
    answer = sign_in(admins, "tomas").post(EDIT, {"check": "", "text": "// nothing"})
    assert "No rule in it" in answer.content.decode()


def test_check_shows_each_fault_at_its_line_and_keeps_the_text(admins, sign_in, entries):
    before = entries(admins)
    text = MFA.replace("context.mfa", "context.mfaa")

    answer = sign_in(admins, "tomas").post(EDIT, {"check": "", "text": text, "note": "why not"})
    said = answer.content.decode()

    assert answer.status_code == 422
    assert '<a href="#line-4">Line 4</a>: there is no “mfaa” in context' in said
    assert "↑ line 4: there is no “mfaa” in context" in said
    assert 'value="why not"' in said
    assert said.count("unless { context.mfaa }") >= 2
    assert entries(admins) == before


def test_check_shows_what_the_rules_would_have_changed(admins, sign_in):
    with tenant_scope(admins.scope):
        recorded(admins, "role.change")
        recorded(admins, "role.change", mfa=True)

    said = sign_in(admins, "tomas").post(EDIT, {"check": "", "text": MFA}).content.decode()

    assert "These rules can be used" in said
    assert "<dt>Decisions tried</dt><dd>2</dd>" in said
    assert "1 that was allowed" in said
    assert "this takes a second factor" in said
    assert "could not be replayed" in said
    assert "change roles of the whole tenant" in said
    assert active(admins) is None


def test_proposing_approving_and_going_back_by_hand(admins, sign_in, entries):
    tomas, tara = sign_in(admins, "tomas"), sign_in(admins, "tara")

    sent = tomas.post(EDIT, {"propose": "", "text": MFA, "note": "a second factor"})
    with tenant_scope(admins.scope):
        version = PolicyVersion.objects.get()
    assert sent["Location"] == at(version)
    assert "another tenant admin has to approve" in tomas.get(at(version)).content.decode()
    assert "waits for a second admin" in tara.get(POLICIES).content.decode()
    seen = tara.get(at(version)).content.decode()
    assert "What it would have changed" in seen
    assert f'name="digest" value="{version.digest}"' in seen

    approved = tara.post(f"{at(version)}decide/", {"answer": "approve", "digest": version.digest})
    assert approved["Location"] == POLICIES
    assert active(admins) == version
    shown = tara.get(POLICIES).content.decode()
    assert "tenant:second-factor" in shown
    assert "Go back to no rules" in shown

    tomas.post(f"{at(version)}decide/", {"answer": "restore"})
    assert active(admins) is None
    assert [one for one in entries(admins) if one[0].startswith("policy.")] == [
        ("policy.change", "ok"),
        ("policy.approve", "ok"),
        ("policy.restore", "ok"),
    ]


def test_the_proposer_cannot_approve_by_hand_made_request(admins, waiting, sign_in, entries):
    tomas = sign_in(admins, "tomas")
    assert 'value="approve"' not in tomas.get(at(waiting)).content.decode()

    answer = tomas.post(f"{at(waiting)}decide/", {"answer": "approve", "digest": waiting.digest})

    assert answer.status_code == 403
    assert active(admins) is None
    assert entries(admins)[-1] == ("policy.approve.denied", "denied")


def test_refusing_takes_a_reason(admins, waiting, sign_in):
    tara = sign_in(admins, "tara")

    without = tara.post(f"{at(waiting)}decide/", {"answer": "refuse"})
    assert without.status_code == 422
    assert "say why" in without.content.decode()
    tara.post(f"{at(waiting)}decide/", {"answer": "refuse", "why": "too strict"})

    assert "Rejected" in page(admins, sign_in, "tomas", at(waiting))
    assert "Propose it again" in page(admins, sign_in, "tomas", at(waiting))
    assert "context.mfa" in page(admins, sign_in, "tomas", f"{EDIT}?from={waiting.pk}")


def test_taking_a_proposal_back(admins, waiting, sign_in):
    sign_in(admins, "tomas").post(f"{at(waiting)}decide/", {"answer": "withdraw"})

    with tenant_scope(admins.scope):
        assert PolicyVersion.objects.get().state == "refused"


def test_an_outdated_proposal_offers_to_be_made_again(admins, waiting, sign_in):
    with tenant_scope(admins.scope):
        other = policy_versions.propose(FROZEN, "x", by=by(admins, "tomas"))
        policy_versions.approve(other, other.digest, by=by(admins, "tara"))

    said = page(admins, sign_in, "tara", at(waiting))

    assert "Other rules came into force" in said
    assert 'value="approve"' not in said
    late = sign_in(admins, "tara").post(
        f"{at(waiting)}decide/", {"answer": "approve", "digest": waiting.digest}
    )
    assert late.status_code == 409


def test_the_auditor_reads_and_decides_nothing(admins, waiting, sign_in, entries):
    listing = page(admins, sign_in, "iris")
    one = page(admins, sign_in, "iris", at(waiting))

    assert "Version 1" in listing
    assert "context.mfa" in one
    for shown in (listing, one):
        assert 'name="answer"' not in shown
        assert EDIT not in shown
    iris = sign_in(admins, "iris")
    assert iris.get(EDIT).status_code == 403
    assert entries(admins)[-1] == ("policy.change.denied", "denied")
    answer = iris.post(f"{at(waiting)}decide/", {"answer": "approve", "digest": waiting.digest})
    assert answer.status_code == 403


@pytest.mark.parametrize("name", ["ada", "bo"])
def test_others_see_and_do_nothing(admins, waiting, sign_in, entries, name):
    browser = sign_in(admins, name)

    for address in (POLICIES, EDIT, at(waiting)):
        assert browser.get(address).status_code == 403
        assert entries(admins)[-1] == ("policy.change.denied", "denied")
    assert browser.post(EDIT, {"propose": "", "text": MFA, "note": "x"}).status_code == 403
    for answer in ("approve", "refuse", "withdraw", "restore"):
        sent = browser.post(f"{at(waiting)}decide/", {"answer": answer, "why": "x"})
        assert sent.status_code == 403
    with tenant_scope(admins.scope):
        assert PolicyVersion.objects.get().state == "proposed"


def test_somebody_from_another_tenant_does_not_learn_that_it_exists(
    admins, waiting, globex, sign_in
):
    for name in ("eve", "tomas"):
        browser = sign_in(globex, name)
        expected = 403 if name == "eve" else 404
        assert browser.get(at(waiting)).status_code == expected
        sent = browser.post(
            f"{at(waiting)}decide/", {"answer": "approve", "digest": waiting.digest}
        )
        assert sent.status_code == expected
    assert "a second factor for admins" not in page(globex, sign_in, "tomas")


def test_odd_input_is_answered_not_crashed_upon(admins, waiting, sign_in):
    tomas = sign_in(admins, "tomas")

    assert tomas.get(f"{EDIT}?from=nonsense").status_code == 200
    assert tomas.get(f"{EDIT}?from={admins.scope.tenant_id}").status_code == 404
    assert tomas.post(f"{at(waiting)}decide/", {"answer": "dance"}).status_code == 422
    for text in ("a\0b", "(" * 9_000, "x" * 30_000, "\r\n\r\n}", "<script>alert(1)</script>"):
        for button in ("check", "propose"):
            answer = tomas.post(EDIT, {button: "", "text": text, "note": "\0"})
            assert answer.status_code == 422, text[:10]
            assert "<script>alert" not in answer.content.decode()


def test_rules_that_cannot_be_used_any_more_are_shouted_about(admins, waiting, sign_in):
    with tenant_scope(admins.scope):
        policy_versions.approve(waiting, waiting.digest, by=by(admins, "tara"))
        PolicyVersion.objects.filter(pk=waiting.pk).update(text="}")
    in_force._policies_of.cache_clear()

    said = page(admins, sign_in, "tomas")

    assert "The rules in force cannot be used." in said
    assert "Go back to no rules" in said
    assert "↑ line 1: “}” was not expected here" in page(admins, sign_in, "tomas", at(waiting))
