"""Statements that every change and every question waits for, sent with as little as can be done.

Django's cursor sends text, to be parsed and planned each time; psycopg's own prepared statements
take some 100 us of processor before anything is sent. Here values go in PostgreSQL's binary format
to a statement that is planned once a session. For the few statements where that counts.
"""

from collections.abc import Sequence
from typing import Any
from weakref import WeakSet

import psycopg
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGresult

# Types, by their numbers in every PostgreSQL.
BYTEA, INT8, TEXT, FLOAT8, UUID = 17, 20, 25, 701, 2950

_FINE = (int(ExecStatus.COMMAND_OK), int(ExecStatus.TUPLES_OK))
_UNKNOWN = b"26000"  # SQLSTATE: there is no such statement


class Prepared:
    """One statement of the product, prepared in a session when it is first sent there.

    types: of its parameters. Values and answers are in binary format. It begins no transaction, as
    psycopg would inside of a block of Django's: where none is open it is one by itself.
    """

    def __init__(self, name: str, sql: str, types: Sequence[int] = ()) -> None:
        self._name, self._sql, self._types = name.encode(), sql.encode(), types
        self._formats = [Format.BINARY] * len(types)
        self._known_to: WeakSet[psycopg.Connection[Any]] = WeakSet()

    def run(self, session: psycopg.Connection[Any], values: Sequence[Any] = ()) -> PGresult:
        """Send it and wait. values: bytes, or None. Raises psycopg's errors."""
        server = session.pgconn
        if begun(session):
            # Not by its name: one that the session has lost would abort the transaction.
            answer = server.exec_params(
                self._sql, values, self._types, self._formats, Format.BINARY
            )
            return checked(session, answer)
        if session not in self._known_to:
            self._prepare(session)
        answer = server.exec_prepared(self._name, values, self._formats, Format.BINARY)
        if (
            answer.status == ExecStatus.FATAL_ERROR
            and answer.error_field(DiagnosticField.SQLSTATE) == _UNKNOWN
        ):
            # psycopg deallocates all there are after a rollback or when a table is dropped.
            self._prepare(session)
            answer = server.exec_prepared(self._name, values, self._formats, Format.BINARY)
        return checked(session, answer)

    def _prepare(self, session: psycopg.Connection[Any]) -> None:
        checked(session, session.pgconn.prepare(self._name, self._sql, self._types))
        self._known_to.add(session)


def begun(session: psycopg.Connection[Any]) -> bool:
    """Whether the server has a transaction open; psycopg begins it with the first statement."""
    return session.pgconn.transaction_status != TransactionStatus.IDLE


def checked(session: psycopg.Connection[Any], answer: PGresult) -> PGresult:
    """The same answer, if it is one. Raises psycopg's errors, OperationalError when the server is
    gone."""
    if answer.status in _FINE:
        return answer
    if session.pgconn.status != ConnStatus.OK:
        raise psycopg.OperationalError(answer.get_error_message())
    raise psycopg.errors.error_from_result(answer)
