"""Proposal pages: reading what the agent proposes, deciding about it."""

import json
from datetime import UTC, datetime

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agent import lifecycle, merging, repositories, runner
from agent.models import Bypass, Proposal, Review
from agent.record import sign_record
from agent.signed_records import BUNDLE
from authz.models import Grant
from evidence import ledger
from evidence.dsse import open_envelope
from evidence.models import Pack
from evidence.records import MANIFEST
from evidence.signing import FileKeys, VerifierKey
from portal.pages import proposals
from portal.pages.markdown import front_matter, rendered
from tenants.actor import system_actor
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW
from tests.portal.standing import pack_of, record_of

TABS = ["options", "options&layer=vector-search", "files", "diff", "checks", "evidence"]


@pytest.fixture
def proposal(acme):
    """What the real agent proposes to bo's request, sealed into the ledger."""
    bo = acme.people["bo"]
    with tenant_scope(acme.scope):
        repository = repositories.register(
            "portal",
            project=acme.project,
            files={"README.md": b"# Portal\n"},
            written=datetime(2026, 1, 5, tzinfo=UTC),
            by=system_actor("test", "cli"),
        )
        task = lifecycle.file_recommendation(
            {
                "title": "Search",
                "skills": "python",
                "licence_policy": "permissive_only",
                "layers": ["vector-search"],
            },
            repository=repository,
            owner=bo,
            by=bo.actor("page", signed_in=JUST_NOW),
        )
        while runner.advance(task.pk):
            pass
        ledger.seal(FileKeys(settings.KEYS_DIR))
        return Proposal.objects.get(task=task)


def address(proposal, rest=""):
    return f"/proposals/{proposal.pk}/{rest}"


def stands(company, proposal):
    with tenant_scope(company.scope):
        return Proposal.objects.get(pk=proposal.pk).state


@pytest.mark.parametrize(
    ("tab", "shown"),
    [
        ("options", "Alternatives"),
        ("options&layer=vector-search", "Trade-offs"),
        ("options&layer=vector-search", "grade A"),
        ("files&file=docs/stack/bom.md", "<table>"),
        ("files&file=docs/stack/bom.cdx.json", "CycloneDX"),
        ("diff", "diff --git"),
        ("diff&view=split", 'data-view="split"'),
        ("checks", "Passed"),
        ("evidence", "recommendation.create"),
        ("nonsense", "Alternatives"),
    ],
)
def test_every_tab_has_an_address_of_its_own(acme, proposal, sign_in, tab, shown):
    page = sign_in(acme, "iris").get(address(proposal, f"?tab={tab}")).content.decode()

    assert shown in page
    assert proposal.digest in page
    assert proposal.head_sha in page


def test_no_tab_asks_the_database_more_than_a_dozen_times(acme, proposal, sign_in):
    ada = sign_in(acme, "ada")

    for tab in TABS:
        with CaptureQueriesContext(connection) as queries:
            ada.get(address(proposal, f"?tab={tab}"))

        assert len(queries) <= 12, tab


def test_the_box_says_who_may_countersign_and_why_the_requester_may_not(acme, proposal, sign_in):
    adas = sign_in(acme, "ada").get(address(proposal)).content.decode()
    bos = sign_in(acme, "bo").get(address(proposal)).content.decode()

    assert "asked for it, so a second person must" in adas
    assert "Iris: no role that may" in adas
    assert f'action="{address(proposal, "countersign/")}"' in adas
    assert "Whoever asked for it cannot let it through" in bos
    assert "<textarea" not in bos


def test_a_second_person_countersigns_what_was_read(acme, proposal, sign_in, entries):
    sent = {"digest": proposal.digest, "comment": "Read all of it."}

    answer = sign_in(acme, "ada").post(address(proposal, "countersign/"), sent, follow=True)

    page = answer.content.decode()
    assert stands(acme, proposal) == "countersigned"
    assert "Read all of it." in page
    assert "by <strong>Ada</strong>" in page
    assert entries(acme)[-1] == ("proposal.countersign", "ok")


@pytest.mark.parametrize(
    ("name", "status", "left"),
    [("bo", 403, "proposal.countersign.denied"), ("iris", 403, "proposal.countersign.denied")],
)
def test_whoever_may_not_countersign_is_refused_on_record(
    acme, proposal, sign_in, entries, name, status, left
):
    answer = sign_in(acme, name).post(
        address(proposal, "countersign/"), {"digest": proposal.digest}
    )

    assert answer.status_code == status
    assert stands(acme, proposal) == "open"
    assert entries(acme)[-1] == (left, "denied")


