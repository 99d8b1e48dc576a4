"""Writes everything of one tenant into one ZIP file, for the tenant to keep."""

import base64
import errno
import json
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import file_digest, sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from django.apps import apps
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Model
from django.utils import timezone

from agent.errors import ExportFault
from agent.forge import ForgeRefused, ForgeUnavailable
from agent.models import Artifact, Proposal
from agent.places import artifact_store, local_forge
from authz.change import answered, change, entry
from authz.people import AsTenant
from authz.permissions import Permission
from evidence.models import Checkpoint, ControlDocument, LogKey, Pack, SignedRecord
from evidence.store import StoreFault
from tenants.actor import Actor
from tenants.scope import current, current_tenant_id

CHUNK = 1 << 20  # bytes
BATCH = 500  # rows
TELL_EVERY = 50  # files
# Told how many files of how many are in.
Tell = Callable[[int, int], None]

# What only opens doors, and is of no use to whoever leaves. Everything else is in the file.
LEFT_OUT: dict[str, dict[str, str]] = {
    "tenants.User": {"password": "always unusable: people sign in elsewhere"},
    "tenants.IdentityProvider": {
        "client_secret": "sealed with a key of this installation; your provider shows it",
        "signing_key": "sealed with a key of this installation",
    },
    "tenants.Invitation": {"digest": "of a link that lets somebody in"},
    "tenants.Replay": {"digest": "of a message that must not be used twice"},
    "tenants.Session": {
        "session_key": "digest of a browser's cookie",
        "session_data": "belongs to a browser that is signed in",
        "provider_session": "belongs to a browser that is signed in",
    },
    "tenants.DirectoryClient": {
        "token_digest": "of a secret of your directory",
        "secret_digest": "of a secret of your directory",
    },
    "authz.ApiToken": {"digest": "of a token"},
    "agent.ModelProvider": {"key": "sealed with a key of this installation"},
    "authz.LogDestination": {"secret": "sealed with a key of this installation"},
}

README = """\
Export of {name} ({slug}), made {at}

Everything that Countersign holds of this tenant, and nothing of any other: it was read with the
portal's own database role, which the database keeps inside one tenant.

tables/<table>.jsonl     one JSON object a line for each row. Bytes are base64, times are UTC.
artifacts/<sha256>       files that the work left, evidence packs, diffs. The name is the SHA-256
                         of the content. Rows of agent_artifact, evidence_pack, agent_proposal,
                         evidence_controldocument and evidence_signedrecord say what each one is.
                         Earlier exports are not in it.
repositories/<name>.bundle
                         each repository of the built-in code host, with every branch and pull
                         request: git clone <name>.bundle
log/checkpoint.note      the newest signed head of your log; log/key.vkey is the key to verify it,
                         log/keys.txt all keys with the index that each signs from.
                         The log itself is tables/evidence_entry.jsonl: SHA-256 over a zero byte
                         with the bytes in `leaf` is the hash of each entry, and the tree over them
                         (RFC 9162) has the root in the head. Facts and salts are in
                         tables/evidence_payload.jsonl, under the id of their entry.
manifest.json            how many rows and files there are, size and SHA-256 of each file, what
                         was missing.

Left out, because it only opens doors:
{left_out}
The private key that signs the log is not here either: whoever holds it could write another log.
What you keep of {name} holds personal data. Keep it where you keep such things.
"""


@dataclass(frozen=True)
class Written:
    """What is in an export. missing: files that rows name and the store does not hold intact."""

    rows: dict[str, int]
    artifacts: int
    repositories: int
    missing: list[str]

    @property
    def facts(self) -> dict[str, Any]:
        """As the ledger records it."""
        return {
            "rows": self.rows,
            "artifacts": self.artifacts,
            "repositories": self.repositories,
            "missing": len(self.missing),
        }


@dataclass(frozen=True)
class Export:
    """An export that lies in a file."""

    path: Path
    sha256: str
    size: int  # bytes
    written: Written


