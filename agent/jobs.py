"""Celery's entry points: ids in, one call, a decision about trying again."""

from typing import Any
from uuid import UUID

import structlog
from celery import shared_task
from celery.apps.worker import Worker
from celery.signals import celeryd_after_setup, worker_shutdown
from django.db import InterfaceError, OperationalError

from agent import (
    branch_watch,
    brief_by_model,
    catalogue_sources,
    dossier,
    drift_watch,
    log_check,
    merging,
    model_setup,
    places,
    queue,
    record,
    runner,
    sandbox_health,
    stamping,
    tidying,
    upkeep,
)
from agent.errors import Busy
from agent.forge import ForgeUnavailable
from agent.live import LiveLog
from agent.sandbox import SandboxUnavailable
from evidence.keys_here import keys_here
from tenants.actor import system_actor
from tenants.jobs import TenantlessJob, for_each_tenant
from tenants.scope import current, tenants_with_evidence_work, tenants_with_repositories

log = structlog.get_logger(__name__)

# What may be different the next time. Nothing else is tried again.
PASSING = (OperationalError, InterfaceError, ForgeUnavailable, SandboxUnavailable)
# For whoever watches the task; why is for operators, in the log.
WAITS_FOR_A_SANDBOX = (
    b"No sandbox can be had, so nothing is run. It is tried again until there is one; whoever"
    b" operates this portal finds the reason in the worker's log.\n"
)


@celeryd_after_setup.connect
def read_what_every_job_needs(**_: object) -> None:
    """Read the catalogue before the first job asks for it, once for all processes of a worker."""
    places.shared_catalogue()


@celeryd_after_setup.connect
def try_the_sandbox(sender: str, instance: Worker, **_: object) -> None:
    """Let the canary try the wall before the first job; all processes of the worker know then."""
    if instance.app.conf.task_default_queue in instance.app.amqp.queues.consume_from:
        sandbox_health.try_out(sender)


@worker_shutdown.connect
def take_back_what_was_noted(sender: Any, **_: object) -> None:
    """A worker that is gone harms nobody: the health page need not name it."""
    sandbox_health.take_back(sender.hostname)


@shared_task(autoretry_for=(*PASSING, Busy), retry_backoff=1, retry_backoff_max=15, max_retries=20)
def advance_task(task_id: str) -> None:
    """Take one step of one task, then queue the next. Safe to deliver twice."""
    try:
        more = runner.advance(UUID(task_id))
    except SandboxUnavailable as hole:
        log.warning("job refused: no sandbox that holds", task=task_id, reason=str(hole))
        LiveLog(UUID(task_id), WAITS_FOR_A_SANDBOX)
        raise
    except (*PASSING, Busy):
        raise
    except Exception as bug:
        # A bug of ours would come back for ever; the task ends, with everything it has done kept.
        runner.give_up(UUID(task_id), bug)
        raise
    if more:
        advance_task.delay(task_id)
    else:
        queue.seal_log()


@shared_task(base=TenantlessJob)
def resume_stalled() -> None:
    """Queue again what is not finished and nobody has touched for a while."""
    for_each_tenant("stalled", _resume)


def _resume() -> None:
    if current().suspended:
        return
    for task_id in upkeep.stalled_tasks():
        advance_task.delay(str(task_id))
    for pack_id in upkeep.stalled_packs():
        build_pack.delay(str(pack_id))
    for proposal_id in upkeep.unsent_reviews():
        publish_review.delay(str(proposal_id))
    for proposal_id in upkeep.unsigned_records():
        sign_record.delay(str(proposal_id))
    for proposal_id in merging.unfinished():
        merge_proposal.delay(str(proposal_id))
    for proposal_id in upkeep.unfinished_undoing():
        withdraw_proposal.delay(str(proposal_id))


@shared_task(autoretry_for=PASSING, retry_backoff=1, max_retries=5)
def index_repository(repository_id: str) -> None:
    """Read what changed in a repository's documents, so that they can be searched."""
    upkeep.index(UUID(repository_id))


@shared_task(autoretry_for=PASSING, retry_backoff=1, max_retries=5)
def index_code(repository_id: str) -> None:
    """Read what changed in a repository's code for a while, then let others have their turn."""
    if upkeep.read_code(UUID(repository_id)):
        index_code.delay(repository_id)


@shared_task(base=TenantlessJob)
def delete_expired_packs() -> None:
    """Delete the files of packs and exports whose time is over. Runs every hour."""
    by = system_actor("retention", "job")
    for_each_tenant(
        "files", lambda: upkeep.delete_expired_packs(by=by), find=tenants_with_evidence_work
    )


@shared_task(base=TenantlessJob)
def delete_unused() -> None:
    """Delete what a worker keeps to use again and nothing needs. Runs every hour."""
    needed: set[str] = set()
    for_each_tenant(
        "fetched",
        lambda: needed.update(tidying.needed_files()),
        find=lambda _: tenants_with_repositories(),
    )
    tidying.delete_unused(needed)


