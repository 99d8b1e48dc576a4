"""Real servers for every test, with three people: ada may, bo may not, eve is from elsewhere."""

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import django
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests import servers  # noqa: E402  # the path above makes it importable
from tests.telling import told  # noqa: E402


def _only_hands_out(config: pytest.Config) -> bool:
    """Whether this process gives tests to others (pytest -n) and runs none."""
    return bool(config.option.numprocesses) and not hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.markers or _only_hands_out(config):
        return
    os.environ.update(servers.start())
    os.environ.update(DJANGO_SETTINGS_MODULE="portal.settings", DEBUG="0", DEMO="1")
    os.environ["LOG_LEVEL"] = "WARNING"
    Path(os.environ["DATA_DIR"]).mkdir(parents=True, exist_ok=True)
    django.setup()
    _share_middleware()


def _share_middleware() -> None:
    """Load the middleware once for all clients: each load looks through every static file."""
    from django.test.client import ClientHandler

    load, loaded = ClientHandler.load_middleware, []

    def load_once(handler: ClientHandler) -> None:
        if not loaded:
            load(handler)
            loaded.append(handler)
        handler._middleware_chain = loaded[0]._middleware_chain

    ClientHandler.load_middleware = load_once  # type: ignore[method-assign]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole stories first: real workers take up whatever work other tests left behind."""
    items.sort(key=lambda item: "journeys" not in item.path.parts)


def pytest_testnodedown(node: Any, error: object | None) -> None:
    """A process of `pytest -n` has ended: take over what it has to tell."""
    told(node.config).update(getattr(node, "workeroutput", {}).get("told", {}))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for title, lines in told(terminalreporter.config).items():
        terminalreporter.section(title)
        for line in lines:
            terminalreporter.write_line(line)


def pytest_unconfigure(config: pytest.Config) -> None:
    servers.end()


@pytest.fixture(scope="session")
def django_db_setup() -> None:
    """The schema is there: pytest_configure has migrated it as the owner."""


@pytest.fixture(autouse=True)
def _real_database(django_db_blocker: "pytest_django.plugin.DjangoDbBlocker") -> Iterator[None]:  # type: ignore[name-defined]  # noqa: F821
    """Every test commits for real, as the portal's own role; each has tenants of its own."""
    with django_db_blocker.unblock():
        yield


@dataclass
class Company:
    """One tenant with its people, as tests use it."""

    slug: str
    scope: "Scope"  # type: ignore[name-defined]  # noqa: F821  # imported late: needs settings
    project: "Project"  # type: ignore[name-defined]  # noqa: F821
    people: dict[str, "User"] = field(default_factory=dict)  # type: ignore[name-defined]  # noqa: F821

    @property
    def host(self) -> str:
        return f"{self.slug}.localhost"


@pytest.fixture
def open_company() -> Callable[[str], Company]:
    """Opens a tenant with a name of its own and the six kinds of people in it."""
    import psycopg

    from authz import people
    from authz.roles import Role
    from tenants.actor import system_actor
    from tenants.scope import scope_of_host, tenant_scope

    def opened(name: str) -> Company:
        slug = f"{name}-{secrets.token_hex(4)}"
        tenant_id = uuid4()
        # Only the owner may add tenants; the test process is the portal's plain role.
        with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
            owner.execute(
                "INSERT INTO public.cells_tenant (id, slug, name, cell_id, created_at)"
                " SELECT %s, %s, %s, id, now() FROM public.cells_cell WHERE schema_name = 'pool'",
                [tenant_id, slug, name.capitalize()],
            )
            owner.execute(
                "INSERT INTO public.cells_domain (host, tenant_id) VALUES (%s, %s)",
                [f"{slug}.localhost", tenant_id],
            )
        scope = scope_of_host(f"{slug}.localhost")
        assert scope is not None
        by = system_actor("test", "cli")
        with tenant_scope(scope):
            tenant = people.AsTenant(scope.tenant_id)
            project = people.create_project("platform", "Platform", tenant=tenant, by=by)
            company = Company(slug, scope, project)
            for person, role in {
                "tomas": Role.TENANT_ADMIN,
                "ada": Role.PROJECT_ADMIN,
                "lin": Role.PROJECT_ADMIN,
                "bo": Role.DEVELOPER,
                "iris": Role.AUDITOR,
            }.items():
                company.people[person] = people.admit(
                    f"{person}@{slug}.example",
                    person.capitalize(),
                    [role],
                    tenant=tenant,
                    project=project,
                    by=by,
                    source="test",
                )
        return company

    return opened


@pytest.fixture
def acme(open_company: Callable[[str], Company]) -> Company:
    """The tenant that most tests are about."""
    return open_company("acme")


@pytest.fixture
def globex(open_company: Callable[[str], Company]) -> Company:
    """The tenant that must never see anything of acme; its project admin is eve."""
    company = open_company("globex")
    company.people["eve"] = company.people["ada"]
    return company


@pytest.fixture
def in_acme(acme: Company) -> Iterator[Company]:
    """acme, pinned for the whole test."""
    from tenants.scope import tenant_scope

    with tenant_scope(acme.scope):
        yield acme


@pytest.fixture
def sign_in() -> "Callable[[Company, str], Client]":  # type: ignore[name-defined]  # noqa: F821
    """A browser that is signed in at a company, or (no name) that nobody is signed in with."""
    from django.test import Client

    from tenants.scope import tenant_scope

    def signed_in(company: Company, name: str | None = None) -> Client:
        client = Client(headers={"host": company.host})
        if name is not None:
            with tenant_scope(company.scope):
                client.force_login(company.people[name])
        return client

    return signed_in


@pytest.fixture
def entries() -> "Callable[[Company], list[tuple[str, str]]]":
    """Reads a company's ledger, sealed or staged: (action, outcome), oldest first."""
    import json

    from evidence.models import Entry, StagedEntry
    from tenants.scope import current, pinned, tenant_scope

    def read(company: Company) -> list[tuple[str, str]]:
        with nullcontext() if pinned() else tenant_scope(company.scope):
            assert current() == company.scope
            leaves = [bytes(entry.leaf) for entry in Entry.objects.all()]
            leaves += [bytes(staged.leaf) for staged in StagedEntry.objects.order_by("id")]
        said = [json.loads(leaf) for leaf in leaves]
        return [(entry["action"], entry["outcome"]) for entry in said]

    return read
