"""The generated SQL over a table of its own, for models and tuples that no tenant has."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import psycopg

from authz import relations_sql
from authz.graph import ALWAYS, Ref
from tests.authz.relations.random_worlds import World

TABLE = """
CREATE SCHEMA scratch;
CREATE TABLE scratch.tuples (
    object_type varchar(20) COLLATE "C", object_id uuid, relation varchar(20) COLLATE "C",
    subject_type varchar(20) COLLATE "C", subject_id uuid, subject_relation varchar(20) COLLATE "C",
    expires_at timestamptz
);
CREATE INDEX ON scratch.tuples (object_id, object_type, relation, subject_id);
CREATE INDEX ON scratch.tuples (subject_id, object_type, relation);
"""


class ScratchSql:
    """authz_check and authz_objects of one world after the other."""

    def __init__(self, session: psycopg.Connection) -> None:
        self.session = session

    def hold(self, world: World, now: float) -> None:
        self.session.execute("TRUNCATE scratch.tuples")
        for statement in relations_sql.statements(world.model, "scratch", "scratch.tuples"):
            self.session.execute(statement)
        with self.session.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO scratch.tuples VALUES (%s, %s, %s, %s, %s, %s, %s)",
                [
                    (
                        edge.object_type,
                        UUID(int=edge.object_id),
                        edge.relation,
                        edge.subject_type,
                        UUID(int=edge.subject_id),
                        edge.subject_relation,
                        None if until == ALWAYS else datetime.fromtimestamp(now + until, UTC),
                    )
                    for edge, until in world.edges.items()
                ],
            )
        # Without knowing how full the table is, PostgreSQL reads the whole of it for each question.
        self.session.execute("ANALYZE scratch.tuples")

    def check_many(self, questions: Sequence[tuple[Ref, str, Ref]]) -> list[bool]:
        rows = self.session.execute(
            "SELECT scratch.authz_check(w.who_type, w.who, w.held, w.type, w.id) FROM unnest("
            "%s::text[], %s::uuid[], %s::text[], %s::text[], %s::uuid[])"
            " WITH ORDINALITY w (who_type, who, held, type, id, place) ORDER BY w.place",
            [
                [subject.type for subject, _, _ in questions],
                [UUID(int=subject.id) for subject, _, _ in questions],
                [str(held) for _, held, _ in questions],
                [on.type for _, _, on in questions],
                [UUID(int=on.id) for _, _, on in questions],
            ],
        )
        return [row[0] for row in rows]

    def processor_seconds(self) -> float:
        """What PostgreSQL has spent on this session so far."""
        pid = self.session.info.backend_pid
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9

    def objects_with(self, subject: Ref, held: str, type: str) -> set[int]:
        rows = self.session.execute(
            "SELECT scratch.authz_objects(%s, %s, %s, %s)",
            [subject.type, UUID(int=subject.id), str(held), type],
        ).fetchall()
        found = [row[0].int for row in rows]
        assert len(found) == len(set(found)), "an id is said twice"
        return set(found)


@contextmanager
def scratch_sql() -> Iterator[ScratchSql]:
    """As the owner, in a transaction that leaves nothing behind."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as session:
        session.execute(TABLE)
        try:
            yield ScratchSql(session)
        finally:
            session.rollback()
