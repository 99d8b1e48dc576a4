"""Lock files of uv and Poetry: what they pin, and the same with one package at another version.

Only the entry of the package changes, byte by byte the rest stays. What comes out is read again
and has to be what was meant, so a file that is written in another way than theirs is refused.
"""

import copy
import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

UV, POETRY = "uv.lock", "poetry.lock"
_PYPI = "files.pythonhosted.org"
_BLOCK = re.compile(r"^\[\[package\]\]\n.*?(?=^\[\[package\]\]|^\[[a-z-]+\]|\Z)", re.S | re.M)
_VERSION = re.compile(r'^version = "[^"\n]*"$', re.M)
_SDIST = re.compile(r"^sdist = \{.*\}\n", re.M)
_FILES = {
    UV: re.compile(r"^wheels = \[\n(?:    .*\n)*?\]$", re.M),
    POETRY: re.compile(r"^files = \[\n(?:    .*\n)*?\]$", re.M),
}
_RANGE = re.compile(r'\{ name = "(?P<name>[^"]+)", specifier = "(?P<range>[^"]*)"')
# What Poetry's own digest of pyproject.toml is about.
_OF_PROJECT = ("requires-python", "dependencies", "optional-dependencies")
_OF_POETRY = ("dependencies", "source", "extras", "dev-dependencies", "group")
_ALWAYS = ("dependencies", "source", "extras", "dev-dependencies")


class CannotBump(Exception):
    """This lock file has to be made anew by its own program; the message says why."""


def is_lock(path: str) -> bool:
    """Whether a file is a lock file that is read here."""
    return path.rpartition("/")[2] in _FILES


def pins(content: bytes) -> list[tuple[str, str]]:
    """(package, version) of each that comes from a registry in one version, as indexes name it."""
    found: dict[str, list[str]] = {}
    for entry in _entries(_read(content)):
        if _is_of_a_registry(entry):
            found.setdefault(canonicalize_name(entry["name"]), []).append(entry["version"])
    # Of a package that is locked in several versions, each for other machines, none is the one.
    return [(name, versions[0]) for name, versions in found.items() if len(versions) == 1]


def hashes(content: bytes) -> list[tuple[str, str, set[str]]]:
    """(package, version, SHA-256 of its files) of each that comes from a registry."""
    found: list[tuple[str, str, set[str]]] = []
    for entry in _entries(_read(content)):
        if _is_of_a_registry(entry):
            files = [*entry.get("wheels", ()), *entry.get("files", ()), entry.get("sdist")]
            said = {str(one.get("hash", "")) for one in files if isinstance(one, dict)}
            known = {one.removeprefix("sha256:") for one in said if one.startswith("sha256:")}
            found.append((canonicalize_name(entry["name"]), entry["version"], known))
    return found


def bumped(
    path: str, text: str, name: str, version: str, file: str, wheel: bytes, needs: list[Requirement]
) -> str:
    """The lock with `name` at `version`, of which one file is known: its name, its bytes.

    needs: what that version needs. sdists and wheels of other machines are no longer named, for
    nobody here has seen them. Raises CannotBump.
    """
    kind = path.rpartition("/")[2]
    before = _read(text.encode())
    place = [n for n, one in enumerate(_entries(before)) if canonicalize_name(one["name"]) == name]
    blocks = list(_BLOCK.finditer(text))
    if len(place) != 1 or len(blocks) != len(_entries(before)):
        raise CannotBump(f"{path} has {name} in several versions, or is written in another way")
    wanted = copy.deepcopy(before)
    entry = _entries(wanted)[place[0]]
    _require_same_needs(path, kind, entry, needs)
    digest = f"sha256:{hashlib.sha256(wheel).hexdigest()}"
    entry["version"] = version
    if kind == UV:
        url = _address(entry, file, wheel)
        entry.pop("sdist", None)
        entry["wheels"] = [{"url": url, "hash": digest, "size": len(wheel)}]
        row = f'wheels = [\n    {{ url = "{url}", hash = "{digest}", size = {len(wheel)} }},\n]'
    else:
        entry["files"] = [{"file": file, "hash": digest}]
        row = f'files = [\n    {{file = "{file}", hash = "{digest}"}},\n]'
    block = blocks[place[0]][0]
    after = _VERSION.sub(f'version = "{version}"', block, count=1)
    after = _FILES[kind].sub(lambda _: row, _SDIST.sub("", after) if kind == UV else after)
    start, end = blocks[place[0]].span()
    made = text[:start] + after + text[end:]
    if _read(made.encode()) != wanted:
        raise CannotBump(f"{path} is written in another way than {kind.partition('.')[0]} does it")
    return made


