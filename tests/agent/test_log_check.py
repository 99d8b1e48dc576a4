"""The whole log is recounted when somebody asks, and what came of it is on record."""

import os

import psycopg
import pytest

from agent import log_check
from authz.errors import Denied
from evidence import recount
from evidence.models import Entry, LogCheck
from tests.at_browser import JUST_NOW
from tests.portal.standing import sealed


@pytest.fixture
def tomas(in_acme):
    return in_acme.people["tomas"].actor("page", signed_in=JUST_NOW)


def test_a_sound_log_holds_and_says_so_on_record(in_acme, tomas, entries, monkeypatch):
    monkeypatch.setattr(recount, "TOLD_EVERY", 2)
    size = sealed().size
    told = []
    monkeypatch.setattr(log_check, "_tell", lambda check, *said: told.append(said))
    check = log_check.ask_for_check(by=tomas)
    assert (check.state, check.entries_total) == ("queued", size)

    log_check.run_check(check.pk)

    check.refresh_from_db()
    assert (check.state, check.entries_done, check.heads) == ("holds", size, 1)
    assert [entries_done for entries_done, _ in told] == list(range(2, size + 1, 2))
    assert entries(in_acme)[-2:] == [("ledger.verify", "ok"), ("ledger.verify", "ok")]


def test_progress_can_be_watched(in_acme, tomas, monkeypatch):
    monkeypatch.setattr(recount, "TOLD_EVERY", 2)
    sealed()
    check = log_check.ask_for_check(by=tomas)
    seen = []
    tell = log_check._tell

    def watched(*said):
        tell(*said)
        seen.append(LogCheck.objects.get(pk=check.pk).entries_done)

    monkeypatch.setattr(log_check, "_tell", watched)
    log_check.run_check(check.pk)

    assert seen[:2] == [2, 4]


def test_a_changed_entry_is_found_and_named(in_acme, tomas, entries):
    sealed()
    entry = Entry.objects.get(index=3)
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        owner.execute(f"SET search_path TO {in_acme.scope.schema}")
        owner.execute(
            "SELECT set_config('app.tenant_id', %s, true)", [str(in_acme.scope.tenant_id)]
        )
        owner.execute(
            "UPDATE evidence_entry SET leaf = convert_to(replace(convert_from(leaf, 'UTF8'),"
            " 'admit', 'adm1t'), 'UTF8') WHERE id = %s",
            [entry.pk],
        )
    check = log_check.ask_for_check(by=tomas)

    log_check.run_check(check.pk)

    check.refresh_from_db()
    assert (check.state, check.problem) == ("broken", "entry 3 does not hash to its leaf hash")
    assert entries(in_acme)[-1] == ("ledger.verify", "failed")


def test_one_count_at_a_time_and_one_that_died_is_not_waited_for(in_acme, tomas, monkeypatch):
    first = log_check.ask_for_check(by=tomas)
    assert log_check.ask_for_check(by=tomas).pk == first.pk

    monkeypatch.setattr(log_check, "STALE", -log_check.STALE)
    second = log_check.ask_for_check(by=tomas)

    assert second.pk != first.pk
    first.refresh_from_db()
    assert first.state == "failed"
    log_check.run_check(first.pk)  # delivered late: nothing is counted
    first.refresh_from_db()
    assert first.state == "failed"


def test_only_who_may_has_the_log_counted(in_acme, entries):
    with pytest.raises(Denied):
        log_check.ask_for_check(by=in_acme.people["bo"].actor("page", signed_in=JUST_NOW))

    assert entries(in_acme)[-1] == ("ledger.verify.denied", "denied")
    assert not LogCheck.objects.exists()
