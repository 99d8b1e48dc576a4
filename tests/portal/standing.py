"""Work as the agent leaves it behind, made without running the agent."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from agent.digests import proposal_digest
from agent.models import Action, Artifact, Proposal, Recommendation, Repository, Task
from agent.outputs import FILE
from agent.runner import artifact_store
from agent.signed_records import BUNDLE
from evidence import ledger
from evidence.models import Checkpoint, Pack, SignedRecord
from evidence.signing import FileKeys
from tenants.models import Project, User
from tenants.scope import current_tenant_id

DIFF = b"--- /dev/null\n+++ b/docs/adr/one.md\n@@ -0,0 +1 @@\n+# One\n"
RESULT = {
    "layers": [
        {
            "layer": "web-api",
            "title": "Web framework",
            "winner": "django",
            "alternatives": ["fastapi", "spring-boot"],
        }
    ]
}


def repository_in(project: Project, name: str = "shop") -> Repository:
    return Repository.objects.get_or_create(project=project, name=name)[0]


def task_of(owner: User, project: Project, state: str = Task.State.QUEUED, **also: Any) -> Task:
    """A task with one step behind it; `also` overrides columns."""
    ended = state not in Task.RUNNING
    fields: dict[str, Any] = {
        "goal": "Customer portal",
        "branch": "countersign/t-1",
        "budgets": {"wall_s": 300},
        "started_at": timezone.now() - timedelta(seconds=4),
        "finished_at": timezone.now() if ended else None,
    }
    task = Task.objects.create(
        kind=Task.Kind.RECOMMENDATION,
        project=project,
        repository=repository_in(project),
        owner=owner,
        state=state,
        **fields | also,
    )
    Action.objects.create(
        task=task,
        number=1,
        tool="retrieve_evidence",
        observation="40 candidates for 14 layers",
        status=Action.Status.DONE,
        duration_ms=120,
    )
    return task


def proposal_of(owner: User, project: Project, **also: Any) -> Proposal:
    """A completed task's proposal with one file, its diff, one check that passed."""
    task = task_of(owner, project, Task.State.COMPLETED)
    Recommendation.objects.create(task=task, catalogue_digest="0" * 64, result=RESULT)
    store = artifact_store()
    content = store.put(task.tenant_id, b"# One\n")
    Artifact.objects.create(
        task=task,
        kind=Artifact.Kind.FILE,
        name=FILE + "docs/adr/one.md",
        sha256=content.sha256,
        size=content.size,
    )
    fields: dict[str, Any] = {
        "title": "docs: recommend a stack [T-1]",
        "body": "Why, evidence, risk.",
        "checks": [{"name": "lint", "path": "docs/adr/one.md", "ok": True, "detail": ""}],
    }
    proposal = Proposal(
        task=task,
        project=project,
        repository=task.repository,
        number=Proposal.objects.filter(repository=task.repository).count() + 1,
        branch=task.branch,
        base_branch="main",
        base_sha="a" * 40,
        head_sha="b" * 40,
        diff_sha256=store.put(task.tenant_id, DIFF).sha256,
        lines_added=1,
        url="file:///shop.git",
        **fields | also,
    )
    proposal.digest = proposal_digest(proposal)
    proposal.save(force_insert=True)
    return proposal


def pack_of(
    proposal: Proposal, content: bytes | None = b"PK-a-pack", *, over: bool = False
) -> Pack:
    """A pack that is ready with that content, or (None) that nobody has built yet.

    over: the file may not be downloaded since yesterday.
    """
    pack: Pack = Pack.objects.create(
        project_id=proposal.project_id,
        object_type="proposal",
        object_id=str(proposal.pk),
        title=proposal.title,
        requested_by="somebody",
        requested_by_name="Somebody",
        run=str(proposal.run_id),
    )
    if content is not None:
        _ready(pack, content, over)
    return pack


def export_of(content: bytes = b"PK-an-export", *, over: bool = False) -> Pack:
    """An export of the pinned tenant that is ready with that content."""
    pack: Pack = Pack.objects.create(
        kind=Pack.Kind.EXPORT,
        project_id=current_tenant_id(),
        object_type="tenant",
        object_id=str(current_tenant_id()),
        title="Everything of the tenant",
        requested_by="somebody",
        requested_by_name="Somebody",
    )
    _ready(pack, content, over)
    return pack


def _ready(pack: Pack, content: bytes, over: bool) -> None:
    stored = artifact_store().put(pack.tenant_id, content)
    pack.state, pack.sha256, pack.size = Pack.State.READY, stored.sha256, stored.size
    pack.finished_at = timezone.now()
    pack.expires_at = timezone.now() + timedelta(days=-1 if over else 30)
    pack.save()


def record_of(proposal: Proposal, content: bytes = b'{"payload": "e30="}\n') -> SignedRecord:
    """A record that was signed, as far as its rows and files go: the signature itself is none."""
    stored = artifact_store().put(proposal.tenant_id, content)
    record: SignedRecord = SignedRecord.objects.create(
        object_id=str(proposal.pk),
        project_id=proposal.project_id,
        head_sha=proposal.head_sha,
        files={BUNDLE: {"sha256": stored.sha256, "size": stored.size}},
        manifest_sha256="0" * 64,
        fingerprint="0" * 64,
    )
    return record


def sealed() -> Checkpoint:
    """Give every entry its place, as the evidence worker does."""
    checkpoint = ledger.seal(FileKeys(settings.KEYS_DIR))
    assert checkpoint is not None
    return checkpoint
