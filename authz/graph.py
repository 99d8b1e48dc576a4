"""Answers who may do what, from a model and a set of tuples held in memory.

Pure: no Django, no database, no clock. A Graph is not safe for two threads that change it;
authz.relations sees to that.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from authz.model import AnyOf, Except, Expression, Has, Model, Subject, Through

Id = int  # UUID.int: several times quicker to look up than a UUID
Moment = float  # seconds since 1970
ALWAYS: Moment = float("inf")  # an edge that never expires
LONG_AGO: Moment = float("-inf")


class ModelError(ValueError):
    """The table of types and permissions contradicts itself."""


class Ref(NamedTuple):
    """One object of a type."""

    type: str
    id: Id


class Edge(NamedTuple):
    """One tuple: `subject` (or whoever is `subject_relation` to it) is `relation` to an object."""

    object_type: str
    object_id: Id
    relation: str
    subject_type: str
    subject_id: Id
    subject_relation: str = ""


class Step(NamedTuple):
    """One edge of a path, with when it ends (ALWAYS: by itself never)."""

    edge: Edge
    until: Moment = ALWAYS

    def __str__(self) -> str:
        """In the usual notation: project:ID#developer@user:ID#active."""
        edge = self.edge
        subject = f"{edge.subject_type}:{_spelled(edge.subject_id)}"
        if edge.subject_relation:
            subject += f"#{edge.subject_relation}"
        return f"{edge.object_type}:{_spelled(edge.object_id)}#{edge.relation}@{subject}"


@lru_cache(maxsize=10_000)
def _spelled(id: Id) -> str:
    return str(UUID(int=id))


Path = tuple[Step, ...]


class Explanation(NamedTuple):
    """Why somebody may or may not.

    why: granted; disputed (another engine says otherwise); inactive (the subject is no active
    account); unknown (nothing is known of the object); undefined (there is no such permission on
    this type); excluded; expired; missing.
    path: what grants it, from the object to the subject; what granted it, for excluded, expired.
    barred_by: the path that excludes, for excluded. needed: relations of which any one would have
    been enough, nearest object first, for missing. revision: of the tuples, where they have one.
    """

    allowed: bool
    why: str
    path: Path = ()
    barred_by: Path = ()
    needed: tuple[tuple[Ref, str], ...] = ()
    revision: str = ""


# Which groups somebody belongs to, themselves included: ids by the number of the kind of subject.
Mine = list[set[Id]]
# How somebody came to be in a group: (kind, group) -> the slot of the edge, and who was let in.
Entered = dict[tuple[int, Id], tuple[int, Id]]
# Whether whoever is `Mine` has it on the object, at a moment.
Test = Callable[["Graph", Mine, Id, Moment], bool]
# One id or several: most objects have one project, so that a set for each would waste memory.
Ids = int | set[int]


