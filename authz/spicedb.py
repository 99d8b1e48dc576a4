"""The model in SpiceDB's words, for whoever outgrows one database, and for tests.

Source: SpiceDB's schema language, https://authzed.com/docs/spicedb/concepts/schema. Names have
3 to 64 characters of a-z, 0-9 and _.
"""

import re

from authz.model import AnyOf, Except, Expression, Has, Model, Subject, Through

NAME = re.compile(r"[a-z][a-z0-9_]{1,62}[a-z0-9]")


def schema(model: Model) -> str:
    """The schema text of a model. Raises ValueError for a name that SpiceDB would not take."""
    definitions = []
    for name, one in model.items():
        lines = [f"definition {_checked(name)} {{"]
        lines += [
            f"    relation {_checked(relation)}: {' | '.join(map(_subject, subjects))}"
            for relation, subjects in one.relations.items()
        ]
        lines += [
            f"    permission {permission_name(permission)} = {_said(model, expression)}"
            for permission, expression in one.permissions.items()
        ]
        definitions.append("\n".join((*lines, "}")))
    return "\n\n".join(definitions) + "\n"


def permission_name(permission: str) -> str:
    """What a permission is called there; relations keep their names, so the two never meet."""
    return _checked(f"may_{permission.replace('.', '_')}")


def held_name(model: Model, type: str, held: str) -> str:
    """What a permission or relation of a type is called there."""
    return _checked(held) if held in model[type].relations else permission_name(held)


def _said(model: Model, expression: Expression) -> str:
    match expression:
        case Has(relation):
            return _checked(relation)
        case Through(relation, held):
            is_relation = any(held in one.relations for one in model.values())
            return f"{_checked(relation)}->{held if is_relation else permission_name(held)}"
        case AnyOf(terms):
            return f"({' + '.join(_said(model, term) for term in terms)})"
        case Except(base, without):
            return f"({_said(model, base)} - {_said(model, without)})"


def _subject(subject: Subject) -> str:
    return f"{_checked(subject.type)}#{subject.relation}" if subject.relation else subject.type


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError(f"SpiceDB takes no name such as {name!r}")
    return name
