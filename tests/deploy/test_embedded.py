"""The servers of a checkout start, stop, survive being killed."""

import os
import secrets
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from deploy import embedded
from deploy.embedded import places


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Servers of these tests alone. Root's test folders are closed to others, as /root is."""
    folder = tmp_path_factory.mktemp("servers") / "var"
    folder.parent.chmod(0o700)
    embedded.start(folder)
    yield folder
    embedded.destroy(folder)


@pytest.fixture
def values(home: Path) -> dict[str, str]:
    return embedded.start(home)


@pytest.fixture
def empty_home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "var"
    embedded.destroy(tmp_path / "var")


def _processes(home: Path) -> dict[str, int]:
    running = embedded.status(home)
    assert all(running.values())
    return {name: pid for name, pid in running.items() if pid}


def _own_table(values: dict[str, str]) -> str:
    """A table of the owner's with one row, which the portal's role may read and write."""
    name = f"kept_{secrets.token_hex(4)}"
    with psycopg.connect(values["DATABASE_OWNER_URL"]) as owner:
        owner.execute(f"CREATE TABLE {name} (word text)")
        owner.execute(f"INSERT INTO {name} VALUES ('committed')")
        owner.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO portal_app")
        owner.execute(f"GRANT SELECT ON {name} TO portal_auditor")
    return name


def test_a_second_start_leaves_running_servers_alone_and_takes_under_a_second(home, values):
    before = _processes(home)

    started = time.monotonic()
    again = embedded.start(home)

    assert time.monotonic() - started < 1
    assert again == values
    assert _processes(home) == before


def test_a_committed_row_survives_kill_minus_nine_and_a_pid_file_that_names_a_stranger(
    home, values
):
    table = _own_table(values)
    os.kill(_processes(home)["postgres"], signal.SIGKILL)
    pid_file = places.existing_servers_folder(home) / "postgres" / "postmaster.pid"
    lines = pid_file.read_text().splitlines(keepends=True)
    pid_file.write_text("".join([f"{os.getpid()}\n", *lines[1:]]))

    again = embedded.start(home)

    with psycopg.connect(again["DATABASE_URL"]) as app:
        assert app.execute(f"SELECT word FROM {table}").fetchall() == [("committed",)]


def test_a_queued_job_survives_kill_minus_nine(home, values):
    queue = redis.Redis.from_url(values["REDIS_URL"])
    queue.lpush("jobs", "seal")
    queue.close()
    os.kill(_processes(home)["valkey"], signal.SIGKILL)

    again = embedded.start(home)

    with redis.Redis.from_url(again["REDIS_URL"]) as queue:
        assert queue.lrange("jobs", 0, -1) == [b"seal"]
        queue.delete("jobs")


def test_stop_ends_these_servers_only_and_data_is_there_after_the_next_start(home, values):
    table = _own_table(values)
    of_this_run = embedded.status(Path(os.environ["DATA_DIR"]).parent)

    embedded.stop(home)
    stopped = embedded.status(home)
    embedded.stop(home)

    assert stopped == {"postgres": None, "valkey": None}
    assert embedded.status(Path(os.environ["DATA_DIR"]).parent) == of_this_run
    with psycopg.connect(embedded.start(home)["DATABASE_AUDITOR_URL"]) as auditor:
        assert auditor.execute(f"SELECT word FROM {table}").fetchall() == [("committed",)]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE public.mine (word text)",
        "CREATE TEMPORARY TABLE mine (word text)",
        "CREATE SCHEMA mine",
        "CREATE DATABASE mine",
        "CREATE EXTENSION pg_trgm",
        "TRUNCATE {table}",
        "DROP TABLE {table}",
        "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
        "SET ROLE portal_owner",
        "SET SESSION AUTHORIZATION postgres",
        "ALTER ROLE portal_app BYPASSRLS",
        "COPY (SELECT 1) TO PROGRAM 'true'",
    ],
)
@pytest.mark.parametrize("role", ["DATABASE_URL", "DATABASE_AUDITOR_URL"])
def test_neither_the_portal_nor_the_auditor_can_change_the_shape_of_the_database(
    values, role, statement, owned_table
):
    with psycopg.connect(values[role], options="-c default_transaction_read_only=off") as plain:
        with pytest.raises(psycopg.Error) as refusal:
            plain.execute(statement.format(table=owned_table))

    # 42501 is "insufficient privilege"; an extension that is not there cannot be made either.
    assert refusal.value.sqlstate in {"42501", "0A000", "25001", "58P01"}


