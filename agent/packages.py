"""Packages that a repository asks for: what it declares, which wheels there are, what fits.

Wheels come from a folder of this installation, from the repository itself and, where whoever asks
brings it, from elsewhere. Words of a wheel are a stranger's.
"""

import hashlib
import io
import re
import tomllib
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from functools import cache, cached_property, partial
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import sys_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from agent import locks

METADATA_BYTES = 2_000_000
NOTES = 12_000  # characters of a changelog that are kept
# These come with the sandbox, whether there is a wheel of them or not.
AT_HAND = frozenset({"pytest", "pluggy", "iniconfig", "packaging", "pygments"})
_REQUIREMENTS = re.compile(r"(?:^|/)requirements[\w.-]*\.(?:txt|lock|in)$")
_LINE = re.compile(
    r"^(?P<indent>[ \t]*)(?P<name>[A-Za-z0-9][\w.-]*)(?P<extras>\s*\[[^\]]*\])?"
    r"(?P<spec>\s*[=<>!~][^;#\\\n]*?)?(?P<rest>\s*(?:;[^#\\\n]*)?(?:\\|#.*|--hash=\S+.*)?)$"
)
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
_HEADING = re.compile(r"^(?:#{1,4}\s*|v)?\[?v?(?P<version>\d+(?:\.\d+){1,3}\w*)\]?\b.*$")


class CannotResolve(Exception):
    """The packages that are at hand do not fit what is declared; the message says which and why."""


@dataclass(frozen=True)
class Wheel:
    """One built version of a package. name: as the index writes it."""

    name: str
    version: Version
    file: str
    read: Callable[[], bytes]

    @cached_property
    def metadata(self) -> Message:
        """What the package says of itself; empty when it cannot be read."""
        try:
            with zipfile.ZipFile(io.BytesIO(self.read())) as archive:
                inside = next(
                    name
                    for name in archive.namelist()
                    if name.count("/") == 1 and name.endswith(".dist-info/METADATA")
                )
                with archive.open(inside) as file:
                    return BytesParser().parsebytes(file.read(METADATA_BYTES))
        except (zipfile.BadZipFile, StopIteration, OSError, ValueError):
            return Message()

    @property
    def requires(self) -> list[Requirement]:
        """What it needs here, without extras."""
        found = []
        for said in self.metadata.get_all("Requires-Dist") or ():
            try:
                requirement = Requirement(said)
            except InvalidRequirement:
                continue
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                found.append(requirement)
        return found

    @property
    def modules(self) -> list[str]:
        """Names that it is imported by, at the top."""
        try:
            with zipfile.ZipFile(io.BytesIO(self.read())) as archive:
                tops = {name.split("/")[0] for name in archive.namelist()}
        except zipfile.BadZipFile:
            return []
        return sorted(
            top.removesuffix(".py") for top in tops if not top.endswith((".dist-info", ".data"))
        )

    def notes(self, since: Version) -> list[tuple[str, str]]:
        """(version, what it says of it) for each version after `since`, newest as it stands."""
        body = self.metadata.get_payload()
        text = body if isinstance(body, str) else ""
        found: list[tuple[str, list[str]]] = []
        for line in text[: NOTES * 4].splitlines():
            match = _HEADING.match(line.strip())
            if match:
                found.append((match["version"], []))
            elif found and not re.match(r"#{1,2}\s", line):
                found[-1][1].append(line)
        rows = []
        for version, lines in found:
            try:
                stands = since < Version(version) <= self.version
            except ValueError:
                continue
            if stands:
                rows.append((version, "\n".join(lines).strip()[:NOTES]))
        return rows

    def sha256(self) -> str:
        return hashlib.sha256(self.read()).hexdigest()


def nowhere(name: str) -> Sequence[Wheel]:
    """There is nothing but what is at hand."""
    return ()


