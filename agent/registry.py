"""A registry of packages: what its simple index lists, fetched only through the sandbox's proxy.

The index is one of PEP 503 (pages) or PEP 691 (JSON); every file has to come with its SHA-256.
Packages that exist as source alone are not taken: what builds one is a program, too, and brings
packages of its own.
"""

import hashlib
import json
import platform
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urldefrag, urljoin, urlsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename
from packaging.version import Version

from agent.packages import Wheel, wheel_of
from agent.sandbox import Engine, egress
from agent.sandbox.downloading import Answer, Downloads, NotAllowed, NotFetched, trusted_here
from agent.sandbox.reuse import Held

JSON = "application/vnd.pypi.simple.v1+json"
_ACCEPT = f"{JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
PAGE_BYTES = 32 * 1024**2
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,250}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
FILES = 50_000  # of a package that are looked at
PACKAGES = 500  # that one task may fetch
BYTES = 1024**3  # that one task may fetch


class RegistryFault(Exception):
    """The registry cannot be used as it is; the message says why, for people.

    denied: what it wanted was refused by us.
    """

    def __init__(self, said: str, *, denied: bool = False) -> None:
        super().__init__(said)
        self.denied = denied


@dataclass(frozen=True)
class Registry:
    """A registry that this installation may fetch from.

    index: address of its simple index, with a slash at the end. hosts: where its files may come
    from besides. addresses: where a host is, for one inside of the own network. certificates: file
    in PEM; without one, what the machine trusts.
    """

    index: str
    hosts: tuple[str, ...] = ()
    addresses: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    certificates: Path | None = None

    @property
    def allowed(self) -> egress.Allowed:
        """What the proxy lets through."""
        parts = urlsplit(self.index)
        names = frozenset(name.lower() for name in (parts.hostname or "", *self.hosts))
        return egress.Allowed(names, parts.port or 443, self.addresses)


@dataclass(frozen=True)
class Offered:
    """One file as the index lists it. sha256: hex, empty when the index names none."""

    file: str
    url: str
    sha256: str
    python: str  # versions of Python that it is for; empty for all
    yanked: bool


