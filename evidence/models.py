"""The ledger's tables: entries and what they commit to, what proves them, decisions, packs."""

import json
import uuid
from datetime import date
from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Func
from django.utils import timezone

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
    # PostgreSQL reads it from the leaf, so that entries from before there was a column have it too.
    # Quotes inside a name are escaped there, so what is found is the leaf's own door.
    door = models.GeneratedField(
        expression=Func(
            F("leaf"),
            template="substring(encode(%(expressions)s, 'escape') from '\"door\":\"([a-z]+)\"')",
        ),
        output_field=models.CharField(max_length=10),
        db_persist=True,
    )

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
            # For the audit pages. Each ends with the index, so that a page of the newest is read
            # without sorting; what is rare is found as quickly as what is common.
            models.Index(fields=["tenant", "action", "index"], name="evidence_entry_action"),
            models.Index(fields=["tenant", "actor_id", "index"], name="evidence_entry_actor"),
            models.Index(fields=["tenant", "door", "index"], name="evidence_entry_door"),
            models.Index(fields=["tenant", "recorded_at"], name="evidence_entry_when"),
            models.Index(
                fields=["tenant", "outcome", "index"],
                name="evidence_entry_not_ok",
                condition=~models.Q(outcome="ok"),
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


class SubtreeRoot(TenantScoped):
    """Root of a perfect subtree of 256 ** level entries, the index-th of its size, so that a proof
    reads a few of these instead of the whole log."""

    level = models.SmallIntegerField()
    index = models.BigIntegerField()
    root = models.BinaryField()

    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT")

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "level", "index"], name="evidence_subtreeroot_place"
            ),
        ]


class Cosignature(TenantScoped):
    """A witness's line under a checkpoint: it saw this head, and no other past before it."""

    size = models.BigIntegerField()  # of the checkpoint
    witness = models.CharField(max_length=200)  # the name of its key
    line = models.TextField()  # as it stands in a note, with its newline
    received_at = models.DateTimeField()

    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT")

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "size", "witness"], name="evidence_cosignature_one"
            ),
        ]


class OpenIntent(TenantScoped):
    """Something that is being done to the outside world. Its id is the id of the intent's entry.

    Gone with the entry that says what came of it. The backend is the one that recorded the
    intent: when PostgreSQL no longer knows it, whoever began this is gone.
    """

    action = models.CharField(max_length=100)
    object_type = models.CharField(max_length=50)
    object_id = models.CharField(max_length=100)
    run = models.CharField(max_length=36, blank=True)
    trace = models.CharField(max_length=49)
    opened_at = models.DateTimeField()
    backend_pid = models.IntegerField()
    backend_started = models.DateTimeField()

    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT", "DELETE")

    class Meta(TenantScoped.Meta):
        pass


class DecisionRecord(TenantScoped):
    """A read or a denial, as its process wrote it down before it answered.

    `body` is what the chain of its writer covers, byte for byte; the other columns repeat parts of
    it. An entry of the ledger names the head of the chain for each lot that arrived.
    """

    writer = models.CharField(max_length=32)
    seq = models.BigIntegerField()
    at = models.DateTimeField()
    actor_type = models.CharField(max_length=10)
    actor_id = models.CharField(max_length=100)
    door = models.CharField(max_length=10)
    action = models.CharField(max_length=100)
    object_type = models.CharField(max_length=50)
    object_id = models.CharField(max_length=100)
    outcome = models.CharField(max_length=10)
    policy_digest = models.CharField(max_length=64)
    relation_path = models.JSONField(default=list)
    revision = models.CharField(max_length=64, blank=True)
    latency_ms = models.FloatField()
    trace = models.CharField(max_length=49, blank=True)
    predicate = models.CharField(max_length=64, blank=True)  # of a list: what it was filtered by
    rows = models.BigIntegerField(null=True)  # of a list: how many rows left the database
    body = models.BinaryField()

    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT", "DELETE")

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["-at"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "writer", "seq"], name="evidence_decisionrecord_place"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["tenant", "at"], name="evidence_decision_at"),
        ]


class DecisionStream(TenantScoped):
    """How far the records of one writer have arrived, with the head of its chain there."""

    writer = models.CharField(max_length=32)
    next_seq = models.BigIntegerField(default=0)
    head = models.CharField(max_length=64)

    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT", "UPDATE")

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(fields=["tenant", "writer"], name="evidence_stream_writer"),
        ]


class Retention(TenantScoped):
    """How long a tenant keeps facts and decisions; one row, or none for DEFAULT_DAYS.

    Leaves are never deleted, so every proof holds for good.
    """

    LEAST_DAYS: ClassVar[int] = 90
    DEFAULT_DAYS: ClassVar[int] = 3650

    days = models.PositiveIntegerField()
    set_at = models.DateTimeField(auto_now=True)

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(fields=["tenant"], name="evidence_retention_one"),
            models.CheckConstraint(
                condition=models.Q(days__gte=90), name="evidence_retention_least"
            ),
        ]


