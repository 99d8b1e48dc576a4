"""Every read and every denial is on record before anybody sees the answer."""

import shutil
from pathlib import Path

import pytest
from django.conf import settings
from django.test import override_settings

from authz import onrecord
from authz.decisions import require, visible
from authz.errors import Denied, NotRecorded
from authz.permissions import Permission
from evidence.models import DecisionRecord
from evidence.shipping import ship
from evidence.spool import read_frames
from tenants.models import Project
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW


@pytest.fixture
def folder(tmp_path):
    with override_settings(SPOOL_DIR=tmp_path / "spool"):
        yield tmp_path / "spool"


def _said(folder):
    return [r.said for path in sorted(folder.glob("*.spool")) for r in read_frames(path)]


def _actor(company, name):
    return company.people[name].actor("page", signed_in=JUST_NOW)


def test_a_read_leaves_one_record_with_who_what_and_why(in_acme, folder):
    require(_actor(in_acme, "iris"), Permission.LEDGER_VIEW, in_acme.project)

    (said,) = _said(folder)
    assert said["actor_id"] == str(in_acme.people["iris"].pk)
    assert (said["action"], said["outcome"], said["door"]) == ("ledger.view", "ok", "page")
    assert (said["object_type"], said["object_id"]) == ("project", str(in_acme.project.pk))
    assert said["tenant"] == str(in_acme.scope.tenant_id)
    assert len(said["policy_digest"]) == 64
    assert said["latency_ms"] >= 0


def test_a_denial_is_in_the_spool_and_in_the_ledger(in_acme, folder, entries):
    with pytest.raises(Denied):
        require(_actor(in_acme, "bo"), Permission.LEDGER_VIEW, in_acme.project)

    assert [said["outcome"] for said in _said(folder)] == ["denied"]
    assert entries(in_acme)[-1] == ("ledger.view.denied", "denied")


def test_a_list_leaves_one_record_for_each_query_with_how_many_rows_it_gave(in_acme, folder):
    Project.objects.create(slug="second", name="Second")
    seen = visible(_actor(in_acme, "iris"), Permission.PROPOSAL_VIEW, Project.objects.all())

    assert _said(folder) == []
    assert len(list(seen)) == 2
    assert len(list(seen)) == 2  # the same rows again, from memory
    assert seen.filter(slug="second").count() == 1
    assert seen.values_list("slug", flat=True)[:1][0]

    whole, counted, part = _said(folder)
    assert [said["rows"] for said in (whole, counted, part)] == [2, None, 1]
    assert {said["object_id"] for said in (whole, counted, part)} == {"*"}
    assert len({said["predicate"] for said in (whole, counted, part)}) == 3


def test_the_predicate_on_record_is_that_of_the_query_that_was_sent(in_acme, folder):
    Project.objects.create(slug="second", name="Second")
    seen = visible(_actor(in_acme, "iris"), Permission.PROPOSAL_VIEW, Project.objects.all())
    narrowed, nothing = seen.filter(slug="second"), seen.filter(pk__in=[])
    assert len(list(seen)) == 2
    # Both are made from a query that has sent something already.
    later, empty = seen.filter(slug="second"), seen.filter(pk__in=[])

    for rows, count in ((narrowed, 1), (later, 1), (nothing, 0), (empty, 0)):
        assert len(list(rows)) == count

    found = [said["predicate"] for said in _said(folder)]
    digests = [onrecord._predicate(one.query, None) for one in (seen, narrowed, nothing)]
    assert found == [digests[0], digests[1], digests[1], digests[2], digests[2]]
    assert len(set(digests)) == 3


def test_rows_that_may_not_be_recorded_are_not_handed_on(in_acme, folder):
    folder.write_text("a file where the folder should be")
    actor = _actor(in_acme, "iris")

    with pytest.raises(NotRecorded):
        list(visible(actor, Permission.PROPOSAL_VIEW, Project.objects.all()))
    with pytest.raises(NotRecorded):
        require(actor, Permission.LEDGER_VIEW, in_acme.project)


def test_a_request_waits_for_the_disk_once_and_is_on_it_when_answered(
    acme, sign_in, folder, monkeypatch
):
    waits = []
    keep = onrecord._keep
    monkeypatch.setattr(
        onrecord, "_keep", lambda records: (waits.append(len(records)), keep(records))
    )
    browser = sign_in(acme, "iris")

    answer = browser.get("/audit/", headers={"traceparent": f"00-{'a1' * 16}-{'b2' * 8}-01"})

    assert answer.status_code == 200
    said = _said(folder)
    assert "ledger.view" in {one["action"] for one in said}
    assert {one["trace"] for one in said} == {"a1" * 16}
    assert len([count for count in waits if count]) == 1


@pytest.mark.parametrize("address", ["/audit/", "/api/v1/log/entries", "/proposals/"])
def test_a_page_that_cannot_be_recorded_is_not_shown(acme, sign_in, folder, address):
    browser = sign_in(acme, "iris")
    assert browser.get(address).status_code == 200
    Path(settings.SPOOL_DIR).rename(folder.with_name("away"))
    folder.write_text("a file where the folder should be")
    onrecord.spool_in(folder).close()

    answer = browser.get(address)

    assert answer.status_code == 503
    assert "on record" in answer.content.decode()


def test_nothing_is_changed_when_what_was_read_cannot_be_recorded(acme, sign_in, folder, entries):
    folder.write_text("a file where the folder should be")
    tomas = sign_in(acme, "tomas")
    before = entries(acme)

    with tenant_scope(acme.scope), onrecord.collected() as waiting:
        require(_actor(acme, "tomas"), Permission.ROLE_CHANGE, acme.project)
        with pytest.raises(NotRecorded):
            onrecord.settle()
        assert waiting.waiting == []

    assert entries(acme) == before
    assert tomas.get("/audit/").status_code == 503


def test_what_was_spooled_by_requests_arrives_in_the_database(acme, sign_in, folder):
    sign_in(acme, "iris").get("/audit/")
    sign_in(acme, "bo").get("/audit/")

    ship(folder)

    with tenant_scope(acme.scope):
        outcomes = DecisionRecord.objects.filter(action="ledger.view").values_list(
            "outcome", "actor_id"
        )
        assert set(outcomes) == {
            ("ok", str(acme.people["iris"].pk)),
            ("denied", str(acme.people["bo"].pk)),
        }
    shutil.rmtree(folder)


def test_each_decision_leaves_a_line_with_what_a_span_carries(in_acme, caplog):
    caplog.set_level("INFO", logger="authz.onrecord")
    by = in_acme.people["bo"].actor("page")

    require(by, Permission.TASK_VIEW, in_acme.project)
    with pytest.raises(Denied):
        require(by, Permission.LEDGER_VIEW, in_acme.project)
    lines = [one.msg for one in caplog.records if one.name == "authz.onrecord"]

    assert [(one["event"], one["action"], one["decision"]) for one in lines] == [
        ("decision", "task.view", "allow"),
        ("decision", "ledger.view", "deny"),
    ]
    assert {one["tenant_id"] for one in lines} == {str(in_acme.scope.tenant_id)}
    assert {one["resource"] for one in lines} == {f"project:{in_acme.project.pk}"}
    assert all(len(one["policy_id"]) == 64 and one["latency_ms"] > 0 for one in lines)
