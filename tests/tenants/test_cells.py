"""A tenant in a cell of its own: opened there, moved there and back, with nothing lost."""

import itertools
import json
import os
import re
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest
from django.core.management.base import CommandError
from django.db import OperationalError, connection, transaction
from django.test import Client

from authz import people, tenancy
from authz.change import change
from authz.permissions import Permission
from authz.roles import Role
from evidence import ledger
from evidence.models import Checkpoint, Entry, LogHead, StagedEntry
from evidence.recount import LogBroken, recount
from tenants import inspection
from tenants.actor import system_actor
from tenants.cells import moving
from tenants.cells.building import build_cell
from tenants.cells.models import Tenant
from tenants.models import Project, Session, User
from tenants.scope import looking_into, scope_of_host, tenant_scope
from tests.portal.standing import pack_of, proposal_of, sealed
from tests.tenants.operators import as_role, manage

BY = system_actor("test", "cli")


@pytest.fixture(scope="module")
def silo(django_db_blocker):
    """A cell that the tests of this file use one after the other."""
    name = f"silo_{secrets.token_hex(4)}"
    with django_db_blocker.unblock(), as_role("owner"):
        build_cell(name)
    return name


@pytest.fixture
def empty_silo(silo):
    """The cell with nobody in it."""
    yield silo
    with as_role("owner"):
        for tenant in Tenant.objects.filter(cell__schema_name=silo):
            tenancy.move(tenant, "pool", by=BY)


def _cell_of(company):
    return scope_of_host(company.host).schema


def _rows(company, schema):
    with tenant_scope(company.scope), as_role("owner"):
        return {table: count for table, count in moving.count_rows(schema).items() if count.rows}


def _said(company):
    """The ledger as an auditor reads it: (action, phase, outcome, facts)."""
    with tenant_scope(scope_of_host(company.host)):
        staged = StagedEntry.objects.order_by("id")
        return [
            (
                (leaf := json.loads(bytes(row.leaf)))["action"],
                leaf["phase"],
                leaf["outcome"],
                json.loads(bytes(row.payload)),
            )
            for row in staged
        ]


@pytest.fixture
def busy(acme):
    """acme, with rows in many tables and a log under more than one signed head."""
    with tenant_scope(acme.scope):
        proposal = proposal_of(acme.people["ada"], acme.project)
        sealed()
        pack_of(proposal)
        ledger.record("test.note", by=BY, on=acme.project, facts={"number": 1})
        sealed()
    return acme


# Opening


def test_a_tenant_is_opened_in_a_cell_that_was_not_there(sign_in):
    slug, cell = f"umbrella-{secrets.token_hex(3)}", f"silo_{secrets.token_hex(4)}"

    said = manage(
        *("open_tenant", slug, "Umbrella", "--cell", cell),
        *("--admin-email", "al@umbrella.example", "--admin-name", "Al"),
    )

    host = f"{slug}.localhost"
    scope = scope_of_host(host)
    assert scope.schema == cell
    assert "the wall stands" in said
    link = re.search(r"http://[^/]+(/signin/invitation/\S+/)", said)
    with tenant_scope(scope):
        assert User.objects.get(email="al@umbrella.example").is_active
        assert [grant.role for grant in User.objects.get(name="Al").grants.all()] == [
            Role.TENANT_ADMIN
        ]
    with connection.cursor() as cursor, transaction.atomic():
        assert inspection.findings(cursor) == []
    al = Client(headers={"host": host})
    assert al.post(link[1]).status_code == 302
    assert "Umbrella" in al.get("/").content.decode()
    # The link is spent, and the pool knows nothing of any of it.
    assert Client(headers={"host": host}).post(link[1]).status_code == 403
    with tenant_scope(scope), looking_into("pool"):
        assert User.objects.count() == 0
        assert Session.objects.count() == 0


def test_a_silo_takes_one_tenant(empty_silo):
    person = ("--admin-email", "a@b.example", "--admin-name", "A")
    first, second = f"one-{secrets.token_hex(3)}", f"two-{secrets.token_hex(3)}"
    manage("open_tenant", first, "One", "--cell", empty_silo, *person)

    with pytest.raises(CommandError, match="holds another tenant already"):
        manage("open_tenant", second, "Two", "--cell", empty_silo, *person)

    assert scope_of_host(f"{second}.localhost") is None


