"""OpenFGA through its HTTP API; every tenant has a store of its own there.

Source: https://github.com/openfga/api, docs/openapiv2/apidocs.swagger.json, version 1.x.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from authz import openfga, spicedb
from authz.graph import Edge, Ref
from authz.model import MODEL
from authz.outside.engine import Api, EngineFault, Place, Question, portions

WRITES_AT_ONCE = 100  # the most that a server takes as it comes
CHECKS_AT_ONCE = 50
# The most that a server lists as it comes. It says nowhere that it left some out.
LISTED_AT_ONCE = 1000


class Openfga:
    """authz.outside.Engine for OpenFGA. It has no tokens: every check asks for the newest state."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def prepare(self, tenant_id: UUID) -> Place:
        store = _text(self._api.post("/stores", {"name": f"countersign-{tenant_id}"}), "id")
        said = self._api.post(f"/stores/{store}/authorization-models", openfga.model_of(MODEL))
        return Place(tenant_id, f"{store}/{_text(said, 'authorization_model_id')}")

    def write(self, place: Place, put: Sequence[Edge], drop: Sequence[Edge]) -> str:
        store, model = place.store.split("/")
        for key, edges, again in (
            ("deletes", drop, {"on_missing": "ignore"}),
            ("writes", put, {"on_duplicate": "ignore"}),
        ):
            for some in portions(edges, WRITES_AT_ONCE):
                body = {
                    key: {"tuple_keys": list(map(_key, some)), **again},
                    "authorization_model_id": model,
                }
                self._api.post(f"/stores/{store}/write", body)
        return ""

    def check_many(self, place: Place, questions: Sequence[Question], token: str) -> list[bool]:
        store, model = place.store.split("/")
        answers: list[bool] = []
        for some in portions(questions, CHECKS_AT_ONCE):
            checks = [
                {
                    "tuple_key": {
                        "user": _object(one.subject),
                        "relation": spicedb.held_name(MODEL, one.on.type, one.held),
                        "object": _object(one.on),
                    },
                    "correlation_id": str(number),
                }
                for number, one in enumerate(some)
            ]
            answer = self._api.post(
                f"/stores/{store}/batch-check",
                {
                    "checks": checks,
                    "authorization_model_id": model,
                    "consistency": "HIGHER_CONSISTENCY",
                },
            )
            found = answer.get("result")
            if not isinstance(found, dict):
                raise EngineFault("batch-check: the answer has no result")
            answers += [_yes(found.get(check["correlation_id"])) for check in checks]
        return answers

    def objects_with(
        self, place: Place, subject: Ref, held: str, type: str, token: str, most: int
    ) -> set[UUID] | None:
        store, model = place.store.split("/")
        answer = self._api.post(
            f"/stores/{store}/list-objects",
            {
                "authorization_model_id": model,
                "type": type,
                "relation": spicedb.held_name(MODEL, type, held),
                "user": _object(subject),
                "consistency": "HIGHER_CONSISTENCY",
            },
        )
        said = answer.get("objects", [])
        if not isinstance(said, list):
            raise EngineFault("list-objects: the answer has no objects")
        found = {_id(type, one) for one in said}
        return None if len(found) > most or len(said) >= LISTED_AT_ONCE else found

    def clear(self, place: Place) -> None:
        self._api.delete(f"/stores/{place.store.split('/')[0]}")


def _yes(said: Any) -> bool:
    if not isinstance(said, dict) or said.get("error"):
        raise EngineFault(f"batch-check: {said.get('error') if said else 'a question unanswered'}")
    allowed = said.get("allowed", False)  # what is false may be left out
    if not isinstance(allowed, bool):
        raise EngineFault(f"batch-check: neither yes nor no: {allowed!r}")
    return allowed


def _id(type: str, said: Any) -> UUID:
    name, _, id = str(said).partition(":")
    try:
        if name == type:
            return UUID(id)
    except ValueError:
        pass
    raise EngineFault(f"list-objects: {said!r} is no {type}")


def _text(said: dict[str, Any], key: str) -> str:
    found = said.get(key)
    if not isinstance(found, str) or not found:
        raise EngineFault(f"the answer has no {key}")
    return found


def _object(ref: Ref) -> str:
    return f"{ref.type}:{UUID(int=ref.id)}"


def _key(edge: Edge) -> dict[str, str]:
    user = _object(Ref(edge.subject_type, edge.subject_id))
    if edge.subject_relation:
        user += f"#{edge.subject_relation}"
    return {
        "user": user,
        "relation": edge.relation,
        "object": _object(Ref(edge.object_type, edge.object_id)),
    }
