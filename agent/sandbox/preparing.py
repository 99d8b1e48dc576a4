"""Prepares the environment of a repository from its lock file: fetched, built, then kept."""

import dataclasses
import hashlib
import io
import json
import re
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from packaging.utils import parse_wheel_filename

from agent.sandbox import collecting, egress, environments, forwarding, logs
from agent.sandbox.bubblewrap import Bubblewrap
from agent.sandbox.gvisor import GVisor
from agent.sandbox.job import (
    ENVIRONMENT,
    INPUTS,
    WORKSPACE,
    Ended,
    Environment,
    Job,
    Limits,
    Outcome,
    SandboxUnavailable,
)

LOCK_BYTES = 1_000_000
_MIB = 1024**2
_LIMITS = Limits(
    wall_s=600,
    memory_mb=2_048,
    disk_mb=1_024,
    file_bytes=512 * _MIB,
    artifact_bytes=512 * _MIB,
    artifacts=500,
)
_FILES = 100_000
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})\b")
# Options could name another index, a folder or a file: a lock names packages and hashes.
_LINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9,._ -]*\])?==\S+(\s*;[^\\]*)?(\s*\\)?")
_PIP = [
    f"{ENVIRONMENT}/bin/python",
    f"{INPUTS}/pip.whl/pip",
    "--isolated",
    "--no-cache-dir",
    "--retries=1",
]
_QUIET = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--no-color"]
_BUILD = (
    'set -e; "$@"; cd made;'
    " python -m compileall -q --invalidation-mode unchecked-hash lib || true;"
    " tar -cf ../made.tar ."
)


class CannotPrepare(Exception):
    """A lock file that no environment can be made from; the message says why, untrusted words."""


def locked(
    lock: bytes,
    *,
    engine: GVisor,
    allowed: egress.Allowed,
    index: str = "",
    certificates: bytes = b"",
) -> Environment:
    """An environment with what a lock file names, made once and then found by its digest.

    lock: the format of `pip install --requirement`, every package pinned and with hashes.
    allowed: hosts of the package registry; nothing else can be reached, and only while fetching.
    index: address of the registry's index; empty for pip's own.
    certificates: PEM, of a registry that the machine's do not vouch for.
    Only wheels are taken, so nothing of a package runs while it is installed.
    Raises CannotPrepare.
    """
    _check(lock)
    digest = hashlib.sha256(
        json.dumps([2, environments.interpreter(), hashlib.sha256(lock).hexdigest()]).encode()
    ).hexdigest()
    final = engine.store / digest
    prefix = Path(sys.base_prefix)
    if not final.exists():
        inputs = {"lock.txt": lock, "pip.whl": _pip()}
        wheels = _fetched(inputs, engine, allowed, index, certificates)
        made = _built(inputs, wheels, engine)
        engine.store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=engine.store, prefix=".making-") as folder:
            environment = Path(folder) / "environment"
            environments.make_empty(environment)
            _unpack(made, environment)
            environments.keep(environment, final)
    return Environment(digest, final, prefix)


def from_wheels(wheels: Mapping[str, bytes], *, engine: GVisor | Bubblewrap) -> Environment:
    """An environment with these wheels and pytest, made once and then found by its digest.

    wheels: file name -> content. They are installed in a sandbox without a network. Where they
    bring pytest themselves, theirs is taken. Raises CannotPrepare.
    """
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in wheels.items()}
    plain = environments.plain(engine.store)
    digest = hashlib.sha256(
        json.dumps([3, plain.digest, environments.interpreter(), sorted(hashes.items())]).encode()
    ).hexdigest()
    final = engine.store / digest
    if not final.exists():
        packages = {parse_wheel_filename(name)[:2]: name for name in wheels}
        lock = "".join(
            f"{package}=={version} --hash=sha256:{hashes[name]}\n"
            for (package, version), name in sorted(packages.items())
        )
        made = _built({"lock.txt": lock.encode(), "pip.whl": _pip()}, wheels, engine)
        engine.store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=engine.store, prefix=".making-") as folder:
            environment = Path(folder) / "environment"
            site = environments.make_empty(environment)
            environments.add_plain(site, without={str(package) for package, _ in packages})
            _unpack(made, environment)
            environments.keep(environment, final)
    return Environment(digest, final, Path(sys.base_prefix))


def _check(lock: bytes) -> None:
    try:
        text = lock.decode()
    except UnicodeDecodeError:
        raise CannotPrepare("the lock file is not UTF-8") from None
    if len(lock) > LOCK_BYTES:
        raise CannotPrepare(f"the lock file has more than {LOCK_BYTES} bytes")
    for number, line in enumerate(text.splitlines(), 1):
        said = line.partition(" #")[0].strip()
        if not said or said.startswith("#"):
            continue
        if not (_HASH.fullmatch(said.removesuffix("\\").strip()) or _LINE.fullmatch(said)):
            raise CannotPrepare(
                f"line {number} of the lock file is neither a pinned package nor its sha256"
            )


