"""How people join, change roles, leave; how a tenant is opened with its first people."""

import re
from collections.abc import Iterable
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils import timezone

from authz.admins import keep_an_admin
from authz.change import Facts, change
from authz.errors import BadRequest, Conflict
from authz.groups import TELLERS
from authz.models import Grant, Share, TeamMember
from authz.permissions import Permission
from authz.policy_facts import BudgetRaise
from authz.roles import PROJECT_ROLES, TENANT_ROLES, Role
from authz.sessions import drop_sessions
from tenants.actor import Actor
from tenants.cells.models import Cell, Domain, Tenant
from tenants.models import Membership, Project, User
from tenants.scope import Scope, current_tenant_id, tenant_scope

# What the account is called that the agent uses in a project.
AGENT = "Countersign agent"
SLUG = re.compile(r"[a-z][a-z0-9-]{0,59}")
NAME_LIMIT = 200  # characters of a project's name


class AsTenant:
    """The pinned tenant as the object of a decision or entry.

    The portal's role cannot read the list of tenants, so there is no model instance to name.
    """

    class _meta:
        model_name = "tenant"

    def __init__(self, tenant_id: UUID) -> None:
        self.pk = tenant_id
        self.budget_raise: BudgetRaise | None = None  # what policies are told of what is asked


def open_tenant(slug: str, name: str, host: str, *, cell: str, by: Actor) -> Scope:
    """Open a tenant that answers to `host`, in a cell that stands already.

    Run with the owner's database role: the portal's own cannot see the list of tenants.
    Raises BadRequest when the slug or host is taken or malformed.
    """
    tenant = Tenant(slug=slug, name=name, cell=Cell.objects.get(schema_name=cell))
    domain = Domain(host=host.lower(), tenant=tenant)
    try:
        tenant.full_clean()
        domain.full_clean(exclude=["tenant"])
    except ValidationError as error:
        raise BadRequest({k: " ".join(v) for k, v in error.message_dict.items()}) from error
    scope = Scope(tenant.pk, slug, name, cell)
    with tenant_scope(scope), change(by, Permission.TENANT_OPEN, on=AsTenant(tenant.pk)) as facts:
        tenant.save(force_insert=True)
        domain.save(force_insert=True)
        facts.update(slug=slug, name=name, host=domain.host, cell=cell)
    return scope


def create_project(slug: str, name: str, *, tenant: AsTenant, by: Actor) -> Project:
    """Add a project to the tenant, with the account that the agent uses in it.

    Raises Denied, BadRequest for a slug or name that is none, Conflict for a slug that is taken.
    """
    project = Project(slug=slug, name=name.strip())
    with change(by, Permission.PROJECT_CREATE, on=tenant) as facts:
        _check_project(project)
        project.save(force_insert=True)
        agent = User.objects.create(email=f"agent@{slug}.invalid", name=AGENT, kind=User.Kind.AGENT)
        agent.set_unusable_password()
        agent.save(update_fields=["password"])
        Membership.objects.create(user=agent, source="system")
        Grant.objects.create(user=agent, role=Role.AGENT, project=project, source="system")
        facts.about = project
        facts.update(slug=slug, name=project.name, agent=agent.pk, roles=[Role.AGENT])
    return project


def _check_project(project: Project) -> None:
    errors = {}
    if not SLUG.fullmatch(project.slug):
        errors["slug"] = "expected small letters, digits and hyphens, a letter first, at most 60"
    if not 0 < len(project.name) <= NAME_LIMIT or not project.name.isprintable():
        errors["name"] = f"expected one line of 1 to {NAME_LIMIT} characters"
    if errors:
        raise BadRequest(errors)
    if Project.objects.filter(slug=project.slug).exists():
        raise Conflict(f"There is a project with the short name {project.slug} already")


def classify_project(project: Project, classification: str, *, by: Actor) -> None:
    """Say how sensitive the work in a project is; policies may look at it from then on.

    classification: of Project.Classification. Raises Denied or BadRequest.
    """
    if classification not in Project.Classification.values:
        known = ", ".join(Project.Classification.values)
        raise BadRequest({"classification": f"must be one of {known}"})
    with change(by, Permission.PROJECT_CLASSIFY, on=project) as facts:
        # Locked, so that what the ledger says was there before is what was there.
        before: Project = Project.objects.select_for_update().get(pk=project.pk)
        facts.update(before=before.classification, after=classification)
        Project.objects.filter(pk=project.pk).update(classification=classification)
        project.classification = classification


def admit(
    email: str,
    name: str,
    roles: Iterable[Role],
    *,
    tenant: AsTenant,
    project: Project | None,
    by: Actor,
    source: str = "admin",
) -> User:
    """Make a person a member with roles; somebody who left comes back to the same account.

    project: what project roles are given for (tenant-wide ones ignore it); None gives them for
    the whole tenant. Raises Denied, BadRequest, or Conflict when the person is a member already.
    """
    roles = list(roles)
    check_person(email, name, roles)
    with change(by, Permission.MEMBER_ADMIT, on=tenant) as facts:
        user, created = User.objects.get_or_create(
            email=email.strip().lower(), defaults={"name": name}
        )
        if created:
            user.set_unusable_password()
            user.save(update_fields=["password"])
            Membership.objects.create(user=user, source=source)
        elif not Membership.objects.filter(user=user, state=Membership.State.REMOVED).update(
            state=Membership.State.ACTIVE, source=source, since=timezone.now(), ended_at=None
        ):
            raise Conflict(f"{email} is a member already; change the role instead")
        _give(user, roles, project, source)
        facts.about = user
        facts.update(email=user.email, name=user.name, roles=roles, source=source)
    return user


