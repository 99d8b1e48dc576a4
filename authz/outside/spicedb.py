"""SpiceDB through its HTTP API; all tenants share its tuples, under ids that begin with theirs.

Source: https://github.com/authzed/api, docs/apidocs.swagger.json, version 1.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from authz import spicedb
from authz.graph import Edge, Ref
from authz.model import MODEL
from authz.outside.engine import Api, EngineFault, Place, Question, portions

AT_ONCE = 500  # writes or questions in one request; the server takes 1,000
HAS = "PERMISSIONSHIP_HAS_PERMISSION"
HAS_NOT = "PERMISSIONSHIP_NO_PERMISSION"
LISTED = "LOOKUP_PERMISSIONSHIP_HAS_PERMISSION"


class Spicedb:
    """authz.outside.Engine for SpiceDB."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def prepare(self, tenant_id: UUID) -> Place:
        self._api.post("/v1/schema/write", {"schema": spicedb.schema(MODEL)})
        place = Place(tenant_id)
        self.clear(place)
        return place

    def write(self, place: Place, put: Sequence[Edge], drop: Sequence[Edge]) -> str:
        updates = [
            {"operation": operation, "relationship": _relationship(place, edge)}
            for operation, edges in (("OPERATION_TOUCH", put), ("OPERATION_DELETE", drop))
            for edge in edges
        ]
        token = ""
        for some in portions(updates, AT_ONCE):
            answer = self._api.post("/v1/relationships/write", {"updates": some})
            token = _text(answer.get("writtenAt"), "token")
        return token

    def check_many(self, place: Place, questions: Sequence[Question], token: str) -> list[bool]:
        answers: list[bool] = []
        for some in portions(questions, AT_ONCE):
            items = [
                {
                    "resource": _object(place, one.on),
                    "permission": spicedb.held_name(MODEL, one.on.type, one.held),
                    "subject": {"object": _object(place, one.subject)},
                }
                for one in some
            ]
            answer = self._api.post(
                "/v1/permissions/checkbulk", {"consistency": _as_new_as(token), "items": items}
            )
            pairs = answer.get("pairs")
            if not isinstance(pairs, list) or len(pairs) != len(some):
                raise EngineFault("/v1/permissions/checkbulk: not one answer for each question")
            answers += [_yes(pair, item) for pair, item in zip(pairs, items, strict=True)]
        return answers

    def objects_with(
        self, place: Place, subject: Ref, held: str, type: str, token: str, most: int
    ) -> set[UUID] | None:
        path = "/v1/permissions/resources"
        answers = self._api.post_for_many(
            path,
            {
                "consistency": _as_new_as(token),
                "resourceObjectType": type,
                "permission": spicedb.held_name(MODEL, type, held),
                "subject": {"object": _object(place, subject)},
                "optionalLimit": most + 1,
            },
        )
        found = set()
        for answer in answers:
            said = answer.get("result", {})
            if said.get("permissionship") != LISTED:
                raise EngineFault(f"{path}: {answer.get('error') or said}")
            found.add(_id(place, path, said.get("resourceObjectId")))
        # One object may be named twice, so that it is not said how many are left out.
        return None if len(answers) > most else found

    def clear(self, place: Place) -> None:
        for name, one in MODEL.items():
            if one.relations:
                self._api.post(
                    "/v1/relationships/delete",
                    {
                        "relationshipFilter": {
                            "resourceType": name,
                            "optionalResourceIdPrefix": f"{place.tenant_id}/",
                        }
                    },
                )


def _yes(pair: dict[str, Any], item: dict[str, Any]) -> bool:
    asked = pair.get("request", {})
    # An answer is to what it says it is to, not to what stood at its place.
    if any(asked.get(key) != item[key] for key in ("resource", "permission")):
        raise EngineFault("/v1/permissions/checkbulk: an answer to another question")
    if asked.get("subject", {}).get("object") != item["subject"]["object"]:
        raise EngineFault("/v1/permissions/checkbulk: an answer about somebody else")
    said = pair.get("item", {}).get("permissionship")
    if said not in (HAS, HAS_NOT):
        raise EngineFault(f"/v1/permissions/checkbulk: {pair.get('error') or said}")
    return bool(said == HAS)


def _as_new_as(token: str) -> dict[str, Any]:
    return {"atLeastAsFresh": {"token": token}} if token else {"fullyConsistent": True}


def _id(place: Place, path: str, said: Any) -> UUID:
    tenant, _, id = str(said).partition("/")
    try:
        if UUID(tenant) == place.tenant_id:
            return UUID(id)
    except ValueError:
        pass
    raise EngineFault(f"{path}: {said!r} is nothing of this tenant")


def _text(holder: Any, key: str) -> str:
    found = holder.get(key) if isinstance(holder, dict) else None
    if not isinstance(found, str) or not found:
        raise EngineFault(f"the answer has no {key}")
    return found


def _object(place: Place, ref: Ref) -> dict[str, str]:
    return {"objectType": ref.type, "objectId": f"{place.tenant_id}/{UUID(int=ref.id)}"}


def _relationship(place: Place, edge: Edge) -> dict[str, Any]:
    subject: dict[str, Any] = {"object": _object(place, Ref(edge.subject_type, edge.subject_id))}
    if edge.subject_relation:
        subject["optionalRelation"] = edge.subject_relation
    return {
        "resource": _object(place, Ref(edge.object_type, edge.object_id)),
        "relation": edge.relation,
        "subject": subject,
    }
