"""Measures questions about rights at a million relations: python -m tests.bench.authz [--tuples N].

Starts servers of its own and fills 100 tenants straight into the table of tuples. Then the same
questions go to the graph in memory, to the product as it is (revision first, then the graph), to
PostgreSQL alone and to real SpiceDB over PostgreSQL, in turns, so that noise of the machine hits
all alike: trust the ratios. Every answer is compared with the others'.
"""

import argparse
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import django
import psycopg

from deploy import embedded

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "var" / "bench-authz"
SPICEDB_TABLES = ROOT / "tests" / "bench" / "spicedb_tables.sql"
TENANTS = 100
PROJECTS, USERS, AGENTS, TEAMS, PROPOSALS, SHARES = 20, 50, 40, 10, 300, 200  # of each tenant
PAGE = 50
TASKS_ON_PAGES = 20_000  # rows of tasks that lists are read from, of one tenant
CAVEAT = (
    "SpiceDB's embedded build reads its schema afresh at each check (about 57 queries a check"
    " over PostgreSQL), so its row flatters us; a server of its own keeps that in memory"
)


@dataclass
class Tenant:
    """Ids of one tenant, and what belongs to what."""

    id: UUID
    projects: list[UUID]
    users: list[UUID]
    tasks: list[tuple[UUID, UUID, UUID]] = field(default_factory=list)  # id, project, owner
    proposals: list[tuple[UUID, int]] = field(default_factory=list)  # id, number of the task


@dataclass
class Times:
    """What one engine took for each question, and its processors' time in all."""

    seconds: list[float] = field(default_factory=list)
    cpu: float = 0.0

    def said(self) -> str:
        ordered = sorted(self.seconds)
        p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
        return (
            f"p50 {statistics.median(ordered) * 1e6:9,.0f} us, p99 {p99 * 1e6:9,.0f} us,"
            f" CPU {self.cpu / len(ordered) * 1e6:9,.0f} us/check, n={len(ordered):,}"
        )

    @property
    def p50(self) -> float:
        return statistics.median(self.seconds)


def main() -> None:
    """Fill, ask, print."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--tuples", type=int, default=1_000_000)
    asked.add_argument("--checks", type=int, default=20_000)
    asked.add_argument("--spicedb-checks", type=int, default=500)
    asked.add_argument("--spicedb-tenants", type=int, default=TENANTS, help="how many it holds")
    options = asked.parse_args()
    print(
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} processors,"
        f" Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )
    if HOME.exists():
        embedded.destroy(HOME)
    try:
        os.environ.update(embedded.start(HOME))
        os.environ.update(DJANGO_SETTINGS_MODULE="portal.settings", LOG_LEVEL="WARNING")
        _run(options)
    finally:
        embedded.destroy(HOME)


def _run(options: argparse.Namespace) -> None:
    _bootstrap()
    django.setup()
    dice = random.Random(4)
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        tenants = _filled(owner, dice, options.tuples)
        listed = _tenant_with_rows(owner, dice)
        owner.execute("VACUUM ANALYZE pool.authz_tuple")
        owner.execute("VACUUM ANALYZE pool.agent_task")
    _checks(tenants, dice, options)
    _lists(listed)


def _bootstrap() -> None:
    subprocess.run(
        [sys.executable, "manage.py", "bootstrap"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_ROLE": "owner"},
        check=True,
        stdout=subprocess.DEVNULL,
    )


# Filling -----------------------------------------------------------------------------------------


def _id(dice: random.Random) -> UUID:
    return UUID(int=dice.getrandbits(128), version=4)


def _ids(dice: random.Random, count: int) -> list[UUID]:
    return [_id(dice) for _ in range(count)]


def _rows(tenant: Tenant) -> list[tuple[Any, ...]]:
    """The tenant's tuples, the same each time."""
    return list(dict.fromkeys(_tuples(tenant, random.Random(tenant.id.int))))


