"""A job runs for the tenant that queued it, and for no other."""

import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from agent import queue
from portal.celery import app
from tenants.actor import system_actor
from tenants.errors import NoTenant
from tenants.jobs import HEADER, TenantJob
from tenants.scope import current, tenant_scope

QUEUE_ONE = """
import sys, uuid, django
django.setup()
import portal.urls
from agent import queue
from tenants.scope import scope_of_host, tenant_scope
with tenant_scope(scope_of_host(sys.argv[1])):
    queue.advance_task(uuid.UUID(sys.argv[2]))
"""


@app.task(name="tests.whose", base=TenantJob)
def whose():
    return current().slug


def _run_for(tenant_id):
    """As a worker does: what stood on the message is the request of the task."""
    whose.push_request(**{HEADER: str(tenant_id)} if tenant_id else {})
    try:
        return whose()
    finally:
        whose.pop_request()


def test_a_job_runs_in_the_scope_of_the_tenant_on_its_header(acme):
    assert _run_for(acme.scope.tenant_id) == acme.slug


def test_one_tenants_lost_key_keeps_no_other_tenant_waiting(acme, globex):
    from django.conf import settings

    from evidence import ledger
    from evidence.jobs import seal_waiting
    from evidence.models import StagedEntry
    from evidence.signing import FileKeys

    first, second = sorted((acme, globex), key=lambda company: company.scope.tenant_id)
    for company in (first, second):
        with tenant_scope(company.scope):
            ledger.seal(FileKeys(settings.KEYS_DIR))
            ledger.record("test.note", by=system_actor("test", "cli"), on=company.project)
    key = settings.KEYS_DIR / f"{first.scope.tenant_id}.pem"
    kept = key.read_bytes()
    key.unlink()

    with pytest.raises(ExceptionGroup) as troubles:
        seal_waiting()

    notes = [note for trouble in troubles.value.exceptions for note in trouble.__notes__]
    assert f"tenant {first.scope.tenant_id}" in notes
    key.write_bytes(kept)
    with tenant_scope(first.scope):
        assert StagedEntry.objects.exists()
    with tenant_scope(second.scope):
        assert not StagedEntry.objects.exists()


def test_a_job_without_a_tenant_does_not_run():
    with pytest.raises(NoTenant, match="queued outside of tenant_scope"):
        _run_for(None)


def test_a_job_for_a_tenant_that_does_not_exist_does_not_run():
    with pytest.raises(NoTenant, match="there is no tenant"):
        _run_for(uuid4())


def test_what_a_web_process_queues_carries_its_tenant(acme):
    task_id = uuid4()
    with app.connection_for_write() as connection:
        connection.default_channel.queue_purge("agent")
        # As the web server does: Django set up, addresses loaded, nothing of the workers.
        subprocess.run(
            [sys.executable, "-c", QUEUE_ONE, acme.host, str(task_id)],
            cwd=Path(__file__).parents[2],
            env=os.environ,
            check=True,
        )

        message = connection.default_channel.basic_get("agent", no_ack=True)

    assert message.headers["task"] == "agent.jobs.advance_task"
    assert message.headers[HEADER] == str(acme.scope.tenant_id)
    assert json.loads(message.body)[0] == [str(task_id)]


def test_reading_code_lets_what_people_wait_for_go_first(acme):
    with app.connection_for_write() as connection, tenant_scope(acme.scope):
        channel = connection.default_channel
        channel.queue_purge("agent")
        queue.index_code(uuid4())
        queue.index_repository(uuid4())
        queue.advance_task(uuid4())

        first = channel.basic_get("agent", no_ack=True)
        channel.queue_purge("agent")

    assert first.headers["task"] == "agent.jobs.advance_task"


def test_scopes_end_with_the_job(acme):
    _run_for(acme.scope.tenant_id)

    with pytest.raises(NoTenant):
        current()
    with tenant_scope(acme.scope):
        assert current() == acme.scope
