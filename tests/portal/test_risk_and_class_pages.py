"""What policies look at, on pages and over the API: risk of a proposal, data class of a project."""

from agent.models import Proposal
from agent.places import artifact_store
from tenants.models import Project
from tenants.scope import tenant_scope
from tests.portal.standing import proposal_of

DIFF = b"diff --git a/a.md b/a.md\n--- a/a.md\n+++ b/a.md\n@@ -0,0 +1 @@\n+x\n"


def page_of(company):
    return f"/people/projects/{company.project.pk}/"


def test_an_admin_changes_the_data_class_on_the_projects_page(acme, sign_in, entries):
    tomas = sign_in(acme, "tomas")
    assert 'value="internal" checked' in tomas.get(page_of(acme)).content.decode()

    answer = tomas.post(
        page_of(acme) + "classification/", {"classification": "restricted"}, follow=True
    )

    assert 'value="restricted" checked' in answer.content.decode()
    assert "Policies look at it from the next decision on" in answer.content.decode()
    assert entries(acme)[-1] == ("project.classify", "ok")


def test_a_class_that_there_is_not_is_told(acme, sign_in):
    answer = sign_in(acme, "tomas").post(page_of(acme) + "classification/", {"classification": "x"})

    assert answer.status_code == 422
    assert "must be one of public, internal, confidential, restricted" in answer.content.decode()


def test_who_may_not_change_it_reads_it(acme, sign_in):
    bo = sign_in(acme, "bo")

    assert "A tenant admin can change it" in bo.get(page_of(acme)).content.decode()
    answer = bo.post(page_of(acme) + "classification/", {"classification": "public"})
    assert answer.status_code == 403
    with tenant_scope(acme.scope):
        assert Project.objects.get(pk=acme.project.pk).classification == "internal"


def test_programs_read_the_class_and_people_change_it_over_the_api(acme, globex, sign_in, entries):
    at = f"/api/v1/projects/{acme.project.pk}"
    tomas, bo, eve = (sign_in(acme, "tomas"), sign_in(acme, "bo"), sign_in(globex, "eve"))
    with tenant_scope(acme.scope):
        proposal = proposal_of(acme.people["bo"], acme.project)

    changed = tomas.patch(at, {"classification": "restricted"}, "application/json")

    assert (changed.status_code, changed.json()["classification"]) == (200, "restricted")
    assert entries(acme)[-1] == ("project.classify", "ok")
    assert bo.get(at).json() == changed.json()
    listed = bo.get("/api/v1/projects").json()["items"]
    assert [one["classification"] for one in listed if one["id"] == str(acme.project.pk)] == [
        "restricted"
    ]
    assert bo.get(f"/api/v1/proposals/{proposal.pk}").json()["classification"] == "restricted"
    for client, status in ((bo, 403), (eve, 404)):
        answer = client.patch(at, {"classification": "public"}, "application/json")
        assert answer.status_code == status
    assert eve.get(at).status_code == 404
    wrong = tomas.patch(at, {"classification": "x"}, "application/json")
    assert wrong.status_code == 422
    assert wrong.json()["errors"] == {
        "classification": "must be one of public, internal, confidential, restricted"
    }
    assert bo.get(at).json()["classification"] == "restricted"


def test_no_token_can_be_made_that_changes_the_class(acme, sign_in):
    wanted = {"name": "x", "scopes": ["project.classify"], "days": 1}

    answer = sign_in(acme, "tomas").post("/api/v1/tokens", wanted, "application/json")

    assert answer.status_code == 422
    assert "project.classify" in answer.json()["errors"]["scopes"]


def test_a_proposal_shows_risk_with_reasons_and_data_class(acme, sign_in):
    with tenant_scope(acme.scope):
        reasons = [{"points": 25, "said": "it touches how it is built and checked: .github/x"}]
        scored = proposal_of(acme.people["bo"], acme.project, risk_score=25, risk_reasons=reasons)
        older = proposal_of(acme.people["bo"], acme.project)
        kept = artifact_store().put(scored.tenant_id, DIFF)
        Proposal.objects.update(diff_sha256=kept.sha256)
    ada = sign_in(acme, "ada")

    text = ada.get(f"/proposals/{scored.pk}/?tab=checks").content.decode()
    old = ada.get(f"/proposals/{older.pk}/?tab=checks").content.decode()
    said = ada.get(f"/api/v1/proposals/{scored.pk}").json()

    assert "25 of 100" in text
    assert "it touches how it is built and checked: .github/x" in text
    assert "<dd>internal</dd>" in text
    assert "not known: proposed before risk was scored" in old
    assert (said["risk_score"], said["risk_reasons"]) == (25, reasons)
    assert ada.get(f"/api/v1/proposals/{older.pk}").json()["risk_score"] is None
