"""The model in OpenFGA's words, for whoever outgrows one database.

Source: OpenFGA's authorization models, schema 1.1, https://openfga.dev/docs/configuration-language.
Names are those of authz.spicedb: a permission is a relation that nobody stands in directly.
"""

from typing import Any

from authz.model import AnyOf, Except, Expression, Has, Model, Subject, Through
from authz.spicedb import permission_name

VERSION = "1.1"
LONGEST_NAME = 50  # characters


def model_of(model: Model) -> dict[str, Any]:
    """What is sent to /authorization-models. Raises ValueError for a name that is too long."""
    return {
        "schema_version": VERSION,
        "type_definitions": [
            {
                "type": name,
                "relations": {_checked(relation): {"this": {}} for relation in one.relations}
                | {
                    _checked(permission_name(permission)): _said(model, expression)
                    for permission, expression in one.permissions.items()
                },
                "metadata": {
                    "relations": {
                        relation: {"directly_related_user_types": list(map(_subject, subjects))}
                        for relation, subjects in one.relations.items()
                    }
                },
            }
            for name, one in model.items()
        ],
    }


def _said(model: Model, expression: Expression) -> dict[str, Any]:
    match expression:
        case Has(relation):
            return {"computedUserset": {"relation": relation}}
        case Through(relation, held):
            is_relation = any(held in one.relations for one in model.values())
            return {
                "tupleToUserset": {
                    "tupleset": {"relation": relation},
                    "computedUserset": {"relation": held if is_relation else permission_name(held)},
                }
            }
        case AnyOf(terms):
            return {"union": {"child": [_said(model, term) for term in terms]}}
        case Except(base, without):
            return {"difference": {"base": _said(model, base), "subtract": _said(model, without)}}


def _subject(subject: Subject) -> dict[str, str]:
    if subject.relation:
        return {"type": subject.type, "relation": subject.relation}
    return {"type": subject.type}


def _checked(name: str) -> str:
    if len(name) > LONGEST_NAME:
        raise ValueError(
            f"OpenFGA takes no relation of more than {LONGEST_NAME} characters: {name}"
        )
    return name
