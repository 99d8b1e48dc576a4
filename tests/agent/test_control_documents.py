"""Documents for controls count when a second person says so, and until their last day."""

from datetime import timedelta
from uuid import uuid4

import pytest

from agent import control_documents
from agent.control_documents import accept_document, add_document, plain_name, today
from agent.coverage import standing
from agent.places import artifact_store
from authz.errors import BadRequest, Conflict, Denied
from evidence.controls import NONE, UPLOAD
from evidence.models import ControlDocument, Entry, Payload
from tenants.actor import Actor, system_actor
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW
from tests.portal.standing import sealed

TRAINING = "ssdf-1.1:PO.2.2"


def actor(company, name) -> Actor:
    return company.people[name].actor("page", signed_in=JUST_NOW)


def policy_of(company, by="tomas", content=b"Everybody learns.", **also) -> ControlDocument:
    fields = {
        "title": "Training plan",
        "owner": "Head of engineering",
        "valid_until": today() + timedelta(days=90),
        "controls": [TRAINING],
    }
    replaces = also.pop("replaces", None)
    return add_document(
        fields | also, content, "plan 2026.pdf", replaces=replaces, by=actor(company, by)
    )


def strength_of(name: str) -> str:
    now = standing()
    framework, _, control = name.partition(":")
    title = now.known.frameworks[framework].title
    return next(
        row["strength"] for row in now.rows if (row["framework"], row["id"]) == (title, control)
    )


def test_a_document_counts_once_a_second_person_accepted_it(in_acme, entries):
    row = policy_of(in_acme)
    assert strength_of(TRAINING) == NONE
    with pytest.raises(Denied, match="a second person"):
        accept_document(row, row.sha256, by=actor(in_acme, "tomas"))

    accept_document(row, row.sha256, by=actor(in_acme, "iris"))

    assert strength_of(TRAINING) == UPLOAD
    assert artifact_store().get(in_acme.scope.tenant_id, row.sha256) == b"Everybody learns."
    assert entries(in_acme)[-3:] == [
        ("document.add", "ok"),
        ("document.approve.denied", "denied"),
        ("document.approve", "ok"),
    ]


def test_an_expired_document_counts_no_longer(in_acme, monkeypatch):
    row = policy_of(in_acme)
    accept_document(row, row.sha256, by=actor(in_acme, "iris"))
    last = row.valid_until

    monkeypatch.setattr("agent.coverage.today", lambda: last)
    assert strength_of(TRAINING) == UPLOAD
    monkeypatch.setattr("agent.coverage.today", lambda: last + timedelta(days=1))

    assert strength_of(TRAINING) == NONE


def test_what_expired_while_it_waited_is_not_accepted(in_acme, monkeypatch):
    row = policy_of(in_acme)
    monkeypatch.setattr(control_documents, "today", lambda: row.valid_until + timedelta(days=1))

    with pytest.raises(Conflict, match="would count for nothing"):
        accept_document(row, row.sha256, by=actor(in_acme, "iris"))


def test_a_newer_version_replaces_the_older_one_when_it_is_accepted(in_acme):
    first = policy_of(in_acme)
    accept_document(first, first.sha256, by=actor(in_acme, "iris"))

    second = policy_of(in_acme, content=b"Everybody learns more.", replaces=first)
    first.refresh_from_db()
    assert (second.version, second.series, first.state) == (2, first.series, "accepted")
    with pytest.raises(Conflict, match="waits for a second person already"):
        policy_of(in_acme, replaces=first)
    accept_document(second, second.sha256, by=actor(in_acme, "iris"))

    first.refresh_from_db()
    assert first.state == "replaced"
    assert [row.pk for row in control_documents.in_force(today())] == [second.pk]


def test_whoever_accepts_names_the_file_they_read(in_acme):
    row = policy_of(in_acme)

    with pytest.raises(Conflict, match="not the file that you read"):
        accept_document(row, "0" * 64, by=actor(in_acme, "iris"))