class Shelf:
    """The wheels that are at hand and can run here.

    elsewhere: gives wheels by package. It is asked only for packages of which nothing is at hand:
    a package of one's own must not come from where anybody may give theirs the same name.
    """

    def __init__(
        self,
        wheels: Collection[Wheel],
        elsewhere: Callable[[str], Sequence[Wheel]] = nowhere,
    ) -> None:
        self._elsewhere = elsewhere
        self._by_name: dict[str, list[Wheel]] = {}
        for wheel in wheels:
            self._by_name.setdefault(wheel.name, []).append(wheel)
        for found in self._by_name.values():
            found.sort(key=_newness, reverse=True)

    @classmethod
    def of(
        cls,
        files: Mapping[str, bytes],
        folder: Path,
        fetched: Collection[Wheel] = (),
        elsewhere: Callable[[str], Sequence[Wheel]] = nowhere,
    ) -> "Shelf":
        """Wheels that the repository holds, then those of a folder, which need not exist, then
        what was fetched of packages of which neither has any."""
        wheels = [
            wheel
            for path, content in sorted(files.items())
            if path.endswith(".whl")
            and (wheel := wheel_of(path.rpartition("/")[2], partial(bytes, content)))
        ]
        for path in sorted(folder.rglob("*.whl")) if folder.is_dir() else ():
            if wheel := wheel_of(path.name, path.read_bytes):
                wheels.append(wheel)
        own = {wheel.name for wheel in wheels}
        return cls([*wheels, *(one for one in fetched if one.name not in own)], elsewhere)

    def versions(self, name: str) -> Sequence[Wheel]:
        """Every wheel of a package, newest first."""
        key = canonicalize_name(name)
        if key not in self._by_name:
            self._by_name[key] = sorted(self._elsewhere(key), key=_newness, reverse=True)
        return self._by_name[key]


def _newness(wheel: Wheel) -> tuple[Version, str]:
    return wheel.version, wheel.file


def wheel_of(name: str, read: Callable[[], bytes]) -> Wheel | None:
    """The wheel with that name of a file; None when it is none, or cannot run here."""
    try:
        package, version, _, tags = parse_wheel_filename(name)
    except InvalidWheelFilename:
        return None
    return Wheel(package, version, name, read) if tags & _tags() else None


@cache
def _tags() -> frozenset[object]:
    return frozenset(sys_tags())


@dataclass(frozen=True)
class Declared:
    """One requirement as a file states it."""

    path: str
    text: str
    requirement: Requirement

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def pin(self) -> Version | None:
        """The one version that it allows; None of a range."""
        pins = [one for one in self.requirement.specifier if one.operator == "=="]
        if len(pins) != 1 or "*" in pins[0].version:
            return None
        return Version(pins[0].version)


def declared(files: Mapping[str, bytes]) -> list[Declared]:
    """What the repository asks for: requirement files, `dependencies` of pyproject.toml, and what
    the lock files of uv and Poetry pin."""
    found = []
    for path in sorted(files):
        if locks.is_lock(path):
            said = [f"{name}=={version}" for name, version in locks.pins(files[path])]
        elif path.rpartition("/")[2] == "pyproject.toml":
            said = list(_of_pyproject(files[path]))
        elif _REQUIREMENTS.search(path):
            lines = files[path].decode(errors="replace").splitlines()
            said = [text for line in lines if (text := _requirement_of(line))]
        else:
            continue
        for text in said:
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                continue
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                found.append(Declared(path, text, requirement))
    return found


def hashes(files: Mapping[str, bytes]) -> dict[tuple[str, str], set[str]]:
    """SHA-256 (hex) of files by (package, version), as far as the repository's locks name them."""
    found: dict[tuple[str, str], set[str]] = {}
    for path in sorted(files):
        if locks.is_lock(path):
            rows = locks.hashes(files[path])
        elif _REQUIREMENTS.search(path):
            rows = list(_hashes_of(files[path].decode(errors="replace")))
        else:
            continue
        for name, said, known in rows:
            try:
                version = Version(said)
            except InvalidVersion:
                continue
            if known:
                found.setdefault((name, str(version)), set()).update(known)
    return found