def _tuples(tenant: Tenant, dice: random.Random) -> Iterator[tuple[Any, ...]]:
    """People with roles, teams in teams, projects, tasks, proposals, shares."""
    users, projects = tenant.users, tenant.projects
    for user in users:
        yield "user", user, "active", "user", user, ""
    for agent, project in zip(_ids(dice, AGENTS), projects * 2, strict=True):
        yield "user", agent, "active", "user", agent, ""
        yield "project", project, "agent", "user", agent, "active"
    for project in projects:
        yield "project", project, "tenant", "tenant", tenant.id, ""
    for place, user in enumerate(users):
        if place < 2:
            yield "tenant", tenant.id, "tenant_admin", "user", user, "active"
        elif place < 5:
            yield "tenant", tenant.id, "auditor", "user", user, "active"
        else:
            for project in dice.sample(projects, 2):
                role = "project_admin" if place < 15 else "developer"
                yield "project", project, role, "user", user, "active"
    teams = _ids(dice, TEAMS)
    for place, team in enumerate(teams):
        for user in dice.sample(users, 5):
            yield "team", team, "member", "user", user, "active"
        if place >= 2:  # the third in the first, the fifth in the third ...
            yield "team", teams[place - 2], "member", "team", team, "member"
        yield "project", dice.choice(projects), "viewer", "team", team, "member"
    for task, project, owner in tenant.tasks:
        yield "task", task, "project", "project", project, ""
        yield "task", task, "requester", "user", owner, ""
    for task, _, _ in dice.sample(tenant.tasks, min(SHARES, len(tenant.tasks))):
        if dice.random() < 0.5:
            yield "task", task, "viewer", "user", dice.choice(users), "active"
        else:
            yield "task", task, "viewer", "team", dice.choice(teams), "member"
    for proposal, place in tenant.proposals:
        task, project, _ = tenant.tasks[place]
        yield "proposal", proposal, "project", "project", project, ""
        yield "proposal", proposal, "task", "task", task, ""


def _new_tenant(owner: psycopg.Connection, dice: random.Random, tasks: int) -> Tenant:
    tenant = Tenant(_id(dice), _ids(dice, PROJECTS), _ids(dice, USERS))
    tenant.tasks = [
        (_id(dice), dice.choice(tenant.projects), dice.choice(tenant.users)) for _ in range(tasks)
    ]
    tenant.proposals = [(_id(dice), dice.randrange(tasks)) for _ in range(min(PROPOSALS, tasks))]
    slug = f"bench-{tenant.id.hex[:12]}"
    owner.execute(
        "INSERT INTO public.cells_tenant (id, slug, name, cell_id, created_at)"
        " SELECT %s, %s, %s, id, now() FROM public.cells_cell WHERE schema_name = 'pool'",
        [tenant.id, slug, slug],
    )
    return tenant