def test_refused_and_withdrawn_documents_count_for_nothing_and_stay_so(in_acme, entries):
    refused, withdrawn = policy_of(in_acme), policy_of(in_acme, title="Another")
    iris, tomas = actor(in_acme, "iris"), actor(in_acme, "tomas")
    with pytest.raises(BadRequest, match="say why"):
        control_documents.refuse_document(refused, " ", by=iris)

    control_documents.refuse_document(refused, "It is a draft.", by=iris)
    accept_document(withdrawn, withdrawn.sha256, by=iris)
    control_documents.withdraw_document(withdrawn, "The office is closed.", by=tomas)

    assert strength_of(TRAINING) == NONE
    for row in (refused, withdrawn):
        with pytest.raises(Conflict):
            accept_document(row, row.sha256, by=iris)
        with pytest.raises(Conflict):
            control_documents.withdraw_document(row, "again", by=tomas)
    assert ("document.add", "ok") in entries(in_acme)


@pytest.mark.parametrize(
    ("also", "field"),
    [
        ({"title": " "}, "title"),
        ({"owner": "x" * 201}, "owner"),
        ({"valid_until": "soon"}, "valid_until"),
        ({"valid_until": today() - timedelta(days=1)}, "valid_until"),
        ({"valid_until": today() + timedelta(days=4000)}, "valid_until"),
        ({"controls": []}, "controls"),
        ({"controls": ["ssdf-1.1:XX.9"]}, "controls"),
        ({"controls": ["ssdf-1.1:PW.7.2"]}, "controls"),  # the log shows code review
        ({"content": b""}, "file"),
    ],
)
def test_what_makes_no_sense_is_named_and_nothing_is_kept(in_acme, also, field):
    with pytest.raises(BadRequest) as refused:
        policy_of(in_acme, **also)

    assert set(refused.value.errors) == {field}
    assert not ControlDocument.objects.exists()


@pytest.mark.parametrize("name", ["bo", "ada"])
def test_developers_and_project_admins_bring_no_documents(in_acme, entries, name):
    with pytest.raises(Denied):
        policy_of(in_acme, by=name, content=b"of somebody who may not")

    assert not ControlDocument.objects.exists()
    assert entries(in_acme)[-1] == ("document.add.denied", "denied")


def test_no_program_accepts_a_document(in_acme):
    row = policy_of(in_acme)

    with pytest.raises(Denied):
        accept_document(row, row.sha256, by=system_actor("operator", "cli"))


def test_another_tenant_sees_neither_row_nor_file(acme, globex):
    with tenant_scope(acme.scope):
        row = policy_of(acme)
        accept_document(row, row.sha256, by=actor(acme, "iris"))
    with tenant_scope(globex.scope):
        assert not ControlDocument.objects.filter(pk=row.pk).exists()
        assert not artifact_store().holds(globex.scope.tenant_id, row.sha256)
        assert strength_of(TRAINING) == NONE


def test_the_ledger_keeps_the_digest_and_who_took_the_file(in_acme, entries):
    row = policy_of(in_acme)
    assert control_documents.content_of(row, by=actor(in_acme, "iris")) == b"Everybody learns."
    sealed()

    assert entries(in_acme)[-1] == ("document.download", "ok")
    (index,) = control_documents.entries_about([row.pk])[str(row.pk)]
    payload = Payload.objects.get(pk=Entry.objects.get(index=index).pk)
    assert payload.facts["sha256"] == row.sha256
    assert control_documents.entries_about([uuid4()]) == {}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("plan 2026.pdf", "plan-2026.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\Ä.docx", "docx"),
        ("", "document"),
        ("x" * 300 + ".pdf", "x" * 96 + ".pdf"),
        ("a.tar.gz", "a.tar.gz"),
    ],
)
def test_a_file_s_name_becomes_one_that_every_system_reads_alike(given, kept):
    assert plain_name(given) == kept