@pytest.mark.parametrize("cell", ["public", "silo_", "Silo_x", "silo_x;drop", "pg_catalog", "x"])
def test_a_cell_is_called_pool_or_silo_something(cell):
    with pytest.raises(CommandError, match="cannot be a cell"):
        manage(
            *("open_tenant", "nope", "Nope", "--cell", cell),
            *("--admin-email", "a@b.example", "--admin-name", "A"),
        )


def test_nothing_is_opened_for_an_admin_who_cannot_be_one():
    slug = f"hooli-{secrets.token_hex(3)}"

    with pytest.raises(CommandError, match="not an e-mail address"):
        manage("open_tenant", slug, "Hooli", "--admin-email", "gavin", "--admin-name", "Gavin")

    assert scope_of_host(f"{slug}.localhost") is None


def test_an_operator_lets_a_member_in_when_the_provider_is_out_of_reach(acme):
    said = manage("invite", acme.host, f"TOMAS@{acme.slug}.example", role="app")
    again = manage("invite", acme.host, f"tomas@{acme.slug}.example", role="app")

    links = [re.search(r"(/signin/invitation/\S+/)", text)[1] for text in (said, again)]
    browser = Client(headers={"host": acme.host})
    assert browser.get(links[0]).status_code == 403  # replaced by the newer one
    assert browser.post(links[1]).status_code == 302
    assert "Tomas" in browser.get("/").content.decode()
    actions = [entry[0] for entry in _said(acme)]
    assert actions.count("member.invite") == 2
    with pytest.raises(CommandError, match="nobody here has the address"):
        manage("invite", acme.host, "eve@globex.example", role="app")
    with pytest.raises(CommandError, match="DATABASE_ROLE=app"):
        manage("invite", acme.host, f"tomas@{acme.slug}.example", role="owner")


# Moving


def test_a_tenant_moves_to_a_silo_and_back_with_every_row_and_proof(
    busy, globex, empty_silo, sign_in
):
    ada = sign_in(busy, "ada")
    with tenant_scope(busy.scope):
        log = recount()
        notes = list(Checkpoint.objects.values_list("size", "note"))
        leaves = list(Entry.objects.values_list("index", "leaf"))
    rows = _rows(busy, "pool")
    others = _rows(globex, "pool")

    said = manage("move_tenant", busy.slug, "--to", empty_silo, "--grace", "0")

    assert log.root.hex() in said
    assert log.checkpoints == 2
    assert _cell_of(busy) == empty_silo
    assert _rows(busy, "pool") == {}
    assert _rows(globex, "pool") == others
    assert _rows(globex, empty_silo) == {}
    moved = _rows(busy, empty_silo)
    # The move itself left entries, nothing else is new or gone or different.
    assert {t: c for t, c in moved.items() if t != "evidence_stagedentry"} == {
        t: c for t, c in rows.items() if t != "evidence_stagedentry"
    }
    assert {"tenants_user", "agent_proposal", "evidence_entry", "evidence_payload"} <= set(moved)
    with tenant_scope(scope_of_host(busy.host)):
        assert recount() == log
        assert list(Checkpoint.objects.values_list("size", "note")) == notes
        assert list(Entry.objects.values_list("index", "leaf")) == leaves
        sealed()  # with the same key, onto the same tree
        assert recount().size > log.size
    assert ada.get("/").status_code == 200  # still signed in

    manage("move_tenant", busy.slug, "--to", "pool", "--grace", "0")

    assert _cell_of(busy) == "pool"
    assert _rows(busy, empty_silo) == {}
    back = _rows(busy, "pool")
    assert back["agent_proposal"] == rows["agent_proposal"]
    assert back["tenants_user"] == rows["tenants_user"]
    with tenant_scope(scope_of_host(busy.host)):
        assert recount().size > log.size
    assert ada.get("/").status_code == 200


def test_a_move_is_on_record_with_its_counts_and_its_root(busy, empty_silo):
    with tenant_scope(busy.scope):
        root = recount().root.hex()

    manage("move_tenant", busy.slug, "--to", empty_silo, "--grace", "0")

    last = _said(busy)[-3:]
    assert [(action, outcome) for action, _, outcome, _ in last] == [
        ("tenant.suspend", "ok"),
        ("tenant.move", "ok"),
        ("tenant.suspend", "ok"),
    ]
    assert [facts.get("step") for *_, facts in last] == ["closed", None, "opened"]
    facts = last[1][3]
    assert (facts["source"], facts["target"]) == ("pool", empty_silo)
    assert facts["log"]["root"] == root
    assert facts["rows"]["tenants_user"] == 6


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--to", "pool"), "lives in pool already"),
        (("--to", "elsewhere"), "cannot be a cell"),
    ],
)
def test_a_move_that_makes_no_sense_touches_nothing(acme, words, complaint):
    before = _rows(acme, "pool")

    with pytest.raises(CommandError, match=complaint):
        manage("move_tenant", acme.slug, *words)

    assert _rows(acme, "pool") == before


