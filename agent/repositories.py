"""Lets the agent work on a repository."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from agent import queue
from agent.forge import ForgeRefused, Person
from agent.forge.policy import check_repository_name
from agent.models import Repository
from agent.places import forge_address, local_forge
from authz.change import answered, change
from authz.errors import BadRequest, Conflict
from authz.permissions import Permission
from tenants.actor import Actor
from tenants.models import Project, User

# Who wrote the first commit where no account did.
OPERATOR = "operator@countersign.invalid"


def register(
    name: str, *, project: Project, files: Mapping[str, bytes], written: datetime, by: Actor
) -> Repository:
    """Add a repository to a project, with its first commit on the local forge.

    files: content by path; without any it begins with a README.md that says its name.
    Creating it there twice is harmless, so a failure between forge and database can be repeated.
    Raises Denied before anything is made, BadRequest for a name that is none, Conflict for one
    that the tenant has already or that the forge holds with another beginning.
    """
    repository = Repository(project=project, name=name)
    with change(by, Permission.REPOSITORY_REGISTER, on=project) as facts:
        _check_name(repository)
        facts.phase = "intent"
        facts.update(name=name, files=len(files))
    intent = facts.intent
    with answered(intent, by, Permission.REPOSITORY_REGISTER, on=project):
        try:
            first = local_forge().create_repository(
                forge_address(repository),
                files=files or {"README.md": f"# {name}\n".encode()},
                author=_author(by),
                when=written,
                message="Begin",
            )
        except ForgeRefused as refusal:
            raise Conflict(f"the repository could not be made: {refusal}") from refusal
    # Whatever comes after the first commit is compared with what people countersign.
    repository.watched_sha, repository.watched_since = first, timezone.now()
    with change(by, Permission.REPOSITORY_REGISTER, on=project) as facts:
        facts.answers = intent
        _save(repository)
        facts.about = repository
        facts.update(name=name, files=len(files), baseline=first)
        transaction.on_commit(partial(queue.index_repository, repository.pk))
        transaction.on_commit(partial(queue.index_code, repository.pk))
    return repository


def _check_name(repository: Repository) -> None:
    try:
        repository.clean_fields(exclude=["tenant", "project"])
        check_repository_name(repository.name)
    except (ValidationError, ForgeRefused) as error:
        expected = "expected letters, digits, hyphens and underscores, at most 100 of them"
        raise BadRequest({"name": expected}) from error
    if Repository.objects.filter(name=repository.name).exists():
        raise _taken(repository)


def _save(repository: Repository) -> None:
    try:
        with transaction.atomic():
            repository.save(force_insert=True)
    except IntegrityError as error:
        # Somebody else was quicker with the same name and the same files.
        raise _taken(repository) from error


def _taken(repository: Repository) -> Conflict:
    return Conflict(f"There is a repository called {repository.name} already")


def _author(by: Actor) -> Person:
    if by.user_id is None:
        return Person(by.name, OPERATOR)
    return Person(by.name, User.objects.get(pk=by.user_id).email)
