"""The whole product on one machine ends as one."""

import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from deploy import embedded, journey, stack


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
    monkeypatch.setenv("KEYS_AWS_REGION", "from-the-shell-1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "from the shell")
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
        assert not {"KEYS_AWS_REGION", "AWS_SECRET_ACCESS_KEY"} & set(values)


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


@pytest.fixture
def ready_with():
    """Answers /readyz on this machine with the warnings that it is given; returns the address."""

    class Readiness(BaseHTTPRequestHandler):
        warnings: dict[str, str] = {}

        def do_GET(self) -> None:
            said = {"status": "ready", "problems": {}}
            body = json.dumps(said | {"warnings": self.warnings} if self.warnings else said)
            self.send_response(200 if self.path == "/readyz" else 404)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    def answering(**warnings: str) -> str:
        Readiness.warnings = warnings
        return f"http://acme.localhost:{server.server_port}"

    with HTTPServer(("127.0.0.1", 0), Readiness) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield answering
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "line",
    [
        f'{{"event": "{stack.REFUSED}", "worker": "agent@here", "reason": "no runsc"}}',
        f"12:00 [error] {stack.REFUSED}  [agent.sandbox_health] reason='no runsc'",
    ],
    ids=["json", "console"],
)
def test_without_a_sandbox_no_repair_is_waited_for_and_the_reason_is_said(home, ready_with, line):
    log = home / "log" / "agent.log"
    log.write_text(f"{line.replace('no runsc', 'an earlier one')}\n{line}\nsomething else\n")

    with pytest.raises(journey.Broken, match=r"No bug can be repaired here: .*no runsc") as told:
        stack.require_sandbox(ready_with(sandbox="refused by 1 workers; see their logs"), log)

    assert "make setup" in str(told.value)
    assert "an earlier one" not in str(told.value)
    assert "something else" not in str(told.value)


def test_other_warnings_keep_no_repair_back(home, ready_with):
    stack.require_sandbox(ready_with(), home / "log" / "agent.log")
    stack.require_sandbox(ready_with(space="3 MiB above"), home / "log" / "agent.log")


def test_a_reason_that_is_no_longer_in_the_log_is_not_made_up(home, ready_with):
    log = home / "log" / "agent.log"
    log.write_text("")

    with pytest.raises(journey.Broken, match=r"agent\.log no longer says why"):
        stack.require_sandbox(ready_with(sandbox="refused"), log)