def _hashes_of(text: str) -> Iterator[tuple[str, str, set[str]]]:
    """(package, version, SHA-256) of each pin, which may go on over several lines."""
    for line in re.sub(r"\\[ \t]*\n", " ", text).split("\n"):
        name, pinned, rest = line.partition("==")
        version, *_ = re.split(r"[;\s]", rest.strip(), maxsplit=1)
        known = {said.rpartition(":")[2] for said in _HASH.findall(line)}
        if pinned and known:
            yield canonicalize_name(name.partition("[")[0].strip()), version, known


def _requirement_of(line: str) -> str:
    match = _LINE.match(_HASH.sub("", line).rstrip().removesuffix("\\").rstrip())
    if match is None:
        return ""
    marker = (match["rest"] or "").partition("#")[0].strip()
    return f"{match['name']}{match['extras'] or ''}{match['spec'] or ''} {marker}".strip()


def _of_pyproject(content: bytes) -> Iterator[str]:
    try:
        said = tomllib.loads(content.decode())
    except (ValueError, RecursionError):
        return
    project = said.get("project", {})
    for item in project.get("dependencies", []) if isinstance(project, dict) else []:
        if isinstance(item, str):
            yield item


@dataclass(frozen=True)
class Resolved:
    """Wheels that fit together, by name; missing: what is asked for and not at hand."""

    wheels: Mapping[str, Wheel]
    missing: tuple[str, ...]


def resolved(files: Mapping[str, bytes], shelf: Shelf) -> Resolved:
    """The newest wheels that everything declared allows, with what they need themselves.

    Takes no step back: what fits only by an older version of something decided before is told as
    a conflict. Raises CannotResolve.
    """
    said: dict[str, list[tuple[str, SpecifierSet]]] = {}
    for one in declared(files):
        said.setdefault(one.name, []).append((one.path, one.requirement.specifier))
    chosen: dict[str, Wheel] = {}
    missing: set[str] = set()
    waiting = sorted(said)
    while waiting:
        name = waiting.pop(0)
        wheel = _best(name, said[name], shelf)
        if wheel is None:
            if name not in AT_HAND:
                missing.add(name)
            continue
        if chosen.get(name) == wheel:
            continue
        chosen[name] = wheel
        for need in wheel.requires:
            key = canonicalize_name(need.name)
            said.setdefault(key, []).append((f"{name} {wheel.version}", need.specifier))
            waiting.append(key)
    for name, wheel in chosen.items():
        # What was asked for later may not allow what was chosen earlier.
        for who, specifier in said[name]:
            if not specifier.contains(wheel.version, prereleases=True):
                raise CannotResolve(f"{who} asks for {name}{specifier}, not {wheel.version}")
    return Resolved(chosen, tuple(sorted(missing)))


def _best(name: str, said: Sequence[tuple[str, SpecifierSet]], shelf: Shelf) -> Wheel | None:
    every = shelf.versions(name)
    if not every:
        return None
    for wheel in every:
        pinned = any(one.operator == "==" for _, spec in said for one in spec)
        if wheel.version.is_prerelease and not pinned:
            continue
        if all(spec.contains(wheel.version, prereleases=True) for _, spec in said):
            return wheel
    wants = ", ".join(f"{who}: {spec or 'any'}" for who, spec in said)
    there = ", ".join(str(wheel.version) for wheel in every[:10])
    if name in AT_HAND:
        return None
    raise CannotResolve(f"no {name} fits ({wants}); at hand are {there}")


def runs_here(wheel: Wheel, python: str) -> bool:
    """Whether a wheel is for that version of Python."""
    try:
        return SpecifierSet(wheel.metadata.get("Requires-Python") or "").contains(python)
    except InvalidSpecifier:
        return False


