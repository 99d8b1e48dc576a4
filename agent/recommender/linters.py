"""The checks every file of a recommendation has to pass before it is proposed."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from jsonschema import Draft202012Validator

from agent.recommender.catalogue import Catalogue

ADR_SECTIONS = (
    "Context and Problem Statement",
    "Considered Options",
    "Decision Outcome",
    "Pros and Cons of the Options",
    "More Information",
)
ADR_STATUSES = ("proposed", "accepted", "rejected", "deprecated", "superseded")
# Beside this interpreter, not wherever PATH leads: the lock decides which linter judges.
RUMDL = Path(sysconfig.get_path("scripts"), "rumdl")
RUMDL_OPTIONS = (
    "check",
    # Neither a file of the customer nor one of the current folder may change the verdict.
    "--isolated",
    "--no-cache",
    "--deny-config-warnings",
    # MD013, line length: a table row is one line, however long, so prose does not wrap either.
    "--disable=MD013",
    # Two spaces at the end of a line mean a line break, which no document here wants.
    "--config=MD009.br-spaces = 0",
    "--output-format=json",
    "--stdin-batch",
    "--stdin-batch-closed-world",
)
RUMDL_SECONDS = 30
FACTS_COLUMN = "Facts"
SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "recommendation.schema.json"


@dataclass(frozen=True, slots=True)
class Check:
    """What one linter said about one file. detail: empty when it is fine."""

    name: str
    path: str
    ok: bool
    detail: str


def check_files(files: Mapping[str, bytes], catalogue: Catalogue) -> list[Check]:
    """Run every linter that fits over every file, and check the facts they cite.

    files: the whole pull request, path to bytes; a link between documents has to end at one.
    """
    texts: dict[str, str] = {}
    unreadable: dict[str, str] = {}
    for path, content in files.items():
        try:
            texts[path] = content.decode()
        except UnicodeDecodeError as problem:
            unreadable[path] = f"not UTF-8: {problem}"
        else:
            if "\0" in texts[path]:
                unreadable[path] = "a NUL character"
                del texts[path]
    markdown = _markdown_problems(
        {path: text for path, text in texts.items() if path.endswith(".md")}, targets=files
    )
    checks = []
    for path in files:
        if path in unreadable:
            checks.append(_check("encoding", path, [unreadable[path]]))
            continue
        text = texts[path]
        if path in markdown:
            checks.append(_check("markdown", path, markdown[path]))
        checks += _checks(path, text)
        checks.append(_check("fact ids", path, _fact_problems(path, text, catalogue)))
    return checks


def _checks(path: str, text: str) -> Iterator[Check]:
    """The checks of one file, other than those that all files share."""
    place = PurePosixPath(path)
    if place.suffix == ".md":
        if place.parent.name == "adr":
            yield _check("decision record", path, _adr_problems(place.name, text))
    elif place.name.endswith(".cdx.json"):
        yield _check("cyclonedx 1.6", path, _cyclonedx_problems(text))
    elif place.suffix == ".json":
        yield _check("json schema", path, _json_problems(text))
    else:
        yield _check("known kind", path, [f"{path}: no linter knows this kind of file"])


def _check(name: str, path: str, problems: Iterable[str]) -> Check:
    detail = "\n".join(problems)
    return Check(name=name, path=path, ok=not detail, detail=detail)


def _markdown_problems(texts: Mapping[str, str], targets: Iterable[str]) -> dict[str, list[str]]:
    """Problems of every Markdown text, by path; empty lists for those that are fine."""
    problems: dict[str, list[str]] = {path: [] for path in texts}
    for path, text in texts.items():
        if not text.strip():
            problems[path].append("the file is empty")
        problems[path] += [
            f"line {number}: a comment, which could switch a rule off"
            for number, line in enumerate(text.splitlines(), start=1)
            if "<!--" in line
        ]
    try:
        for row in _rumdl(texts, targets) if texts else []:
            problems[row["file"]].append(f"line {row['line']}: {row['rule']} {row['message']}")
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError) as fault:
        # Nobody looked to the end, so nothing may pass.
        for found in problems.values():
            found.append(f"the Markdown linter gave no verdict: {fault!r}")
    return problems


def _rumdl(texts: Mapping[str, str], targets: Iterable[str]) -> list[Any]:
    """The linter's findings in all texts. Raises when it is missing, slow or talks nonsense."""
    with TemporaryDirectory(prefix="countersign-lint-") as folder:
        listed = Path(folder, "targets")
        listed.write_bytes(b"".join(path.encode() + b"\0" for path in targets))
        done = subprocess.run(
            [RUMDL, *RUMDL_OPTIONS, f"--stdin-batch-targets={listed}"],
            input=b"".join(f"{path}\0{text}\0".encode() for path, text in texts.items()),
            capture_output=True,
            cwd=folder,
            env={"LC_ALL": "C.UTF-8"},
            timeout=RUMDL_SECONDS,
            check=False,
        )
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode not in (0, 1):
        raise ValueError(f"exit code {done.returncode}: {said[:300]}")
    found = json.loads(done.stdout)
    if not isinstance(found, list) or bool(found) != bool(done.returncode):
        raise ValueError(f"exit code {done.returncode} does not go with its findings: {said[:300]}")
    return found