@dataclass
class _Archive:
    """A ZIP file under way, with the list of what is in it."""

    file: zipfile.ZipFile
    files: list[dict[str, Any]] = field(default_factory=list)

    def add(self, path: str, chunks: Iterable[bytes]) -> None:
        digest, size = sha256(), 0
        # Whatever the size turns out to be; nothing is held in memory but one chunk.
        with self.file.open(path, "w", force_zip64=True) as entry:
            for chunk in chunks:
                entry.write(chunk)
                digest.update(chunk)
                size += len(chunk)
        self.files.append({"path": path, "size": size, "sha256": digest.hexdigest()})


def export_tenant(target: Path, *, by: Actor) -> Export:
    """Write everything of the pinned tenant to `target`, a new file that only its owner can read.

    All tables are read as of one moment. Recorded before it begins and when it has ended; the
    file appears under its name only once it is whole and on record. Raises Denied, ExportFault.
    """
    tenant = AsTenant(current_tenant_id())
    said = {"file": target.name}
    intent = entry(by, Permission.TENANT_EXPORT, on=tenant, facts=said, phase="intent").intent
    part = target.with_name(target.name + ".part")
    try:
        with answered(intent, by, Permission.TENANT_EXPORT, on=tenant):
            if target.exists():
                raise ExportFault(f"{target} is there already; name a new file")
            with _explained(target), _private_file(part) as file:
                written = write_export(file)
            with part.open("rb") as file:
                digest = file_digest(file, "sha256").hexdigest()
        made = Export(target, digest, part.stat().st_size, written)
        with change(by, Permission.TENANT_EXPORT, on=tenant) as facts:
            facts.answers = intent
            facts.update(file=target.name, sha256=made.sha256, size=made.size, **made.written.facts)
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)
    return made


def write_export(file: IO[bytes], tell: Tell | None = None) -> Written:
    """Write the ZIP file of the pinned tenant.

    All tables are read as of one moment; files and repositories after it, so whatever a row names
    was there before. Earlier exports are left out.
    """
    tenant, at = current(), timezone.now().astimezone(UTC)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as opened:
        archive = _Archive(opened)
        with _one_moment():
            rows = {
                model._meta.db_table: _add_table(archive, model)
                for label in settings.TENANT_APPS
                for model in apps.get_app_config(label).get_models(include_auto_created=True)
            }
            named = _named_artifacts()
            _add_log(archive)
        missing: list[str] = []
        artifacts = _add_artifacts(archive, named, missing, tell)
        repositories = _add_repositories(archive, missing)
        archive.add("README.txt", [_readme(at).encode()])
        said = {
            "tenant": {"id": tenant.tenant_id, "slug": tenant.slug, "name": tenant.name},
            "made_at": at,
            "tables": rows,
            "artifacts": artifacts,
            "repositories": repositories,
            "left_out": {
                apps.get_model(label)._meta.db_table: sorted(columns)
                for label, columns in LEFT_OUT.items()
            },
            "missing": missing,
            "files": archive.files,
        }
        manifest = json.dumps(said, indent=1, sort_keys=True, default=_plain)
        opened.writestr("manifest.json", manifest + "\n")
    return Written(rows, artifacts, repositories, missing)


@contextmanager
def _one_moment() -> Iterator[None]:
    """All queries of the block see the database as it was at the first of them."""
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _add_table(archive: _Archive, model: type[Model]) -> int:
    left_out = LEFT_OUT.get(model._meta.label, {})
    fields = [f for f in model._meta.concrete_fields if f.attname not in left_out]
    columns = [f.attname for f in fields]
    order = model._meta.ordering or ["pk"]
    rows = model._default_manager.order_by(*order).values_list(*columns)
    count = 0

    def lines() -> Iterator[bytes]:
        nonlocal count
        for row in rows.iterator(chunk_size=BATCH):
            count += 1
            said = dict(zip(columns, row, strict=True))
            yield json.dumps(said, ensure_ascii=False, default=_plain).encode() + b"\n"

    archive.add(f"tables/{model._meta.db_table}.jsonl", lines())
    return count