@pytest.fixture(scope="module")
def owned_table(home: Path) -> str:
    return _own_table(embedded.start(home))


def test_no_role_of_the_product_can_pass_by_row_security(values):
    with psycopg.connect(values["DATABASE_URL"]) as app:
        roles = app.execute(
            "SELECT rolname, rolsuper OR rolbypassrls OR rolcreaterole OR rolreplication"
            " FROM pg_roles WHERE rolname LIKE 'portal%' ORDER BY 1"
        ).fetchall()
        memberships = app.execute(
            "SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member"
            " WHERE r.rolname LIKE 'portal%'"
        ).fetchone()

    assert roles == [("portal_app", False), ("portal_auditor", False), ("portal_owner", False)]
    assert memberships == (0,)


def test_nobody_gets_in_without_a_password(values):
    port = psycopg.conninfo.conninfo_to_dict(values["DATABASE_URL"])["port"]
    queue = redis.Redis.from_url(values["REDIS_URL"].replace("redis://:", "redis://:x"))

    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(host="127.0.0.1", port=port, user="portal_app", dbname="countersign")
    with pytest.raises(redis.AuthenticationError):
        queue.ping()
    queue.close()


def test_passwords_are_in_private_files_and_in_no_process_list(home, values):
    password = psycopg.conninfo.conninfo_to_dict(values["DATABASE_URL"])["password"]
    queue_password = values["REDIS_URL"].split(":")[2].partition("@")[0]
    commands = [
        Path(f"/proc/{pid}/cmdline").read_bytes().decode() for pid in _processes(home).values()
    ]

    for name in ("env", "env.evidence"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600
    assert not any(password in line or queue_password in line for line in commands)


def test_only_the_evidence_workers_file_says_where_the_keys_are(home, values):
    assert "KEYS_DIR" not in embedded.environment(home)
    assert embedded.environment(home, evidence=True)["KEYS_DIR"] == str(home / "keys")
    assert stat.S_IMODE((home / "keys").stat().st_mode) == 0o700


def test_vectors_can_be_stored(values):
    with psycopg.connect(values["DATABASE_URL"]) as app:
        assert app.execute("SELECT '[1,2]'::public.vector::text").fetchone() == ("[1,2]",)


def test_a_port_that_is_taken_is_named_in_the_message(empty_home, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("COUNTERSIGN_VALKEY_PORT", str(port))

        with pytest.raises(embedded.CannotStart, match=f"Port {port}.*taken by another program"):
            embedded.start(empty_home)


def test_a_full_disk_is_named_in_the_message(empty_home, monkeypatch):
    monkeypatch.setattr(places, "BYTES_FOR_FIRST_START", 2**60)

    with pytest.raises(embedded.CannotStart, match="The disk is full"):
        embedded.start(empty_home)


def test_missing_binaries_are_named_in_the_message(empty_home, monkeypatch, tmp_path):
    monkeypatch.setattr(places, "CHECKOUT", tmp_path)
    monkeypatch.setattr(places.sysconfig, "get_path", lambda name: str(tmp_path))

    with pytest.raises(embedded.CannotStart, match=r"binaries are missing: run `make setup`"):
        embedded.start(empty_home)


def test_lost_passwords_stop_the_start_and_the_database_is_left_as_it_is(empty_home):
    (empty_home / "postgres").mkdir(parents=True)
    (empty_home / "postgres" / "PG_VERSION").write_text("18\n")

    with pytest.raises(embedded.CannotStart, match=r"servers\.json with its passwords is gone"):
        embedded.start(empty_home)

    assert (empty_home / "postgres" / "PG_VERSION").exists()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 160 MB, where the servers' user can reach it."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    folder.chmod(0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "none", folder], check=True)
    yield folder
    embedded.destroy(folder / "var")
    subprocess.run(["umount", folder], check=True)
    folder.rmdir()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_disk_that_fills_up_halfway_ends_in_a_sentence_and_all_is_well_with_room_again(
    small_disk, monkeypatch
):
    monkeypatch.setattr(places, "BYTES_FOR_FIRST_START", 0)
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 135 * 1024**2)

    with pytest.raises(embedded.CannotStart, match="The disk is full"):
        embedded.start(small_disk / "var")
    filler.unlink()
    embedded.start(small_disk / "var")

    assert all(embedded.status(small_disk / "var").values())