class Rules:
    """A model made ready for questions; one for each model, shared by all graphs.

    A slot is one way in which one type may stand in one relation: (type, relation, kind of
    subject). Raises ModelError for a model that SQL and SpiceDB could not answer alike.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        check_model(model)
        self.kinds: dict[Subject, int] = {}
        self.slots: dict[tuple[str, str, str, str], int] = {}
        self.kind_of: list[int] = []  # slot -> kind of its subjects
        self.slots_of: dict[tuple[str, str], list[int]] = {}  # (type, relation) -> slots
        for name, one in model.items():
            self.kinds.setdefault(Subject(name), len(self.kinds))
            for relation, subjects in one.relations.items():
                for subject in subjects:
                    kind = self.kinds.setdefault(subject, len(self.kinds))
                    slot = len(self.slots)
                    self.slots[name, relation, subject.type, subject.relation] = slot
                    self.kind_of.append(kind)
                    self.slots_of.setdefault((name, relation), []).append(slot)
        # Slots that make groups, whose members stand in other relations: slot -> that kind.
        self.group_of: dict[int, int] = {
            slot: self.kinds[Subject(name, relation)]
            for (name, relation, _, _), slot in self.slots.items()
            if Subject(name, relation) in self.kinds
        }
        # Kind of subject -> slots of groups that it may be in.
        self.groups_with: list[list[int]] = [
            [slot for slot in self.group_of if self.kind_of[slot] == kind]
            for kind in range(len(self.kinds))
        ]
        self.named_slots = list(self.slots)
        # Type -> kind of its objects by themselves.
        self.subjects = {kind.type: n for kind, n in self.kinds.items() if not kind.relation}
        self._arrows = {
            pair: [(slot, self.named_slots[slot][2]) for slot in slots]
            for pair, slots in self.slots_of.items()
        }
        self._tests: dict[tuple[str, str], Test] = {}
        for name, one in model.items():
            for held in (*one.relations, *one.permissions):
                self.test(name, held)

    def expression(self, type: str, held: str) -> Expression | None:
        """What a permission or relation of a type comes to, or None when it has no such."""
        one = self.model.get(type)
        if one is None:
            return None
        if held in one.relations:
            return Has(held)
        return one.permissions.get(held)

    def arrows(self, type: str, relation: str) -> Sequence[tuple[int, str]]:
        """Slots of a relation that leads to objects, each with their type."""
        return self._arrows.get((type, relation), ())

    def test(self, type: str, held: str) -> Test | None:
        """The compiled form of expression()."""
        if (found := self._tests.get((type, held))) is not None:
            return found
        expression = self.expression(type, held)
        if expression is None:
            return None
        return self._tests.setdefault((type, held), self._compile(type, expression))

    def _compile(self, type: str, expression: Expression) -> Test:
        match expression:
            case Has(relation):
                return self._compile_has(type, (relation,))
            case Through(relation, held):
                return self._compile_through(type, relation, held)
            case AnyOf(terms):
                own = tuple(term.relation for term in terms if isinstance(term, Has))
                tests = [self._compile_has(type, own)] if own else []
                tests += [self._compile(type, one) for one in terms if not isinstance(one, Has)]
                if len(tests) == 1:
                    return tests[0]

                def any_of(graph: "Graph", mine: Mine, id: Id, now: Moment) -> bool:
                    return any(test(graph, mine, id, now) for test in tests)

                return any_of
            case Except(base, without):
                has, bars = self._compile(type, base), self._compile(type, without)

                def but_not(graph: "Graph", mine: Mine, id: Id, now: Moment) -> bool:
                    return has(graph, mine, id, now) and not bars(graph, mine, id, now)

                return but_not

    def _compile_has(self, type: str, relations: tuple[str, ...]) -> Test:
        pairs = [
            (slot, self.kind_of[slot])
            for relation in relations
            for slot in self.slots_of.get((type, relation), ())
        ]

        def has(graph: "Graph", mine: Mine, id: Id, now: Moment) -> bool:
            edges = graph.edges
            for slot, kind in pairs:
                if not (groups := mine[kind]):
                    continue
                if (found := edges[slot].get(id)) is None:
                    continue
                if isinstance(found, int):
                    if found in groups and graph.holds(slot, id, found, now):
                        return True
                elif not groups.isdisjoint(found) and (
                    not graph.ends or any(graph.holds(slot, id, one, now) for one in groups & found)
                ):
                    return True
            return False

        return has

    def _compile_through(self, type: str, relation: str, held: str) -> Test:
        onward = [
            (slot, test)
            for slot, target in self.arrows(type, relation)
            if (test := self.test(target, held)) is not None
        ]

        def through(graph: "Graph", mine: Mine, id: Id, now: Moment) -> bool:
            for slot, test in onward:
                found = graph.edges[slot].get(id)
                if found is None:
                    continue
                for one in (found,) if isinstance(found, int) else found:
                    if graph.holds(slot, id, one, now) and test(graph, mine, one, now):
                        return True
            return False

        return through


class Graph:
    """The tuples of one tenant, and what follows from them.

    `now` is given with each question: an edge counts for nothing from the moment it expires.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        # By slot: object -> its subjects. The other way round only for groups.
        self.edges: list[dict[Id, Ids]] = [{} for _ in rules.slots]
        self._groups: dict[int, dict[Id, Ids]] = {slot: {} for slot in rules.group_of}
        self.ends: dict[tuple[int, Id, Id], Moment] = {}  # only of edges that expire
        self.size = 0
        self.revision = ""  # names this state of the tuples; whoever changes them says it

    # Changing it

    def put(self, edge: Edge, until: Moment = ALWAYS) -> None:
        """Add an edge, or change when it ends. One that the model does not know is left out."""
        slot = self._slot(edge)
        if slot is None:
            return
        if not _contains(self.edges[slot], edge.object_id, edge.subject_id):
            self.size += 1
            _add(self.edges[slot], edge.object_id, edge.subject_id)
            if slot in self._groups:
                _add(self._groups[slot], edge.subject_id, edge.object_id)
        if until == ALWAYS:
            self.ends.pop((slot, edge.object_id, edge.subject_id), None)
        else:
            self.ends[slot, edge.object_id, edge.subject_id] = until

    def drop(self, edge: Edge) -> None:
        """Take an edge out, if it is in."""
        slot = self._slot(edge)
        if slot is None or not _contains(self.edges[slot], edge.object_id, edge.subject_id):
            return
        self.size -= 1
        self.ends.pop((slot, edge.object_id, edge.subject_id), None)
        _remove(self.edges[slot], edge.object_id, edge.subject_id)
        if slot in self._groups:
            _remove(self._groups[slot], edge.subject_id, edge.object_id)

    def __contains__(self, edge: Edge) -> bool:
        slot = self._slot(edge)
        return slot is not None and _contains(self.edges[slot], edge.object_id, edge.subject_id)

    def _slot(self, edge: Edge) -> int | None:
        return self.rules.slots.get(
            (edge.object_type, edge.relation, edge.subject_type, edge.subject_relation)
        )

    # Asking it

    def check(self, subject: Ref, held: str, on: Ref, now: Moment) -> bool:
        """Whether the subject holds a permission (or stands in a relation) on the object."""
        test = self.rules.test(on.type, held)
        if test is None or subject.type not in self.rules.subjects:
            return False
        return test(self, self.groups_of(subject, now), on.id, now)

    def objects_with(self, held: str, type: str, subject: Ref, now: Moment) -> set[Id]:
        """Every object of a type that the subject holds it on."""
        expression = self.rules.expression(type, held)
        if expression is None or subject.type not in self.rules.subjects:
            return set()
        return self._objects(type, expression, self.groups_of(subject, now), now)

    def subjects_with(self, held: str, on: Ref, type: str, now: Moment) -> set[Id]:
        """Every subject of a type (not groups: whoever is in them) that holds it on the object."""
        expression = self.rules.expression(on.type, held)
        if expression is None or type not in self.rules.subjects:
            return set()
        return self._subjects(on.type, expression, on.id, self.rules.subjects[type], now)

    def explain(self, subject: Ref, held: str, on: Ref, now: Moment) -> Explanation:
        """The same answer as check(), with what grants it, or the nearest reason why not."""
        return _Explainer(self, subject, held, on, now).answer()

    def edges_at(self, now: Moment) -> Iterator[Edge]:
        """Every edge that has not expired."""
        for slot, (type, relation, to, via) in enumerate(self.rules.named_slots):
            for id in self.edges[slot]:
                for one in self.subjects_of(slot, id, now):
                    yield Edge(type, id, relation, to, one, via)

    def holds(self, slot: int, object: Id, subject: Id, now: Moment) -> bool:
        """Whether an edge that is there has not expired."""
        return not self.ends or self.ends.get((slot, object, subject), ALWAYS) > now

    def groups_of(self, subject: Ref, now: Moment, entered: Entered | None = None) -> Mine:
        """Everything the subject counts as. Groups that contain each other do no harm.

        entered: is told for each group, nearest first, which edge let the subject in.
        """
        rules, kinds = self.rules, self.rules.kinds
        mine: Mine = [set() for _ in kinds]
        start = rules.subjects[subject.type]
        mine[start].add(subject.id)
        waiting = [(start, subject.id)]
        for kind, id in waiting:  # grows while it is read
            for slot in rules.groups_with[kind]:
                found = self._groups[slot].get(id)
                if found is None:
                    continue
                group = rules.group_of[slot]
                for one in (found,) if isinstance(found, int) else sorted(found):
                    if one not in mine[group] and self.holds(slot, one, id, now):
                        mine[group].add(one)
                        waiting.append((group, one))
                        if entered is not None:
                            entered[group, one] = (slot, id)
        return mine

    def subjects_of(self, slot: int, object: Id, now: Moment) -> Iterator[Id]:
        """Subjects at the other end of an object's edges of one slot."""
        found = self.edges[slot].get(object)
        if found is None:
            return
        for one in (found,) if isinstance(found, int) else found:
            if self.holds(slot, object, one, now):
                yield one

    def _objects(self, type: str, expression: Expression, mine: Mine, now: Moment) -> set[Id]:
        match expression:
            case Has(relation):
                found: set[Id] = set()
                for slot in self.rules.slots_of.get((type, relation), ()):
                    if groups := mine[self.rules.kind_of[slot]]:
                        found |= self._leading_to(slot, groups, now)
                return found
            case Through(relation, held):
                found = set()
                for slot, target in self.rules.arrows(type, relation):
                    onward = self.rules.expression(target, held)
                    if onward and (ends := self._objects(target, onward, mine, now)):
                        found |= self._leading_to(slot, ends, now)
                return found
            case AnyOf(terms):
                return set().union(*(self._objects(type, one, mine, now) for one in terms))
            case Except(base, without):
                found = self._objects(type, base, mine, now)
                return found - self._objects(type, without, mine, now) if found else found

    def _leading_to(self, slot: int, ends: set[Id], now: Moment) -> set[Id]:
        """Objects with an edge to any of `ends`."""
        edges = self.edges[slot].items()
        if not self.ends:
            return {
                id
                for id, found in edges
                if (found in ends if isinstance(found, int) else not ends.isdisjoint(found))
            }
        return {
            id
            for id, found in edges
            for one in ((found,) if isinstance(found, int) else found)
            if one in ends and self.holds(slot, id, one, now)
        }

    def _subjects(
        self, type: str, expression: Expression, id: Id, kind: int, now: Moment
    ) -> set[Id]:
        match expression:
            case Has(relation):
                return self._members(type, relation, id, kind, now)
            case Through(relation, held):
                found: set[Id] = set()
                for slot, target in self.rules.arrows(type, relation):
                    if onward := self.rules.expression(target, held):
                        for one in self.subjects_of(slot, id, now):
                            found |= self._subjects(target, onward, one, kind, now)
                return found
            case AnyOf(terms):
                return set().union(*(self._subjects(type, one, id, kind, now) for one in terms))
            case Except(base, without):
                found = self._subjects(type, base, id, kind, now)
                return found - self._subjects(type, without, id, kind, now) if found else found

    def _members(self, type: str, relation: str, id: Id, kind: int, now: Moment) -> set[Id]:
        """Subjects of a kind in a relation, themselves or by groups of groups."""
        found: set[Id] = set()
        names = self.rules.named_slots
        waiting = [(type, relation, id)]
        seen = set(waiting)
        while waiting:
            type, relation, id = waiting.pop()
            for slot in self.rules.slots_of.get((type, relation), ()):
                _, _, to, via = names[slot]
                for one in self.subjects_of(slot, id, now):
                    if self.rules.kind_of[slot] == kind:
                        found.add(one)
                    elif via and (to, via, one) not in seen:
                        seen.add((to, via, one))
                        waiting.append((to, via, one))
        return found