@pytest.mark.parametrize("path", ["", "countersign/", "reject/", "files/README.md"])
def test_another_tenants_proposal_does_not_exist(acme, globex, proposal, sign_in, path):
    eve = sign_in(globex, "eve")
    send = eve.post if path.endswith(("sign/", "ject/")) else eve.get

    assert send(address(proposal, path), {"digest": proposal.digest}).status_code == 404
    assert "Search" not in eve.get("/proposals/").content.decode()


def test_what_has_changed_since_it_was_read_is_not_signed_and_the_comment_stays(
    acme, proposal, sign_in, entries
):
    sent = {"digest": "0" * 64, "comment": "Looks good"}

    answer = sign_in(acme, "ada").post(address(proposal, "countersign/"), sent)

    page = answer.content.decode()
    assert answer.status_code == 409
    assert "has changed since you read it" in page
    assert ">Looks good</textarea>" in page
    assert stands(acme, proposal) == "open"
    assert entries(acme)[-1] == ("proposal.countersign.refused", "denied")


def test_rejecting_needs_a_reason(acme, proposal, sign_in):
    ada = sign_in(acme, "ada")

    without = ada.post(address(proposal, "reject/"), {"digest": proposal.digest})
    sent = {"digest": proposal.digest, "comment": "Too dear"}
    after = ada.post(address(proposal, "reject/"), sent, follow=True)

    assert without.status_code == 422
    assert "The comment is empty" in without.content.decode()
    assert "Too dear" in after.content.decode()
    assert stands(acme, proposal) == "rejected"
    with tenant_scope(acme.scope):
        assert Review.objects.get().verdict == "rejected"


def test_nothing_can_be_countersigned_while_a_check_fails(acme, proposal, sign_in):
    with tenant_scope(acme.scope):
        proposal.checks[0] |= {"ok": False, "detail": "two titles"}
        proposal.save(update_fields=["checks"])

    page = sign_in(acme, "ada").get(address(proposal, "?tab=checks")).content.decode()

    assert "cannot be countersigned while checks fail" in page
    assert "two titles" in page
    assert "Failing" in page


def test_a_file_is_taken_away_as_it_stands_on_the_branch(acme, proposal, sign_in):
    iris = sign_in(acme, "iris")

    file = iris.get(address(proposal, "files/docs/stack/bom.cdx.json"))
    elsewhere = iris.get(address(proposal, "files/docs/../../../etc/passwd"))

    assert file.headers["Content-Disposition"] == 'attachment; filename="bom.cdx.json"'
    assert b"CycloneDX" in file.content
    assert elsewhere.status_code == 404


def test_an_auditor_takes_the_signed_record_by_itself_and_that_is_on_record(
    acme, proposal, sign_in, entries
):
    iris = sign_in(acme, "iris")
    early = iris.get(address(proposal, "record/"))
    with tenant_scope(acme.scope):
        keys = FileKeys(settings.KEYS_DIR)
        stored = sign_record(proposal.pk, keys).files[BUNDLE]
        key = VerifierKey.parse(ledger.signer(keys).vkey)

    page = iris.get(address(proposal, "?tab=evidence")).content.decode()
    answer = iris.get(address(proposal, "record/"))

    assert early.status_code == 409
    assert address(proposal, "record/") in page
    assert stored["sha256"] in page
    name = f'filename="{proposal.head_sha}.intoto.jsonl"'
    assert name in answer["Content-Disposition"]
    said = [open_envelope(line, [key]) for line in answer.content.splitlines()]
    assert json.loads(said[-1])["predicateType"] == MANIFEST
    assert len(json.loads(said[-1])["predicate"]["statements"]) == len(said) - 1
    assert entries(acme)[-1] == ("record.download", "ok")


def test_the_evidence_tab_says_until_when_the_file_of_a_pack_is_kept(acme, proposal, sign_in):
    with tenant_scope(acme.scope):
        pack = pack_of(proposal)
    iris = sign_in(acme, "iris")

    page = iris.get(address(proposal, "?tab=evidence")).content.decode()
    with tenant_scope(acme.scope):
        Pack.objects.update(deleted_at=datetime(2026, 1, 7, tzinfo=UTC))
    later = iris.get(address(proposal, "?tab=evidence")).content.decode()

    assert f"{pack.expires_at:%Y-%m-%d}" in page
    assert "Ready" in page
    assert "deleted 2026-01-07" in later
    assert "Expired" in later