class Pack(TenantScoped):
    """A file that somebody asked for: an evidence pack, or (EXPORT) everything of the tenant.

    Both are built, offered for some days and deleted alike; who may have them differs.
    """

    class State(models.TextChoices):
        QUEUED = "queued"
        BUILDING = "building"
        READY = "ready"
        FAILED = "failed"

    class Kind(models.TextChoices):
        PROPOSAL = "proposal"
        REPOSITORY = "repository"
        PERIOD = "period"
        FRAMEWORK = "framework"
        EXPORT = "export"

    UNFINISHED: ClassVar[tuple[str, ...]] = (State.QUEUED, State.BUILDING)

    state = models.CharField(max_length=8, choices=State, default=State.QUEUED)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.PROPOSAL)
    # Of a pack with entries of the whole tenant it is the tenant's own id: no project has that, so
    # nobody comes by such a pack through a project.
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
    # What was ordered, for packs about more than one proposal.
    period_from = models.DateTimeField(null=True)
    period_to = models.DateTimeField(null=True)
    framework = models.CharField(max_length=50, blank=True)
    nonce = models.CharField(max_length=200, blank=True)
    sample_size = models.PositiveIntegerField(default=0)  # 0: every pull request
    # What was settled when the build began, so that building again gives the same bytes.
    start_size = models.BigIntegerField(null=True)
    population_end = models.BigIntegerField(null=True)
    # The head that a time-stamping authority was asked about, and its whole answer once that is
    # seen to be sound; else why there is none.
    timestamp_size = models.BigIntegerField(null=True)
    timestamp = models.BinaryField(null=True)
    timestamped_at = models.DateTimeField(null=True)  # by the authority's clock
    timestamped_by = models.CharField(max_length=253, blank=True)  # its host
    timestamp_problem = models.TextField(blank=True)
    # How far it is: records of pull requests; of an export, files.
    records_done = models.PositiveIntegerField(default=0)
    records_total = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField(null=True)  # no download from then on
    deleted_at = models.DateTimeField(null=True)  # the file is gone; the row and the entries stay

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["-created_at"]

    @property
    def unfinished(self) -> bool:
        """Whether it is still on its way."""
        return self.state in self.UNFINISHED

    @property
    def awaits_timestamp(self) -> bool:
        """Whether an authority was to be asked about its head, and nothing came of it yet."""
        asked = self.timestamp_size is not None
        return asked and self.timestamp is None and not self.timestamp_problem

    @property
    def can_be_taken(self) -> bool:
        """Whether there is a file of it that may be downloaded now."""
        over = self.expires_at is not None and self.expires_at <= timezone.now()
        return self.state == self.State.READY and self.deleted_at is None and not over

    @property
    def stands(self) -> str:
        """Its state as people see it: "expired" once the file cannot be had any more."""
        ready = self.state == self.State.READY
        return "expired" if ready and not self.can_be_taken else self.state


class SignedRecord(TenantScoped):
    """What was signed about one proposal at one moment; the newest one counts.

    files: path below the pull request's folder -> {"sha256", "size"} in the artifact store.
    """

    object_id = models.CharField(max_length=100)
    project_id = models.UUIDField()
    head_sha = models.CharField(max_length=64)
    files = models.JSONField(default=dict)
    manifest_sha256 = models.CharField(max_length=64)
    fingerprint = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT")

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["-created_at"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["tenant", "object_id"], name="evidence_record_object"),
        ]


class ControlDocument(TenantScoped):
    """A document that people add for controls which the log itself cannot show.

    It counts once a second person accepted it, until its last day. A newer version of the same
    series replaces it when that one is accepted.
    """

    class State(models.TextChoices):
        WAITING = "waiting"  # for a second person
        ACCEPTED = "accepted"
        REFUSED = "refused"
        REPLACED = "replaced"  # by a newer version
        WITHDRAWN = "withdrawn"

    series = models.UUIDField(default=uuid.uuid4)  # the same for every version
    version = models.PositiveIntegerField(default=1)
    controls = models.JSONField(default=list)  # names, "framework:id"
    title = models.CharField(max_length=200)
    owner_name = models.CharField(max_length=200)  # who answers for it: a person or an office
    note = models.TextField(blank=True)
    filename = models.CharField(max_length=120)  # letters, digits, ".", "_" and "-" only
    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField()  # bytes
    valid_until = models.DateField()  # the last day, UTC
    state = models.CharField(max_length=9, choices=State, default=State.WAITING)
    requester_id = models.CharField(max_length=100)  # who added it; may not accept it
    requester_name = models.CharField(max_length=200)
    decided_by = models.CharField(max_length=100, blank=True)
    decided_by_name = models.CharField(max_length=200, blank=True)
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True)

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["-created_at"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "series", "version"], name="evidence_document_version"
            ),
        ]

    def counts_on(self, day: date) -> bool:
        """Whether it is evidence on that day."""
        return self.state == self.State.ACCEPTED and self.valid_until >= day


class OwnFramework(TenantScoped):
    """A framework that a tenant brought along, from an OSCAL catalogue.

    groups: [{"title", "controls": [{"id", "title", "level"}]}], in the catalogue's order.
    rules: control id -> ids of the rules that show it, as people said.
    """

    framework_id = models.CharField(max_length=50)
    title = models.CharField(max_length=200)
    version = models.CharField(max_length=100)
    groups = models.JSONField(default=list)
    rules = models.JSONField(default=dict)
    sha256 = models.CharField(max_length=64)  # of the file it was read from
    imported_by_name = models.CharField(max_length=200)
    imported_at = models.DateTimeField(auto_now=True)

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["framework_id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "framework_id"], name="evidence_ownframework_id"
            ),
        ]


class LogCheck(TenantScoped):
    """Somebody wanted the whole log recounted now: how far that is, and what came of it."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        HOLDS = "holds"
        BROKEN = "broken"
        FAILED = "failed"  # it could not be counted to the end

    state = models.CharField(max_length=7, choices=State, default=State.QUEUED)
    requested_by = models.CharField(max_length=100)
    requested_by_name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)
    touched_at = models.DateTimeField(auto_now=True)
    finished_at = models.DateTimeField(null=True)
    entries_done = models.BigIntegerField(default=0)
    entries_total = models.BigIntegerField(default=0)
    heads = models.BigIntegerField(default=0)  # signed heads that agree
    root = models.CharField(max_length=64, blank=True)
    problem = models.TextField(blank=True)

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["-created_at"]
