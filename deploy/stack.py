"""Runs the whole product on this machine: servers, web, workers.

    python -m deploy.stack serve     until Ctrl-C; says where the portal is and who can sign in
    python -m deploy.stack demo      the main job once, by deploy/journey.py
    python -m deploy.stack stop      ends what `serve` left, and both servers

Each process writes to its own file in `var/log/`. When one ends on its own, its last lines are
shown and everything else is stopped: half a product would only confuse.
"""

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from deploy import embedded, journey

CHECKOUT = Path(__file__).resolve().parent.parent
# Each process carries it in its environment, so that what a killed stack left can be found again.
MARK = "COUNTERSIGN_STACK"
# What the caller's own environment may change for a run; all else is the servers' to say.
ADJUSTABLE = ("DEBUG", "LOG_LEVEL", "LOG_FORMAT", "PORTAL_PORT", "TASK_VISIBILITY_SECONDS")
# Only migrations need the owner's password, only the auditor's commands the auditor's; only the
# web process, and the one that copies logs, open customers' secrets.
WITHHELD = (
    "DATABASE_OWNER_URL",
    "DATABASE_AUDITOR_URL",
    "KEYS_DIR",
    "KEYS_MODULE",
    "KEYS_PIN_FILE",
    "KEYS_AWS_REGION",
    "KEYS_AWS_ENDPOINT",
    "SECRETS_KEYS",
)

SECONDS_TO_ANSWER = 60
SECONDS_UNTIL_WE_SAY_SO = 15
# A worker may finish its job; one that does not is cut off, and another takes the job up again.
SECONDS_TO_END = 15
WEB_PROCESSES = 2
CONNECTIONS_PER_WEB_PROCESS = 8
# What a worker whose sandbox does not hold writes into its log (agent/sandbox_health.py).
REFUSED = "jobs that need a sandbox are refused"


class Ended(Exception):
    """A part of the product ended on its own; the message shows its last words."""


class Interrupted(Exception):
    """Somebody asked the stack to stop: Ctrl-C or a signal."""


@dataclass
class Part:
    """One process of the product."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["serve", "demo", "stop"])
    parser.add_argument("--home", type=Path, help="folder of the servers (default: var/)")
    arguments = parser.parse_args()
    home = (arguments.home or embedded.default_home()).resolve()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    try:
        match arguments.command:
            case "serve":
                return serve(home)
            case "demo":
                return demo(home)
            case _:
                return stop(home)
    except Interrupted:
        return 130
    except (Ended, embedded.CannotStart, journey.Broken) as sentence:
        print(f"\n{sentence}", file=sys.stderr)
        return 1


def serve(home: Path) -> int:
    with running(home) as (address, parts):
        print(f"\nThe portal: {address}   (Ctrl-C stops it)\nLogs: {home / 'log'}", flush=True)
        try:
            while True:
                _require_alive(parts, home)
                time.sleep(0.5)
        except Interrupted:
            print("\nStopping ...", flush=True)
    return 0


def demo(home: Path) -> int:
    """Take the main job from form to verified pack, on the stack that runs or on one of our own."""
    with ExitStack() as stack:
        if _supervisor(home) is None:
            address, parts = stack.enter_context(running(home))
        else:
            address, parts = _address(embedded.environment(home)), []
            print(f"Using the portal that runs at {address}", flush=True)
        journey.travel(address, home / "demo", lambda: _require_alive(parts, home))
        # The worker that has just done all this tried its sandbox before.
        require_sandbox(address, home / "log" / "agent.log")
        journey.repair(address, lambda: _require_alive(parts, home))
    return 0


def require_sandbox(address: str, log: Path) -> None:
    """Raise Broken, with the reason in the worker's log, where jobs that need a sandbox only wait.

    address: of a portal on this machine, as http://acme.localhost:8000.
    """
    port = urllib.parse.urlsplit(address).port
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=60) as answer:
        if "sandbox" not in json.load(answer).get("warnings", {}):
            return
    raise journey.Broken(
        f"No bug can be repaired here: {why_refused(log)}.\nThe sandbox meant for it is gVisor:"
        " `make setup` installs it where apt has it; what else it takes is in docs/sandbox.md,"
        ' "What it needs".'
    )


def why_refused(log: Path) -> str:
    """What a worker's log says of its sandbox: the reason, or the whole line if it is no JSON."""
    with log.open(errors="replace") as lines:
        said = [line for line in lines if REFUSED in line]
    if not said:
        return f"{log} no longer says why its sandbox was refused"
    try:
        return str(json.loads(said[-1])["reason"])
    except ValueError:  # LOG_FORMAT=console
        return said[-1].strip()


