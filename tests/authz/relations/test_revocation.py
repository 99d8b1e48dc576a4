"""What was taken away is gone for every question asked afterwards, however many ask at once."""

import threading
import time

import pytest
from django.db import connections

from authz import relations
from authz.models import Grant
from authz.permissions import Permission
from authz.relations import object_of, person
from authz.roles import Role
from tenants.scope import tenant_scope

ASKING = 3  # threads


def _violations(company, times):
    """How often a question that began after a role was taken (or given), and ended before the
    next change began, was answered as before; and how many questions there were.
    """
    bo, project = company.people["bo"], company.project
    phase = [("unsure", 0)]
    done = threading.Event()
    counts: list[tuple[int, int]] = []
    faults: list[Exception] = []

    def ask():
        asked = wrong = 0
        try:
            with tenant_scope(company.scope):
                while not done.is_set():
                    before = phase[0]
                    answer = relations.check(
                        person(bo.pk), Permission.PROJECT_ROLE_CHANGE, object_of(project)
                    )
                    if before[0] != "unsure" and phase[0] is before:
                        asked += 1
                        wrong += answer != (before[0] == "given")
        except Exception as fault:  # noqa: BLE001  # the thread has nobody else to tell
            faults.append(fault)
        finally:
            counts.append((asked, wrong))
            connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(ASKING)]
    for thread in threads:
        thread.start()
    with tenant_scope(company.scope):
        for number in range(times):
            phase[0] = ("unsure", number)
            grant = Grant.objects.create(user=bo, role=Role.PROJECT_ADMIN, project=project)
            phase[0] = ("given", number)
            time.sleep(0.004)
            phase[0] = ("unsure", number)
            grant.delete()
            phase[0] = ("taken", number)
            time.sleep(0.004)
    done.set()
    for thread in threads:
        thread.join()
    assert faults == []
    return sum(asked for asked, _ in counts), sum(wrong for _, wrong in counts)


@pytest.fixture
def memory(settings):
    settings.RELATIONS = "memory"
    relations.forget()


def test_nobody_is_let_in_after_a_role_was_taken(acme, memory):
    asked, wrong = _violations(acme, 60)

    assert wrong == 0
    assert asked > 200


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


@pytest.mark.slow
def test_nobody_is_let_in_after_a_role_was_taken_for_long(acme, memory):
    asked, wrong = _violations(acme, 3_000)

    assert wrong == 0
    assert asked > 20_000
