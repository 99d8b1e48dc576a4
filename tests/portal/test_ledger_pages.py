"""The audit pages: reading the ledger, filtering it, proving an entry."""

import csv
import io
import json
import os
import re
from datetime import timedelta
from hashlib import sha256
from itertools import chain

import psycopg
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agent import log_search
from agent.log_search import Wanted
from evidence import ledger as evidence_ledger
from evidence.models import Entry, Payload
from portal.pages import ledger
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW
from tests.portal.standing import proposal_of, sealed


@pytest.fixture
def log(acme):
    """Acme's ledger, sealed: its opening, its people."""
    with tenant_scope(acme.scope):
        sealed()
        return list(Entry.objects.order_by("index"))


def tamper(company, statement: str, entry: Entry) -> None:
    """Change a sealed row as somebody with the owner's password could."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        owner.execute(f"SET search_path TO {company.scope.schema}")
        # Row security binds the owner too, until the tenant is named.
        owner.execute(
            "SELECT set_config('app.tenant_id', %s, true)", [str(company.scope.tenant_id)]
        )
        assert owner.execute(statement, [entry.pk]).rowcount == 1


def test_entries_are_read_newest_first_in_plain_words(acme, log, sign_in):
    page = sign_in(acme, "iris").get("/audit/").content.decode()

    numbers = [int(found) for found in re.findall(r'href="/audit/(\d+)/"', page)]
    assert numbers == sorted(numbers, reverse=True)
    assert len(numbers) == len(log)
    assert "admitted a person" in page
    assert f"Sealed up to entry {len(log) - 1}" in page


def test_the_key_to_pin_is_there_to_copy(acme, log, sign_in):
    page = sign_in(acme, "iris").get("/audit/").content.decode()

    assert re.search(rf'data-copy="countersign/{acme.slug}/[0-9a-f-]+\+[0-9a-f]{{8}}\+', page)


def test_a_ledger_that_is_not_sealed_yet_says_what_waits(acme, sign_in):
    page = sign_in(acme, "iris").get("/audit/").content.decode()

    assert "Not sealed yet" in page


@pytest.mark.parametrize(
    ("query", "actions"),
    [
        ("action=project.", {"project.create"}),
        ("action=project.create&actor=test", {"project.create"}),
        ("outcome=denied", {"ledger.view.denied"}),
        ("actor=bo", {"ledger.view.denied"}),
        ("object=tenant", {"ledger.view.denied"}),
        ("object=project", {"project.create"}),
        ("actor=nobody-of-that-name", set()),
        ("run=T-00000000", set()),
        ("actor=%00bo", {"ledger.view.denied"}),
        ("door=page", {"ledger.view.denied"}),
        ("door=scim", set()),
        ("since=2001-01-01&action=project.create", {"project.create"}),
        ("since=2090-01-01", set()),
        ("until=2001-01-01T10:00", set()),
        ("until=2090-01-01&outcome=denied", {"ledger.view.denied"}),
        ("project=x", set()),
    ],
)
def test_filters_stand_in_the_address(acme, sign_in, query, actions):
    sign_in(acme, "bo").get("/audit/")
    with tenant_scope(acme.scope):
        sealed()

    page = sign_in(acme, "iris").get(f"/audit/?{query}").content.decode()

    assert set(re.findall(r'small">([a-z_.]+)<', page)) == actions


def test_a_run_is_found_by_its_short_name(acme, sign_in):
    with tenant_scope(acme.scope):
        proposal = proposal_of(acme.people["bo"], acme.project)
        by = acme.people["iris"].actor("page", signed_in=JUST_NOW)
        evidence_ledger.record("pack.download", by=by, on=proposal)
        sealed()

    page = sign_in(acme, "iris").get(f"/audit/?run={proposal.task.short}").content.decode()

    assert re.findall(r'small">([a-z_.]+)<', page) == ["pack.download"]


def test_long_ledgers_are_read_page_by_page_in_both_directions(acme, log, sign_in, monkeypatch):
    monkeypatch.setattr(ledger, "ROWS", 3)
    iris = sign_in(acme, "iris")

    def read(address):
        page = iris.get(f"/audit/{address}").content.decode()
        numbers = [int(found) for found in re.findall(r'href="/audit/(\d+)/"', page)]
        links = dict(re.findall(r'rel="(prev|next)" href="([^"]+)"', page))
        return numbers, {way: link.replace("&amp;", "&") for way, link in links.items()}

    seen, ways = read("")
    pages = [seen]
    assert "prev" not in ways
    while "next" in ways:
        seen, ways = read(ways["next"])
        pages.append(seen)
    assert list(chain(*pages)) == [entry.index for entry in reversed(log)]
    back = [seen]
    while "prev" in ways:
        seen, ways = read(ways["prev"])
        back.append(seen)
    assert back[-1] == pages[0]
    assert back[1] == pages[-2][-3:]


@pytest.mark.parametrize("query", ["before=x", "after=-1", "before=99999999999999999999999"])
def test_a_nonsense_page_is_the_first_one(acme, log, sign_in, query):
    answer = sign_in(acme, "iris").get(f"/audit/?{query}")

    assert answer.status_code == 200
    assert f'href="/audit/{len(log) - 1}/"' in answer.content.decode()


def test_what_is_seen_can_be_taken_away_as_csv(acme, log, sign_in):
    answer = sign_in(acme, "iris").get("/audit/entries.csv?action=member.")

    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert {row["action"] for row in rows} == {"member.admit"}
    assert int(rows[0]["index"]) > int(rows[-1]["index"])


def test_taking_entries_away_is_on_record_with_the_digest_of_the_file(acme, log, sign_in, entries):
    answer = sign_in(acme, "iris").get("/audit/entries.jsonl?action=member.")

    lines = [json.loads(line) for line in answer.content.splitlines()]
    assert {line["leaf"]["action"] for line in lines} == {"member.admit"}
    chosen = {entry.index: entry for entry in log}[lines[0]["index"]]
    assert bytes(chosen.leaf) in answer.content
    assert lines[0]["facts"]["roles"]
    assert entries(acme)[-1] == ("ledger.export", "ok")
    with tenant_scope(acme.scope):
        sealed()
        facts = Payload.objects.get(pk=Entry.objects.get(action="ledger.export").pk).facts
    assert facts["sha256"] == sha256(answer.content).hexdigest()
    assert (facts["entries"], facts["filters"]) == (len(lines), {"action": "member."})


def test_entries_of_a_project_are_those_of_its_runs_and_its_own(acme, sign_in):
    with tenant_scope(acme.scope):
        proposal = proposal_of(acme.people["bo"], acme.project)
        by = acme.people["iris"].actor("page", signed_in=JUST_NOW)
        evidence_ledger.record("pack.download", by=by, on=proposal)
        sealed()
    iris = sign_in(acme, "iris")

    page = iris.get(f"/audit/?project={acme.project.pk}").content.decode()
    other = iris.get(f"/audit/?project={acme.people['bo'].pk}").content.decode()

    assert set(re.findall(r'small">([a-z_.]+)<', page)) == {"project.create", "pack.download"}
    assert "No entry matches" in other


def test_entries_of_a_time_long_ago_are_found_among_later_ones(acme, log, sign_in, monkeypatch):
    middle = log[len(log) // 2].recorded_at
    monkeypatch.setattr(log_search, "DISORDER", timedelta(0))
    with tenant_scope(acme.scope):
        before = set(log_search.matching(Wanted(until=middle.isoformat())))
        after = set(log_search.matching(Wanted(since=middle.isoformat())))
        first = Wanted(since="2001-01-01", until=log[0].recorded_at.isoformat())

        assert before == {entry for entry in log if entry.recorded_at < middle}
        assert after == {entry for entry in log if entry.recorded_at >= middle}
        assert list(log_search.matching(first)) == []


def test_a_time_that_is_none_is_said_and_nothing_is_shown(acme, log, sign_in):
    page = sign_in(acme, "iris").get("/audit/?since=soon").content.decode()

    assert "Since is no time; write a day as 2026-11-23" in page
    assert re.findall(r'href="/audit/(\d+)/"', page) == []


def test_a_name_cannot_become_a_formula_in_a_spreadsheet(acme, sign_in):
    with tenant_scope(acme.scope):
        bo = acme.people["bo"]
        bo.name = "=HYPERLINK(1)"
        evidence_ledger.record("session.open", by=bo.actor("page", signed_in=JUST_NOW), on=bo)
        sealed()

    answer = sign_in(acme, "iris").get("/audit/entries.csv?action=session.")

    assert "'=HYPERLINK(1)" in answer.content.decode()


def test_an_entry_comes_with_a_proof_that_holds(acme, log, sign_in):
    chosen = next(entry for entry in log if entry.action == "member.admit")

    page = sign_in(acme, "iris").get(f"/audit/{chosen.index}/").content.decode()

    assert "admitted a person" in page
    assert page.count("Holds") == 4
    assert "Fails" not in page
    assert f"tomas@{acme.slug}.example" in page
    assert f'href="/audit/{chosen.index - 1}/"' in page
    assert f'href="/audit/{chosen.index + 1}/"' in page


@pytest.mark.parametrize(
    ("statement", "fails"),
    [
        (
            "UPDATE evidence_entry SET leaf = convert_to(replace(convert_from(leaf, 'UTF8'),"
            " 'member.admit', 'member.adm1t'), 'UTF8') WHERE id = %s",
            ["The entry hashes to its leaf hash", "It stands in the log"],
        ),
        (
            "UPDATE evidence_payload SET body = convert_to(replace(convert_from(body, 'UTF8'),"
            " 'Tomas', 'Tomaz'), 'UTF8') WHERE id = %s",
            ["The facts are the ones committed to"],
        ),
        (
            "UPDATE evidence_checkpoint SET root = sha256('another'::bytea) WHERE tenant_id ="
            " (SELECT tenant_id FROM evidence_entry WHERE id = %s)",
            ["It stands in the log", "The root is signed"],
        ),
        (
            "UPDATE evidence_checkpoint SET note = replace(note, 'countersign/', 'countersigm/')"
            " WHERE tenant_id = (SELECT tenant_id FROM evidence_entry WHERE id = %s)",
            ["The root is signed"],
        ),
    ],
)
def test_a_changed_row_is_shown_as_a_proof_that_fails(acme, log, sign_in, statement, fails):
    chosen = next(entry for entry in log if entry.action == "member.admit")
    tamper(acme, statement, chosen)

    page = sign_in(acme, "iris").get(f"/audit/{chosen.index}/").content.decode()

    failing = re.findall(r'Fails</span>\s*<span class="fw-medium">([^<]+)<', page)
    assert failing == fails


def test_erased_facts_leave_an_entry_that_still_proves_itself(acme, log, sign_in):
    chosen = next(entry for entry in log if entry.action == "member.admit")
    with tenant_scope(acme.scope):
        Payload.objects.filter(pk=chosen.pk).delete()

    page = sign_in(acme, "iris").get(f"/audit/{chosen.index}/").content.decode()

    assert "Erased" in page
    assert page.count("Holds") == 4


DOORS = ["/audit/entries.jsonl", "/audit/", "/audit/0/", "/audit/999999/", "/audit/entries.csv"]


@pytest.mark.parametrize("path", DOORS)
def test_the_ledger_is_for_auditors_and_admins(acme, log, sign_in, entries, path):
    there = 404 if "999999" in path else 200
    for name in ("iris", "tomas"):
        assert sign_in(acme, name).get(path).status_code == there
    for name in ("bo", "ada"):
        assert sign_in(acme, name).get(path).status_code == 403
        assert entries(acme)[-1] == ("ledger.view.denied", "denied")
    assert sign_in(acme).get(path).status_code == 302


def test_another_tenant_s_ledger_cannot_be_seen(acme, globex, log, sign_in):
    with tenant_scope(globex.scope):
        sealed()
    stranger = sign_in(globex, "iris")

    for path in ("/audit/", "/audit/entries.csv", "/audit/3/"):
        answer = stranger.get(path).content.decode()
        assert acme.slug not in answer
        assert str(acme.people["bo"].pk) not in answer


def test_more_entries_do_not_mean_more_queries(acme, log, sign_in, monkeypatch):
    iris = sign_in(acme, "iris")
    iris.get("/audit/")

    with CaptureQueriesContext(connection) as many:
        iris.get("/audit/")
    monkeypatch.setattr(ledger, "ROWS", 1)
    with CaptureQueriesContext(connection) as few:
        iris.get("/audit/")

    assert len(many) == len(few) > 3
