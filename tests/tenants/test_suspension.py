"""A suspended tenant: every door is closed, jobs wait, nothing is lost."""

import json
from contextlib import suppress

import pytest
from django.core.management.base import CommandError
from django.urls import get_resolver

from agent import jobs
from agent.models import Task
from evidence.jobs import seal_waiting
from evidence.models import Entry, StagedEntry
from tenants.jobs import HEADER
from tenants.scope import scope_of_host, tenant_scope
from tests.at_browser import JUST_NOW
from tests.portal.standing import task_of
from tests.tenants.operators import manage


@pytest.fixture
def closed(acme):
    manage("suspend_tenant", acme.slug, "--reason", "unpaid bill")
    return acme


def _last(company):
    with tenant_scope(scope_of_host(company.host)):
        row = StagedEntry.objects.order_by("-id").first()
    return json.loads(bytes(row.leaf)), json.loads(bytes(row.payload))


@pytest.mark.parametrize("path", ["/", "/signin/", "/packs/", "/no/such/page/", "/signin/start/"])
@pytest.mark.parametrize("name", [None, "tomas"])
def test_every_page_of_a_suspended_tenant_answers_503(acme, sign_in, path, name):
    browser = sign_in(acme, name)
    manage("suspend_tenant", acme.slug)

    answer = browser.get(path)

    assert answer.status_code == 503
    assert "closed for now" in answer.content.decode()
    assert acme.slug not in answer.content.decode()


def test_no_address_of_a_suspended_tenant_answers_anything_else(closed, sign_in):
    browser = sign_in(closed)
    roots = {str(pattern.pattern).split("<")[0] for pattern in get_resolver().url_patterns}

    for root in sorted(roots - {"healthz", "readyz"}):
        for method in ("get", "post", "put", "patch", "delete"):
            assert getattr(browser, method)(f"/{root}").status_code == 503, (method, root)


def test_the_api_says_it_in_the_words_of_the_api(closed, sign_in):
    answer = sign_in(closed).get("/api/v1/me")

    assert answer.status_code == 503
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["title"] == "This workspace is closed for now"


def test_the_orchestrator_still_hears_that_the_portal_lives(closed, sign_in):
    assert sign_in(closed).get("/healthz").status_code == 200


def test_other_tenants_notice_nothing(closed, globex, sign_in):
    assert sign_in(globex, "eve").get("/").status_code == 200


def test_a_job_waits_and_is_found_again_when_the_doors_open(acme, monkeypatch):
    with tenant_scope(acme.scope):
        task = task_of(acme.people["ada"], acme.project)
        Task.objects.filter(pk=task.pk).update(touched_at="2026-01-01T00:00Z")
    queued = []
    monkeypatch.setattr(jobs.advance_task, "delay", queued.append)
    manage("suspend_tenant", acme.slug)

    jobs.advance_task.push_request(**{HEADER: str(acme.scope.tenant_id)})
    try:
        assert jobs.advance_task(str(task.pk)) is None
    finally:
        jobs.advance_task.pop_request()
    jobs.resume_stalled()

    with tenant_scope(acme.scope):
        assert Task.objects.get(pk=task.pk).state == Task.State.QUEUED
    assert str(task.pk) not in queued
    manage("resume_tenant", acme.slug)
    jobs.resume_stalled()
    assert str(task.pk) in queued


def test_sealing_goes_on_so_that_the_suspension_itself_is_sealed(closed):
    with suppress(ExceptionGroup):  # other tests leave tenants without a key
        seal_waiting()

    with tenant_scope(scope_of_host(closed.host)):
        assert Entry.objects.get(action="tenant.suspend").outcome == "ok"
        assert StagedEntry.objects.count() == 0


def test_it_is_on_record_with_the_reason_and_opens_again(closed, sign_in):
    leaf, facts = _last(closed)
    assert (leaf["action"], leaf["actor"]["type"]) == ("tenant.suspend", "system")
    assert (facts["step"], facts["reason"]) == ("closed", "unpaid bill")

    said = manage("resume_tenant", closed.slug, "--reason", "paid")

    assert f"{closed.slug} is open" in said
    assert _last(closed)[1]["step"] == "opened"
    assert sign_in(closed, "ada").get("/").status_code == 200


def test_what_is_so_already_is_refused_and_that_is_on_record(closed):
    with pytest.raises(CommandError, match="closed already"):
        manage("suspend_tenant", closed.slug)
    assert _last(closed)[0]["action"] == "tenant.suspend.refused"

    manage("resume_tenant", closed.slug)
    with pytest.raises(CommandError, match="are open"):
        manage("resume_tenant", closed.slug)


def test_only_the_owner_may_and_only_a_tenant_that_there_is(acme):
    with pytest.raises(CommandError, match="DATABASE_ROLE=owner"):
        manage("suspend_tenant", acme.slug, role="app")
    with pytest.raises(CommandError, match="no tenant is called 'nobody'"):
        manage("suspend_tenant", "nobody")
    assert not scope_of_host(acme.host).suspended


def test_an_admin_of_the_tenant_may_not_suspend_it(acme):
    from authz import tenancy
    from authz.errors import Denied
    from tests.tenants.operators import as_role

    with as_role("owner"):
        tenant = tenancy.tenant_called(acme.slug)
        with pytest.raises(Denied):
            tenancy.suspend(tenant, "", by=acme.people["tomas"].actor("page", signed_in=JUST_NOW))

    assert not scope_of_host(acme.host).suspended
    assert _last(acme)[0]["action"] == "tenant.suspend.denied"
