"""Random worlds for the engines to disagree about: models, tuples, questions."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from authz.graph import ALWAYS, Edge, Graph, ModelError, Ref, Rules, check_model
from authz.model import MODEL, AnyOf, Except, Has, Model, ObjectType, Subject, Through

PAST, FUTURE = -3600.0, 3600.0  # seconds from now


@dataclass
class World:
    """A model with tuples; `until` is relative to now, ALWAYS for tuples that stay."""

    model: Model
    ids: dict[str, list[int]]
    edges: dict[Edge, float]

    def graph(self, now: float, rules: Rules | None = None) -> Graph:
        graph = Graph(rules or Rules(self.model))
        for edge, until in self.edges.items():
            graph.put(edge, until if until == ALWAYS else now + until)
        return graph

    def living(self) -> list[Edge]:
        return [edge for edge, until in self.edges.items() if until > 0]

    def questions(self) -> Iterator[tuple[Ref, str, Ref]]:
        """Every user, everything that can be held, every object."""
        for user in self.ids["user"]:
            for name, one in self.model.items():
                for held in (*one.relations, *one.permissions):
                    for id in self.ids[name]:
                        yield Ref("user", user), held, Ref(name, id)


def one_id(dice: random.Random) -> int:
    return UUID(int=dice.getrandbits(128), version=4).int


def of_the_product(dice: random.Random, size: int = 4, *, circles: bool = False) -> World:
    """Tuples over MODEL, some of kinds that no row makes yet, such as roles of teams."""
    ids = {name: [one_id(dice) for _ in range(dice.randint(1, size))] for name in MODEL}
    ids["tenant"] = ids["tenant"][:2]
    return World(MODEL, ids, _edges(dice, MODEL, ids, circles))


def of_any_kind(dice: random.Random, size: int = 4) -> World:
    """Tuples over a model that nobody has thought of."""
    model = _model(dice)
    ids = {name: [one_id(dice) for _ in range(dice.randint(1, size))] for name in model}
    if dice.random() < 0.3:  # ids are unlike in practice; the engines must not count on it
        one, other = dice.sample(list(ids), 2)
        ids[one][0] = ids[other][0]
    return World(model, ids, _edges(dice, model, ids, circles=False))


def _edges(
    dice: random.Random, model: Model, ids: dict[str, list[int]], circles: bool
) -> dict[Edge, float]:
    density = dice.choice([0.1, 0.3, 0.6])
    edges = {}
    for name, one in model.items():
        for relation, subjects in one.relations.items():
            for subject in subjects:
                for place, id in enumerate(ids[name]):
                    for other, end in enumerate(ids[subject.type]):
                        inward = not circles and subject.relation and _may_circle(model, name)
                        if inward and _rank(model, subject.type, other) >= _rank(
                            model, name, place
                        ):
                            continue
                        chance = 0.8 if (name, relation) == ("user", "active") else density
                        if name == subject.type == "user" and id != end:
                            continue
                        if dice.random() < chance:
                            until = dice.choices([ALWAYS, FUTURE, PAST], [8, 1, 1])[0]
                            edges[Edge(name, id, relation, subject.type, end, subject.relation)] = (
                                until
                            )
    return edges


def _may_circle(model: Model, name: str) -> bool:
    return name != "user"


def _rank(model: Model, name: str, place: int) -> tuple[int, int]:
    """Groups contain only what comes before them, so that SpiceDB finds an end."""
    return list(model).index(name), place


def _model(dice: random.Random) -> Model:
    while True:
        model = _any_model(dice)
        try:
            check_model(model)
        except ModelError:
            continue
        return model


def _any_model(dice: random.Random) -> Model:
    names = ["user", *(f"type_{letter}" for letter in "abcd"[: dice.randint(1, 4)])]
    model: dict[str, ObjectType] = {"user": ObjectType({"active": (Subject("user"),)})}
    for number, name in enumerate(names[1:], start=1):
        relations: dict[str, tuple[Subject, ...]] = {}
        people = [Subject("user"), Subject("user", "active")]
        groups = [
            Subject(other, relation)
            for other in names[1:number]
            for relation in model[other].relations
            if relation.startswith("role")
        ]
        for letter in "xyz"[: dice.randint(1, 3)]:
            some = dice.sample(people + groups, dice.randint(1, min(3, len(people + groups))))
            if dice.random() < 0.3:
                some.append(Subject(name, f"role_{letter}"))
            relations[f"role_{letter}"] = tuple(dict.fromkeys(some))
        for letter in "uvw"[: dice.randint(0, 2)]:
            ends = dice.sample(names[1 : number + 1], dice.randint(1, number))
            relations[f"link_{letter}"] = tuple(Subject(end) for end in ends if end != name) or (
                Subject(name),
            )
        permissions: dict[str, object] = {}
        model[name] = ObjectType(relations, permissions)
        for count in range(dice.randint(1, 4)):
            permissions[f"may_{count}"] = _expression(dice, model, name, 2)
    return model


def _expression(dice: random.Random, model: dict[str, ObjectType], name: str, depth: int):
    one = model[name]
    roles = [relation for relation in one.relations if relation.startswith("role")]
    links = [relation for relation in one.relations if relation.startswith("link")]
    kind = dice.choice(["has", "through", "any", "except"] if depth else ["has", "through"])
    if kind == "through" and links:
        link = dice.choice(links)
        end = model[dice.choice(one.relations[link]).type]
        return Through(link, dice.choice([*end.relations, *end.permissions]))
    if kind == "any":
        count = dice.randint(2, 3)
        return AnyOf(tuple(_expression(dice, model, name, depth - 1) for _ in range(count)))
    if kind == "except":
        return Except(
            _expression(dice, model, name, depth - 1), _expression(dice, model, name, depth - 1)
        )
    return Has(dice.choice(roles))
