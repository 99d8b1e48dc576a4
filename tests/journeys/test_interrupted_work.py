"""Whatever dies in the middle of a task: nothing is lost, it ends once, its state is clear."""

import os
import signal

import pytest
from django.db import InterfaceError, OperationalError, connection

from agent import lifecycle
from agent.models import Action, Proposal, Task
from agent.places import forge_address, local_forge
from deploy import embedded
from evidence.models import Entry, StagedEntry
from tests.at_browser import JUST_NOW
from tests.servers import HOME

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def task(workers, in_acme, with_repository, file_request):
    return file_request(in_acme, "ada", with_repository(in_acme))


def _steps(task):
    return Action.objects.filter(task=task, status=Action.Status.DONE).count()


def _database_is_gone():
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (OperationalError, InterfaceError):
        connection.close()
        return True
    return False


def _ended(task):
    task.refresh_from_db()
    return not task.is_running


def _assert_it_ended_once(task):
    assert task.state == Task.State.COMPLETED, task.reason
    assert Proposal.objects.filter(task=task).count() == 1
    requests = local_forge().pull_requests(forge_address(task.repository))
    assert [(request.draft, request.state) for request in requests] == [(False, "open")]
    numbers = list(Action.objects.filter(task=task).values_list("number", flat=True))
    assert numbers == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("steps_before_the_kill", [0, 2, 5])
def test_a_killed_worker_is_replaced_and_the_task_ends_once(
    task, workers, until, steps_before_the_kill
):
    doomed = workers.start("agent")
    until(lambda: _steps(task) >= steps_before_the_kill, "the first steps")
    workers.kill(doomed)
    done_before = _steps(task)

    workers.start("agent")
    workers.start("evidence")
    until(lambda: _ended(task), "the end of the task")

    _assert_it_ended_once(task)
    assert done_before < 7, "the worker was killed too late to prove anything"


def test_a_killed_database_loses_nothing(task, workers, until):
    workers.start("agent")
    until(lambda: _steps(task) >= 2, "the first steps")
    os.kill(embedded.status(HOME)["postgres"], signal.SIGKILL)
    until(_database_is_gone, "the database to be gone")
    embedded.start(HOME)
    workers.start("evidence")

    until(lambda: _ended(task), "the end of the task")

    _assert_it_ended_once(task)


def test_a_full_disk_ends_the_task_with_a_reason_and_it_can_go_on_later(
    in_acme, task, workers, until
):
    # 64 KiB a file: what the agent collects is more, so the store answers as a full disk would.
    cramped = workers.start("agent", shell_limit="ulimit -f 64;")
    until(lambda: _ended(task), "the end of the task")
    workers.kill(cramped)
    assert task.state == Task.State.FAILED
    assert "room" in task.reason

    lifecycle.resume(task, by=in_acme.people["ada"].actor("page", signed_in=JUST_NOW))
    workers.start("agent")
    until(lambda: _ended(task), "the end of the task")

    _assert_it_ended_once(task)


def test_everything_that_happened_is_in_the_ledger(in_acme, task, workers, until, entries):
    workers.start("agent")
    workers.start("evidence")
    until(lambda: _ended(task), "the end of the task")
    until(lambda: not StagedEntry.objects.exists(), "the seal")

    run = Entry.objects.filter(run=str(task.pk)).order_by("index")
    actions = [(entry.action, entry.said["phase"]) for entry in run]
    assert actions[0] == ("recommendation.create", "result")
    assert ("pull_request.open", "intent") in actions
    assert actions[-1] == ("task.run", "result")
    assert {entry.actor_type for entry in run} == {"human", "agent"}
