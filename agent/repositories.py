"""Lets the agent work on a repository."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from django.db import transaction

from agent import queue
from agent.forge import Person
from agent.models import Repository
from agent.places import forge_address, local_forge
from authz.change import answered, change
from authz.permissions import Permission
from tenants.actor import Actor
from tenants.models import Project


def register(
    name: str, *, project: Project, files: Mapping[str, bytes], written: datetime, by: Actor
) -> Repository:
    """Add a repository to a project, with its first commit on the local forge.

    Creating it there twice is harmless, so a failure between forge and database can be repeated.
    Raises Denied before anything is made.
    """
    repository = Repository(project=project, name=name)
    with change(by, Permission.REPOSITORY_REGISTER, on=project) as facts:
        facts.phase = "intent"
        facts.update(name=name, files=len(files))
        transaction.on_commit(partial(queue.index_repository, repository.pk))
    intent = facts.intent
    with answered(intent, by, Permission.REPOSITORY_REGISTER, on=project):
        local_forge().create_repository(
            forge_address(repository),
            files=files,
            author=Person(by.name, "operator@countersign.invalid"),
            when=written,
            message="Begin",
        )
    with change(by, Permission.REPOSITORY_REGISTER, on=project) as facts:
        facts.answers = intent
        repository.save(force_insert=True)
        facts.about = repository
        facts.update(name=name, files=len(files))
        transaction.on_commit(partial(queue.index_repository, repository.pk))
        transaction.on_commit(partial(queue.index_code, repository.pk))
    return repository