def stop(home: Path) -> int:
    """End a stack of this folder, what one that was killed left behind, and both servers."""
    if pid := _supervisor(home):
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 4 * SECONDS_TO_END
        while _supervisor(home) == pid and time.monotonic() < deadline:
            time.sleep(0.1)
    _end_leftovers(home)
    embedded.stop(home)
    print("Nothing of it runs any more.")
    return 0


@contextmanager
def running(home: Path, *, patience: float = SECONDS_TO_ANSWER) -> Iterator[tuple[str, list[Part]]]:
    """Start everything, give its address and parts, and stop what was started.

    patience: seconds that the portal may take until it answers. Raises Ended or CannotStart, with
    everything stopped again.
    """
    parts: list[Part] = []
    home.mkdir(parents=True, exist_ok=True)
    with _supervised(home):
        _end_leftovers(home)
        served_before = all(embedded.status(home).values())
        try:
            print("Starting PostgreSQL and Valkey", flush=True)
            values = embedded.start(home)
            # Empty counts as not said: that is how make exports what nobody set.
            values |= {name: value for name in ADJUSTABLE if (value := os.environ.get(name))}
            values[MARK] = str(home)
            port = int(values["PORTAL_PORT"])
            if not embedded.port_is_free(port):
                raise embedded.CannotStart(
                    f"Port {port} is taken by another program. Choose another for the portal:"
                    f" make serve PORTAL_PORT={port + 1}"
                )
            _prepare_data(values)
            _start_parts(parts, values, home)
            print("Starting the portal", flush=True)
            _wait_for_answer(port, parts, home, patience)
            yield _address(values), parts
        finally:
            # A second Ctrl-C must not leave half of it running.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            _end(parts)
            # A killed worker leaves the process behind that did its jobs.
            _end_leftovers(home)
            if not served_before:
                embedded.stop(home)


def _prepare_data(values: dict[str, str]) -> None:
    print("Bringing the database up to date", flush=True)
    as_owner = values | {"DATABASE_ROLE": "owner"}
    _manage(as_owner, "bootstrap", quiet=True)
    _manage(as_owner, "demo_data", quiet=False)


def _manage(values: dict[str, str], command: str, *, quiet: bool) -> None:
    ran = subprocess.run(
        [sys.executable, "manage.py", command],
        cwd=CHECKOUT,
        env=_process_environment(values),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        last = "\n".join(ran.stdout.strip().splitlines()[-12:])
        raise Ended(f"manage.py {command} failed:\n{last}")
    if not quiet and ran.stdout.strip():
        print(ran.stdout.rstrip(), flush=True)


def _start_parts(parts: list[Part], values: dict[str, str], home: Path) -> None:
    kept = {name: value for name, value in values.items() if name not in WITHHELD}
    keys = embedded.environment(home, evidence=True)["KEYS_DIR"]
    web = ["-m", "uvicorn", "portal.asgi:application", "--host", "127.0.0.1"]
    web += ["--port", values["PORTAL_PORT"], "--workers", str(WEB_PROCESSES), "--lifespan", "off"]
    web += ["--http", "portal.wire:BoundedHttp", "--loop", "uvloop"]
    # The portal writes its own line for each request, with tenant and person.
    web += ["--no-access-log", "--no-server-header", "--timeout-graceful-shutdown", "10"]
    worker = ["-m", "celery", "-A", "portal.celery", "worker", "-c", "1", "--loglevel", "INFO"]
    worker += ["--without-gossip", "--without-mingle"]
    pool = {"DATABASE_POOL_SIZE": str(CONNECTIONS_PER_WEB_PROCESS)}
    # Customers' secrets are opened where people sign in, and to copy logs, nowhere else.
    pool["SECRETS_KEYS"] = values["SECRETS_KEYS"]
    parts.append(_started("web", web, kept | pool, home))
    parts.append(_started("agent", [*worker, "-Q", "agent", "-n", "agent@%h"], kept, home))
    # Two at once, so that heads are signed on time while a large pack is built.
    evidence = [*worker, "-c", "2", "-Q", "evidence", "-B", "-n", "evidence@%h"]
    parts.append(_started("evidence", evidence, kept | {"KEYS_DIR": keys}, home))
    # Copies logs to wherever tenants want them; looks every two seconds whether anybody does.
    copies = {"SECRETS_KEYS": values["SECRETS_KEYS"]}
    follow = ["manage.py", "export_log", "--follow"]
    parts.append(_started("log-copies", follow, kept | copies, home))


def _started(name: str, arguments: list[str], values: dict[str, str], home: Path) -> Part:
    log = home / "log" / f"{name}.log"
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=CHECKOUT,
            env=_process_environment(values),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for us alone: we end the parts one after the other.
            start_new_session=True,
        )
    return Part(name, process, log)


