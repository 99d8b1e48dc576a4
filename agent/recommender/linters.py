"""The checks every file of a recommendation has to pass before it is proposed."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from jsonschema import Draft202012Validator
from pymarkdown.api import PyMarkdownApi, PyMarkdownApiException

from agent.recommender.catalogue import Catalogue

ADR_SECTIONS = (
    "Context and Problem Statement",
    "Considered Options",
    "Decision Outcome",
    "Pros and Cons of the Options",
    "More Information",
)
ADR_STATUSES = ("proposed", "accepted", "rejected", "deprecated", "superseded")
# md013: tables do not wrap. md024: the same heading stands under several options.
# md055 to md060: need the linter's table extension; see _table_shape_problems.
DISABLED_RULES = ("md013", "md024", "md055", "md056", "md058", "md060")
# Rules that can only find something where these marks stand. Leaving the others out of a scan
# saves a fifth of its time.
RULES_ABOUT = {
    r"^ *>": ("md027", "md028"),
    r"`{3}|~{3}|^(?: {4}|\t)": ("md014", "md031", "md040", "md046", "md048"),
    r"<": ("md033",),
    r"^ *\d+[.)]": ("md029",),
    r"\]:": ("md053",),
    r"!\[": ("md045",),
    r"[*_]": ("md036", "md037", "md049", "md050"),
    r"#\\?$|# *$": ("md020", "md021"),
}
# Lines after which a long text is cut at the next section.
PART_LINES = 80
FACTS_COLUMN = "Facts"
SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "recommendation.schema.json"


@dataclass(frozen=True, slots=True)
class Check:
    """What one linter said about one file. detail: empty when it is fine."""

    name: str
    path: str
    ok: bool
    detail: str


def lint(path: str, content: bytes) -> list[str]:
    """Problems of one file, by the linters that fit its path; empty when there are none."""
    return [problem for check in _checks(path, content) for problem in check.detail.splitlines()]


def check_files(files: Mapping[str, bytes], catalogue: Catalogue) -> list[Check]:
    """Run every linter that fits over every file, and check the facts they cite."""
    checks = []
    for path, content in files.items():
        checks += _checks(path, content)
        checks.append(_check("fact ids", path, _fact_problems(path, content, catalogue)))
    return checks


def _checks(path: str, content: bytes) -> list[Check]:
    name = PurePosixPath(path).name
    try:
        text = content.decode()
    except UnicodeDecodeError as problem:
        return [_check("encoding", path, [f"not UTF-8: {problem}"])]
    if name.endswith(".md"):
        checks = [_check("markdown", path, _markdown_problems(text))]
        if PurePosixPath(path).parent.name == "adr":
            checks.append(_check("decision record", path, _adr_problems(name, text)))
        return checks
    if name.endswith(".cdx.json"):
        return [_check("cyclonedx 1.6", path, _cyclonedx_problems(text))]
    if name.endswith(".json"):
        return [_check("json schema", path, _json_problems(text))]
    return [_check("known kind", path, [f"{path}: no linter knows this kind of file"])]


def _check(name: str, path: str, problems: Iterable[str]) -> Check:
    detail = "\n".join(problems)
    return Check(name=name, path=path, ok=not detail, detail=detail)


@lru_cache(maxsize=256)
def _markdown_problems(text: str) -> tuple[str, ...]:
    if not text:
        return ("the file is empty",)
    problems = []
    for offset, part in _parts(text):
        try:
            failures = _linter(part).scan_string(part).scan_failures
        except PyMarkdownApiException as problem:
            return (f"not readable as Markdown: {problem}",)
        problems += [
            f"line {failure.line_number + offset}: {failure.rule_id} {failure.rule_description}"
            for failure in failures
        ]
    return (*problems, *_table_shape_problems(text))


def _linter(text: str) -> PyMarkdownApi:
    linter = PyMarkdownApi().enable_extension_by_identifier("front-matter")
    idle = [
        rule
        for mark, rules in RULES_ABOUT.items()
        if not re.search(mark, text, re.MULTILINE)
        for rule in rules
    ]
    for rule in (*DISABLED_RULES, *idle):
        linter.disable_rule_by_identifier(rule)
    return linter


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """The text in pieces, each with what to add to its line numbers.

    The linter's time grows with the square of the lines, so a long text is cut before sections,
    where nothing spans the cut: exactly one empty line, and no construct that could be open.
    Pieces after the first get a title of their own, because every text must start with one.
    """
    if re.search(r"`{3}|~{3}|<|\]:", text):
        yield 0, text
        return
    title = "# Part\n\n"
    sections = re.split(r"(?<!\n)\n\n(?=## )", text)
    start, lines, piece = 0, 0, ""
    for number, section in enumerate(sections):
        last = number == len(sections) - 1
        piece += section + ("" if last else "\n")
        lines += section.count("\n") + (0 if last else 2)
        if lines - start < PART_LINES and not last:
            piece += "\n"
            continue
        yield (start - 2, title + piece) if start else (0, piece)
        start, piece = lines, ""


def _cells(line: str) -> list[str]:
    """Cells of a table row; none when the line is not one."""
    if not line.startswith("|"):
        return []
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def _table_shape_problems(text: str) -> list[str]:
    """Rows that do not have as many cells as their header.

    The linter's own table extension finds the same, in four times the time.
    """
    problems = []
    columns = 0
    for number, line in enumerate(text.splitlines(), start=1):
        cells = _cells(line)
        if cells and columns and len(cells) != columns:
            problems.append(f"line {number}: {len(cells)} cells under {columns} headings")
        columns = (columns or len(cells)) if cells else 0
    return problems


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
    schema = json.loads(SCHEMA.read_bytes())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def _json_problems(text: str) -> list[str]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as problem:
        return [f"not readable as JSON: {problem}"]
    return [
        f"{'/'.join(map(str, error.absolute_path)) or 'document'}: {error.message[:200]}"
        for error in _schema().iter_errors(value)
    ]


def _fact_problems(path: str, content: bytes, catalogue: Catalogue) -> list[str]:
    text = content.decode(errors="replace")
    if path.endswith(".md"):
        return _table_problems(text, catalogue)
    if path.endswith(".cdx.json"):
        cited = re.findall(r'"name": "countersign:fact",\s*"value": "([^"]+)"', text)
        return [f"fact {fact} does not exist" for fact in cited if fact not in catalogue.facts]
    if path.endswith(".json"):
        return _json_fact_problems(text, catalogue)
    return []


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
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return []  # the schema check says so
    if not isinstance(value, dict):
        return []
    problems = [
        f"fact {fact} does not exist"
        for fact in value.get("facts", {})
        if fact not in catalogue.facts
    ]
    for layer in value.get("layers", []):
        for row in layer.get("ranked", []):
            for figure in row.get("figures", []):
                if not figure["facts"]:
                    problems.append(f"{row['technology']}: {figure['label']} without a fact id")
                problems += [
                    f"fact {fact} does not exist"
                    for fact in figure["facts"]
                    if fact not in catalogue.facts
                ]
    return problems
