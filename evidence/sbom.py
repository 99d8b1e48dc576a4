"""Lists what a repository depends on, as its lock files say, in CycloneDX 1.6."""

from __future__ import annotations

import json
import re
import tomllib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://countersign.invalid/repository-sbom")
LOCK_FILE_LIMIT = 20_000_000  # bytes; a larger lock file is named, but not read
# Names of pinned requirements differ; these are read when they pin every line with `==`.
_REQUIREMENTS = re.compile(r"(requirements[\w.-]*\.(txt|lock)|constraints[\w.-]*\.txt)")
_PINNED = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_NAMED = frozenset(
    {"uv.lock", "poetry.lock", "Pipfile.lock", "package-lock.json", "npm-shrinkwrap.json"}
)


@dataclass(frozen=True, slots=True)
class Locked:
    """One pinned dependency. kind: pypi or npm. sha256: hex, empty when the file has none."""

    kind: str
    name: str
    version: str
    sha256: str = ""


def is_lock_file(path: str) -> bool:
    """Whether this is a file that repository_sbom() reads."""
    name = PurePosixPath(path).name
    return name in _NAMED or bool(_REQUIREMENTS.fullmatch(name))


def repository_sbom(files: Mapping[str, bytes], *, name: str, commit: str, at: datetime) -> bytes:
    """The bill of materials of a repository at one commit, from its lock files.

    files: path to bytes; others than lock files are passed over. The same files give the same
    bytes. A lock file that cannot be read is named in the property `countersign:unread` with the
    reason, so that a short list is not taken for a whole one.
    """
    found: dict[Locked, set[str]] = {}
    unread: dict[str, str] = {}
    read: list[str] = []
    for path in sorted(filter(is_lock_file, files)):
        try:
            if len(files[path]) > LOCK_FILE_LIMIT:
                raise ValueError(f"more than {LOCK_FILE_LIMIT} bytes")
            for locked in _locked(path, files[path]):
                found.setdefault(locked, set()).add(path)
            read.append(path)
        except (ValueError, KeyError, TypeError, AttributeError) as fault:
            unread[path] = f"{type(fault).__name__}: {fault}"
    bom = Bom(serial_number=uuid.uuid5(NAMESPACE, f"{name}@{commit}"))
    bom.metadata.timestamp = at.astimezone(UTC).replace(microsecond=0)
    bom.metadata.component = Component(
        name=name, version=commit, type=ComponentType.APPLICATION, bom_ref="repository"
    )
    for path in read:
        bom.metadata.properties.add(Property(name="countersign:lock-file", value=path))
    for path, reason in unread.items():
        bom.metadata.properties.add(Property(name="countersign:unread", value=f"{path}: {reason}"))
    for locked, paths in _merged(found):
        bom.components.add(_component(locked, paths))
    if bom.metadata.component is not None:
        bom.register_dependency(bom.metadata.component, bom.components)
    text: str = JsonV1Dot6(bom).output_as_string()
    return text.encode()


def _merged(found: Mapping[Locked, set[str]]) -> Iterator[tuple[Locked, set[str]]]:
    """One row for each package and version, with a hash if any file has one."""
    rows: dict[tuple[str, str, str], tuple[Locked, set[str]]] = {}
    for locked in sorted(found, key=lambda row: (row.kind, row.name, row.version, row.sha256)):
        key = (locked.kind, locked.name, locked.version)
        known = rows.get(key)
        rows[key] = (locked, found[locked] | (known[1] if known else set()))
    yield from rows.values()


def _component(locked: Locked, paths: Iterable[str]) -> Component:
    group, _, bare = locked.name.rpartition("/")
    url = PackageURL(locked.kind, group or None, bare, locked.version)
    return Component(
        type=ComponentType.LIBRARY,
        group=group or None,
        name=bare,
        version=locked.version,
        purl=url,
        bom_ref=str(url),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=locked.sha256)]
        if locked.sha256
        else [],
        properties=[Property(name="countersign:lock-file", value=path) for path in sorted(paths)],
    )


def _locked(path: str, content: bytes) -> Iterator[Locked]:
    name, text = PurePosixPath(path).name, content.decode()
    if name in ("uv.lock", "poetry.lock"):
        yield from _toml_packages(tomllib.loads(text))
    elif name == "Pipfile.lock":
        yield from _pipfile(json.loads(text))
    elif name in ("package-lock.json", "npm-shrinkwrap.json"):
        yield from _npm(json.loads(text))
    else:
        yield from _requirements(text)


def _toml_packages(lock: Mapping[str, Any]) -> Iterator[Locked]:
    for package in lock.get("package", []):
        source = package.get("source", {})
        # The project itself, and what lies beside it, is not a dependency from elsewhere.
        if isinstance(source, dict) and source.keys() & {"virtual", "editable", "directory"}:
            continue
        sdist = package.get("sdist") or {}
        digest = str(sdist.get("hash", "")) if isinstance(sdist, dict) else ""
        yield Locked(
            "pypi",
            _normal(package["name"]),
            package["version"],
            digest.removeprefix("sha256:") if digest.startswith("sha256:") else "",
        )


def _pipfile(lock: Mapping[str, Any]) -> Iterator[Locked]:
    for section in ("default", "develop"):
        for name, pinned in lock.get(section, {}).items():
            if "version" in pinned:
                yield Locked("pypi", _normal(name), pinned["version"].removeprefix("=="))


def _npm(lock: Mapping[str, Any]) -> Iterator[Locked]:
    if "packages" not in lock:
        raise ValueError("only lock files of version 2 and 3 are read")
    for path, package in lock["packages"].items():
        if not path or package.get("link") or "version" not in package:
            continue
        name = package.get("name") or path.rpartition("node_modules/")[2]
        yield Locked("npm", name, package["version"])


def _requirements(text: str) -> Iterator[Locked]:
    # A requirement with its hashes is one logical line.
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        if pinned := _PINNED.match(line.strip()):
            hashes = _HASH.findall(line)
            # Several files of one version are pinned: only a single hash tells which was meant.
            digest = hashes[0] if len(hashes) == 1 else ""
            yield Locked("pypi", _normal(pinned["name"]), pinned["version"], digest)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def sbom_figures(sbom: bytes) -> dict[str, Any]:
    """How many components a bill of materials lists, its digest; for pages and ledger."""
    fields = json.loads(sbom)
    return {"components": len(fields.get("components", [])), "sha256": sha256(sbom).hexdigest()}
