"""Makes an environment of wheels: installed in a sandbox without a network, then kept."""

import hashlib
import io
import json
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from packaging.utils import parse_wheel_filename

from agent.sandbox import collecting, environments, logs
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
# Debian's pip opens the machine's certificates as it starts, also when it fetches nothing; there
# are none in a sandbox. It is given those that lie in its own wheel, as elsewhere.
_START_PIP = f"""
import runpy, sys, tempfile, zipfile
wheel = "{INPUTS}/pip.whl"
sys.path.insert(0, wheel)
from pip._vendor import certifi
own = zipfile.ZipFile(wheel).extract("pip/_vendor/certifi/cacert.pem", tempfile.mkdtemp())
certifi.where = lambda: own
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
_PIP = [f"{ENVIRONMENT}/bin/python", "-P", "-c", _START_PIP, "--isolated", "--no-cache-dir"]
_QUIET = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--no-color"]
_BUILD = (
    'set -e; "$@"; cd made;'
    " python -m compileall -q --invalidation-mode unchecked-hash lib || true;"
    " tar -cf ../made.tar ."
)


class CannotPrepare(Exception):
    """Wheels that no environment can be made of; the message says why, untrusted words."""


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
    while (found := environments.held(digest, final)) is None:
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
    return found


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
