"""Each linter refuses a file that is broken in its way."""

import json
import re

import pytest
from pymarkdown.api import PyMarkdownApi

from agent.recommender.linters import DISABLED_RULES, PART_LINES, check_files, lint

ADR = "docs/adr/20261123-web-api.md"
BOM = "docs/stack/bom.md"
CDX = "docs/stack/bom.cdx.json"
RESULT = "docs/stack/recommendation.json"
OPTIONS = "docs/stack/options.md"


@pytest.mark.parametrize(
    ("path", "before", "after", "complaint"),
    [
        (ADR, "status: proposed", "status: maybe", "status is not one of"),
        (ADR, "date: 2026-11-23", "date: soon", "date is not a date"),
        (ADR, 'decision-makers: ["Ada Lovelace"]', "decision-makers: []", "decision-makers"),
        (ADR, "## Decision Outcome", "## Outcome", "section “Decision Outcome” is missing"),
        (ADR, "## Considered Options", "## More Information", "missing"),
        (ADR, "---\nstatus", "status", "front matter is missing"),
        (ADR, "## Decision Drivers\n\n", "## Decision Drivers\n", "MD022"),
        (ADR, "# Use Django", "# One\n\n# Use Django", "exactly one title"),
        (BOM, "## Stack", "### Stack", "MD001"),
        (BOM, "| Python |", "| Python | extra |", "cells under"),
        (CDX, '"specVersion": "1.6"', '"specVersion": "0.1"', "specVersion"),
        (CDX, '"type": "framework"', '"type": "banana"', "banana"),
        (CDX, "{", "[", ""),
        (RESULT, '"format": "countersign-recommendation/1"', '"format": "x"', "format"),
        (RESULT, '"state": "known"', '"state": "sure"', "sure"),
        (RESULT, "{", "", "JSON"),
    ],
)
def test_a_broken_file_is_refused(files, path, before, after, complaint):
    text = files[path].decode()
    assert before in text

    problems = lint(path, text.replace(before, after, 1).encode())

    assert problems
    assert any(complaint in problem for problem in problems), problems


def test_a_decision_record_with_its_sections_in_another_order_is_refused(files):
    text = files[ADR].decode()
    swapped = text.replace("## Considered Options", "## X").replace(
        "## Decision Outcome", "## Considered Options"
    )

    problems = lint(ADR, swapped.replace("## X", "## Decision Outcome").encode())

    assert "the sections are not in order" in problems


@pytest.mark.parametrize(
    ("path", "content", "complaint"),
    [
        (ADR, b"\xff\xfe", "UTF-8"),
        (BOM, b"", "empty"),
        (BOM, b"# Title", "MD047"),
        (BOM, b"# Title\n\n\n\nText\n", "MD012"),
        (RESULT, b"{}", "required"),
        ("docs/stack/logo.png", b"PNG", "no linter knows"),
        ("docs/adr/web-api.md", b"# Title\n", "YYYYMMDD"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_refused(path, content, complaint):
    assert any(complaint in problem for problem in lint(path, content))


@pytest.mark.parametrize(
    ("path", "before", "after", "complaint"),
    [
        (OPTIONS, "`django.latest_cycle_eol`", "`djagno.latest_cycle_eol`", "djagno"),
        (BOM, "| `django.license`, `django.latest_version` |", "|  |", "without a fact id"),
        (
            BOM,
            "| `django.license`, `django.latest_version` |",
            "| see below |",
            "without a fact id",
        ),
        (CDX, '"value": "django.license"', '"value": "django.licence"', "django.licence"),
        (RESULT, '"django.license": {', '"django.licence": {', "django.licence"),
    ],
)
def test_a_figure_without_an_existing_fact_is_refused(
    files, catalogue, path, before, after, complaint
):
    text = files[path].decode()
    assert before in text

    checks = check_files({path: text.replace(before, after, 1).encode()}, catalogue)

    failed = [check for check in checks if check.name == "fact ids" and not check.ok]
    assert failed
    assert complaint in failed[0].detail


def test_a_figure_of_the_machine_readable_result_needs_its_facts(files, catalogue):
    result = json.loads(files[RESULT])
    result["layers"][0]["ranked"][0]["figures"][0]["facts"] = []

    checks = check_files({RESULT: json.dumps(result).encode()}, catalogue)

    assert {check.name for check in checks if not check.ok} == {"fact ids", "json schema"}


# One violation for every rule that is left out of a scan when its mark does not stand in the text.
VIOLATIONS = [
    "# T\n\n>  quote\n",
    "# T\n\n> one\n\n> two\n",
    "# T\n\ntext\n```text\ncode\n```\n",
    "# T\n\n```\ncode\n```\n",
    "# T\n\n```sh\n$ ls\n```\n",
    "# T\n\n```text\ncode\n```\n\n~~~text\ncode\n~~~\n",
    "# T\n\n    code\n\n```text\ncode\n```\n",
    "# T\n\n<b>raw</b>\n",
    "# T\n\n1. one\n3. two\n",
    "# T\n\ntext\n\n[unused]: https://example.invalid\n",
    "# T\n\n![](picture.png)\n",
    "# T\n\n**Looks like a heading**\n\ntext\n",
    "# T\n\nthis is * not * bold\n",
    "# T\n\n*one* with _two_\n",
    "# T\n\n**one** with __two__\n",
    "# T #\n\n##  Two  ##\n",
    "# T\n\n#Two#\n",
    "# T\n\ntrailing   \n",
    "# T\n\nhttps://example.invalid\n",
]


@pytest.mark.parametrize("text", VIOLATIONS)
def test_leaving_idle_rules_out_of_a_scan_hides_nothing(text):
    assert _ours(text) == _whole(text) != set()


def test_cutting_a_long_text_hides_nothing_and_keeps_the_line_numbers(files):
    text = files[OPTIONS].decode()
    assert text.count("\n") > 2 * PART_LINES
    broken = text.replace("## Telemetry\n\n", "## Telemetry\n").replace(
        "## Secrets\n", "##  Secrets\n"
    )
    broken = broken.replace("\n\n## Identity", "\n\n\n## Identity")

    found = _ours(broken)

    assert found == _whole(broken)
    assert {rule for _, rule in found} == {"MD012", "MD019", "MD022"}


def _ours(text):
    return {
        (int(line), rule)
        for problem in lint("x.md", text.encode())
        for line, rule in re.findall(r"line (\d+): (MD\d+)", problem)
    }


def _whole(text):
    linter = PyMarkdownApi().enable_extension_by_identifier("front-matter")
    for rule in DISABLED_RULES:
        linter.disable_rule_by_identifier(rule)
    return {(found.line_number, found.rule_id) for found in linter.scan_string(text).scan_failures}