def test_a_move_into_somebody_elses_silo_is_refused(acme, globex, empty_silo):
    manage("move_tenant", globex.slug, "--to", empty_silo, "--grace", "0")

    with pytest.raises(CommandError, match="holds another tenant already"):
        manage("move_tenant", acme.slug, "--to", empty_silo, "--grace", "0")

    assert _cell_of(acme) == "pool"


def _move(company, cell):
    with as_role("owner"):
        tenant = tenancy.tenant_called(company.slug)
        return tenancy.move(tenant, cell, by=BY)


def test_a_log_that_does_not_hold_is_not_moved(busy, empty_silo):
    before = _rows(busy, "pool")
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        owner.execute("SELECT set_config('app.tenant_id', %s, false)", [str(busy.scope.tenant_id)])
        owner.execute(
            "UPDATE pool.evidence_entry SET leaf = convert_to(replace(convert_from(leaf, 'UTF8'),"
            " '\"ok\"', '\"no\"'), 'UTF8') WHERE index = 2"
        )

    with pytest.raises(LogBroken, match="entry 2 does not hash"):
        _move(busy, empty_silo)

    assert _cell_of(busy) == "pool"
    assert _rows(busy, empty_silo) == {}
    after = _rows(busy, "pool")
    assert after["tenants_user"] == before["tenants_user"]
    assert [(a, o) for a, _, o, _ in _said(busy)][-3:] == [
        ("tenant.suspend", "ok"),
        ("tenant.move", "failed"),
        ("tenant.suspend", "ok"),
    ]
    assert not scope_of_host(busy.host).suspended


def test_a_move_that_loses_a_row_on_the_way_does_not_happen(busy, empty_silo):
    before = _rows(busy, "pool")
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        owner.execute(
            "CREATE FUNCTION public.lose() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN IF NEW.name = 'Bo' THEN RETURN NULL; END IF; RETURN NEW; END$$"
        )
        owner.execute(
            f"CREATE TRIGGER lose BEFORE INSERT ON {empty_silo}.tenants_user"
            " FOR EACH ROW EXECUTE FUNCTION public.lose()"
        )
    try:
        with pytest.raises(moving.CannotMove, match="tenants_user"):
            _move(busy, empty_silo)
    finally:
        with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
            owner.execute("DROP FUNCTION public.lose() CASCADE")

    assert _cell_of(busy) == "pool"
    after = _rows(busy, "pool")
    assert {t: c for t, c in after.items() if t != "evidence_stagedentry"} == {
        t: c for t, c in before.items() if t != "evidence_stagedentry"
    }
    assert not scope_of_host(busy.host).suspended


def test_doors_that_were_closed_stay_closed_after_a_move(acme, empty_silo):
    manage("suspend_tenant", acme.slug, "--reason", "unpaid")

    manage("move_tenant", acme.slug, "--to", empty_silo, "--grace", "0")

    assert scope_of_host(acme.host).suspended


def test_the_doors_are_closed_while_a_tenant_moves(acme, empty_silo, sign_in, monkeypatch):
    seen = []
    real = moving.move_rows

    def looked_at(source, target):
        with psycopg.connect(os.environ["DATABASE_URL"]) as another:
            row = another.execute(
                "SELECT suspended FROM public.tenant_of_host(%s)", [acme.host]
            ).fetchone()
        seen.append(row)
        return real(source, target)

    monkeypatch.setattr(moving, "move_rows", looked_at)
    _move(acme, empty_silo)

    assert seen == [(True,)]
    assert not scope_of_host(acme.host).suspended


# Whoever pinned the old cell before the move