class _Explainer:
    """One question to a graph, answered with the way there."""

    def __init__(self, graph: Graph, subject: Ref, held: str, on: Ref, now: Moment) -> None:
        self.graph, self.subject, self.held, self.on, self.now = graph, subject, held, on, now
        self.rules = graph.rules
        self.mine: Mine = []
        self.entered: Entered = {}

    def answer(self) -> Explanation:
        revision = self.graph.revision
        expression = self.rules.expression(self.on.type, self.held)
        if expression is None or self.subject.type not in self.rules.subjects:
            return Explanation(False, "undefined", revision=revision)
        self._look(self.now)
        if path := self._path(self.on.type, expression, self.on.id):
            return Explanation(True, "granted", path, revision=revision)
        for base, without in _exclusions(expression):
            had = self._path(self.on.type, base, self.on.id)
            barred = self._path(self.on.type, without, self.on.id)
            if had and barred:
                return Explanation(False, "excluded", had, barred, revision=revision)
        needed = tuple(dict.fromkeys(self._needed(self.on.type, expression, self.on.id)))
        active = Subject(self.subject.type, "active")
        if active in self.rules.kinds and not self.mine[self.rules.kinds[active]]:
            return Explanation(False, "inactive", needed=needed, revision=revision)
        if not self._is_known():
            return Explanation(False, "unknown", revision=revision)
        self._look(LONG_AGO)
        if path := self._path(self.on.type, expression, self.on.id):
            return Explanation(False, "expired", path, needed=needed, revision=revision)
        return Explanation(False, "missing", needed=needed, revision=revision)

    def _look(self, now: Moment) -> None:
        self.now, self.entered = now, {}
        self.mine = self.graph.groups_of(self.subject, now, self.entered)

    def _path(self, type: str, expression: Expression, id: Id) -> Path | None:
        match expression:
            case Has(relation):
                for slot in self.rules.slots_of.get((type, relation), ()):
                    kind = self.rules.kind_of[slot]
                    mine = self.mine[kind].intersection(
                        self.graph.subjects_of(slot, id, self.now) if self.mine[kind] else ()
                    )
                    if mine:
                        return (self._step(slot, id, min(mine)), *self._way_in(kind, min(mine)))
                return None
            case Through(relation, held):
                for slot, target in self.rules.arrows(type, relation):
                    onward = self.rules.expression(target, held)
                    for one in self.graph.subjects_of(slot, id, self.now) if onward else ():
                        if onward and (rest := self._path(target, onward, one)):
                            return (self._step(slot, id, one), *rest)
                return None
            case AnyOf(terms):
                return next((path for one in terms if (path := self._path(type, one, id))), None)
            case Except(base, without):
                if (path := self._path(type, base, id)) and not self._path(type, without, id):
                    return path
                return None

    def _way_in(self, kind: int, id: Id) -> Iterator[Step]:
        while (entered := self.entered.get((kind, id))) is not None:
            slot, member = entered
            yield self._step(slot, id, member)
            kind, id = self.rules.kind_of[slot], member

    def _step(self, slot: int, object: Id, subject: Id) -> Step:
        type, relation, to, via = self.rules.named_slots[slot]
        until = self.graph.ends.get((slot, object, subject), ALWAYS)
        return Step(Edge(type, object, relation, to, subject, via), until)

    def _needed(self, type: str, expression: Expression, id: Id) -> Iterator[tuple[Ref, str]]:
        match expression:
            case Has(relation):
                yield Ref(type, id), relation
            case Through(relation, held):
                for slot, target in self.rules.arrows(type, relation):
                    onward = self.rules.expression(target, held)
                    for one in self.graph.subjects_of(slot, id, self.now) if onward else ():
                        if onward:
                            yield from self._needed(target, onward, one)
            case AnyOf(terms):
                for term in terms:
                    yield from self._needed(type, term, id)
            case Except(base, _):
                yield from self._needed(type, base, id)

    def _is_known(self) -> bool:
        graph, rules = self.graph, self.rules
        return any(
            self.on.id in graph.edges[slot]
            for slot, (type, *_) in enumerate(rules.named_slots)
            if type == self.on.type
        ) or any(
            found == self.on.id if isinstance(found, int) else self.on.id in found
            for slot, (*_, to, via) in enumerate(rules.named_slots)
            if to == self.on.type and not via
            for found in graph.edges[slot].values()
        )