@pytest.mark.parametrize("door", ["/proposals/{}/record/", "/api/v1/proposals/{}/record"])
def test_the_signed_record_is_for_auditors_and_admins(
    acme, globex, proposal, sign_in, entries, door
):
    with tenant_scope(acme.scope):
        record_of(proposal, b"signed")
    path = door.format(proposal.pk)

    assert sign_in(acme, "tomas").get(path).content == b"signed"
    assert entries(acme)[-1] == ("record.download", "ok")
    assert sign_in(acme, "bo").get(path).status_code == 403
    assert entries(acme)[-1] == ("pack.export.denied", "denied")
    assert sign_in(globex, "iris").get(path).status_code == 404
    assert (
        "record/"
        not in sign_in(acme, "bo").get(address(proposal, "?tab=evidence")).content.decode()
    )


def test_a_large_file_is_folded_until_it_is_asked_for(acme, proposal, sign_in, monkeypatch):
    monkeypatch.setattr(proposals, "FOLDED_ABOVE", 1_000)
    ada = sign_in(acme, "ada")

    folded = ada.get(address(proposal, "?tab=diff")).content.decode()
    shown = ada.get(address(proposal, "?tab=diff&show=docs/stack/bom.md")).content.decode()

    assert "A large file, so it is folded" in folded
    assert len(shown) > len(folded)


def test_looking_at_a_proposal_has_the_forge_looked_at_once_in_five_seconds(
    acme, proposal, sign_in, monkeypatch
):
    looked = []
    monkeypatch.setattr(proposals.queue, "refresh_proposal", looked.append)
    cache.delete(f"looked-at-forge:{proposal.pk}")
    ada = sign_in(acme, "ada")

    for _ in range(3):
        ada.get(address(proposal))

    assert looked == [proposal.pk]


def test_the_list_shows_what_waits_for_whoever_may_decide(acme, proposal, sign_in):
    adas = sign_in(acme, "ada").get("/proposals/?waiting").content.decode()
    bos = sign_in(acme, "bo").get("/proposals/?waiting").content.decode()

    assert "1 waiting for me" in adas
    assert proposal.title in adas
    assert "Nothing waits for you" in bos


def test_markdown_can_neither_run_nor_load_anything():
    html = rendered(
        "<script>alert(1)</script>\n\n[x](javascript:alert(1)) ![p](https://elsewhere.example/p.png)"
        "\n\n<b onclick=x>bold</b>"
    )

    assert "<script" not in html
    assert "<img" not in html
    assert 'href="javascript' not in html
    assert "<b " not in html


def test_links_between_the_files_lead_to_the_files_tab():
    text = "[options](../stack/options.md) [gone](gone.md) [web](https://example.org/)"

    html = rendered(text, "docs/adr/one.md", frozenset({"docs/stack/options.md"}))

    assert 'href="?tab=files&amp;file=docs%2Fstack%2Foptions.md"' in html
    assert "gone.md" not in html
    assert 'href="https://example.org/"' in html


def test_front_matter_is_shown_as_a_list_and_bad_front_matter_not_at_all():
    assert front_matter("---\nstatus: proposed\nwho: [a, b]\n---\n# One\n") == [
        ("status", "proposed"),
        ("who", "a, b"),
    ]
    assert front_matter("---\n: [\n---\n# One\n") == []
    assert front_matter("# One\n") == []