def bumped(files: Mapping[str, bytes], name: str, wheel: Wheel, *, widen: bool) -> dict[str, str]:
    """Files that declare the package, made to ask for `wheel`: path -> text, only what changes.

    Pins get the version and the hash. Ranges stay when they allow it; when they do not, they are
    rewritten if `widen`, else kept. Raises CannotResolve where a lock file has to be made anew by
    its own program.
    """
    found = {}
    for path in sorted({one.path for one in declared(files) if one.name == name}):
        if locks.is_lock(path):
            continue
        before = files[path].decode(errors="replace")
        if path.endswith("pyproject.toml"):
            after = _bumped_project(files, path, before, name, wheel, widen)
        else:
            after = _bumped_requirements(before, name, wheel, widen)
        if after != before:
            found[path] = after
    for path in filter(locks.is_lock, sorted(files)):
        before = files[path].decode(errors="replace")
        try:
            after = _bumped_lock(files, found, path, before, name, wheel)
        except locks.CannotBump as why:
            raise CannotResolve(str(why)) from why
        if after != before:
            found[path] = after
    return found


def _bumped_lock(
    files: Mapping[str, bytes],
    changed: Mapping[str, str],
    path: str,
    text: str,
    name: str,
    wheel: Wheel,
) -> str:
    """A lock file that pins `wheel`, and fits the pyproject.toml beside it."""
    pinned = dict(locks.pins(files[path])).get(name)
    if pinned is not None and Version(pinned) != wheel.version:
        text = locks.bumped(
            path, text, name, str(wheel.version), wheel.file, wheel.read(), wheel.requires
        )
    project = f"{path.rpartition('/')[0]}/pyproject.toml".lstrip("/")
    if project in changed:
        text = locks.with_range(path, text, name, files[project], changed[project].encode())
    return text


def _bumped_project(
    files: Mapping[str, bytes], path: str, text: str, name: str, wheel: Wheel, widen: bool
) -> str:
    for one in declared({path: files[path]}):
        new = _new_specifier(one.requirement, wheel, widen)
        if one.name == name and new is not None:
            asked = Requirement(one.text)
            asked.specifier = SpecifierSet(new)
            for quote in ('"', "'"):
                text = text.replace(f"{quote}{one.text}{quote}", f"{quote}{asked}{quote}")
    return text


def _bumped_requirements(text: str, name: str, wheel: Wheel, widen: bool) -> str:
    lines = text.split("\n")
    made: list[str] = []
    while lines:
        whole = [lines.pop(0)]
        while whole[-1].rstrip().endswith("\\") and lines:
            whole.append(lines.pop(0))
        made += _bumped_line(whole, name, wheel, widen)
    return "\n".join(made)


def _bumped_line(whole: list[str], name: str, wheel: Wheel, widen: bool) -> list[str]:
    """One requirement with the lines that go on with it; hashes become that of the wheel."""
    said = _requirement_of(whole[0])
    match = _LINE.match(_HASH.sub("", whole[0]).rstrip().removesuffix("\\").rstrip())
    if not said or match is None or canonicalize_name(match["name"]) != name:
        return whole
    new = _new_specifier(Requirement(said), wheel, widen)
    if new is None:
        return whole
    line = f"{match['indent']}{match['name']}{match['extras'] or ''}{new}{match['rest'] or ''}"
    if not any(_HASH.search(one) for one in whole):
        return [line.rstrip()]
    return [f"{line.rstrip()} \\", f"    --hash=sha256:{wheel.sha256()}"]


def _new_specifier(requirement: Requirement, wheel: Wheel, widen: bool) -> str | None:
    """What the requirement has to say from now on; None when it may stay."""
    specifiers = list(requirement.specifier)
    exact = [one for one in specifiers if one.operator == "==" and "*" not in one.version]
    if exact:
        return None if Version(exact[0].version) == wheel.version else f"=={wheel.version}"
    if not widen or requirement.specifier.contains(wheel.version, prereleases=True):
        return None
    if len(specifiers) == 1 and specifiers[0].operator == "~=":
        parts = len(Version(specifiers[0].version).release)
        release = [*wheel.version.release, 0, 0][: max(2, parts)]
        return "~=" + ".".join(map(str, release))
    return f">={wheel.version}"
