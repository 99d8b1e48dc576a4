"""What is made ready to be searched: documents and code of repositories."""

from typing import ClassVar

from django.contrib.postgres.search import SearchVector
from django.db import models
from django.utils import timezone

from agent.models.repositories import Repository
from agent.vectors import VectorField, WordsField
from tenants.models import TenantScoped


class Passage(TenantScoped):
    """A piece of a document of one repository, ready to be searched."""

    class Kind(models.TextChoices):
        ADR = "adr"
        DOCUMENT = "document"
        CODE = "code"

    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="passages")
    path = models.CharField(max_length=500)
    content_sha256 = models.CharField(max_length=64)  # of the whole document
    kind = models.CharField(max_length=8, choices=Kind)
    status = models.CharField(max_length=20, blank=True)  # of a decision record, as it says
    document = models.CharField(max_length=300)  # first heading
    title = models.CharField(max_length=300)
    line = models.PositiveIntegerField()  # where it begins, from 1
    text = models.TextField()
    vector = VectorField(dimensions=384)  # agent.retrieval.embedding
    words = models.GeneratedField(
        expression=SearchVector("title", "text", config="english"),
        output_field=WordsField(),
        db_persist=True,
    )

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["path", "line"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["tenant", "repository", "path"], name="agent_passage_place"),
        ]

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


class CodeIndex(TenantScoped):
    """How far the code of one repository has been made ready to be searched."""

    class State(models.TextChoices):
        READING = "reading"
        READY = "ready"
        FAILED = "failed"

    repository = models.OneToOneField(
        Repository, on_delete=models.CASCADE, related_name="code_index"
    )
    state = models.CharField(max_length=7, choices=State, default=State.READING)
    commit = models.CharField(max_length=64, blank=True)  # all of which is searched; empty: none
    target = models.CharField(max_length=64)  # the commit that is being read, or was read last
    files = models.PositiveIntegerField(default=0)  # to read anew for the target
    files_done = models.PositiveIntegerField(default=0)
    pieces = models.PositiveIntegerField(default=0)
    reason = models.CharField(max_length=300, blank=True)  # why it failed
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta(TenantScoped.Meta):
        pass

    @property
    def percent(self) -> int:
        """How much of the target is done, 0 to 100."""
        return 100 if not self.files else round(100 * self.files_done / self.files)


class CodePiece(TenantScoped):
    """A function, a class or another part of a source file, ready to be searched."""

    class Kind(models.TextChoices):
        FILE = "file"
        CLASS = "class"
        FUNCTION = "function"
        METHOD = "method"
        PART = "part"  # of a file whose structure is not read

    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="code")
    path = models.CharField(max_length=500)
    content_sha256 = models.CharField(max_length=64)  # of the whole file
    kind = models.CharField(max_length=8, choices=Kind)
    name = models.CharField(max_length=500)  # qualified; the path for a file
    symbol = models.CharField(max_length=200)  # last part of the name, in small letters
    line = models.PositiveIntegerField()  # where it begins, from 1
    end_line = models.PositiveIntegerField()
    text = models.TextField()  # how it begins
    terms = models.TextField()  # each of its words once, names split
    meant_sha256 = models.CharField(max_length=64)  # of what the vector was made from
    vector = VectorField(dimensions=384)  # agent.retrieval.embedding
    words = models.GeneratedField(
        expression=SearchVector("terms", config="simple"),
        output_field=WordsField(),
        db_persist=True,
    )

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["path", "line"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["tenant", "repository", "path"], name="agent_codepiece_place"),
            models.Index(fields=["tenant", "repository", "symbol"], name="agent_codepiece_name"),
            models.Index(fields=["tenant", "meant_sha256"], name="agent_codepiece_meant"),
        ]

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"