def change_roles(user: User, roles: Iterable[Role], *, project: Project | None, by: Actor) -> None:
    """Replace a member's roles for one project, or (None) for the whole tenant.

    Roles that come from groups of the directory are left alone: the groups decide about those.

    Raises Denied; BadRequest for a role that cannot be given there; Conflict when they are no
    member, or the tenant would be left without an admin.
    """
    roles = list(roles)
    _check_roles(roles, project)
    permission = Permission.PROJECT_ROLE_CHANGE if project else Permission.ROLE_CHANGE
    with change(by, permission, on=project or AsTenant(current_tenant_id())) as facts:
        if not user.is_active:
            raise Conflict(f"{user.email} is not a member any more")
        held = Grant.objects.filter(user=user, project=project).exclude(source__in=TELLERS)
        facts["before"] = sorted(held.values_list("role", flat=True))
        held.delete()
        for role in roles:
            Grant.objects.create(user=user, role=role, project=project)
        keep_an_admin()
        facts.about = user
        facts.update(
            after=sorted(roles), project=project.slug if project else None, email=user.email
        )


def take_role(grant: Grant, *, by: Actor) -> None:
    """Take one role that was given by hand. Raises Denied; Conflict when it is gone or comes from
    a group, or the tenant would be left without an admin."""
    permission = Permission.PROJECT_ROLE_CHANGE if grant.project else Permission.ROLE_CHANGE
    place = grant.project or AsTenant(current_tenant_id())
    with change(by, permission, on=place) as facts:
        held = Grant.objects.filter(user=grant.user, project=grant.project)
        facts["before"] = sorted(held.values_list("role", flat=True))
        if not held.filter(pk=grant.pk).exclude(source__in=TELLERS).delete()[0]:
            raise Conflict(f"{grant.user.email} does not hold this role by hand any more")
        keep_an_admin()
        facts.about = grant.user
        facts.update(
            after=sorted(held.values_list("role", flat=True)),
            project=grant.project.slug if grant.project else None,
            email=grant.user.email,
        )


def remove(user: User, *, by: Actor) -> None:
    """End a membership: roles are taken, open sessions end, the account stays for the record.

    Raises Denied, or Conflict when they are no member or the last admin.
    """
    with change(by, Permission.MEMBER_REMOVE, on=AsTenant(current_tenant_id())) as facts:
        if not end_membership(user, facts):
            raise Conflict(f"{user.email} is not a member any more")
        keep_an_admin()
        facts.about = user
        facts["email"] = user.email


def end_membership(user: User, facts: Facts) -> bool:
    """Take everything that lets a person in or lets them see anything; False for no member.

    The account may come back one day, so nothing is left that would work again then. Call it in a
    change(); what is taken goes into `facts`.
    """
    here = [Membership.State.ACTIVE, Membership.State.SUSPENDED]
    ended: int = Membership.objects.filter(user=user, state__in=here).update(
        state=Membership.State.REMOVED, ended_at=timezone.now()
    )
    facts["roles"] = sorted(user.grants.values_list("role", flat=True))
    user.grants.all().delete()
    facts["teams_left"] = TeamMember.objects.filter(user=user).delete()[0]
    facts["shares_ended"] = Share.objects.filter(user=user).delete()[0]
    facts["sessions_ended"] = drop_sessions(user)
    facts["tokens_revoked"] = user.tokens.filter(revoked_at=None).update(revoked_at=timezone.now())
    user.identities.all().delete()
    user.invitations.all().delete()
    return bool(ended)


def check_person(email: str, name: str, roles: list[Role]) -> None:
    """Raise BadRequest, with an error for each field, for somebody whom admit() would not take."""
    errors = {}
    try:
        validate_email(email.strip())
    except ValidationError:
        errors["email"] = (
            f"{email!r} is not an e-mail address; expected something like ada@example.com"
        )
    if not name.strip():
        errors["name"] = "is empty; give the name that others will see"
    if not roles:
        errors["roles"] = "choose at least one role"
    if unknown := [role for role in roles if role not in TENANT_ROLES]:
        errors["roles"] = f"cannot be handed out by a tenant: {', '.join(unknown)}"
    if errors:
        raise BadRequest(errors)


def _check_roles(roles: list[Role], project: Project | None) -> None:
    if unknown := [role for role in roles if role not in TENANT_ROLES]:
        raise BadRequest({"roles": f"cannot be handed out by a tenant: {', '.join(unknown)}"})
    if project and (wide := [role for role in roles if role not in PROJECT_ROLES]):
        raise BadRequest({"roles": f"cover the whole tenant, not one project: {', '.join(wide)}"})


def _give(user: User, roles: list[Role], project: Project | None, source: str) -> None:
    for role in roles:
        Grant.objects.create(
            user=user, role=role, project=project if role in PROJECT_ROLES else None, source=source
        )