def with_range(path: str, text: str, name: str, before: bytes, after: bytes) -> str:
    """The lock when the range for `name` in pyproject.toml changed from `before` to `after`.

    Raises CannotBump when it would not fit that file any more.
    """
    old, new = _read(before), _read(after)
    if path.rpartition("/")[2] == POETRY:
        known = str(_read(text.encode()).get("metadata", {}).get("content-hash", ""))
        # Other versions of Poetry count other parts: only what is understood is written.
        if not known or _content_hash(old) != known:
            raise CannotBump(f"{path} has a digest of pyproject.toml that only Poetry can renew")
        return text.replace(known, _content_hash(new))
    was, becomes = _range_of(old, name), _range_of(new, name)
    for said in _RANGE.finditer(text):
        if canonicalize_name(said["name"]) == name and SpecifierSet(said["range"]) == was:
            start, end = said.span("range")
            return f"{text[:start]}{becomes}{text[end:]}"
    raise CannotBump(f"{path} does not repeat {name}{was} as pyproject.toml has it")


def _read(content: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode())
    except (ValueError, RecursionError):
        return {}


def _entries(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = document.get("package", [])
    return [
        row
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict)
        and isinstance(row.get("name"), str)
        and isinstance(row.get("version"), str)
    ]


def _is_of_a_registry(entry: Mapping[str, Any]) -> bool:
    source = entry.get("source", {})
    if not isinstance(source, dict):
        return False
    # uv names the registry of each; Poetry names only those that are not the usual one.
    if "wheels" in entry or "sdist" in entry or "registry" in source:
        return "registry" in source
    return "files" in entry and source.get("type", "legacy") == "legacy"


def _require_same_needs(
    path: str, kind: str, entry: Mapping[str, Any], needs: list[Requirement]
) -> None:
    """What the new version needs has to stand in the entry already, or more would change."""
    wanted = {canonicalize_name(one.name): one.specifier for one in needs}
    said = entry.get("dependencies", [] if kind == UV else {})
    if kind == UV:
        there = {canonicalize_name(str(one.get("name", ""))) for one in said}
        same = there == wanted.keys()
    else:
        ranges = {canonicalize_name(key): _poetry_range(one) for key, one in said.items()}
        same = ranges == wanted
    if not same:
        program = kind.partition(".")[0]
        raise CannotBump(f"{path}: the new version needs other packages; run `{program} lock`")


def _poetry_range(said: Any) -> SpecifierSet | None:
    text = said.get("version", "") if isinstance(said, dict) else str(said)
    try:
        return SpecifierSet("" if text == "*" else text)
    except InvalidSpecifier:
        return None


def _address(entry: Mapping[str, Any], file: str, wheel: bytes) -> str:
    """Where the registry of the version before keeps the new file."""
    files = [*entry.get("wheels", []), *([entry["sdist"]] if "sdist" in entry else [])]
    known = next((str(one["url"]) for one in files if isinstance(one.get("url"), str)), "")
    parts = urlsplit(known)
    if not parts.netloc:
        raise CannotBump(f"the lock does not say where {entry['name']} comes from")
    if parts.netloc == _PYPI:
        # It keeps each file under the digest of its content.
        digest = hashlib.blake2b(wheel, digest_size=32).hexdigest()
        folder = f"/packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}"
    else:
        folder = parts.path.rpartition("/")[0]
    return urlunsplit((parts.scheme, parts.netloc, f"{folder}/{file}", "", ""))


def _range_of(project: Mapping[str, Any], name: str) -> SpecifierSet:
    for said in project.get("project", {}).get("dependencies", []):
        requirement = Requirement(said)
        if canonicalize_name(requirement.name) == name:
            return requirement.specifier
    raise CannotBump(f"pyproject.toml does not say which {name} it wants")


def _content_hash(project: Mapping[str, Any]) -> str:
    """As Poetry 2 counts it (poetry.packages.locker)."""
    own = project.get("project", {})
    of_project = {key: own[key] for key in _OF_PROJECT if key in own}
    groups = project.get("dependency-groups", {})
    tool = project.get("tool", {}).get("poetry", {})
    of_poetry = {
        key: tool.get(key)
        for key in _OF_POETRY
        if key in tool or (key in _ALWAYS and not of_project and not groups)
    }
    counted: dict[str, Any] = {}
    if of_project:
        counted["project"] = of_project
    if groups:
        counted["dependency-groups"] = groups
    if not counted:
        counted = of_poetry
    elif of_poetry:
        counted["tool"] = {"poetry": of_poetry}
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()
