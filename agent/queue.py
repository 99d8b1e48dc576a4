"""Queues jobs by name, so that a page need not load everything that a worker works with."""

from uuid import UUID

import structlog
from celery import current_app
from kombu.exceptions import OperationalError

log = structlog.get_logger(__name__)


def advance_task(task_id: UUID) -> None:
    """Have the next step of a task taken."""
    _send("advance_task", task_id)


def index_repository(repository_id: UUID) -> None:
    """Have the documents of a repository made ready to be searched."""
    _send("index_repository", repository_id)


def index_code(repository_id: UUID) -> None:
    """Have what changed in the code of a repository made ready to be searched."""
    _send("index_code", repository_id)


def watch_branch(repository_id: UUID) -> None:
    """Have a default branch compared with what people countersigned."""
    _send("watch_branch", repository_id)


def read_brief(reading_id: UUID) -> None:
    """Have a pasted brief read by a language model."""
    _send("read_brief", reading_id)


def try_provider(provider_id: UUID) -> None:
    """Have the models of a provider asked for a word."""
    _send("try_provider", provider_id)


def refresh_source(source_id: UUID) -> None:
    """Have a source of the catalogue read anew."""
    _send("refresh_source", source_id)


def publish_review(proposal_id: UUID) -> None:
    """Have a person's decision shown on the pull request."""
    _send("publish_review", proposal_id)


def merge_proposal(proposal_id: UUID) -> None:
    """Have a merge that somebody ordered carried out."""
    _send("merge_proposal", proposal_id)


def refresh_proposal(proposal_id: UUID) -> None:
    """Have a proposal compared with its pull request."""
    _send("refresh_proposal", proposal_id)


def sign_record(proposal_id: UUID) -> None:
    """Have what is known of a proposal signed."""
    _send("sign_record", proposal_id)


def seal_log() -> None:
    """Have heads signed over what is recorded so far, without waiting for the schedule."""
    _queued("evidence.jobs.seal_waiting", [])


def withdraw_proposal(proposal_id: UUID) -> None:
    """Have the pull request of an undone task closed, its branch deleted."""
    _send("withdraw_proposal", proposal_id)


def build_pack(pack_id: UUID) -> None:
    """Have an evidence pack built."""
    _send("build_pack", pack_id)


def stamp_pack(pack_id: UUID) -> None:
    """Have a time-stamping authority asked about the head of a pack."""
    _send("stamp_pack", pack_id)


def check_log(check_id: UUID) -> None:
    """Have the whole log recounted."""
    _send("check_log", check_id)


def _send(job: str, subject: UUID) -> None:
    _queued(f"agent.jobs.{job}", [str(subject)])


def _queued(job: str, arguments: list[str]) -> None:
    try:
        current_app.send_task(job, arguments)
    except OperationalError as error:
        # What was asked for is committed already, and the sweep finds what waits.
        log.error("the queue cannot be reached", job=job, arguments=arguments, error=str(error))