def test_what_was_countersigned_is_merged_on_the_page(acme, sign_in, proposal, entries):
    lin, bo, iris = (sign_in(acme, name) for name in ("lin", "bo", "iris"))
    page, merge = f"/proposals/{proposal.pk}/", f"/proposals/{proposal.pk}/merge/"
    api = f"/api/v1/proposals/{proposal.pk}/merge"
    read = {"digest": proposal.digest}
    assert "Merge into main" not in lin.get(page).content.decode()
    early = lin.post(merge, read)
    assert early.status_code == 403
    assert "a second person countersigned, with every check passed" in early.content.decode()
    lin.post(f"/proposals/{proposal.pk}/countersign/", read)
    assert "Merge into main" in lin.get(page).content.decode()
    for other in (bo, iris):
        shown = other.get(page).content.decode()
        assert "Merge into main" not in shown
        assert "You cannot merge it" in shown
        assert other.post(merge, read).status_code == 403
        assert other.post(api, read, content_type="application/json").status_code == 403
    stale = lin.post(merge, {"digest": "0" * 64})
    assert stale.status_code == 409
    assert "Nothing was merged: the proposal has changed" in stale.content.decode()

    answer = lin.post(api, read, content_type="application/json")

    assert (answer.status_code, answer.json()["state"]) == (202, "countersigned")
    assert "Being merged" in iris.get(page).content.decode()
    assert lin.post(merge, read).status_code == 409
    with tenant_scope(acme.scope):
        assert merging.carry_out(proposal.pk)
    shown = iris.get(page).content.decode()
    assert "Merged" in shown
    assert "as <strong>Lin</strong> ordered" in shown
    after = lin.get(f"/api/v1/proposals/{proposal.pk}").json()
    assert (after["state"], len(after["merge_sha"])) == ("merged", 40)
    assert entries(acme)[-1] == ("proposal.merge", "ok")


def test_the_evidence_tab_says_whether_the_merge_is_part_of_the_record(acme, sign_in, proposal):
    lin, iris, read = sign_in(acme, "lin"), sign_in(acme, "iris"), {"digest": proposal.digest}
    tab, keys = address(proposal, "?tab=evidence"), FileKeys(settings.KEYS_DIR)
    lin.post(f"/proposals/{proposal.pk}/countersign/", read)
    with tenant_scope(acme.scope):
        sign_record(proposal.pk, keys)
    before = iris.get(tab).content.decode()
    lin.post(f"/proposals/{proposal.pk}/merge/", read)
    with tenant_scope(acme.scope):
        assert merging.carry_out(proposal.pk)
    between = iris.get(tab).content.decode()
    with tenant_scope(acme.scope):
        sign_record(proposal.pk, keys)
    after = iris.get(tab).content.decode()

    assert "part of this record" not in before
    assert "This record was signed before the merge" in between
    assert "The merge is part of this record" in after


def test_the_evidence_tab_says_of_a_merge_past_the_portal_that_no_record_tells_of_it(
    acme, sign_in, proposal
):
    with tenant_scope(acme.scope):
        record_of(proposal, b"signed")
        Proposal.objects.filter(pk=proposal.pk).update(
            state=Proposal.State.MERGED, merged_at=datetime(2026, 1, 7, tzinfo=UTC)
        )

    page = sign_in(acme, "iris").get(address(proposal, "?tab=evidence")).content.decode()

    assert "merged on the code host and not from here" in page


def test_a_merge_that_came_to_nothing_says_why_and_can_be_ordered_again(acme, sign_in, proposal):
    lin, read = sign_in(acme, "lin"), {"digest": proposal.digest}
    lin.post(f"/proposals/{proposal.pk}/countersign/", read)
    lin.post(f"/proposals/{proposal.pk}/merge/", read)
    with tenant_scope(acme.scope):
        Grant.objects.filter(user=acme.people["lin"]).delete()
        assert not merging.carry_out(proposal.pk)

    shown = sign_in(acme, "ada").get(f"/proposals/{proposal.pk}/").content.decode()

    assert "It was not merged:" in shown
    assert "none of your roles here may merge a proposal" in shown
    assert "Merge into main" in shown


def test_what_came_in_past_the_portal_is_said_with_what_to_do(acme, proposal, sign_in):
    with tenant_scope(acme.scope):
        Bypass.objects.create(
            repository=proposal.repository,
            proposal=proposal,
            before_sha=proposal.base_sha,
            after_sha=proposal.head_sha,
            commits=[{"sha": proposal.head_sha, "at": "", "by": "Mallory", "said": "<b>fix</b>"}],
            commit_count=1,
        )
    ada = sign_in(acme, "ada")

    of_proposal = ada.get(address(proposal)).content.decode()
    of_project = ada.get(f"/people/projects/{acme.project.pk}/").content.decode()

    assert "that nobody countersigned" in of_proposal
    assert "git revert" in of_proposal
    assert "&lt;b&gt;fix&lt;/b&gt;" in of_proposal
    assert "was changed past the portal" in of_project
    assert f"proposal #{proposal.number}" in of_project
