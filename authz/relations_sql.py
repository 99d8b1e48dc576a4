"""The same answers as authz.graph, given by PostgreSQL: functions made from the model.

Stateless, so it is the fallback; made from the same table by other code, so it is the oracle.
"""

# ruff: noqa: S608  # what is put together here comes from the model, nothing from a request

from collections.abc import Callable, Collection, Iterator, Sequence

from authz.model import AnyOf, Except, Expression, Has, Model, Subject, Through

CHECK, OBJECTS = "authz_check", "authz_objects"
# Counts for something at the moment of the statement; `at` is that moment.
ALIVE = "({t}.expires_at IS NULL OR {t}.expires_at > at)"


def statements(model: Model, schema: str, tuples: str) -> Iterator[str]:
    """What makes authz_check and authz_objects. tuples: the table, as SQL names it."""
    writer = _Writer(model, tuples)
    yield writer.function(
        f'"{schema}".{CHECK}(subject_of text, subject uuid, wanted text, of_type text, thing uuid)',
        "boolean",
        writer.check_type,
        "RETURN false;",
    )
    yield writer.function(
        f'"{schema}".{OBJECTS}(subject_of text, subject uuid, wanted text, of_type text)',
        "SETOF uuid",
        writer.objects_of_type,
        "RETURN;",
    )
    for signature in (
        f"{CHECK}(text, uuid, text, text, uuid)",
        f"{OBJECTS}(text, uuid, text, text)",
    ):
        yield f'REVOKE ALL ON FUNCTION "{schema}".{signature} FROM PUBLIC'
        yield f'GRANT EXECUTE ON FUNCTION "{schema}".{signature} TO portal_app, portal_auditor'


