"""Pins a tenant for the ORM, which makes the database backend pin it for PostgreSQL."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection

from tenants.errors import NoTenant


@dataclass(frozen=True)
class Scope:
    """The tenant that the running request or job works for."""

    tenant_id: UUID
    slug: str
    name: str
    schema: str  # the PostgreSQL schema of the tenant's cell
    suspended: bool = False  # its doors are closed, its jobs wait

    @cached_property
    def session(self) -> tuple[str, str]:
        """search_path and app.tenant_id of a session that works for it."""
        return f'"{self.schema}", public', str(self.tenant_id)


_pinned: ContextVar[Scope | None] = ContextVar("countersign_tenant", default=None)


def pinned() -> Scope | None:
    """The scope in force, or None outside of any."""
    return _pinned.get()


def current() -> Scope:
    """The scope in force. Raises NoTenant when there is none."""
    scope = _pinned.get()
    if scope is None:
        raise NoTenant("tenant data was touched outside of tenant_scope()")
    return scope


def current_tenant_id() -> UUID:
    """Id of the pinned tenant. Raises NoTenant when there is none."""
    return current().tenant_id


@contextmanager
def tenant_scope(scope: Scope) -> Iterator[Scope]:
    """Run the block for one tenant.

    Holds no transaction: jobs must be able to wait for the outside world in here. Scopes do
    not nest, because two tenants in one call stack is always a mistake. Raises NoTenant then.
    """
    if (outer := _pinned.get()) is not None:
        raise NoTenant(f"a scope for {outer.slug} is already open")
    token = _pinned.set(scope)
    try:
        yield scope
    finally:
        _pinned.reset(token)


@contextmanager
def looking_into(schema: str) -> Iterator[Scope]:
    """The pinned tenant in another cell: for a move between two, which has to look at both."""
    token = _pinned.set(replace(current(), schema=schema))
    try:
        yield current()
    finally:
        _pinned.reset(token)


def pinned_tenant_id() -> UUID:
    """Id of the pinned tenant for a row that is being made.

    None without a scope, so that Django's start-up checks may make empty instances; PostgreSQL
    refuses to store such a row.
    """
    scope = _pinned.get()
    return scope.tenant_id if scope else None  # type: ignore[return-value]


def scope_of_host(host: str) -> Scope | None:
    """The tenant that answers to `host` (no port), or None."""
    return _find("SELECT * FROM public.tenant_of_host(%s)", host.lower())


def scopes_of_hosts(hosts: Collection[str]) -> dict[str, Scope]:
    """scope_of_host() for several at once; hosts that nobody answers to are left out.

    Leaves the session bound to the tenant that it is bound to: this looks at no setting, and each
    change of tenant takes a round trip.
    """
    connection.ensure_connection()
    session: psycopg.Connection[Any] = connection.connection
    with connection.wrap_database_errors:
        rows = psycopg.Cursor(session).execute(_OF_HOSTS, [list(hosts)], prepare=True).fetchall()
    return {host: Scope(*row) for host, *row in rows}


_OF_HOSTS = """
    SELECT asked.host, found.*
    FROM unnest(%s::text[]) asked (host), public.tenant_of_host(lower(asked.host)) found
"""


def scope_of_tenant(tenant_id: UUID) -> Scope:
    """The scope of a tenant known by id. Raises NoTenant when there is no such tenant."""
    scope = _find("SELECT * FROM public.tenant_of_id(%s)", tenant_id)
    if scope is None:
        raise NoTenant(f"there is no tenant {tenant_id}")
    return scope


def tenants_with_work(kind: str) -> list[UUID]:
    """Tenants with unfinished work that nobody has picked up.

    kind: "unsealed" (ledger entries staged), "stalled" (tasks, packs or decisions that wait) or
    "untidy" (sessions or emergencies whose time is over).
    With the two below, all that the portal's role may ask about more than one tenant.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_id FROM public.tenants_with_work(%s)", [kind])
        return [row[0] for row in cursor.fetchall()]


def tenants_with_evidence_work(kind: str) -> list[UUID]:
    """As tenants_with_work(), for the ledger's own work.

    kind: "intents" (some were begun and not answered), "expired" (facts or decisions kept for
    90 days at least), "files" (packs or exports that may not be downloaded any more).
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_id FROM public.tenants_with_evidence_work(%s)", [kind])
        return [row[0] for row in cursor.fetchall()]


def tenants_with_log_destinations() -> list[UUID]:
    """Tenants, suspended ones left out, whose ledger is copied somewhere."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_id FROM public.tenants_with_log_destinations()")
        return [row[0] for row in cursor.fetchall()]


def tenants_with_review_due() -> list[UUID]:
    """As tenants_with_work(): those where no access review is open or due and the last one began
    a quarter ago, or where roles are as old and nobody ever reviewed them."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_id FROM public.tenants_with_review_due()")
        return [row[0] for row in cursor.fetchall()]


def tenants_with_repositories() -> list[UUID]:
    """As tenants_with_work(): those that the agent works for somewhere."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_id FROM public.tenants_with_repositories()")
        return [row[0] for row in cursor.fetchall()]


def _find(sql: str, value: str | UUID) -> Scope | None:
    # These functions are SECURITY DEFINER: the portal's role cannot read the list of tenants.
    with connection.cursor() as cursor:
        cursor.execute(sql, [value])
        row = cursor.fetchone()
    return Scope(*row) if row else None
