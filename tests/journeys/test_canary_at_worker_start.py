"""A worker tries its sandbox before its first job; one that does not hold gets no such job."""

import os
import signal
from datetime import UTC, datetime

import pytest
from django.test import Client

from agent import lifecycle, repositories, sandbox_health
from agent.live import live_log
from agent.models import Action
from deploy.stack import why_refused
from portal.celery import app
from tenants.actor import system_actor
from tests.at_browser import JUST_NOW

pytestmark = pytest.mark.timeout(400)
REFUSED = "jobs that need a sandbox are refused"


@pytest.fixture
def bug(workers, in_acme):
    repository = repositories.register(
        "adder",
        project=in_acme.project,
        files={
            "adder.py": b"def add(a, b):\n    return a - b\n",
            "test_adder.py": b"import adder\n\n\ndef test_it():\n    assert adder.add(1, 2) == 3\n",
        },
        written=datetime(2026, 1, 5, tzinfo=UTC),
        by=system_actor("test", "cli"),
    )
    bo = in_acme.people["bo"]
    report = {"title": "Sums", "what_is_wrong": "They are differences.", "how": "find"}
    return lifecycle.file_bugfix(
        report,
        repository=repository,
        owner=bo,
        by=bo.actor("page", signed_in=JUST_NOW),
        budgets={"wall_s": 3600},
    )


def _warnings():
    answer = Client(headers={"host": "127.0.0.1"}).get("/readyz")
    assert answer.status_code == 200
    return answer.json().get("warnings", {})


def _ran_tests(task):
    return Action.objects.filter(task=task, tool="run_tests", status=Action.Status.DONE).exists()


def test_a_worker_whose_sandbox_does_not_hold_says_so_and_does_no_job_that_needs_it(
    bug, workers, until, tmp_path
):
    # Sandboxes are made below a folder that others may enter: they are not.
    open_to_all = tmp_path / "tmp"
    open_to_all.mkdir()
    (open_to_all / f"countersign-{os.geteuid()}").mkdir(mode=0o755)

    weak = workers.start("agent", TMPDIR=str(open_to_all))
    until(lambda: "job refused: no sandbox that holds" in workers.logs(), "a job to be refused")

    assert workers.logs().index(REFUSED) < workers.logs().index("job refused")
    assert not _ran_tests(bug)
    assert bug.actions.filter(tool="code_search", status=Action.Status.DONE).exists()
    assert _warnings() == {"sandbox": "refused by 1 workers; see their logs"}
    assert "No sandbox can be had" in live_log(bug.pk)
    assert "nobody else may enter" in why_refused(tmp_path / "agent-0.log")

    weak.send_signal(signal.SIGTERM)
    weak.wait(60)
    assert _warnings() == {}
    workers.start("agent")
    until(lambda: _ran_tests(bug), "the tests to be run by a worker whose sandbox holds")
    assert sandbox_health.refusals() == []


def test_a_worker_that_runs_nothing_of_others_needs_no_sandbox(workers, until, tmp_path):
    open_to_all = tmp_path / "tmp"
    open_to_all.mkdir()
    (open_to_all / f"countersign-{os.geteuid()}").mkdir(mode=0o755)

    workers.start("evidence", TMPDIR=str(open_to_all))
    until(_answers, "the worker to be up")

    assert REFUSED not in workers.logs()
    assert sandbox_health.refusals() == []


def _answers():
    return app.control.ping(timeout=1)