def _process_environment(values: dict[str, str]) -> dict[str, str]:
    """The caller's environment without any setting of the product, then the product's settings."""
    settings = {*values, *WITHHELD}
    inherited = {
        name: value
        for name, value in os.environ.items()
        # Nor AWS credentials of the caller's: they could be good for signing keys.
        if name.removesuffix("_FILE") not in settings and not name.startswith("AWS_")
    }
    return inherited | values


def _wait_for_answer(port: int, parts: list[Part], home: Path, patience: float) -> None:
    started = told = time.monotonic()
    answer = "no answer yet"
    while (now := time.monotonic()) < started + patience:
        _require_alive(parts, home)
        if now - told > SECONDS_UNTIL_WE_SAY_SO:
            told = now
            print(f"Still waiting for the portal ({now - started:.0f} s): {answer}", flush=True)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except urllib.error.HTTPError as error:
            with error:
                answer = error.read(2000).decode(errors="replace")
        except OSError as error:
            answer = str(error)
        time.sleep(0.1)
    raise Ended(f"The portal was not ready after {patience:.0f} s; it said: {answer}")


def _require_alive(parts: list[Part], home: Path) -> None:
    """Raise Ended when a process of ours has gone."""
    for part in parts:
        if (code := part.process.poll()) is not None:
            raise Ended(f"{part.name} ended (exit code {code}). {_last_words(part.log)}")
    for server, pid in embedded.status(home).items():
        if pid is None:
            raise Ended(f"{server} ended. {_last_words(home / 'log' / f'{server}.log')}")


def _last_words(log: Path) -> str:
    with log.open(errors="replace") as lines:
        return f"The end of {log}:\n" + "".join(deque(lines, maxlen=12)).rstrip()


def _end(parts: list[Part]) -> None:
    """Web first, so that no new jobs come in; then each worker may finish the job it has."""
    for part in parts:
        part.process.terminate()
        try:
            part.process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            os.killpg(part.process.pid, signal.SIGKILL)
            part.process.wait()


# One stack for a folder at a time ----------------------------------------------------------------


@contextmanager
def _supervised(home: Path) -> Iterator[None]:
    with (home / "stack.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            address = _address(embedded.environment(home))
            raise embedded.CannotStart(
                f"The portal runs already: {address}. To end it: make stop"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _supervisor(home: Path) -> int | None:
    """Process number of the stack that runs for this folder: the lock dies with its holder."""
    try:
        with (home / "stack.lock").open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read() or 0) or None
    except FileNotFoundError:
        pass
    return None


def _end_leftovers(home: Path) -> None:
    """End processes of a stack that was killed before it could end them itself."""
    mark = f"{MARK}={home}".encode()
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + SECONDS_TO_END
        asked: set[int] = set()
        while left := _marked(mark):
            for pid in left - asked:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            asked |= left
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)


def _marked(mark: bytes) -> set[int]:
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark in Path(f"/proc/{entry.name}/environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
            except OSError:  # it ended just now, or is somebody else's
                continue
    return found


def _address(values: dict[str, str]) -> str:
    return f"http://acme.{values['BASE_DOMAIN']}:{values['PORTAL_PORT']}"


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted


if __name__ == "__main__":
    sys.exit(main())