def _named_artifacts() -> list[tuple[str, str]]:
    """What rows name as being in the store: what names it, the digest."""
    kept = Pack.objects.filter(deleted_at=None).exclude(sha256="")
    named: list[tuple[str, Any]] = [
        ("artifact", Artifact.objects.values_list("pk", "sha256")),
        ("diff of proposal", Proposal.objects.values_list("pk", "diff_sha256")),
        ("pack", kept.exclude(kind=Pack.Kind.EXPORT).values_list("pk", "sha256")),
        ("document", ControlDocument.objects.values_list("pk", "sha256")),
    ]
    found = [
        (f"{what} {pk}", digest)
        for what, rows in named
        for pk, digest in rows.order_by("pk").iterator(chunk_size=BATCH)
    ]
    records = SignedRecord.objects.order_by("pk").values_list("pk", "files")
    found += [
        (f"{path} of record {pk}", stored["sha256"])
        for pk, files in records.iterator(chunk_size=BATCH)
        for path, stored in sorted(files.items())
    ]
    return found


def _add_artifacts(
    archive: _Archive, named: list[tuple[str, str]], missing: list[str], tell: Tell | None
) -> int:
    store, tenant_id, added = artifact_store(), current_tenant_id(), 0
    # What was taken away before would double the file each time.
    exports = set(Pack.objects.filter(kind=Pack.Kind.EXPORT).values_list("sha256", flat=True))
    there = [digest for digest in store.digests(tenant_id) if digest not in exports]
    for number, digest in enumerate(there):
        if tell and number % TELL_EVERY == 0:
            tell(number, len(there))
        chunks = store.get_stream(tenant_id, digest)
        try:
            # Everything is checked before the first chunk comes.
            first = next(chunks, b"")
        except StoreFault as fault:
            missing.append(str(fault))
            continue
        archive.add(f"artifacts/{digest}", _with_first(first, chunks))
        added += 1
    if tell:
        tell(len(there), len(there))
    known = set(there)
    missing += [
        f"{what}: {digest} is not in the store" for what, digest in named if digest not in known
    ]
    return added


def _add_repositories(archive: _Archive, missing: list[str]) -> int:
    forge, added = local_forge(), 0
    for repository in forge.repositories(current_tenant_id()):
        with TemporaryDirectory(prefix="countersign-export-") as folder:
            bundle = Path(folder) / "bundle"
            try:
                forge.bundle(repository, bundle)
            except (ForgeRefused, ForgeUnavailable) as fault:
                missing.append(f"repository {repository.name}: {fault}")
                continue
            with bundle.open("rb") as file:
                archive.add(
                    f"repositories/{repository.name}.bundle", iter(lambda: file.read(CHUNK), b"")
                )
        added += 1
    return added


def _add_log(archive: _Archive) -> None:
    newest = Checkpoint.objects.order_by("-size").first()
    key = LogKey.objects.order_by("-valid_from").first()
    if newest and key:
        archive.add("log/checkpoint.note", [newest.note.encode()])
        archive.add("log/key.vkey", [f"{key.vkey}\n".encode()])
        keys = LogKey.objects.order_by("valid_from").values_list("vkey", "valid_from")
        archive.add("log/keys.txt", [f"{vkey} {since}\n".encode() for vkey, since in keys])


def _readme(at: datetime) -> str:
    left_out = "".join(
        f"  {apps.get_model(label)._meta.db_table}.{column}: {why}\n"
        for label, columns in LEFT_OUT.items()
        for column, why in columns.items()
    )
    tenant = current()
    return README.format(
        name=tenant.name, slug=tenant.slug, at=f"{at:%Y-%m-%d %H:%M} UTC", left_out=left_out
    )


def _with_first(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _plain(value: Any) -> str:
    """What JSON has no word for."""
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return str(value)


@contextmanager
def _private_file(path: Path) -> Iterator[IO[bytes]]:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        if fault.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise ExportFault(f"no room left to write {target}; nothing was kept of it") from fault
        raise ExportFault(f"cannot write {target}: {fault.strerror}") from fault