def check_model(model: Model) -> None:
    """Raise ModelError for what the engines could not answer alike.

    That is: a name nobody defines, an arrow over a relation that may hold groups, or a permission
    that leads back to itself (groups may; PostgreSQL could not tell when to stop for those).
    """

    def follow(type: str, held: str, above: tuple[tuple[str, str], ...]) -> None:
        if (type, held) in above:
            raise ModelError(f"{type}.{held} leads back to itself")
        one = model[type]
        if held not in one.relations:
            walk(type, one.permissions[held], (*above, (type, held)))

    def walk(type: str, expression: Expression, above: tuple[tuple[str, str], ...]) -> None:
        relations = model[type].relations
        match expression:
            case Has(relation):
                if relation not in relations:
                    raise ModelError(f"{type} has no relation {relation}")
            case Through(relation, held):
                targets = [subject.type for subject in relations.get(relation, ())]
                if not targets or any(subject.relation for subject in relations[relation]):
                    raise ModelError(f"{type}.{relation} does not lead to objects alone")
                known = [t for t in targets if held in (*model[t].relations, *model[t].permissions)]
                if not known:
                    raise ModelError(f"nothing that {type}.{relation} leads to has {held}")
                for target in known:
                    follow(target, held, above)
            case AnyOf(terms):
                for one in terms:
                    walk(type, one, above)
            case Except(base, without):
                walk(type, base, above)
                walk(type, without, above)

    for name, one in model.items():
        for relation, subjects in one.relations.items():
            for subject in subjects:
                target = model.get(subject.type)
                if target is None or (
                    subject.relation and subject.relation not in target.relations
                ):
                    raise ModelError(f"{name}.{relation} may hold {subject}, which there is not")
        if both := set(one.relations) & set(one.permissions):
            raise ModelError(f"{name} has {sorted(both)} as relation and as permission")
        for permission in one.permissions:
            follow(name, permission, ())


def _exclusions(expression: Expression) -> Iterable[tuple[Expression, Expression]]:
    """Each thing that is taken away, with what it is taken from, outermost first."""
    match expression:
        case Except(base, without):
            yield base, without
            yield from _exclusions(base)
        case AnyOf(terms):
            for one in terms:
                yield from _exclusions(one)


def _contains(edges: dict[Id, Ids], key: Id, value: Id) -> bool:
    found = edges.get(key)
    if found is None:
        return False
    return found == value if isinstance(found, int) else value in found


def _add(edges: dict[Id, Ids], key: Id, value: Id) -> None:
    found = edges.get(key)
    if found is None:
        edges[key] = value
    elif isinstance(found, int):
        edges[key] = {found, value}
    else:
        found.add(value)


def _remove(edges: dict[Id, Ids], key: Id, value: Id) -> None:
    found = edges[key]
    if isinstance(found, int) or len(found) == 1:
        del edges[key]
    else:
        found.discard(value)
