"""Projects: their members with roles, given by whom; new projects and repositories."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Prefetch, Q
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from agent import archives, repositories
from agent.forge import policy
from agent.models import Bypass, Repository
from authz import access, people, teams
from authz.decisions import may, require, visible
from authz.errors import BadRequest, Conflict
from authz.groups import TELLERS
from authz.models import Grant, GroupRole
from authz.permissions import Permission
from authz.roles import Role
from portal.accounts import groups_told_of
from portal.directory import project_seen_by, projects_seen_by
from portal.http import PortalRequest
from portal.pages.lists import ROWS
from portal.templatetags.accounts import given_by
from tenants.models import Membership, Project, User
from tenants.scope import current_tenant_id

# Columns: where a role is held, which. The last is for those with whom the project is shared.
HERE, WIDE, SHARED = "project", "tenant", "shared"
ALWAYS_SHOWN = ((HERE, Role.PROJECT_ADMIN), (HERE, Role.DEVELOPER))
COLUMNS: tuple[tuple[str, Role | str], ...] = (
    *ALWAYS_SHOWN,
    (HERE, Role.AGENT),
    *((WIDE, role) for role in Role),
    (SHARED, "viewer"),
)
# How somebody came to what they hold, as the filter names it.
WAYS = {"hand": "By hand", "group": "By a group", "team": "By a team"}

CLASSES = (
    (Project.Classification.PUBLIC, "Public", "may be published"),
    (Project.Classification.INTERNAL, "Internal", "for everybody in the company"),
    (Project.Classification.CONFIDENTIAL, "Confidential", "for those who need it"),
    (Project.Classification.RESTRICTED, "Restricted", "harm is great if it gets out or breaks"),
)


@dataclass
class Held:
    """What one person holds in one column, from each source."""

    way: str  # of WAYS
    said: str
    until: datetime | None = None
    grant: Grant | None = None


@dataclass
class Row:
    """One account with what it holds, by column."""

    user: User
    held: dict[tuple[str, str], list[Held]] = field(default_factory=dict)
    cells: list[list[Held]] = field(default_factory=list)

    def add(self, column: tuple[str, str], held: Held) -> None:
        self.held.setdefault(column, []).append(held)


@require_GET
def listing(request: PortalRequest) -> HttpResponse:
    """Projects whose people the one who asks may see."""
    now = timezone.now()
    holds = Q(grants__expires_at=None) | Q(grants__expires_at__gt=now)
    holds &= Q(grants__user__membership__state=Membership.State.ACTIVE)
    projects = projects_seen_by(request.actor).annotate(
        people=Count(
            "grants__user", filter=holds & Q(grants__user__kind=User.Kind.HUMAN), distinct=True
        ),
        admins=Count(
            "grants__user", filter=holds & Q(grants__role=Role.PROJECT_ADMIN), distinct=True
        ),
    )
    page = Paginator(projects, ROWS).get_page(request.GET.get("page"))
    may_create = may(request.actor, Permission.PROJECT_CREATE, _tenant())
    return render(request, "access/projects.html", {"page": page, "may_create": may_create})


@require_http_methods(["GET", "POST"])
def new(request: PortalRequest) -> HttpResponse:
    """A form for one more project."""
    require(request.actor, Permission.PROJECT_CREATE, _tenant())
    typed = {name: request.POST.get(name, "").strip() for name in ("name", "slug")}
    errors: dict[str, str] = {}
    if request.method == "POST":
        try:
            project = people.create_project(
                typed["slug"], typed["name"], tenant=_tenant(), by=request.actor
            )
        except BadRequest as refusal:
            errors = refusal.errors
        except Conflict as conflict:
            errors = {"slug": str(conflict)}
        else:
            messages.success(request, "The project is there. Now give it a repository and people.")
            return redirect("project", project.pk)
    context = {"typed": typed, "errors": errors}
    return render(request, "access/project_new.html", context, status=422 if errors else 200)


@require_http_methods(["GET", "POST"])
def add_repository(request: PortalRequest, project_id: UUID) -> HttpResponse:
    """A form for one more repository of a project: empty, or with the files of an archive."""
    project = _found(request, project_id)
    require(request.actor, Permission.REPOSITORY_REGISTER, project)
    typed = {"name": request.POST.get("name", "").strip()}
    errors: dict[str, str] = {}
    if request.method == "POST":
        file = request.FILES.get("file")
        try:
            archives.check_size(file.size if file else 0)
            repository = repositories.register(
                typed["name"],
                project=project,
                files=archives.files_of(file.read()) if file else {},
                written=timezone.now(),
                by=request.actor,
            )
        except BadRequest as refusal:
            errors = refusal.errors
        except Conflict as conflict:
            errors = {"name": str(conflict)}
        else:
            messages.success(request, f"{repository.name} is there; its files are being read.")
            return redirect("project", project_id)
    context = {
        "project": project,
        "typed": typed,
        "errors": errors,
        "largest": archives.LARGEST,
        "most_files": policy.COUNT_LIMIT,
        "most_bytes": policy.TOTAL_LIMIT,
    }
    return render(request, "access/repository_new.html", context, status=422 if errors else 200)


@require_GET
def detail(request: PortalRequest, project_id: UUID) -> HttpResponse:
    """One project: people by roles, filtered by name, role and way."""
    return _page(request, _found(request, project_id), {})


@require_POST
def classify(request: PortalRequest, project_id: UUID) -> HttpResponse:
    """Say how sensitive its work is."""
    project = _found(request, project_id)
    try:
        people.classify_project(project, request.POST.get("classification", ""), by=request.actor)
    except BadRequest as refusal:
        return _page(request, project, refusal.errors, 422)
    messages.success(request, "Changed. Policies look at it from the next decision on.")
    return redirect("project", project_id)


def _tenant() -> people.AsTenant:
    return people.AsTenant(current_tenant_id())


def _found(request: PortalRequest, project_id: UUID) -> Project:
    project = project_seen_by(request.actor, project_id)
    if project is None:
        raise Http404
    return project


def _page(
    request: PortalRequest, project: Project, errors: dict[str, str], status: int = 200
) -> HttpResponse:
    wanted = {name: request.GET.get(name, "").replace("\0", "") for name in ("q", "role", "way")}
    rows = _rows(project)
    columns = [
        column
        for column in COLUMNS
        if column in ALWAYS_SHOWN or any(column in row.held for row in rows)
    ]
    shown = [row for row in rows if _fits(row, wanted)]
    page = Paginator(shown, ROWS).get_page(request.GET.get("page"))
    _name_groups(list(page))
    for row in page:
        row.cells = [row.held.get(column, []) for column in columns]
    found = Bypass.objects.select_related("proposal", "repository")
    held_here = Repository.objects.filter(project=project).order_by("name")
    held_here = held_here.prefetch_related(Prefetch("bypasses", found))
    context = {
        "project": project,
        "page": page,
        "people": len(rows),
        "wanted": wanted,
        "filtered": any(wanted.values()),
        "columns": [_title(column) for column in columns],
        "offered": [
            (f"{where}:{role}", " ".join(_title((where, role)))) for where, role in columns
        ],
        "ways": WAYS.items(),
        "repositories": visible(request.actor, Permission.REPOSITORY_VIEW, held_here),
        "may_register": may(request.actor, Permission.REPOSITORY_REGISTER, project),
        "shares": teams.shares_of(project),
        "may_share": may(request.actor, Permission.SHARE_CHANGE, project),
        "may_change": may(request.actor, Permission.PROJECT_ROLE_CHANGE, project),
        "classes": CLASSES,
        "may_classify": may(request.actor, Permission.PROJECT_CLASSIFY, project),
        "errors": errors,
    }
    return render(request, "access/project.html", context, status=status)


def _rows(project: Project) -> list[Row]:
    """Everybody who holds something in the project, by the tenant or by sharing it, by name."""
    now = timezone.now()
    rows: dict[UUID, Row] = {}
    here = Q(project=project) | Q(project=None)
    good = Q(expires_at=None) | Q(expires_at__gt=now)
    grants = Grant.objects.filter(here & good, user__membership__state=Membership.State.ACTIVE)
    for grant in grants.select_related("user"):
        place = WIDE if grant.project_id is None else HERE
        way = "group" if grant.source in TELLERS else "hand"
        held = Held(way, given_by(grant.source), grant.expires_at, grant)
        rows.setdefault(grant.user_id, Row(grant.user)).add((place, grant.role), held)
    for share in teams.shares_of(project):
        if share.user:
            held = Held("hand", f"by {share.shared_by}", share.expires_at)
            rows.setdefault(share.user.pk, Row(share.user)).add((SHARED, "viewer"), held)
        elif share.team:
            for user in User.objects.filter(pk__in=access.members_of(share.team.pk)):
                held = Held("team", f"team {share.team.name}", share.expires_at)
                rows.setdefault(user.pk, Row(user)).add((SHARED, "viewer"), held)
    return sorted(rows.values(), key=lambda row: (row.user.name.lower(), str(row.user.pk)))


def _fits(row: Row, wanted: dict[str, str]) -> bool:
    name = wanted["q"].strip().lower()
    if name and name not in row.user.name.lower() and name not in row.user.email:
        return False
    here = [
        held
        for column, several in row.held.items()
        for held in several
        if wanted["role"] in ("", ":".join(column))
    ]
    return any(wanted["way"] in ("", held.way) for held in here)


def _name_groups(rows: list[Row]) -> None:
    """Say of roles from groups which groups of the directory give them."""
    means: dict[tuple[str, UUID | None], set[str]] = {}
    for group, role, place in GroupRole.objects.values_list("group", "role", "project_id"):
        means.setdefault((role, place), set()).add(group)
    for row in rows:
        told: dict[str, list[str]] | None = None
        for held in (one for several in row.held.values() for one in several):
            if held.way != "group" or held.grant is None:
                continue
            told = groups_told_of(row.user) if told is None else told
            giving = means.get((held.grant.role, held.grant.project_id), set())
            if names := sorted(giving.intersection(told[held.grant.source])):
                held.said = f"group {', '.join(names)}"


def _title(column: tuple[str, Any]) -> tuple[str, str]:
    where, role = column
    if where == SHARED:
        return "Shared", "may look"
    return Role(role).title, "of the project" if where == HERE else "of the whole tenant"
