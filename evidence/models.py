"""The ledger's tables: staged entries, entries, payloads, the log's head, checkpoints, packs."""

import json
from typing import Any, ClassVar

from django.db import models

from tenants.models import TenantScoped


class StagedEntry(TenantScoped):
    """An entry that is committed with the change it describes, but has no place in the log yet.

    The sequencer gives places. A serial number given here would have gaps after rollbacks, and a
    gap in a log looks like a deletion.
    """

    leaf = models.BinaryField()
    payload = models.BinaryField(null=True)
    salt = models.BinaryField(null=True)

    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT", "DELETE")

    class Meta(TenantScoped.Meta):
        pass


class Entry(TenantScoped):
    """One line of the ledger. Its id is the id inside the leaf.

    `leaf` is what the tree covers, byte for byte; the other columns repeat parts of it so that
    pages can filter, and prove nothing.
    """

    index = models.BigIntegerField()
    leaf = models.BinaryField()
    leaf_hash = models.BinaryField()
    recorded_at = models.DateTimeField()
    action = models.CharField(max_length=100)
    outcome = models.CharField(max_length=10)
    actor_id = models.CharField(max_length=100)
    actor_name = models.CharField(max_length=200)
    actor_type = models.CharField(max_length=10)
    object_type = models.CharField(max_length=50)
    object_id = models.CharField(max_length=100)
    run = models.CharField(max_length=36, blank=True)

    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT")

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["index"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(fields=["tenant", "index"], name="evidence_entry_index"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["tenant", "run"], name="evidence_entry_run"),
            models.Index(
                fields=["tenant", "object_type", "object_id"], name="evidence_entry_object"
            ),
        ]

    @property
    def said(self) -> dict[str, Any]:
        """The leaf as it was recorded."""
        said: dict[str, Any] = json.loads(bytes(self.leaf))
        return said


class Payload(TenantScoped):
    """The facts of an entry, outside the tree. Its id is the entry's id.

    The leaf holds a commitment to it; deleting body and salt leaves every proof intact.
    """

    body = models.BinaryField()
    salt = models.BinaryField()

    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT", "DELETE")

    class Meta(TenantScoped.Meta):
        pass

    @property
    def facts(self) -> dict[str, Any]:
        """The facts as they were recorded."""
        facts: dict[str, Any] = json.loads(bytes(self.body))
        return facts


class LogHead(TenantScoped):
    """Size of a tenant's log with the roots of its perfect subtrees; one row a tenant."""

    size = models.BigIntegerField(default=0)
    frontier = models.BinaryField(default=bytes)

    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT", "UPDATE")

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(fields=["tenant"], name="evidence_loghead_one"),
        ]


class LogKey(TenantScoped):
    """A public key that signs a tenant's log, with the index that it is valid from."""

    origin = models.CharField(max_length=120)
    vkey = models.CharField(max_length=300)
    valid_from = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT")

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["valid_from"]


class Checkpoint(TenantScoped):
    """A signed tree head: the log had `size` entries with this root."""

    size = models.BigIntegerField()
    root = models.BinaryField()
    note = models.TextField()
    signed_at = models.DateTimeField()

    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT")

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["size"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(fields=["tenant", "size"], name="evidence_checkpoint_size"),
        ]


class Pack(TenantScoped):
    """An evidence pack that somebody asked for."""

    class State(models.TextChoices):
        QUEUED = "queued"
        BUILDING = "building"
        READY = "ready"
        FAILED = "failed"

    state = models.CharField(max_length=8, choices=State, default=State.QUEUED)
    project_id = models.UUIDField()
    object_type = models.CharField(max_length=50)
    object_id = models.CharField(max_length=100)
    title = models.CharField(max_length=200)
    requested_by = models.CharField(max_length=100)
    requested_by_name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)
    checkpoint_size = models.BigIntegerField(null=True)
    sha256 = models.CharField(max_length=64, blank=True)
    size = models.BigIntegerField(null=True)  # bytes
    problem = models.TextField(blank=True)
    run = models.CharField(max_length=36, blank=True)

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["-created_at"]