@dataclass(frozen=True)
class Fetched:
    """One wheel that was fetched, as the ledger and later steps name it."""

    package: str
    version: str
    file: str
    sha256: str
    url: str
    size: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Offers:
    """The wheels of a registry, each looked up and fetched when it is asked for.

    known: SHA-256 of files by (package, version), where the repository names them; no others are
    taken of that version. keep: folder of what was fetched, by digest. Use it in a `with` block.
    """

    def __init__(
        self,
        registry: Registry,
        engine: Engine,
        *,
        known: Mapping[tuple[str, str], Collection[str]],
        keep: Path,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        self._registry, self._known, self._keep = registry, known, keep
        self._way = Downloads(engine, registry.allowed, _certificates(registry), cancelled)
        self._taken: dict[str, Fetched] = {}
        self._pages: dict[str, list[Wheel]] = {}
        self.sources: dict[str, list[str]] = {}  # package -> files of it that are source alone

    @property
    def fetched(self) -> list[Fetched]:
        """What was asked for so far, by name of its file."""
        return [self._taken[file] for file in sorted(self._taken)]

    def wheels(self, name: str) -> Sequence[Wheel]:
        """Wheels of a package that can run here; their content comes when it is read.

        Raises RegistryFault, SandboxUnavailable.
        """
        key = canonicalize_name(name)
        if key not in self._pages:
            self._pages[key] = self._looked_up(key)
        return self._pages[key]

    def _looked_up(self, name: str) -> list[Wheel]:
        url = urljoin(self._registry.index, f"{name}/")
        answer = self._get(url, PAGE_BYTES, accept=_ACCEPT)
        if answer.status == 404:
            return []
        self._require_good(url, answer)
        offers = [one for one in _listed(answer) if not one.yanked and _for_this_python(one)]
        found = []
        for one in offers[:FILES]:
            wheel = wheel_of(one.file, partial(self._content, one))
            if wheel is not None and wheel.name == name and self._is_known(wheel, one, offers):
                found.append(wheel)
        built = {wheel.version for wheel in found}
        self.sources[name] = [
            one.file for one in offers if (of := _source_version(one.file)) and of not in built
        ]
        return found

    def _is_known(self, wheel: Wheel, one: Offered, offers: Sequence[Offered]) -> bool:
        """Whether the repository lets this file be taken; without a digest nobody can tell."""
        known = self._known.get((wheel.name, str(wheel.version)))
        if known is None or not one.sha256:
            return bool(one.sha256)
        if one.sha256 in known:
            return True
        if not any(other.sha256 in known and wheel_of(other.file, bytes) for other in offers):
            raise RegistryFault(
                f"{self._registry.index} offers {one.file} with another SHA-256 than the repository"
                " names; it was not taken",
                denied=True,
            )
        return False

    def _content(self, one: Offered) -> bytes:
        """A file with the digest that the index names: the one that is kept, or fetched now."""
        place = self._keep / one.sha256
        while (held := Held.at(place)) is None:
            self._fetch(one, place)
        content = _read(held)
        if one.file not in self._taken:
            wheel = wheel_of(one.file, bytes)
            assert wheel is not None
            self._taken[one.file] = Fetched(
                wheel.name, str(wheel.version), one.file, one.sha256, one.url, len(content)
            )
        return content

    def _fetch(self, one: Offered, place: Path) -> None:
        left = BYTES - sum(taken.size for taken in self._taken.values())
        if len(self._taken) >= PACKAGES or left <= 0:
            raise RegistryFault(
                f"a task may fetch {PACKAGES} packages and {BYTES:,} bytes; {one.file} is too much"
            )
        answer = self._get(one.url, min(left, BYTES // 4))
        self._require_good(one.url, answer)
        digest = hashlib.sha256(answer.content).hexdigest()
        if digest != one.sha256:
            raise RegistryFault(
                f"{one.url} has the SHA-256 {digest}, not {one.sha256} as the index says; it was"
                " thrown away",
                denied=True,
            )
        place.parent.mkdir(parents=True, exist_ok=True)
        half = place.with_name(f".{digest}.{id(self)}")
        half.write_bytes(answer.content)
        half.rename(place)

    def _get(self, url: str, most: int, accept: str = "*/*") -> Answer:
        if not url.startswith("https://"):
            raise RegistryFault(f"the index leads to {url}, which is no https address", denied=True)
        try:
            return self._way.get(url, accept=accept, most=most)
        except NotAllowed as refusal:
            raise RegistryFault(str(refusal), denied=True) from refusal
        except NotFetched as problem:
            raise RegistryFault(f"the registry: {problem}") from problem

    def _require_good(self, url: str, answer: Answer) -> None:
        if answer.status != 200:
            raise RegistryFault(f"the registry answered {url} with {answer.status}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._way.__exit__(kind, error, trace)


def kept(rows: Sequence[Mapping[str, Any]], folder: Path) -> list[Wheel]:
    """Wheels that were fetched before, from the folder they are kept in.

    Raises RegistryFault when one is gone.
    """
    found = []
    for row in rows:
        held = Held.at(folder / row["sha256"])
        if held is None:
            raise RegistryFault(
                f"{row['file']} was fetched for this task and is gone from this machine; file the"
                " task again"
            )
        wheel = wheel_of(row["file"], partial(_read, held))
        if wheel is not None:
            found.append(wheel)
    return found


def _read(held: Held) -> bytes:
    """What was fetched, from a file that has its SHA-256 as its name."""
    content = held.place.read_bytes()
    if hashlib.sha256(content).hexdigest() != held.place.name:
        raise RegistryFault(f"{held.place.name} is no longer what was fetched; delete the file")
    return content


def _certificates(registry: Registry) -> bytes:
    if registry.certificates is not None:
        return registry.certificates.read_bytes()
    try:
        return trusted_here()
    except NotFetched as missing:
        raise RegistryFault(str(missing)) from missing


def _listed(answer: Answer) -> list[Offered]:
    """The files on a page of the index. Raises RegistryFault when it is no such page."""
    try:
        if answer.kind.endswith("json"):
            found = _of_json(json.loads(answer.content), answer.url)
        else:
            page = _Page(answer.url)
            page.feed(answer.content.decode())
            found = page.found
    except (ValueError, RecursionError, TypeError, AttributeError, LookupError) as error:
        raise RegistryFault(f"{answer.url} is no page of a simple index: {error}") from error
    return [one for one in found if _FILE.fullmatch(one.file)]


def _of_json(said: Any, base: str) -> list[Offered]:
    return [
        Offered(
            str(row["filename"]),
            urldefrag(urljoin(base, str(row["url"])))[0],
            _digest(row.get("hashes", {}).get("sha256")),
            str(row.get("requires-python") or ""),
            bool(row.get("yanked", False)),
        )
        for row in said["files"]
    ]


class _Page(HTMLParser):
    """Links of a page as PEP 503 has them."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base
        self.found: list[Offered] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if tag != "a" or not said.get("href"):
            return
        url, fragment = urldefrag(urljoin(self._base, said["href"] or ""))
        digest = parse_qs(fragment).get("sha256", [""])[0]
        file = unquote(urlsplit(url).path.rpartition("/")[2])
        python = said.get("data-requires-python") or ""
        self.found.append(Offered(file, url, _digest(digest), python, "data-yanked" in said))


def _digest(said: Any) -> str:
    """A SHA-256 as we write it; empty when it is none. It becomes the name of a file here."""
    digest = str(said).lower()
    return digest if _SHA256.fullmatch(digest) else ""


def _for_this_python(one: Offered) -> bool:
    try:
        return SpecifierSet(one.python).contains(platform.python_version())
    except InvalidSpecifier:
        return False


def _source_version(file: str) -> Version | None:
    try:
        return parse_sdist_filename(file)[1]
    except InvalidSdistFilename:
        return None