def test_a_request_that_thinks_of_the_old_cell_writes_nothing_into_it(acme, empty_silo):
    stale = acme.scope
    _move(acme, empty_silo)

    with tenant_scope(stale):
        with pytest.raises(OperationalError, match="does not live in cell pool"):
            people.create_project("late", "Late", tenant=people.AsTenant(stale.tenant_id), by=BY)
        with pytest.raises(OperationalError, match="does not live in cell pool"):
            Session.objects.create(session_key="k", session_data="", expire_date="2030-01-01T00Z")
        with pytest.raises(OperationalError, match="does not live in cell pool"):
            ledger.record("test.note", by=BY, on=acme.project)
        with pytest.raises(OperationalError, match="does not live in cell pool"):
            sealed()
        assert Project.objects.update(name="Late") == 0

    assert _rows(acme, "pool") == {}
    with tenant_scope(scope_of_host(acme.host)):
        assert Project.objects.get().name == "Platform"


def test_whoever_is_writing_when_the_move_begins_is_waited_for(acme, empty_silo):
    begun, go_on = threading.Event(), threading.Event()

    def request():
        with (
            closing(connection),
            tenant_scope(acme.scope),
            change(BY, Permission.PROJECT_CREATE, on=acme.project) as facts,
        ):
            facts.about = Project.objects.create(slug="slow", name="Slow")
            begun.set()
            assert go_on.wait(20)

    with ThreadPoolExecutor() as pool:
        slow = pool.submit(request)
        assert begun.wait(20)
        move = pool.submit(_move_from_elsewhere, acme, empty_silo)
        waited = _somebody_waits_for_a_lock()
        go_on.set()
        slow.result(30)
        move.result(60)

    assert waited
    assert _cell_of(acme) == empty_silo
    assert _rows(acme, "pool") == {}
    with tenant_scope(scope_of_host(acme.host)):
        assert sorted(Project.objects.values_list("slug", flat=True)) == ["platform", "slow"]


def _move_from_elsewhere(company, cell):
    """In a thread of its own, which has a connection of its own."""
    with closing(connection):
        return _move(company, cell)


def _somebody_waits_for_a_lock():
    """Whether, before long, somebody waits for an advisory lock."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        for _ in range(400):
            if owner.execute(
                "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            ).fetchone():
                return True
            owner.execute("SELECT pg_sleep(0.05)")
    return False


def test_moving_back_and_forth_under_load_loses_no_entry_and_leaves_none_behind(acme, empty_silo):
    stop, recorded, refused = threading.Event(), [], []

    def load(number):
        """Asks where acme lives only after having been refused, so it is late for each move."""
        scope = acme.scope
        with closing(connection):
            for count in itertools.count():
                if stop.is_set():
                    return
                slug = f"p{number}-{count}"
                with tenant_scope(scope):
                    tenant = people.AsTenant(scope.tenant_id)
                    try:
                        people.create_project(slug, slug, tenant=tenant, by=BY)
                        recorded.append(slug)
                    except OperationalError:
                        refused.append(slug)
                while slug in refused and not stop.wait(0.005):
                    scope = scope_of_host(acme.host)
                    if not scope.suspended:
                        break

    with ThreadPoolExecutor() as pool:
        workers = [pool.submit(load, number) for number in range(3)]
        try:
            for cell in (empty_silo, "pool", empty_silo):
                before = len(recorded)
                while len(recorded) < before + 10 and not any(w.done() for w in workers):
                    stop.wait(0.01)
                _move(acme, cell)
        finally:
            stop.set()
        for worker in workers:
            worker.result(30)

    assert _cell_of(acme) == empty_silo
    assert _rows(acme, "pool") == {}
    assert len(refused) >= 2  # whoever wrote after a move had been late for it
    with tenant_scope(scope_of_host(acme.host)):
        slugs = set(Project.objects.values_list("slug", flat=True)) - {"platform"}
        sealed()
        entries = Entry.objects.filter(action="project.create", outcome="ok").count()
        recount()
    assert slugs == set(recorded)
    assert entries == len(recorded) + 1  # the project that acme began with


def test_two_heads_never_grow_because_sealing_waits_for_the_move(busy, empty_silo, monkeypatch):
    with tenant_scope(busy.scope):
        ledger.record("test.note", by=BY, on=busy.project)
    real, granted = moving.move_rows, []

    def looked_at(source, target):
        number = ledger._lock_number(busy.scope.tenant_id)
        with psycopg.connect(os.environ["DATABASE_URL"]) as another:
            granted.append(
                another.execute("SELECT pg_try_advisory_xact_lock(%s)", [number]).fetchone()[0]
            )
        return real(source, target)

    monkeypatch.setattr(moving, "move_rows", looked_at)
    _move(busy, empty_silo)

    assert granted == [False]
    with tenant_scope(scope_of_host(busy.host)):
        sealed()
        assert LogHead.objects.get().size == recount().size