@shared_task(base=TenantlessJob)
def look_for_pushes() -> None:
    """Have branches that moved compared and their code read; code hosts need not tell us."""
    for_each_tenant("code", _read_moved, find=lambda _: tenants_with_repositories())


def _read_moved() -> None:
    if current().suspended:
        return
    for repository_id in branch_watch.moved():
        watch_branch.delay(str(repository_id))
    for repository_id in upkeep.moved_repositories():
        index_code.delay(str(repository_id))


@shared_task(autoretry_for=PASSING, retry_backoff=1, max_retries=5)
def watch_branch(repository_id: str) -> None:
    """Compare a default branch with what people countersigned. Safe to deliver twice."""
    branch_watch.look(UUID(repository_id))


@shared_task(base=TenantlessJob)
def look_for_drift() -> None:
    """Ask again where facts have left a countersigned choice behind."""
    for_each_tenant("drift", _raise_drift, find=lambda _: tenants_with_repositories())


def _raise_drift() -> None:
    if current().suspended:
        return
    for proposal_id in drift_watch.left_behind():
        raise_drift.delay(str(proposal_id))


@shared_task(autoretry_for=PASSING, retry_backoff=1, max_retries=5)
def raise_drift(proposal_id: str) -> None:
    """Raise the task that asks again what one proposal answered. Safe to deliver twice."""
    drift_watch.raise_task(UUID(proposal_id))


@shared_task(base=TenantlessJob)
def look_for_due_sources() -> None:
    """Have the sources of catalogues read whose turn it is. None is, unless somebody said so."""
    for_each_tenant("sources", _refresh_due, find=lambda _: tenants_with_repositories())


def _refresh_due() -> None:
    if current().suspended:
        return
    for connector in catalogue_sources.due():
        catalogue_sources.ask_for_refresh(connector, by=system_actor("schedule", "job"))


@shared_task
def refresh_source(source_id: str) -> None:
    """Read one source anew. Not tried again: it is asked for again, or its turn comes."""
    catalogue_sources.run(UUID(source_id))


@shared_task(autoretry_for=PASSING, retry_backoff=1, max_retries=5)
def read_brief(reading_id: str) -> None:
    """Have a language model read the brief that somebody pasted."""
    brief_by_model.read(UUID(reading_id))


@shared_task(autoretry_for=PASSING, retry_backoff=1, max_retries=5)
def try_provider(provider_id: str) -> None:
    """Ask each model of a provider for a word, because an admin wants to know."""
    model_setup.try_out(UUID(provider_id))


@shared_task(autoretry_for=PASSING, retry_backoff=1, max_retries=5)
def publish_review(proposal_id: str) -> None:
    """Show on the pull request what a person decided."""
    upkeep.publish_review(UUID(proposal_id))


@shared_task(autoretry_for=PASSING, retry_backoff=1, max_retries=5)
def withdraw_proposal(proposal_id: str) -> None:
    """Close the pull request of an undone task and delete its branch."""
    upkeep.withdraw(UUID(proposal_id))


@shared_task(autoretry_for=PASSING, retry_backoff=1, max_retries=5)
def refresh_proposal(proposal_id: str) -> None:
    """Notice when the pull request is no longer what was proposed, or was merged elsewhere."""
    upkeep.refresh(UUID(proposal_id))
    merging.notice(UUID(proposal_id))


@shared_task(autoretry_for=PASSING, retry_backoff=1, max_retries=5)
def merge_proposal(proposal_id: str) -> None:
    """Carry out the merge that somebody ordered. Safe to deliver twice."""
    merging.carry_out(UUID(proposal_id))


@shared_task(autoretry_for=PASSING, retry_backoff=1, max_retries=5)
def sign_record(proposal_id: str) -> None:
    """Sign what is known of one proposal; runs where the signing keys are."""
    record.sign_record(UUID(proposal_id), keys_here())


@shared_task
def check_log(check_id: str) -> None:
    """Recount the whole log, because somebody asked for it. Not tried again: they can ask anew."""
    log_check.run_check(UUID(check_id))


@shared_task(autoretry_for=PASSING, retry_backoff=1, max_retries=5)
def build_pack(pack_id: str) -> None:
    """Build one evidence pack or export; runs where the signing keys are."""
    keys = keys_here()
    try:
        dossier.build(UUID(pack_id), keys)
    except PASSING:
        raise
    except Exception as bug:
        dossier.give_up(UUID(pack_id), bug)
        raise


@shared_task
def stamp_pack(pack_id: str) -> None:
    """Ask a time-stamping authority about the head of a pack. Not where the keys are: it goes
    outside. Not tried again: the pack waits for seconds only.
    """
    stamping.ask(UUID(pack_id))
