"""What was taken away is gone for every question asked afterwards, however many ask at once."""

import threading
import time
from dataclasses import replace

import pytest
from django.db import connections

from authz import relations
from authz.change import entry
from authz.errors import Denied
from authz.models import Grant
from authz.permissions import Permission
from authz.relations import object_of, person
from authz.roles import Role
from tenants.scope import tenant_scope

ASKING = 3  # threads
ASKED_ABOUT = Permission.CATALOGUE_REFRESH  # by roles alone, and a developer has it not


def _asked_plainly(company):
    return relations.check(person(company.people["bo"].pk), ASKED_ABOUT, object_of(company.project))


def _asked_for_an_entry(company):
    """By what is remembered, as far as PostgreSQL takes it."""
    try:
        entry(company.people["bo"].actor("cli"), ASKED_ABOUT, on=company.project, facts={})
    except Denied:
        return False
    return True


def _violations(company, times, asked_for=_asked_plainly):
    """How often a question that began after a role was taken (or given), and ended before the
    next change began, was answered as before; and how many questions there were.
    """
    bo, project = company.people["bo"], company.project
    phase = [("unsure", 0)]
    done = threading.Event()
    counted: list[bool] = []  # of each question that counts, whether it was answered wrongly
    faults: list[Exception] = []

    def ask():
        try:
            with tenant_scope(company.scope):
                while not done.is_set():
                    before = phase[0]
                    answer = asked_for(company)
                    if before[0] != "unsure" and phase[0] is before:
                        counted.append(answer != (before[0] == "given"))
        except Exception as fault:  # noqa: BLE001  # the thread has nobody else to tell
            faults.append(fault)
        finally:
            connections.close_all()

    def let_them_ask():
        known, until = len(counted), time.monotonic() + 30
        while len(counted) < known + ASKING and not faults and time.monotonic() < until:
            time.sleep(0.004)

    threads = [threading.Thread(target=ask) for _ in range(ASKING)]
    for thread in threads:
        thread.start()
    with tenant_scope(company.scope):
        for number in range(times):
            phase[0] = ("unsure", number)
            grant = Grant.objects.create(user=bo, role=Role.PROJECT_ADMIN, project=project)
            phase[0] = ("given", number)
            let_them_ask()
            phase[0] = ("unsure", number)
            grant.delete()
            phase[0] = ("taken", number)
            let_them_ask()
    done.set()
    for thread in threads:
        thread.join()
    assert faults == []
    return len(counted), sum(counted)


@pytest.fixture
def memory(settings):
    settings.RELATIONS = "memory"
    relations.forget()


def test_nobody_is_let_in_after_a_role_was_taken(acme, memory):
    asked, wrong = _violations(acme, 60)

    assert wrong == 0
    assert asked >= 120 * ASKING


def test_the_test_before_would_see_somebody_let_in(acme, memory, monkeypatch):
    """The same with a memory that looks at the revision only every 20 ms: it is caught."""
    strict, seen = relations._read_revision, {}

    def now_and_then():
        at = time.monotonic()
        if "read" not in seen or at - seen["at"] > 0.02:
            seen.update(read=strict(), at=at)
        return seen["read"]

    monkeypatch.setattr(relations, "_read_revision", now_and_then)

    _, wrong = _violations(acme, 60)

    assert wrong > 20


def test_no_entry_is_taken_after_a_role_was_taken(acme, memory):
    asked, wrong = _violations(acme, 60, _asked_for_an_entry)

    assert wrong == 0
    assert asked >= 120 * ASKING


def test_the_test_before_would_see_an_entry_taken(acme, memory, monkeypatch):
    """The same with entries that PostgreSQL takes whatever has become of the relations."""
    careless = replace(relations._UNCHANGED, name="careless", sql="$1 = $1 AND $2 = $2 AND $3 = $3")
    monkeypatch.setattr(relations, "_UNCHANGED", careless)

    _, wrong = _violations(acme, 60, _asked_for_an_entry)

    assert wrong > 20


@pytest.mark.slow
def test_nobody_is_let_in_after_a_role_was_taken_for_long(acme, memory):
    asked, wrong = _violations(acme, 3_000)

    assert wrong == 0
    assert asked >= 6_000 * ASKING
