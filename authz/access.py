"""Who may do what and by which way, and what a change of roles, teams or shares would change."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from authz import relations
from authz.graph import ALWAYS, Edge, Explanation, Graph, Ref, Step
from authz.groups import TELLERS
from authz.model import MODEL
from authz.models import Grant, Share, Team, TeamMember
from authz.permissions import Permission
from authz.relations import person
from authz.roles import ONLY_BY_PEOPLE, Role
from tenants import asked
from tenants.models import Membership, Project, User
from tenants.scope import current_tenant_id

# What "seeing" means for each type that is counted in a preview.
SEEN_BY: dict[str, Permission] = {
    "project": Permission.TASK_VIEW,
    "repository": Permission.REPOSITORY_VIEW,
    "task": Permission.TASK_VIEW,
    "proposal": Permission.PROPOSAL_VIEW,
    "pack": Permission.PACK_EXPORT,
}


def tenant_ref() -> Ref:
    """The pinned tenant as the place where rights are held."""
    return Ref("tenant", current_tenant_id().int)


def permissions_on(type: str) -> list[Permission]:
    """What may be permitted on things of a type, in the order of the list of permissions."""
    return [permission for permission in Permission if permission in MODEL[type].permissions]


# Who may ----------------------------------------------------------------------------------------


def holders(on: Ref) -> dict[Permission, set[UUID]]:
    """Accounts that hold each permission on the object, all of one moment.

    By roles, teams and shares, without programs where only people may; policies look at the
    circumstances besides.
    """
    wanted = permissions_on(on.type)

    def everybody(graph: Graph, now: float) -> dict[Permission, set[UUID]]:
        return {
            permission: {UUID(int=id) for id in graph.subjects_with(permission, on, "user", now)}
            for permission in wanted
        }

    found = relations.ask(everybody)
    programs = set(User.objects.exclude(kind=User.Kind.HUMAN).values_list("pk", flat=True))
    return {
        permission: users - programs if permission in ONLY_BY_PEOPLE else users
        for permission, users in found.items()
    }


def ways(users: Sequence[UUID], permission: Permission, on: Ref) -> list[Explanation]:
    """Why each of the accounts may or may not, in their order, all of one moment."""

    def each(graph: Graph, now: float) -> list[Explanation]:
        return [graph.explain(person(user), permission, on, now) for user in users]

    return relations.ask(each)


def rights_of(user: UUID, places: Sequence[Ref]) -> dict[Ref, dict[Permission, Explanation]]:
    """What the account may do at each place, with the way that grants it; places without are there,
    empty."""

    def all_of(graph: Graph, now: float) -> dict[Ref, dict[Permission, Explanation]]:
        found: dict[Ref, dict[Permission, Explanation]] = {}
        for place in places:
            said = found.setdefault(place, {})
            for permission in permissions_on(place.type):
                why = graph.explain(person(user), permission, place, now)
                if why.allowed:
                    said[permission] = why
        return found

    return relations.ask(all_of)


def projects_of(user: UUID) -> list[UUID]:
    """Projects in which the account may do or see anything."""

    def any_of(graph: Graph, now: float) -> set[int]:
        found: set[int] = set()
        for permission in permissions_on("project"):
            found |= graph.objects_with(permission, "project", person(user), now)
        return found

    return [UUID(int=id) for id in relations.ask(any_of)]


def shared_tasks(user: UUID) -> list[UUID]:
    """Tasks that were shared with the account, itself or through teams."""
    return relations.objects_with(person(user), "viewer", "task")


def members_of(team: UUID) -> set[UUID]:
    """Active accounts in a team, itself or through teams inside."""
    return relations.subjects_with("member", Ref("team", team.int))


@asked.without_asking(asked.Purpose.DECIDE)
def who_can_help(
    permission: Permission, said: Explanation | None, on: Ref, asker: UUID | None
) -> list[User]:
    """People who may give what somebody lacks, nearest place first: at most five.

    said: what was answered. Somebody who asked for the thing is helped by whoever may instead of
    them; somebody whom a policy stops, by whoever changes policies; somebody who lacks a role or a
    share, by whoever gives those. Nobody is named for a place where the asker may do nothing, for
    they may not know of it.
    """
    wanted: list[tuple[Permission, Ref]] = []
    if said and said.why == "excluded":
        wanted.append((permission, on))
    for ref, relation in said.needed if said else ():
        wanted.append((_given_by(ref, relation), ref))
    everywhere = Permission.POLICY_CHANGE if said and said.allowed else Permission.ROLE_CHANGE
    wanted = list(dict.fromkeys([*wanted, (everywhere, tenant_ref())]))

    def nearest(graph: Graph, now: float) -> list[set[int]]:
        def known(ref: Ref) -> bool:
            return ref.type == "tenant" or (
                asker is not None
                and any(graph.check(person(asker), p, ref, now) for p in permissions_on(ref.type))
            )

        return [graph.subjects_with(one, ref, "user", now) for one, ref in wanted if known(ref)]

    people: list[User] = []
    for ids in relations.ask(nearest):
        helping = User.objects.filter(
            pk__in=[UUID(int=id) for id in ids],
            kind=User.Kind.HUMAN,
            membership__state=Membership.State.ACTIVE,
        )
        if asker is not None:
            helping = helping.exclude(pk=asker)
        # Whoever may for the whole tenant may in each project as well; those nearest come first.
        people += [
            one for one in helping.order_by("name", "pk")[:MOST_HELPERS] if one not in people
        ]
    return people[:MOST_HELPERS]


MOST_HELPERS = 5


def _given_by(on: Ref, relation: str) -> Permission:
    if relation == "viewer":
        return Permission.SHARE_CHANGE
    return Permission.PROJECT_ROLE_CHANGE if on.type == "project" else Permission.ROLE_CHANGE


# What would change ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Edit:
    """A change of roles, teams or shares that nobody has made: tuples that would go and come."""

    drop: tuple[Edge, ...] = ()
    put: tuple[Step, ...] = ()
    # Whom it concerns: these accounts, and whoever is in these teams before it.
    people: tuple[UUID, ...] = ()
    teams: tuple[UUID, ...] = ()


@dataclass(frozen=True)
class Seen:
    """How many things of a type somebody sees now and would see; came and went, of those."""

    type: str
    before: int
    after: int
    came: int
    went: int


@dataclass(frozen=True)
class Effect:
    """What an edit means for one account. gains, loses: by place; a project is only named for what
    the whole tenant does not give or take already."""

    user_id: UUID
    gains: Mapping[Ref, list[Permission]] = field(default_factory=dict)
    loses: Mapping[Ref, list[Permission]] = field(default_factory=dict)
    sees: tuple[Seen, ...] = ()

    @property
    def changes(self) -> bool:
        return bool(self.gains or self.loses or self.sees)


def effects(edit: Edit) -> list[Effect]:
    """What an edit would change for everybody it concerns: worked out on a copy of all tuples.

    Accounts for which nothing changes are there, without gains and losses.
    """
    graph, now = relations.graph_of_ones_own()
    places = [tenant_ref(), *(Ref("project", id.int) for id in _projects())]
    concerned = {person(user) for user in edit.people}
    for team in edit.teams:
        members = graph.subjects_with("member", Ref("team", team.int), "user", now)
        concerned |= {Ref("user", id) for id in members}
    before = {one: _stand(graph, one, places, now) for one in concerned}
    for edge in edit.drop:
        graph.drop(edge)
    for edge, until in edit.put:
        graph.put(edge, until)
    return [_effect(one, before[one], _stand(graph, one, places, now)) for one in concerned]


def roles_edit(user: User, roles: Iterable[Role], project: Project | None) -> Edit:
    """What people.change_roles() would do to the tuples. Roles that groups give stay."""
    place = Ref("project", project.pk.int) if project else tenant_ref()

    def edge(role: str) -> Edge:
        return Edge(place.type, place.id, role, "user", user.pk.int, "active")

    held = Grant.objects.filter(user=user, project=project)
    drop = tuple(edge(role) for role in held.values_list("role", flat=True))
    stay = held.filter(source__in=TELLERS).values_list("role", "expires_at")
    put = {edge(role): until.timestamp() if until else ALWAYS for role, until in stay}
    put |= {edge(role.value): ALWAYS for role in roles}
    return Edit(drop, tuple(Step(one, until) for one, until in put.items()), people=(user.pk,))


def member_edit(team: Team, member: User | Team, *, leaves: bool = False) -> Edit:
    """What putting an account or a team into a team, or taking it out, would do to the tuples."""
    if isinstance(member, Team):
        edge = Edge("team", team.pk.int, "member", "team", member.pk.int, "member")
        who: tuple[UUID, ...] = ()
        inner: tuple[UUID, ...] = (member.pk,)
    else:
        edge = Edge("team", team.pk.int, "member", "user", member.pk.int, "active")
        who, inner = (member.pk,), ()
    if leaves:
        return Edit(drop=(edge,), people=who, teams=inner)
    return Edit(put=(Step(edge),), people=who, teams=inner)


def dissolve_edit(team: Team) -> Edit:
    """What dissolving a team would do to the tuples."""
    drop = []
    for user, nested in TeamMember.objects.filter(team=team).values_list("user", "nested"):
        inner = ("user", user.int, "active") if user else ("team", nested.int, "member")
        drop.append(Edge("team", team.pk.int, "member", *inner))
    me = ("team", team.pk.int, "member")
    for outer in TeamMember.objects.filter(nested=team).values_list("team", flat=True):
        drop.append(Edge("team", outer.int, "member", *me))
    for kind, id in Share.objects.filter(team=team).values_list("object_type", "object_id"):
        drop.append(Edge(kind, id.int, "viewer", *me))
    return Edit(drop=tuple(drop), teams=(team.pk,))


def _projects() -> list[UUID]:
    return list(Project.objects.order_by("name").values_list("pk", flat=True))


# What somebody may at each place, and which things of each type they see.
_Stand = tuple[dict[Ref, set[Permission]], dict[str, set[int]]]


def _stand(graph: Graph, one: Ref, places: Sequence[Ref], now: float) -> _Stand:
    may = {
        place: {p for p in permissions_on(place.type) if graph.check(one, p, place, now)}
        for place in places
    }
    sees = {type: graph.objects_with(held, type, one, now) for type, held in SEEN_BY.items()}
    return may, sees


def _effect(one: Ref, before: _Stand, after: _Stand) -> Effect:
    def more(than: _Stand, now: _Stand) -> dict[Ref, list[Permission]]:
        found: dict[Ref, list[Permission]] = {}
        everywhere: set[Permission] = set()
        for place, held in now[0].items():
            came = held - than[0][place]
            if place.type == "tenant":
                everywhere = came
            else:
                came -= everywhere
            if came:
                found[place] = [permission for permission in Permission if permission in came]
        return found

    sees = tuple(
        Seen(type, len(had), len(has), len(has - had), len(had - has))
        for type in SEEN_BY
        if (had := before[1][type]) != (has := after[1][type])
    )
    return Effect(UUID(int=one.id), more(before, after), more(after, before), sees)
