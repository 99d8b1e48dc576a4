"""SpiceDB and OpenFGA as the product reaches them: over HTTP, on this machine, for one test.

SpiceDB is the real one. Its embedded build has no HTTP of its own, so the bridge here turns JSON
into its messages and back by protobuf's own rules, as the server's gateway does: a field that the
API does not have is an error.

OpenFGA is NOT the real one, which has no build that could run here: a stand-in holds each request
against the published description (its names, required fields, limits) and answers by our own graph.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from time import time
from typing import Any
from uuid import UUID, uuid4

import authzed.api.v1 as api
from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceStub
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from spicedb_embedded.errors import SpiceDBError

from authz import spicedb
from authz.graph import Edge, Graph, Ref, Rules
from authz.model import MODEL
from tests.authz.relations.embedded_spicedb import Spicedb

SECRET = "s3cret"
Answer = tuple[int, dict[str, Any] | list[dict[str, Any]]]


@contextmanager
def served(answer: Callable[[str, str, dict[str, Any]], Answer]) -> Iterator[str]:
    """An HTTP server on loopback whose answers are `answer(method, path, body)`; its address."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size) or b"{}")
            if self.headers["Authorization"] != f"Bearer {SECRET}":
                status, said = 401, {"message": "who are you"}
            else:
                status, said = answer(self.command, self.path, body)
            # A stream of messages is one object in each line.
            lines = said if isinstance(said, list) else [said]
            sent = "\n".join(map(json.dumps, lines)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_POST = do_DELETE = _do

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def real_spicedb() -> Iterator[str]:
    """The address of a SpiceDB without tuples."""
    with Spicedb(MODEL) as embedded:
        permissions, schema = embedded._spicedb.permissions(), embedded._spicedb.schema()
        calls = {
            "/v1/schema/write": (schema.WriteSchema, api.WriteSchemaRequest),
            "/v1/relationships/write": (
                permissions.WriteRelationships,
                api.WriteRelationshipsRequest,
            ),
            "/v1/relationships/delete": (
                permissions.DeleteRelationships,
                api.DeleteRelationshipsRequest,
            ),
            "/v1/permissions/checkbulk": (
                permissions.CheckBulkPermissions,
                api.CheckBulkPermissionsRequest,
            ),
        }

        lists = PermissionsServiceStub(embedded._spicedb.channel())

        def answer(method: str, path: str, body: dict[str, Any]) -> Answer:
            if (method, path) == ("POST", "/v1/permissions/resources"):
                asked = ParseDict(body, api.LookupResourcesRequest())
                found = lists.LookupResources(asked)
                return 200, [{"result": MessageToDict(one)} for one in found]
            if method != "POST" or path not in calls:
                return 404, {"message": f"no {method} {path}"}
            call, message = calls[path]
            try:
                return 200, MessageToDict(call(ParseDict(body, message())))
            except ParseError as error:
                return 400, {"message": str(error)}
            except SpiceDBError as error:
                return 500, {"message": str(error)}

        with served(answer) as address:
            yield address


class StandInOpenfga:
    """What the description says of six operations, and our own graph behind it."""

    ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")

    def __init__(self) -> None:
        self.stores: dict[str, set[tuple[str, str, str]]] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.lock = Lock()
        self.down = False

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        if self.down:
            return 503, {"code": "unavailable", "message": "down"}
        try:
            with self.lock:
                return self._answer(method, path.strip("/").split("/"), body)
        except AssertionError as error:
            return 400, {"code": "validation_error", "message": str(error)}

    def _answer(self, method: str, path: list[str], body: dict[str, Any]) -> Answer:
        match method, path:
            case "POST", ["stores"]:
                _only(body, {"name": str}, required={"name"})
                assert 3 <= len(body["name"]) <= 64, "name"
                store = _ulid()
                self.stores[store] = set()
                return 201, {"id": store, "name": body["name"]}
            case "DELETE", ["stores", store] if store in self.stores:
                del self.stores[store]
                return 204, {}
            case "POST", ["stores", store, "authorization-models"] if store in self.stores:
                _check_model(body)
                model = _ulid()
                self.models[model] = body
                return 201, {"authorization_model_id": model}
            case "POST", ["stores", store, "write"] if store in self.stores:
                return self._write(store, body)
            case "POST", ["stores", store, "batch-check"] if store in self.stores:
                return self._check(store, body)
            case "POST", ["stores", store, "list-objects"] if store in self.stores:
                return self._list(store, body)
            case _:
                return 404, {"code": "undefined_endpoint", "message": "/".join(path)}

    def _write(self, store: str, body: dict[str, Any]) -> Answer:
        allowed = {"writes": dict, "deletes": dict, "authorization_model_id": str}
        _only(body, allowed, required=set())
        assert body["authorization_model_id"] in self.models, "authorization_model_id"
        keys = {name: body.get(name, {}).get("tuple_keys", []) for name in ("writes", "deletes")}
        assert 0 < sum(map(len, keys.values())) <= 100, "too many or no tuples in one write"
        for name, again in (("writes", "on_duplicate"), ("deletes", "on_missing")):
            if name in body:
                _only(body[name], {"tuple_keys": list, again: str}, required={"tuple_keys"})
                assert body[name].get(again, "error") in {"error", "ignore"}, again
        tuples = self.stores[store]
        for key in keys["deletes"]:
            one = _tuple(key)
            assert one in tuples or body["deletes"].get("on_missing") == "ignore", "not there"
        for key in keys["writes"]:
            one = _tuple(key)
            assert one not in tuples or body["writes"].get("on_duplicate") == "ignore", "twice"
        tuples -= {_tuple(key) for key in keys["deletes"]}
        tuples |= {_tuple(key) for key in keys["writes"]}
        return 200, {}

    def _check(self, store: str, body: dict[str, Any]) -> Answer:
        allowed = {"checks": list, "authorization_model_id": str, "consistency": str}
        _only(body, allowed, required={"checks"})
        assert body["consistency"] in {"UNSPECIFIED", "MINIMIZE_LATENCY", "HIGHER_CONSISTENCY"}
        assert 0 < len(body["checks"]) <= 50, "too many checks"
        graph, names = self._graph(store), _names()
        result = {}
        for check in body["checks"]:
            _only(check, {"tuple_key": dict, "correlation_id": str}, required={"tuple_key"})
            assert re.fullmatch(r"[\w\d-]{1,36}", check["correlation_id"]), "correlation_id"
            user, relation, thing = _tuple(check["tuple_key"])
            held = names.get(relation, relation)
            allowed_ = graph.check(_ref(user), held, _ref(thing), time())
            # Fields that are false may be left out of an answer.
            result[check["correlation_id"]] = {"allowed": True} if allowed_ else {}
        return 200, {"result": result}

    def _list(self, store: str, body: dict[str, Any]) -> Answer:
        wanted = {"type", "relation", "user"}
        allowed = dict.fromkeys((*wanted, "authorization_model_id", "consistency"), str)
        _only(body, allowed, required=wanted)
        assert body["consistency"] in {"UNSPECIFIED", "MINIMIZE_LATENCY", "HIGHER_CONSISTENCY"}
        assert re.fullmatch(r"[^:#@\s]{1,254}", body["type"]), "type"
        assert re.fullmatch(r"[^:#@\s]{1,50}", body["relation"]), "relation"
        held = _names().get(body["relation"], body["relation"])
        found = self._graph(store).objects_with(held, body["type"], _ref(body["user"]), time())
        return 200, {"objects": [f"{body['type']}:{UUID(int=id)}" for id in found][:1000]}

    def _graph(self, store: str) -> Graph:
        graph = Graph(Rules(MODEL))
        for user, relation, thing in self.stores[store]:
            subject, _, subject_relation = user.partition("#")
            graph.put(Edge(*_ref(thing), relation, *_ref(subject), subject_relation))
        return graph


def _names() -> dict[str, str]:
    return {
        spicedb.permission_name(permission): permission
        for one in MODEL.values()
        for permission in one.permissions
    }


def _check_model(body: dict[str, Any]) -> None:
    allowed = {"schema_version": str, "type_definitions": list}
    _only(body, allowed, required=set(allowed))
    assert body["schema_version"] in {"1.1", "1.2"}
    types = {one["type"]: one for one in body["type_definitions"]}
    assert len(types) == len(body["type_definitions"]), "a type twice"
    for one in types.values():
        _only(one, {"type": str, "relations": dict, "metadata": dict}, required={"type"})
        assert re.fullmatch(r"[^:#@\s]{1,254}", one["type"]), one["type"]
        direct = one["metadata"]["relations"]
        for name, userset in one["relations"].items():
            assert re.fullmatch(r"[^:#@\s]{1,50}", name), name
            _check_userset(userset, one, types)
            assert ("this" in userset) == (name in direct), f"{name}: who may stand in it"
        for name, said in direct.items():
            for reference in said["directly_related_user_types"]:
                assert reference["type"] in types, reference
                if "relation" in reference:
                    assert reference["relation"] in types[reference["type"]]["relations"], name


def _check_userset(userset: dict[str, Any], one: dict[str, Any], types: dict[str, Any]) -> None:
    [(kind, said)] = userset.items()
    relations = one["relations"]
    match kind:
        case "this":
            assert said == {}
        case "computedUserset":
            assert said["relation"] in relations, said
        case "tupleToUserset":
            over = said["tupleset"]["relation"]
            assert "this" in relations[over], f"{over} is not direct"
            targets = one["metadata"]["relations"][over]["directly_related_user_types"]
            assert all("relation" not in target for target in targets), over
            assert any(
                said["computedUserset"]["relation"] in types[target["type"]]["relations"]
                for target in targets
            ), said
        case "union":
            assert len(said["child"]) > 1
            for child in said["child"]:
                _check_userset(child, one, types)
        case "difference":
            _check_userset(said["base"], one, types)
            _check_userset(said["subtract"], one, types)
        case _:
            raise AssertionError(f"no such userset: {kind}")


def _only(body: dict[str, Any], allowed: dict[str, type], required: set[str]) -> None:
    assert required <= set(body), f"missing: {required - set(body)}"
    for name, value in body.items():
        assert name in allowed, f"unknown field {name}"
        assert isinstance(value, allowed[name]), f"{name} is a {type(value).__name__}"


def _tuple(key: dict[str, Any]) -> tuple[str, str, str]:
    _only(key, {"user": str, "relation": str, "object": str}, {"user", "relation", "object"})
    assert re.fullmatch(r"[^\s]{2,512}", key["user"]), "user"
    assert re.fullmatch(r"[^:#@\s]{1,50}", key["relation"]), "relation"
    assert re.fullmatch(r"[^\s]{2,256}", key["object"]), "object"
    return key["user"], key["relation"], key["object"]


def _ref(said: str) -> Ref:
    type, _, id = said.partition(":")
    return Ref(type, UUID(id).int)


def _ulid() -> str:
    return f"{uuid4().int % 32**25:026d}"[:26]
