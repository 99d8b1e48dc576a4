"""Makes a backup of this machine's installation, and restores it into a new folder.

    python -m deploy.backup create FILE [--keys KEYFILE]     the servers may run meanwhile
    python -m deploy.backup restore FILE --home DIR [--keys KEYFILE]

FILE holds the database and the data folder. KEYFILE holds what must not lie beside them: the keys
that sign the logs and the key that customers' secrets are sealed with. Without --keys they are in
neither. Roles and passwords are in no backup: a restored installation makes new ones.

For servers of your own, docs/operating.md says how to do the same with their own tools.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urlsplit

from deploy import embedded

FORMAT = 1
MANIFEST = "manifest.json"
DUMP = "database.dump"
SECRETS = "secrets.json"
CHUNK = 1 << 20  # bytes
# What writers leave for a moment only, and what is made anew at each start.
PASSING = re.compile(r"\.new-.*|tmp_.*|.*\.lock|beat-schedule.*")


class CannotBackUp(Exception):
    """No backup was made, or nothing was restored; the message says why and what to do."""


@dataclass
class _Hashed:
    """A file as tar reads it, hashed in passing."""

    file: IO[bytes]
    digest: "hashlib._Hash"

    def read(self, size: int = -1) -> bytes:
        chunk = self.file.read(size)
        self.digest.update(chunk)
        return chunk


class _Writer:
    """A tar file under way with the digest of everything in it; the manifest comes last."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self.tar = tar
        self.digests: dict[str, str] = {}

    def add(self, name: str, path: Path) -> None:
        """Add a file; one that is gone by now was passing."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return
        with file:
            hashed = _Hashed(file, hashlib.sha256())
            member = self.tar.gettarinfo(arcname=name, fileobj=file)
            # Whoever restores owns it; nobody's name belongs into a backup.
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            self.tar.addfile(member, hashed)
            self.digests[name] = hashed.digest.hexdigest()

    def add_folder(self, name: str) -> None:
        """Add a folder, which may be empty: git wants some that are."""
        member = tarfile.TarInfo(name)
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        self.tar.addfile(member)

    def add_text(self, name: str, text: str) -> None:
        content = text.encode()
        member = tarfile.TarInfo(name)
        member.size, member.mtime, member.mode = len(content), int(time.time()), 0o600
        self.tar.addfile(member, BytesIO(content))
        self.digests[name] = hashlib.sha256(content).hexdigest()

    def finish(self, kind: str) -> None:
        said = {"format": FORMAT, "kind": kind, "files": dict(sorted(self.digests.items()))}
        self.add_text(MANIFEST, json.dumps(said, indent=1) + "\n")


def create(target: Path, keys_target: Path | None, home: Path) -> None:
    """Back the installation in `home` up. Raises CannotBackUp or CannotStart; no file is left.

    The database first, the folders afterwards: a row is written after its file, so each row in
    the backup has its file, and each log its key.
    """
    for path in filter(None, (target, keys_target)):
        if path.exists():
            raise CannotBackUp(f"{path} is there already; name a new file")
    if not (home / "env").exists():
        raise CannotBackUp(f"{home} holds no installation; say where it is with --home")
    with _servers(home), _new_file(target) as file, tarfile.open(fileobj=file, mode="w|") as tar:
        writer = _Writer(tar)
        dump = target.with_name(target.name + ".dump")
        try:
            _dump(home, dump)
            writer.add(DUMP, dump)
        finally:
            dump.unlink(missing_ok=True)
        for path in _in_order(home / "data"):
            name = f"data/{path.relative_to(home / 'data')}"
            if path.is_dir():
                writer.add_folder(name)
            else:
                writer.add(name, path)
        writer.finish("data")
        if keys_target is not None:
            _create_keys(keys_target, home)


def restore(source: Path, keys_source: Path | None, home: Path) -> str:
    """Make a new installation in `home` from a backup, and return what its logs prove.

    Everything is checked against the manifest before anything is made. `home` must be empty, and
    is empty again after a failure. Its servers run afterwards, the portal does not. Raises
    CannotBackUp or CannotStart.
    """
    if home.exists() and any(home.iterdir()):
        raise CannotBackUp(f"{home} is not empty; restore into a new folder")
    _check(source, "data")
    if keys_source is not None:
        _check(keys_source, "keys")
    try:
        values = embedded.start(home)
        _extract(source, home, "data/")
        _load(source, home)
        if keys_source is not None:
            values = _restore_keys(keys_source, home)
        as_owner = values | {"DATABASE_ROLE": "owner"}
        # Roles, wall and grants are those of this version, not of the one that was backed up.
        _manage(as_owner, "bootstrap")
        return _manage(as_owner, "verify_log", "--all")
    except BaseException:
        # Half an installation would be taken for a whole one.
        embedded.destroy(home)
        raise


def _create_keys(target: Path, home: Path) -> None:
    with _new_file(target) as file, tarfile.open(fileobj=file, mode="w|") as tar:
        writer = _Writer(tar)
        for path in sorted((home / "keys").glob("*.pem")):
            writer.add(f"keys/{path.name}", path)
        sealing = embedded.environment(home)["SECRETS_KEYS"]
        writer.add_text(SECRETS, json.dumps({"secrets_key": sealing}) + "\n")
        writer.finish("keys")


def _restore_keys(source: Path, home: Path) -> dict[str, str]:
    _extract(source, home, "keys/")
    (home / "keys").chmod(0o700)
    for path in (home / "keys").iterdir():
        path.chmod(0o600)
    with tarfile.open(source) as tar:
        member = tar.extractfile(SECRETS)
        assert member is not None  # _check has seen it
        return embedded.adopt_secrets_key(home, json.load(member)["secrets_key"])


# The database ----------------------------------------------------------------------------------


def _dump(home: Path, target: Path) -> None:
    """Row security also binds the owner, so only the superuser can dump every row."""
    _run_client(home, ["pg_dump", "--format=custom", "--no-password", f"--file={target}"])


def _load(source: Path, home: Path) -> None:
    # All or nothing; roles.sql has made the roles, the database and its extension already.
    command = ["pg_restore", "--no-password", "--exit-on-error", "--single-transaction"]
    _extract(source, home, DUMP)
    try:
        _run_client(home, [*command, "--clean", "--if-exists", "--dbname=countersign", home / DUMP])
    finally:
        (home / DUMP).unlink(missing_ok=True)


def _run_client(home: Path, command: list[str | Path]) -> None:
    url = urlsplit(embedded.superuser_url(home, "countersign"))
    ran = subprocess.run(
        [embedded.postgres_program(str(command[0])), *command[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        # The password goes by the environment: an argument would show it in the process list.
        env={
            "PATH": "/usr/bin:/bin",
            "PGHOST": url.hostname or "",
            "PGPORT": str(url.port),
            "PGUSER": url.username or "",
            "PGPASSWORD": url.password or "",
            "PGDATABASE": url.path.removeprefix("/"),
        },
    )
    if ran.returncode != 0:
        raise CannotBackUp(f"{command[0]} failed: {ran.stdout.strip()}")


def _manage(values: dict[str, str], *words: str) -> str:
    ran = subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=embedded.CHECKOUT,
        env=os.environ | values,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        last = "\n".join(ran.stdout.strip().splitlines()[-8:])
        raise CannotBackUp(f"manage.py {words[0]} failed:\n{last}")
    return ran.stdout


# Files -----------------------------------------------------------------------------------------


def _in_order(folder: Path) -> Iterator[Path]:
    """Everything below `folder`, what points before what is pointed to.

    Git writes an object before the ref that names it. Refs that were copied first name only
    objects that are there when those are copied.
    """

    def found(objects: bool) -> Iterator[Path]:
        for path in sorted(folder.rglob("*")):
            parts = path.relative_to(folder).parts
            passing = any(PASSING.fullmatch(part) for part in parts) or path.is_symlink()
            if not passing and ("objects" in parts) == objects:
                yield path

    yield from found(objects=False)
    # Listed only now, so that what was written since is there too.
    yield from found(objects=True)


def _check(source: Path, kind: str) -> None:
    """Compare everything in a backup with its manifest. Raises CannotBackUp."""
    seen: dict[str, str] = {}
    manifest: dict[str, object] = {}
    try:
        with tarfile.open(source) as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isfile() else None
                if member.isdir() and _is_ours(member.name):
                    continue
                if file is None or not _is_ours(member.name):
                    raise CannotBackUp(f"{source} holds {member.name}, which no backup of ours has")
                if member.name == MANIFEST:
                    manifest = json.load(file)
                else:
                    seen[member.name] = _digest_of(file)
    except (tarfile.TarError, EOFError, ValueError, OSError) as fault:
        raise CannotBackUp(f"{source} is no backup that can be read: {fault}") from fault
    if (manifest.get("format"), manifest.get("kind")) != (FORMAT, kind):
        raise CannotBackUp(f"{source} is no backup of {kind} in format {FORMAT}, or it ends early")
    if seen != manifest["files"]:
        raise CannotBackUp(f"{source} is damaged: its files are not those of its manifest")


def _digest_of(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _is_ours(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return ".." not in parts and (
        name in {MANIFEST, DUMP, SECRETS} or (parts[0] in {"data", "keys"} and len(parts) > 1)
    )


def _extract(source: Path, home: Path, prefix: str) -> None:
    with tarfile.open(source) as tar:
        wanted = [member for member in tar if member.name.startswith(prefix)]
        tar.extractall(home, members=wanted, filter="data")


@contextmanager
def _new_file(target: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name only once it is whole, for its owner alone."""
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.rename(target)
    except OSError as fault:
        raise CannotBackUp(f"cannot write {target}: {fault.strerror}") from fault
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _servers(home: Path) -> Iterator[None]:
    """Servers that run; those that did not before are stopped afterwards."""
    ran_before = all(embedded.status(home).values())
    embedded.start(home)
    try:
        yield
    finally:
        if not ran_before:
            embedded.stop(home)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["create", "restore"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--keys", type=Path, help="a file for the keys alone; keep it elsewhere")
    parser.add_argument("--home", type=Path, help="folder of the installation (default: var/)")
    arguments = parser.parse_args()
    if arguments.command == "restore" and arguments.home is None:
        parser.error("restore needs --home, a new folder")
    home = (arguments.home or embedded.default_home()).resolve()
    try:
        if arguments.command == "create":
            create(arguments.file, arguments.keys, home)
            print(f"{arguments.file} holds the database and the data folder of {home}")
            print(
                f"{arguments.keys} holds the keys: keep it apart from {arguments.file}"
                if arguments.keys
                else "The keys are not in it: back them up too, with --keys KEYFILE"
            )
        else:
            print(restore(arguments.file, arguments.keys, home), end="")
            print(f"Restored into {home}. Start it with COUNTERSIGN_HOME={home} make serve")
            if arguments.keys is None:
                print(
                    "Without the keys no log can be continued and customers' secrets stay sealed:"
                    f" put the log's keys into {home / 'keys'} before you start"
                )
    except (CannotBackUp, embedded.CannotStart) as sentence:
        print(sentence, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
