"""Statements past Django's cursors: bound, prepared again when lost, errors as usual."""

import psycopg
import pytest
from django.db import OperationalError, connection, transaction

from authz import relations
from tenants.backend.base import here
from tenants.backend.prepared import UUID, Prepared

WHO = Prepared("test_who", "SELECT current_setting('app.tenant_id'), $1::uuid", [UUID])


def _who(company):
    return WHO.run(here().bound_session(), [company.scope.tenant_id.bytes]).get_value(0, 0)


def test_a_statement_runs_for_the_pinned_tenant(in_acme):
    assert _who(in_acme) == str(in_acme.scope.tenant_id).encode()


def test_a_statement_that_the_session_has_lost_is_prepared_again(in_acme):
    _who(in_acme)
    connection.connection.execute("DEALLOCATE ALL")

    assert _who(in_acme) == str(in_acme.scope.tenant_id).encode()


def test_a_statement_that_the_session_has_lost_aborts_no_transaction(in_acme):
    _who(in_acme)
    connection.connection.execute("DEALLOCATE ALL")

    with transaction.atomic():
        in_acme.project.save()
        assert _who(in_acme) == str(in_acme.scope.tenant_id).encode()
        in_acme.project.refresh_from_db()


def test_an_error_of_the_server_is_raised(in_acme):
    with pytest.raises(psycopg.errors.ProtocolViolation):
        WHO.run(here().bound_session(), [b"short"])


def test_a_question_to_a_server_that_is_gone_may_be_asked_again(in_acme):
    relations.revision()
    session = connection.connection.info.backend_pid
    with psycopg.connect(
        connection.connection.info.dsn, password=connection.settings_dict["PASSWORD"]
    ) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [session])

    with pytest.raises(OperationalError):
        relations.revision()
    connection.close()

    assert relations.revision().tenant_id == in_acme.scope.tenant_id
