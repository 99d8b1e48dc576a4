"""Orders of files to take away: evidence packs, once more when a file is gone, the export."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from django.db import transaction

from agent import queue
from agent.models import Proposal, Repository
from agent.own_frameworks import known
from authz.change import change
from authz.decisions import require
from authz.errors import BadRequest, Conflict
from authz.people import AsTenant
from authz.permissions import Permission
from evidence.models import Pack
from tenants.actor import Actor
from tenants.models import Project
from tenants.scope import current_tenant_id

NONCE_LIMIT = 200  # characters


def export_pack(proposal: Proposal, *, by: Actor) -> Pack:
    """Ask for the evidence pack of a proposal; the evidence worker builds it."""
    with change(by, Permission.PACK_EXPORT, on=proposal) as facts:
        pack: Pack = Pack.objects.create(
            project_id=proposal.project_id,
            object_type="proposal",
            object_id=str(proposal.pk),
            title=proposal.title,
            requested_by=by.id,
            requested_by_name=by.name,
            run=str(proposal.run_id),
        )
        facts["pack"] = pack.pk
        transaction.on_commit(partial(queue.build_pack, pack.pk))
    return pack


@dataclass(frozen=True)
class PackOrder:
    """A pack about more than one proposal.

    kind: repository, period or framework. period_from, period_to: None is open. nonce: a word of
    the auditor's that nobody could foresee; with it, sample_size pull requests are drawn by lot.
    """

    kind: str
    repository: Repository | None = None
    framework: str = ""
    period_from: datetime | None = None
    period_to: datetime | None = None
    nonce: str = ""
    sample_size: int = 0


class _Covered(AsTenant):
    """The tenant, as sensitive as what a pack about more than one proposal covers of it."""

    def __init__(self, tenant_id: UUID, repository: Repository | None) -> None:
        super().__init__(tenant_id)
        self._repository = repository

    @property
    def classification(self) -> str | None:
        return self._repository.classification if self._repository else Project.most_sensitive()


def order_pack(order: PackOrder, *, by: Actor) -> Pack:
    """Ask for a pack about a repository, a period or a framework; the evidence worker builds it.

    Raises Denied, or BadRequest with a message per field.
    """
    tenant_id = current_tenant_id()
    about, title = _Covered(tenant_id, order.repository), "Everything recorded"
    require(by, Permission.PACK_EXPORT, about)
    if problems := _problems(order):
        raise BadRequest(problems)
    object_type, object_id = "tenant", str(tenant_id)
    if order.repository is not None:
        object_type, object_id = "repository", str(order.repository.pk)
        title = f"Repository {order.repository.name}"
    elif order.framework:
        title = f"Evidence for {known().frameworks[order.framework].title}"
    if order.period_from or order.period_to:
        days = [f"{day:%Y-%m-%d}" if day else "" for day in (order.period_from, order.period_to)]
        title += f", {days[0] or 'the beginning'} to {days[1] or 'now'}"
    with change(by, Permission.PACK_EXPORT, on=about) as facts:
        pack: Pack = Pack.objects.create(
            kind=order.kind,
            project_id=tenant_id,
            object_type=object_type,
            object_id=object_id,
            title=title,
            requested_by=by.id,
            requested_by_name=by.name,
            period_from=order.period_from,
            period_to=order.period_to,
            framework=order.framework,
            nonce=order.nonce,
            sample_size=order.sample_size,
        )
        facts.about = pack
        facts.update(
            kind=order.kind,
            object=object_id,
            period_from=order.period_from,
            period_to=order.period_to,
            framework=order.framework,
            nonce=order.nonce,
            sample_size=order.sample_size,
        )
        transaction.on_commit(partial(queue.build_pack, pack.pk))
    return pack


def order_again(pack: Pack, *, by: Actor) -> Pack:
    """Ask for a pack about the same as this one, whose file is gone or was never built.

    It ends at today's head, so an open period holds more than before, and a draw with the same
    nonce is made anew. Raises Denied; Conflict while the file can be had, or when what it was about
    is gone; BadRequest when it could not be ordered today.
    """
    if pack.unfinished or pack.can_be_taken:
        raise Conflict("its file is there, or on its way; there is nothing to order again")
    if pack.kind == Pack.Kind.PROPOSAL:
        proposal = Proposal.objects.filter(pk=pack.object_id).first()
        if proposal is None:
            raise Conflict("the proposal that it was about is gone")
        return export_pack(proposal, by=by)
    repository = None
    if pack.kind == Pack.Kind.REPOSITORY:
        repository = Repository.objects.filter(pk=pack.object_id).first()
        if repository is None:
            raise Conflict("the repository that it was about is gone")
    order = PackOrder(
        pack.kind,
        repository,
        pack.framework,
        pack.period_from,
        pack.period_to,
        pack.nonce,
        pack.sample_size,
    )
    return order_pack(order, by=by)


def order_export(*, by: Actor) -> Pack:
    """Ask for everything of the tenant as one file; the evidence worker writes it.

    Raises Denied; Conflict while another one is on its way.
    """
    tenant_id = current_tenant_id()
    with change(by, Permission.EXPORT_ORDER, on=_Covered(tenant_id, None)) as facts:
        under_way = Pack.objects.filter(kind=Pack.Kind.EXPORT, state__in=Pack.UNFINISHED)
        if under_way.exists():
            raise Conflict("an export is on its way already; wait until it is ready")
        pack: Pack = Pack.objects.create(
            kind=Pack.Kind.EXPORT,
            project_id=tenant_id,
            object_type="tenant",
            object_id=str(tenant_id),
            title="Everything of the tenant",
            requested_by=by.id,
            requested_by_name=by.name,
        )
        facts.about = pack
        transaction.on_commit(partial(queue.build_pack, pack.pk))
    return pack


def _problems(order: PackOrder) -> dict[str, str]:
    problems = {}
    if order.kind not in {Pack.Kind.REPOSITORY, Pack.Kind.PERIOD, Pack.Kind.FRAMEWORK}:
        problems["kind"] = "is unknown; choose repository, period or framework"
    if (order.kind == Pack.Kind.REPOSITORY) != (order.repository is not None):
        problems["repository"] = "is needed for a pack about a repository, and only there"
    if (order.kind == Pack.Kind.FRAMEWORK) != bool(order.framework):
        problems["framework"] = "is needed for a pack about a framework, and only there"
    elif order.framework and order.framework not in known().frameworks:
        problems["framework"] = f"is unknown; choose one of {', '.join(known().frameworks)}"
    if order.period_from and order.period_to and order.period_from >= order.period_to:
        problems["to"] = "is not after the beginning; give a later day"
    if bool(order.nonce) != bool(order.sample_size):
        problems["nonce"] = "and the number to draw belong together; give both or neither"
    if len(order.nonce) > NONCE_LIMIT:
        problems["nonce"] = f"has {len(order.nonce)} characters; at most {NONCE_LIMIT} are kept"
    if order.sample_size < 0:
        problems["sample"] = "is negative; give how many pull requests to draw"
    return problems