def _pip() -> bytes:
    """The pip that comes with the interpreter."""
    places = [Path(sys.base_prefix) / "lib", Path("/usr/share/python-wheels")]
    patterns = ("python3.*/ensurepip/_bundled/pip-*.whl", "pip-*.whl")
    for place in places:
        for pattern in patterns:
            if found := sorted(place.glob(pattern)):
                return found[-1].read_bytes()
    raise SandboxUnavailable(
        "this Python came without ensurepip, which brings the pip for sandboxes"
    )


def _fetched(
    inputs: Mapping[str, bytes],
    engine: GVisor,
    allowed: egress.Allowed,
    index: str,
    certificates: bytes,
) -> dict[str, bytes]:
    """Wheels by name, each with a hash that the lock file names."""
    command = [*_PIP, "download", *_QUIET, "--only-binary", ":all:", "--no-deps"]
    command += ["--require-hashes", "--requirement", f"{INPUTS}/lock.txt", "--dest", "wheels"]
    if index:
        command += ["--index-url", index]
    if certificates:
        command += ["--cert", f"{INPUTS}/certificates.pem"]
    forwarder = [f"{ENVIRONMENT}/bin/python", f"{INPUTS}/forwarding.py", f"/egress/{egress.SOCKET}"]
    job = Job(
        (*forwarder, *command),
        {},
        inputs={
            **inputs,
            "forwarding.py": Path(forwarding.__file__).read_bytes(),
            "certificates.pem": certificates,
        },
        collect=("wheels/*.whl",),
        limits=_LIMITS,
    )
    with egress.Proxy(allowed) as proxy:
        outcome = dataclasses.replace(engine, egress=proxy.folder).run(job)
        if proxy.refused:
            raise CannotPrepare(f"the lock file leads to {proxy.refused[0]}, which is not allowed")
    _require(outcome, "fetching")
    known = set(_HASH.findall(inputs["lock.txt"].decode()))
    wheels = {PurePosixPath(path).name: content for path, content in outcome.artifacts.items()}
    for name, content in wheels.items():
        # pip has looked too, but in there.
        if hashlib.sha256(content).hexdigest() not in known:
            raise CannotPrepare(f"{name!r} has a hash that the lock file does not name")
    return wheels


def _built(
    inputs: Mapping[str, bytes], wheels: Mapping[str, bytes], engine: GVisor | Bubblewrap
) -> bytes:
    """A tar of what the wheels install, with bytecode. Made without any network."""
    command = [*_PIP, "install", *_QUIET, "--no-index", "--find-links", f"{INPUTS}/wheels"]
    command += ["--only-binary", ":all:", "--no-deps", "--no-compile", "--require-hashes"]
    command += ["--requirement", f"{INPUTS}/lock.txt", "--prefix", f"{WORKSPACE}/made"]
    job = Job(
        ("sh", "-c", "mkdir -p made/lib; " + _BUILD, "sh", *command),
        {},
        inputs={**inputs, **{f"wheels/{name}": content for name, content in wheels.items()}},
        collect=("made.tar",),
        limits=_LIMITS,
    )
    outcome = engine.run(job)
    _require(outcome, "installing")
    if "made.tar" not in outcome.artifacts:
        raise CannotPrepare("installing: " + "; ".join(outcome.rejected))
    return outcome.artifacts["made.tar"]


def _require(outcome: Outcome, step: str) -> None:
    if outcome.ended is not Ended.EXITED or outcome.exit_code != 0:
        said = logs.cleaned(outcome.stderr or outcome.stdout, 2_000)
        raise CannotPrepare(f"{step} ended with {outcome.ended} {outcome.exit_code}: {said}")


def _unpack(tar: bytes, folder: Path) -> None:
    """Write plain files and folders of an untrusted tar; anything else ends it."""
    size = 0
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as entries:
        for number, entry in enumerate(entries):
            path = PurePosixPath(entry.name)
            size += entry.size
            if number >= _FILES or size > _LIMITS.artifact_bytes:
                raise CannotPrepare("the packages hold too many files or bytes")
            if path.is_absolute() or ".." in path.parts or len(path.parts) > collecting.DEPTH:
                raise CannotPrepare(f"the packages hold a path that leads elsewhere: {path!s:.80}")
            if not path.parts or path.parts[0] not in {"bin", "lib", "share", "include", "etc"}:
                continue
            target = folder / path
            if path.parts[0] == "bin" and target.exists(follow_symlinks=False):
                continue  # our interpreter stays ours
            if entry.isdir():
                target.mkdir(parents=True, exist_ok=True)
            elif entry.isreg():
                target.parent.mkdir(parents=True, exist_ok=True)
                content = entries.extractfile(entry)
                assert content is not None
                target.write_bytes(content.read())
                target.chmod(0o755 if entry.mode & 0o100 else 0o644)
            else:
                raise CannotPrepare(f"the packages hold what is no plain file: {path!s:.80}")
