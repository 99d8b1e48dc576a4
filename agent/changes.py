"""What somebody asks to be changed without a bug: an upgrade, a refactoring; and the verdict on it.

The report of such a change, as it is kept and shown:
{"format", "kind", "title", "what": [sentences], "files": [paths], "risk": 0 to 1, "risks": [...],
 "rollback", "notes": [{"title", "text"}], "impact": [{"path", "lines"}], "left": [places],
 "stages": [sentences], "checks": [{"name", "ok", "detail"}], "baseline", "suite": counts}
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from dataclasses import fields as fields_of
from typing import Any, Self

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from agent.bugs import BadReport
from agent.proof import Judged

FORMAT = "countersign-change/1"
WHY_LIMIT = 4_000  # characters
PACKAGES = 10  # that one upgrade may be about
REFACTORINGS = ("rename", "extract", "move")
_PACKAGE = re.compile(r"[A-Za-z0-9](?:[\w.-]{0,98}[A-Za-z0-9])?")
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_NAME = re.compile(r"[A-Za-z_]\w*")
_PATH = re.compile(r"(?!.*(?:^|/)\.\.(?:/|$))[^/\x00-\x1f\\][^\x00-\x1f\\]{0,498}\.py")


@dataclass(frozen=True)
class Wanted:
    """One package, and the version it is to have; empty for the newest that is allowed."""

    package: str
    version: str

    def __str__(self) -> str:
        return f"{self.package} to {self.version or 'the newest version allowed'}"


@dataclass(frozen=True)
class UpgradeRequest:
    """Packages to bring to other versions, all in one pull request."""

    packages: tuple[Wanted, ...]
    why: str = ""

    @property
    def title(self) -> str:
        first, *more = self.packages
        also = f" and {more[0]}" if len(more) == 1 else f" and {len(more)} others" if more else ""
        return f"Upgrade {first}{also}"

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> Self:
        """Reads a form or the API. Raises BadReport with a message per field.

        package, version: the first. also: more of them, name or name==version, a list or lines.
        """
        why, errors = _why(fields)
        said = fields.get("also") or ()
        more = said.splitlines() if isinstance(said, str) else [str(one) for one in said]
        version = str(fields.get("version", "")).strip()
        wanted = [_wanted(str(fields.get("package", "")).strip(), version, errors)]
        for line in filter(None, (one.strip() for one in more)):
            name, _, its = line.partition("==")
            wrong: dict[str, str] = {}
            wanted.append(_wanted(name.strip(), its.strip(), wrong))
            if wrong or line.endswith("="):
                errors["also"] = f"{line[:80]!r} must be a package such as idna, or idna==3.7"
        names = [one.package for one in wanted]
        if not errors and len(set(names)) < len(names):
            errors["also"] = "must not name a package twice"
        elif len(names) > PACKAGES:
            errors["also"] = f"must name at most {PACKAGES - 1} packages besides the first"
        if errors:
            raise BadReport(errors)
        return cls(tuple(wanted), why)

    def to_json(self) -> dict[str, Any]:
        return {"packages": [asdict(one) for one in self.packages], "why": self.why}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        return cls(tuple(Wanted(**one) for one in said["packages"]), said["why"])


def _wanted(package: str, version: str, errors: dict[str, str]) -> Wanted:
    if not _PACKAGE.fullmatch(package):
        errors["package"] = "must be the name of a package, such as requests"
    if version:
        try:
            Version(version)
        except InvalidVersion:
            errors["version"] = "must be a version such as 2.31.0, or empty"
    return Wanted(canonicalize_name(package), version)


@dataclass(frozen=True)
class RefactorRequest:
    """A definition to rename, to move, or lines to give a name of their own.

    rename, move: name and new_name are dotted ("shop.pricing.total"). extract: path, first and
    last line (from 1), new_name without dots.
    """

    how: str
    name: str = ""
    new_name: str = ""
    path: str = ""
    first: int = 0
    last: int = 0
    why: str = ""

    @property
    def title(self) -> str:
        match self.how:
            case "rename":
                return f"Rename {self.name} to {self.new_name.rpartition('.')[2]}"
            case "move":
                return f"Move {self.name} to {self.new_name.rpartition('.')[0]}"
            case _:
                return f"Extract {self.new_name} from {self.path}:{self.first}"

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> Self:
        """Reads a form or the API. Raises BadReport with a message per field."""
        how = str(fields.get("how", ""))
        name, new = (str(fields.get(key, "")).strip() for key in ("name", "new_name"))
        path = str(fields.get("path", "")).strip()
        why, errors = _why(fields)
        first, last = (_line(fields, key, errors, how) for key in ("first", "last"))
        if how not in REFACTORINGS:
            errors["how"] = f"must be one of {', '.join(REFACTORINGS)}"
        elif how == "extract":
            if not _PATH.fullmatch(path):
                errors["path"] = "must be a Python file below the repository, such as src/shop/x.py"
            if not _NAME.fullmatch(new):
                errors["new_name"] = "must be a name such as rounded_total"
            if not errors and not first <= last <= first + 400:
                errors["last"] = "must be the first line or after it, by 400 lines at most"
        else:
            errors |= _wrong_names(how, name, new)
        if errors:
            raise BadReport(errors)
        if how == "extract":
            return cls(how, "", new, path, first, last, why)
        return cls(how, name, new, why=why)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        return cls(**{one.name: said[one.name] for one in fields_of(cls)})


def _why(fields: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    why = str(fields.get("why", "")).strip()
    if len(why) > WHY_LIMIT:
        return why, {"why": f"must have at most {WHY_LIMIT} characters"}
    return why, {}


def _line(fields: Mapping[str, Any], key: str, errors: dict[str, str], how: str) -> int:
    said = str(fields.get(key) or "").strip()
    if how != "extract":
        return 0
    if not said.isdecimal() or not 1 <= int(said) <= 100_000:
        errors[key] = "must be the number of a line, from 1"
        return 0
    return int(said)


def _wrong_names(how: str, name: str, new: str) -> dict[str, str]:
    errors = {}
    for key, said in (("name", name), ("new_name", new)):
        if not _DOTTED.fullmatch(said):
            errors[key] = "must be package, module and name, such as shop.pricing.total"
    if errors:
        return errors
    same = name.rpartition(".")[0] == new.rpartition(".")[0]
    if name == new or (how == "rename") != same:
        errors["new_name"] = (
            "must be another name in the same module"
            if how == "rename"
            else "must name another module"
        )
    elif how == "move" and name.rpartition(".")[2] != new.rpartition(".")[2]:
        errors["new_name"] = "must keep its last part; rename it in a task of its own"
    return errors


def judged(
    baseline: Mapping[str, Any], suite: Mapping[str, Any], report: Mapping[str, Any]
) -> list[Judged]:
    """The verdict, from the reports of the two runs (agent.tools.testing) and nothing else."""
    flaky = {
        test for run in (baseline, suite) for key in ("flaky", "quarantined") for test in run[key]
    }
    before, after = baseline["runs"][0], suite["runs"][0]
    was = {row["id"] for row in before["failing"]}
    lost = sorted(set(before["passed"]) - set(after["passed"]) - flaky - set(report["replaced"]))
    new = sorted({row["id"] for row in after["failing"]} - was - flaky)
    name = "suite: nothing that passed before fails now"
    problem = suite["problem"]
    if problem:
        whole = Judged(name, False, problem)
    elif worse := sorted({*lost, *new}):
        reasons = {row["id"]: row["reason"] for row in after["failing"]}
        first = worse[0]
        said = f"{len(worse)} fail now, first {first}: {reasons.get(first, 'it did not run')}"
        whole = Judged(name, False, said)
    else:
        still = len({row["id"] for row in after["failing"]} - flaky)
        also = f", {still} failed before and still do" if still else ""
        whole = Judged(name, True, f"{len(after['passed'])} pass{also}")
    ran = Judged(
        "baseline: the tests ran before anything was changed",
        not baseline["problem"] and bool(before["passed"]),
        baseline["problem"] or f"{len(before['passed'])} passed",
    )
    return [ran, whole]
