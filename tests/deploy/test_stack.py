"""The whole product on one machine ends as one."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy import embedded, stack


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "log").mkdir()
    return tmp_path


def test_a_part_that_ends_on_its_own_is_named_with_its_last_words(home):
    part = stack._started("agent", ["-c", "print('no broker'); raise SystemExit(3)"], {}, home)
    part.process.wait()

    with pytest.raises(stack.Ended, match=r"(?s)agent ended \(exit code 3\).*no broker"):
        stack._require_alive([part], home)


def test_what_a_killed_stack_left_behind_is_ended_and_nothing_else(home):
    sleep = ["-c", "import time; time.sleep(60)"]
    left = stack._started("web", sleep, {stack.MARK: str(home)}, home)
    other = stack._started("other", sleep, {stack.MARK: f"{home}-other"}, home)
    time.sleep(0.2)

    stack._end_leftovers(home)

    assert left.process.wait(5) == -15
    assert other.process.poll() is None
    stack._end([other])
    assert other.process.returncode == -15


def test_no_process_but_the_evidence_worker_is_told_of_keys_or_of_the_owners_password(
    home, monkeypatch
):
    monkeypatch.setenv("KEYS_DIR", "/from/the/shell")
    monkeypatch.setenv("DATABASE_OWNER_URL_FILE", "/from/the/shell")
    monkeypatch.setattr(
        stack.embedded, "environment", lambda home, evidence: {"KEYS_DIR": str(home / "keys")}
    )
    seen: dict[str, dict[str, str]] = {}
    monkeypatch.setattr(
        stack,
        "_started",
        lambda name, arguments, values, home: seen.update(
            {name: stack._process_environment(values)}
        ),
    )

    stack._start_parts(
        [],
        {
            "PORTAL_PORT": "1",
            "DATABASE_URL": "app",
            "DATABASE_OWNER_URL": "owner",
            "DATABASE_AUDITOR_URL": "auditor",
            "SECRETS_KEYS": "not the workers",
        },
        home,
    )

    assert set(seen) == {"web", "agent", "evidence", "log-copies"}
    assert [name for name, values in seen.items() if "KEYS_DIR" in values] == ["evidence"]
    openers = [name for name, values in seen.items() if "SECRETS_KEYS" in values]
    assert openers == ["web", "log-copies"]
    assert seen["evidence"]["KEYS_DIR"] == str(home / "keys")
    for values in seen.values():
        assert values["DATABASE_URL"] == "app"
        assert not {"DATABASE_OWNER_URL", "DATABASE_OWNER_URL_FILE", "DATABASE_AUDITOR_URL"} & set(
            values
        )


def test_a_second_stack_for_the_same_folder_is_refused_with_the_first_ones_address(home):
    (home / "env").write_text("BASE_DOMAIN=localhost\nPORTAL_PORT=8123\n")
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path; from deploy import stack\n"
            "with stack._supervised(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)",
            str(home),
        ],
        cwd=stack.CHECKOUT,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()

        assert stack._supervisor(home) == holder.pid
        with pytest.raises(embedded.CannotStart, match=r"http://acme\.localhost:8123"):
            with stack._supervised(home):
                pass
    finally:
        holder.kill()
        holder.communicate()

    assert stack._supervisor(home) is None