def _adr_problems(name: str, text: str) -> list[str]:
    problems = []
    if not re.fullmatch(r"\d{8}-[a-z0-9-]+\.md", name):
        problems.append("the name is not YYYYMMDD-layer.md")
    match = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    if match is None:
        return [*problems, "front matter is missing"]
    front = dict(line.split(": ", 1) for line in match.group(1).splitlines() if ": " in line)
    if front.get("status", "") not in ADR_STATUSES:
        problems.append(f"status is not one of {', '.join(ADR_STATUSES)}")
    try:
        dt.date.fromisoformat(front.get("date", ""))
    except ValueError:
        problems.append("date is not a date such as 2026-11-23")
    if not front.get("decision-makers", "").strip("[] "):
        problems.append("decision-makers are missing")
    headings = re.findall(r"^(#{1,2}) (.+)$", text, re.MULTILINE)
    if sum(marks == "#" for marks, _ in headings) != 1:
        problems.append("there is not exactly one title")
    found = [title for _, title in headings]
    order = [found.index(title) if title in found else -1 for title in ADR_SECTIONS]
    problems += [
        f"section “{title}” is missing"
        for title, place in zip(ADR_SECTIONS, order, strict=True)
        if place < 0
    ]
    if order != sorted(order):
        problems.append("the sections are not in order")
    return problems


def _cyclonedx_problems(text: str) -> list[str]:
    try:
        version = json.loads(text).get("specVersion")
        problem = _cyclonedx().validate_str(text)
    except (json.JSONDecodeError, AttributeError) as unreadable:
        return [f"not readable as a JSON object: {unreadable}"]
    if version != "1.6":
        # The official schema takes any text here.
        return [f"specVersion: {version!r} is not 1.6"]
    if problem is None:
        return []
    place = "/".join(map(str, problem.data.absolute_path)) or "document"
    return [f"{place}: {problem.data.message[:200]}"]


@cache
def _cyclonedx() -> JsonStrictValidator:
    return JsonStrictValidator(SchemaVersion.V1_6)


@cache
def _schema() -> Draft202012Validator:
    return Draft202012Validator(json.loads(SCHEMA.read_bytes()))


def _json_problems(text: str) -> list[str]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as problem:
        return [f"not readable as JSON: {problem}"]
    return [
        f"{'/'.join(map(str, error.absolute_path)) or 'document'}: {error.message[:200]}"
        for error in _schema().iter_errors(value)
    ]


def _fact_problems(path: str, text: str, catalogue: Catalogue) -> list[str]:
    if path.endswith(".md"):
        return _table_problems(text, catalogue)
    if path.endswith(".cdx.json"):
        cited = re.findall(r'"name": "countersign:fact",\s*"value": "([^"]+)"', text)
        return [f"fact {fact} does not exist" for fact in cited if fact not in catalogue.facts]
    if path.endswith(".json"):
        return _json_fact_problems(text, catalogue)
    return []


def _cells(line: str) -> list[str]:
    """Cells of a table row; none when the line is not one."""
    if not line.startswith("|"):
        return []
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def _table_problems(text: str, catalogue: Catalogue) -> list[str]:
    """Rows of tables that end in a Facts column must name facts that exist."""
    problems = []
    in_figures = False
    for number, line in enumerate(text.splitlines(), start=1):
        cells = _cells(line)
        if not cells:
            in_figures = False
            continue
        if cells[-1] == FACTS_COLUMN:
            in_figures = True
            continue
        if not in_figures or set(cells[-1]) <= {"-"}:
            if in_figures and not cells[-1]:
                problems.append(f"line {number}: a figure without a fact id")
            continue
        cited = re.findall(r"`([^`]+)`", cells[-1])
        if not cited:
            problems.append(f"line {number}: a figure without a fact id")
        problems += [
            f"line {number}: fact {fact} does not exist"
            for fact in cited
            if fact not in catalogue.facts
        ]
    return problems


def _json_fact_problems(text: str, catalogue: Catalogue) -> list[str]:
    """Every fact that is cited has to be listed with its source, and to exist."""
    try:
        value = json.loads(text)
        listed = {fact for source in value["sources"] for fact in source["facts"]}
        cited = set(_cited(value["layers"]))
    except (json.JSONDecodeError, LookupError, TypeError):
        return []  # the schema check says so
    problems = [f"fact {fact} does not exist" for fact in sorted(listed - set(catalogue.facts))]
    return problems + [f"fact {fact} is cited without a source" for fact in sorted(cited - listed)]


def _cited(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for inner in value:
            yield from _cited(inner)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key == "fact":
                yield str(inner)
            elif key == "facts":
                yield from map(str, inner)
            else:
                yield from _cited(inner)