def _filled(owner: psycopg.Connection, dice: random.Random, wanted: int) -> list[Tenant]:
    """Tenants with about as many tuples as wanted, put in by the owner with the triggers off."""
    beside = 1_400  # of a tenant, besides two for each task
    tasks = max(50, (wanted // TENANTS - beside) // 2)
    started, count, tenants = time.perf_counter(), 0, []
    for _ in range(TENANTS):
        tenant = _new_tenant(owner, dice, tasks)
        rows = _rows(tenant)
        with owner.transaction(), owner.cursor() as cursor:
            _bind(cursor, tenant.id)
            _put_tuples(cursor, tenant, rows, dice)
            _revision(cursor, tenant.id)
        count += len(rows)
        tenants.append(tenant)
    print(
        f"{count:,} tuples: {TENANTS} tenants, {TENANTS * PROJECTS:,} projects,"
        f" {TENANTS * USERS:,} users, {TENANTS * AGENTS:,} agents, {TENANTS * tasks:,} tasks,"
        f" {TENANTS * PROPOSALS:,} proposals; filled in {time.perf_counter() - started:.0f} s",
        flush=True,
    )
    return tenants


def _tenant_with_rows(owner: psycopg.Connection, dice: random.Random) -> Tenant:
    """One more tenant whose tasks are there as rows, for lists."""
    tenant = _new_tenant(owner, dice, TASKS_ON_PAGES)
    rows = _rows(tenant)
    repository = _id(dice)
    with owner.transaction(), owner.cursor() as cursor:
        _bind(cursor, tenant.id)
        cursor.executemany(
            "INSERT INTO pool.tenants_project (id, slug, name, classification, created_at)"
            " VALUES (%s, %s, 'Bench', 'internal', now())",
            [(project, f"p-{place}") for place, project in enumerate(tenant.projects)],
        )
        cursor.executemany(
            "INSERT INTO pool.tenants_user (id, password, email, name, kind, created_at)"
            " VALUES (%s, '!', %s, 'Bench', 'human', now())",
            [(user, f"u{place}@bench.example") for place, user in enumerate(tenant.users)],
        )
        cursor.execute(
            "INSERT INTO pool.agent_repository (id, project_id, name, forge, default_branch,"
            " created_at) VALUES (%s, %s, 'bench', 'local', 'main', now())",
            [repository, tenant.projects[0]],
        )
        columns = (
            "id, kind, project_id, repository_id, branch, base_sha, goal, constraints, budgets,"
            " owner_id, state, phase, reason, cancel_asked_by, raised_for, created_at, touched_at"
        )
        tasks = []
        for task, project, user in tenant.tasks:
            at = datetime.fromtimestamp(1_700_000_000 + dice.random() * 10_000_000, UTC)
            tasks.append(
                (task, "recommendation", project, repository, "", "", "Bench", "{}", "{}",
                 user, "completed", "done", "", "", "{}", at, at)
            )  # fmt: skip
        _put(cursor, "agent_task", columns, tasks)
        _put_tuples(cursor, tenant, rows, dice)
        _revision(cursor, tenant.id)
    return tenant


def _put_tuples(
    cursor: psycopg.Cursor, tenant: Tenant, rows: list[tuple[Any, ...]], dice: random.Random
) -> None:
    columns = (
        "id, tenant_id, object_type, object_id, relation, subject_type, subject_id,"
        " subject_relation, source_id"
    )
    _put(
        cursor,
        "authz_tuple",
        columns,
        [(_id(dice), tenant.id, *row, _id(dice)) for row in rows],
    )


def _put(cursor: psycopg.Cursor, table: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
    """Copied beside the table first: nothing is copied into one with row security."""
    cursor.execute(f"CREATE TEMP TABLE beside AS SELECT {columns} FROM pool.{table} WITH NO DATA")
    with cursor.copy(f"COPY beside ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    cursor.execute(f"INSERT INTO pool.{table} ({columns}) SELECT {columns} FROM beside")
    cursor.execute("DROP TABLE beside")


def _bind(cursor: psycopg.Cursor, tenant_id: UUID) -> None:
    cursor.execute(
        "SELECT set_config('app.tenant_id', %s, true),"
        " set_config('app.authz_triggers', 'off', true)",
        [str(tenant_id)],
    )


def _revision(cursor: psycopg.Cursor, tenant_id: UUID) -> None:
    cursor.execute(
        "INSERT INTO pool.authz_revision (id, tenant_id, number) VALUES (gen_random_uuid(), %s, 1)",
        [tenant_id],
    )


# Asking ------------------------------------------------------------------------------------------


def _questions(tenant: Tenant, dice: random.Random, count: int) -> list[tuple[Any, str, Any]]:
    """About tasks and proposals; half of whoever asks is in the right project."""
    from authz.graph import Ref
    from authz.permissions import Permission as P

    found = []
    for _ in range(count):
        if dice.random() < 0.7:
            id, _, _ = dice.choice(tenant.tasks)
            held, on = dice.choice([P.TASK_VIEW, P.TASK_CANCEL]), Ref("task", id.int)
        else:
            id, _ = dice.choice(tenant.proposals)
            held = dice.choice([P.PROPOSAL_VIEW, P.PROPOSAL_COUNTERSIGN])
            on = Ref("proposal", id.int)
        found.append((Ref("user", dice.choice(tenant.users).int), str(held), on))
    return found


def _checks(tenants: list[Tenant], dice: random.Random, options: argparse.Namespace) -> None:
    from django.conf import settings
    from django.db import connection

    from authz import relations
    from tenants.scope import Scope, tenant_scope

    settings.RELATIONS_TUPLES = 100_000_000
    settings.CONN_MAX_AGE = None
    spicedb = _spicedb(tenants[: options.spicedb_tenants]) if options.spicedb_tenants else None
    times = {name: Times() for name in ("graph", "strict", "sql", "spicedb")}
    loads, wrong, allowed, asked = [], 0, 0, 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number, tenant in enumerate(tenants):
        with tenant_scope(Scope(tenant.id, "bench", "Bench", "pool")):
            settings.RELATIONS = "memory"
            relations.revision()  # the session is bound to the tenant
            started = time.perf_counter()
            relations.check_many(relations.person(tenant.users[0]), [])
            loads.append(time.perf_counter() - started)
            graph = relations._memory[tenant.id].graph
            questions = _questions(tenant, dice, options.checks // TENANTS)
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                backend = cursor.fetchone()[0]
            now = time.time()

            def in_memory(question: Any, graph: Any = graph, now: float = now) -> bool:
                return graph.check(*question, now)

            def product(question: Any) -> bool:
                return relations.check(*question)

            answers = {}
            for name, engine, setting in (
                ("graph", in_memory, "memory"),
                ("strict", product, "memory"),
                ("sql", product, "sql"),
            ):
                settings.RELATIONS = setting
                engine(questions[0])  # plans and first steps are nobody's answer time
                answers[name] = _timed(times[name], engine, questions, [backend])
            if spicedb and number < options.spicedb_tenants:
                share = max(1, options.spicedb_checks // options.spicedb_tenants)
                answers["spicedb"] = _timed(
                    times["spicedb"],
                    lambda question: spicedb.check(*question),
                    questions[:share],
                    _spicedb_backends(),
                )
            for said in answers.values():
                wrong += sum(a != b for a, b in zip(said, answers["graph"], strict=False))
            asked += len(questions)
            allowed += sum(answers["graph"])
    settings.RELATIONS = "memory"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(
        f"reading a tenant into memory: p50 {statistics.median(loads) * 1e3:.0f} ms; all"
        f" {TENANTS}: {grown / 1024:.0f} MB"
    )
    titles = {
        "graph": "graph in memory, revision not read",
        "strict": "the product: revision, then graph",
        "sql": "the product, RELATIONS=sql",
        "spicedb": "embedded SpiceDB over PostgreSQL",
    }
    for name, title in titles.items():
        if times[name].seconds:
            print(f"{title:36}{times[name].said()}")
    print(f"{asked:,} questions, {allowed / asked:.0%} allowed, {wrong} answered in two ways")
    print(f"SQL takes {times['sql'].p50 / times['strict'].p50:.1f} times as long as the product")
    if spicedb:
        ratio = times["spicedb"].p50 / times["strict"].p50
        print(f"SpiceDB takes {ratio:,.0f} times as long as the product (goal: >= 100). {CAVEAT}.")
        spicedb.close()
    if wrong:
        raise SystemExit("the engines disagree")


def _timed(
    times: Times, engine: Callable[[Any], bool], questions: list[Any], backends: list[int]
) -> list[bool]:
    answers = []
    cpu = time.process_time() + _cpu(backends)
    for question in questions:
        started = time.perf_counter()
        answers.append(engine(question))
        times.seconds.append(time.perf_counter() - started)
    times.cpu += time.process_time() + _cpu(backends) - cpu
    return answers


def _cpu(backends: list[int]) -> float:
    """Seconds that PostgreSQL's processes have run so far."""
    total = 0
    for pid in backends:
        try:
            total += int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
        except (OSError, ValueError):
            continue
    return total / 1e9


def _spicedb(tenants: list[Tenant]) -> Any:
    """SpiceDB with the same tuples in a database of its own on the same server."""
    from authz.graph import Edge
    from authz.model import MODEL
    from tests.authz.relations.embedded_spicedb import Spicedb, StartOptions

    with psycopg.connect(embedded.superuser_url(HOME), autocommit=True) as superuser:
        superuser.execute("CREATE DATABASE spicedb")
    address = embedded.superuser_url(HOME, "spicedb")
    with psycopg.connect(address, autocommit=True) as superuser:
        superuser.execute(SPICEDB_TABLES.read_text())
    both = "&" if "?" in address else "?"
    options = StartOptions(datastore="postgres", datastore_uri=f"{address}{both}sslmode=disable")
    spicedb = Spicedb(MODEL, options)
    started, count = time.perf_counter(), 0
    for tenant in tenants:
        edges = [
            Edge(type, id.int, relation, to, end.int, via)
            for type, id, relation, to, end, via in _rows(tenant)
        ]
        spicedb.write(edges)
        count += len(edges)
    with psycopg.connect(address, autocommit=True) as superuser:
        superuser.execute("VACUUM ANALYZE relation_tuple")
    print(f"SpiceDB holds {count:,}; written in {time.perf_counter() - started:.0f} s", flush=True)
    return spicedb


def _spicedb_backends() -> list[int]:
    with psycopg.connect(embedded.superuser_url(HOME), autocommit=True) as superuser:
        rows = superuser.execute("SELECT pid FROM pg_stat_activity WHERE datname = 'spicedb'")
        return [row[0] for row in rows]


# Lists -------------------------------------------------------------------------------------------


def _lists(tenant: Tenant) -> None:
    """Pages of 50 and lists of ids, for somebody who sees much and somebody who sees little."""
    from agent.models import Task
    from authz import onrecord, relations
    from authz.decisions import visible
    from authz.permissions import Permission as P
    from authz.relations import person
    from portal.pages.tasks import SHOWN
    from tenants.actor import Actor
    from tenants.scope import Scope, tenant_scope

    admin, developer = tenant.users[0], tenant.users[-1]
    columns = [name for name in SHOWN if "__" not in name]

    def rows(user: UUID) -> Any:
        allowed = relations.list_filter(person(user), P.TASK_VIEW, "task")
        return list(Task.objects.filter(allowed).order_by("-created_at")[:PAGE])

    def shown(user: UUID) -> Any:
        allowed = relations.list_filter(person(user), P.TASK_VIEW, "task")
        return list(Task.objects.only(*columns).filter(allowed).order_by("-created_at")[:PAGE])

    def page(user: UUID) -> Any:
        by = Actor(type="human", id=str(user), name="Bench", door="page", user_id=user)
        with onrecord.collected():  # a request waits for the disk once, at its end
            return list(visible(by, P.TASK_VIEW, Task.objects.order_by("-created_at"))[:PAGE])

    with tenant_scope(Scope(tenant.id, "bench", "Bench", "pool")):
        for name, user in (("a tenant admin", admin), ("a developer", developer)):
            seen = len(relations.objects_with(person(user), P.TASK_VIEW, "task"))
            sees = f"{name} who sees {seen:,} of {TASKS_ON_PAGES:,} tasks"
            _print_list(f"page of {PAGE}, {sees}", lambda user=user: rows(user), "p99 <= 2 ms")
            _print_list(
                f"the same with the columns that the page shows, {sees}",
                lambda user=user: shown(user),
                "p99 <= 2 ms",
            )
            _print_list(f"the same with its record, {sees}", lambda user=user: page(user), "none")
            _print_list(
                f"their ids, {sees}",
                lambda user=user: relations.objects_with(person(user), P.TASK_VIEW, "task"),
                "10,000 ids <= 10 ms",
                times=50,
            )


def _print_list(name: str, read: Callable[[], Any], goal: str, times: int = 400) -> None:
    read()
    seconds = []
    cpu = time.process_time()
    for _ in range(times):
        started = time.perf_counter()
        read()
        seconds.append(time.perf_counter() - started)
    cpu = time.process_time() - cpu
    ordered = sorted(seconds)
    print(
        f"{name}: p50 {statistics.median(ordered) * 1e3:.2f} ms,"
        f" p99 {ordered[times * 99 // 100] * 1e3:.2f} ms, CPU here {cpu / times * 1e3:.2f} ms"
        f" (goal: {goal})",
        flush=True,
    )


if __name__ == "__main__":
    main()