class _Writer:
    """Writes plpgsql for one model.

    OFFSET 0 keeps PostgreSQL from turning a question about one object into a list of all that the
    subject has. Every plan is generic: planning anew took five times as long as answering.

    The variable `mine` holds the ids of all groups that the subject is in, itself included, and
    `mine_n` those of the n-th kind of subject; expressions then ask for tuples whose subject is
    one of them. `mine` is asked for besides because an index cannot follow an OR.
    """

    def __init__(self, model: Model, tuples: str) -> None:
        self.model = model
        self.tuples = tuples
        self.kinds: dict[Subject, int] = {}
        for one in model.values():
            for subjects in one.relations.values():
                for subject in subjects:
                    self.kinds.setdefault(subject, len(self.kinds))
        self.names = 0

    def function(
        self, signature: str, returns: str, branches: Callable[[str], str], otherwise: str
    ) -> str:
        """One function: who is in what first, then a branch for each type."""
        declared = "\n".join(f"    mine_{number} uuid[];" for number in self.kinds.values())
        targets = "".join(f", mine_{number}" for number in self.kinds.values())
        gathered = "".join(
            f",\n        array_agg(g.id) FILTER (WHERE g.type = {_text(kind.type)}"
            f" AND g.relation = {_text(kind.relation)})"
            for kind in self.kinds
        )
        body = []
        for name in self.model:
            if inner := branches(name):
                body.append(f"    IF of_type = {_text(name)} THEN\n{inner}    END IF;\n")
        return (
            f"CREATE OR REPLACE FUNCTION {signature} RETURNS {returns}\n"
            "LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $authz$\n"
            "#variable_conflict use_column\n"
            "DECLARE\n"
            "    at timestamptz := statement_timestamp();\n"
            "    mine uuid[];\n"
            f"{declared}\n"
            "BEGIN\n"
            f"{self._groups()}"
            f"    SELECT\n        array_agg(g.id){gathered}\n"
            f"    INTO mine{targets} FROM groups g;\n"
            f"{''.join(body)}"
            f"    {otherwise}\n"
            "END\n$authz$"
        )

    def check_type(self, type: str) -> str:
        """Branches of one type for CHECK: what is held, to a yes or no."""
        return "".join(
            f"        IF wanted IN ({_texts(held)}) THEN\n            RETURN {said};\n"
            "        END IF;\n"
            for said, held in self._alike(type, lambda one: self.test(type, one, "thing"))
        )

    def objects_of_type(self, type: str) -> str:
        """Branches of one type for OBJECTS: what is held, to a set of ids."""
        return "".join(
            f"        IF wanted IN ({_texts(held)}) THEN\n"
            f"            RETURN QUERY SELECT DISTINCT o.id FROM ({said}) o (id);\n"
            "            RETURN;\n        END IF;\n"
            for said, held in self._alike(type, lambda one: self.ids(type, one))
        )

    def test(self, type: str, expression: Expression, id: str) -> str:
        """A condition: the expression holds for the object whose id the SQL `id` says."""
        match expression:
            case Has(relation):
                return self._has(type, (relation,), id)
            case Through(relation, held):
                said = []
                for target in self._targets(type, relation, held):
                    t = self._name()
                    said.append(
                        f"EXISTS (SELECT FROM {self.tuples} {t} WHERE {self._is(t, type, id)}"
                        f" AND {t}.relation = {_text(relation)}"
                        f" AND {t}.subject_type = {_text(target)} AND {t}.subject_relation = ''"
                        f" AND {ALIVE.format(t=t)}"
                        f" AND {self.test(target, self._held(target, held), f'{t}.subject_id')}"
                        " OFFSET 0)"
                    )
                return _any(said)
            case AnyOf(terms):
                own = tuple(term.relation for term in terms if isinstance(term, Has))
                said = [self._has(type, own, id)] if own else []
                said += [self.test(type, term, id) for term in terms if not isinstance(term, Has)]
                return _any(said)
            case Except(base, without):
                return f"({self.test(type, base, id)} AND NOT {self.test(type, without, id)})"

    def ids(self, type: str, expression: Expression) -> str:
        """A query for the ids of all objects of a type that the expression holds for."""
        match expression:
            case Has(relation):
                return self._ids_had(type, (relation,))
            case Through(relation, held):
                said = []
                for target in self._targets(type, relation, held):
                    t = self._name()
                    said.append(
                        f"SELECT {t}.object_id FROM {self.tuples} {t}"
                        f" WHERE {t}.object_type = {_text(type)}"
                        f" AND {t}.relation = {_text(relation)}"
                        f" AND {t}.subject_type = {_text(target)} AND {t}.subject_relation = ''"
                        f" AND {ALIVE.format(t=t)} AND {t}.subject_id IN"
                        f" ({self.ids(target, self._held(target, held))})"
                    )
                return _union(said)
            case AnyOf(terms):
                own = tuple(term.relation for term in terms if isinstance(term, Has))
                said = [self._ids_had(type, own)] if own else []
                said += [self.ids(type, term) for term in terms if not isinstance(term, Has)]
                return _union(said)
            case Except(base, without):
                return f"(({self.ids(type, base)}) EXCEPT ({self.ids(type, without)}))"

    def _groups(self) -> str:
        """Opens the query for everything that the subject counts as."""
        ways = [
            (name, relation, who.type, who.relation)
            for name, one in self.model.items()
            for relation, subjects in one.relations.items()
            if Subject(name, relation) in self.kinds
            for who in subjects
        ]
        start = (
            "    WITH RECURSIVE groups (type, id, relation) AS (\n"
            '        SELECT subject_of COLLATE "C", subject, \'\' COLLATE "C"\n'
        )
        if not ways:
            return f"{start}    )\n"
        return (
            f"{start}"
            "        UNION\n"
            "        SELECT t.object_type::text, t.object_id, t.relation::text\n"
            f"        FROM groups g JOIN {self.tuples} t ON t.subject_id = g.id\n"
            "            AND t.subject_type = g.type AND t.subject_relation = g.relation\n"
            f"        WHERE t.object_type IN ({_texts({way[0]: 0 for way in ways})})\n"
            f"            AND t.relation IN ({_texts({way[1]: 0 for way in ways})})\n"
            "            AND (t.object_type, t.relation, t.subject_type, t.subject_relation)\n"
            f"            IN ({', '.join(f'({_texts(way)})' for way in ways)})\n"
            f"            AND {ALIVE.format(t='t')}\n"
            "    )\n"
        )

    def _has(self, type: str, relations: Sequence[str], id: str) -> str:
        t = self._name()
        return (
            f"EXISTS (SELECT FROM {self.tuples} {t} WHERE {self._is(t, type, id)}"
            f" AND {self._mine(type, relations, t)} OFFSET 0)"
        )

    def _ids_had(self, type: str, relations: Sequence[str]) -> str:
        t = self._name()
        return (
            f"SELECT {t}.object_id FROM {self.tuples} {t} WHERE {t}.object_type = {_text(type)}"
            f" AND {self._mine(type, relations, t)}"
        )

    def _mine(self, type: str, relations: Sequence[str], t: str) -> str:
        """That the tuple's subject is the one who is asked about, or a group of theirs."""
        by_kind: dict[Subject, list[str]] = {}
        for relation in relations:
            for subject in self.model[type].relations[relation]:
                by_kind.setdefault(subject, []).append(relation)
        said = [
            f"({t}.subject_type = {_text(kind.type)}"
            f" AND {t}.subject_relation = {_text(kind.relation)}"
            f" AND {t}.subject_id = ANY (mine_{self.kinds[kind]})"
            + ("" if set(named) == set(relations) else f" AND {t}.relation IN ({_texts(named)})")
            + ")"
            for kind, named in by_kind.items()
        ]
        return (
            f"{t}.relation IN ({_texts(relations)}) AND {t}.subject_id = ANY (mine)"
            f" AND {_any(said)} AND {ALIVE.format(t=t)}"
        )

    def _is(self, t: str, type: str, id: str) -> str:
        return f"{t}.object_id = {id} AND {t}.object_type = {_text(type)}"

    def _targets(self, type: str, relation: str, held: str) -> list[str]:
        return [
            subject.type
            for subject in self.model[type].relations[relation]
            if held in self.model[subject.type].relations
            or held in self.model[subject.type].permissions
        ]

    def _held(self, type: str, held: str) -> Expression:
        one = self.model[type]
        return Has(held) if held in one.relations else one.permissions[held]

    def _alike(self, type: str, write: Callable[[Expression], str]) -> list[tuple[str, list[str]]]:
        """SQL of everything that can be held, with all that come to the same."""
        alike: dict[str, list[str]] = {}
        for held in (*self.model[type].relations, *self.model[type].permissions):
            self.names = 0
            alike.setdefault(write(self._held(type, held)), []).append(held)
        return list(alike.items())

    def _name(self) -> str:
        self.names += 1
        return f"t{self.names}"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _texts(values: Collection[str]) -> str:
    return ", ".join(map(_text, values))


def _any(said: Sequence[str]) -> str:
    return f"({' OR '.join(said)})" if said else "false"


def _union(said: Sequence[str]) -> str:
    return " UNION ".join(f"({one})" for one in said)
