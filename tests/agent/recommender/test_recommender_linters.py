"""Each linter refuses a file that is broken in its way."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from agent.recommender import linters
from agent.recommender.linters import SCHEMA, check_files

ADR = "docs/adr/20261123-web-api.md"
BOM = "docs/stack/bom.md"
CDX = "docs/stack/bom.cdx.json"
RESULT = "docs/stack/recommendation.json"
OPTIONS = "docs/stack/options.md"


@pytest.fixture
def problems(catalogue):
    """What the linters say about one file, with the files around it that its links lead to."""

    def found(path, content, around=()):
        checks = check_files({**dict(around), path: content}, catalogue)
        return [line for check in checks if check.path == path for line in check.detail.split("\n")]

    return found


@pytest.mark.parametrize(
    ("path", "before", "after", "complaint"),
    [
        (ADR, "status: proposed", "status: maybe", "status is not one of"),
        (ADR, "date: 2026-11-23", "date: soon", "date is not a date"),
        (ADR, 'decision-makers: ["Ada Lovelace"]', "decision-makers: []", "decision-makers"),
        (ADR, "## Decision Outcome", "## Outcome", "section “Decision Outcome” is missing"),
        (ADR, "## Considered Options", "## More Information", "missing"),
        (ADR, "---\nstatus", "status", "front matter is missing"),
        (ADR, "## Decision Drivers\n\n", "## Decision Drivers\n", "MD032"),
        (ADR, "# Use Django", "# One\n\n# Use Django", "exactly one title"),
        (ADR, "(../stack/options.md)", "(../stack/optoins.md)", "MD057"),
        (BOM, "# Bill of materials\n\n", "", "MD041"),
        (BOM, "## Stack", "### Stack", "MD001"),
        (BOM, "## Stack", "# Stack", "MD025"),
        (BOM, "## Stack\n\n", "## Stack\n", "MD022"),
        (BOM, "## Stack", "## Stack  ", "MD009"),
        (BOM, "## Stack", "## Licence and version", "MD024"),
        (BOM, "| Python |", "| Python | extra |", "MD056"),
        (BOM, "| Python |", "|", "MD056"),
        (BOM, "## Stack\n", "## Stack\n\n```text\nnever closed\n", "never closed"),
        (BOM, "## Stack\n", "## Stack\n\n<b>raw</b>\n", "MD033"),
        (CDX, '"specVersion": "1.6"', '"specVersion": "0.1"', "specVersion"),
        (CDX, '"type": "framework"', '"type": "banana"', "banana"),
        (CDX, "{", "[", "JSON"),
        (RESULT, '"format": "countersign-recommendation/1"', '"format": "x"', "format"),
        (RESULT, '"grade": "J"', '"grade": "sure"', "sure"),
        (RESULT, '"total": 0', '"total": 1', "maximum"),
        (RESULT, "{", "", "JSON"),
    ],
)
def test_a_broken_file_is_refused(files, problems, path, before, after, complaint):
    text = files[path].decode()
    assert before in text

    found = problems(path, text.replace(before, after, 1).encode(), files)

    assert any(complaint in problem for problem in found), found


def test_a_decision_record_with_its_sections_in_another_order_is_refused(files, problems):
    text = files[ADR].decode()
    swapped = text.replace("## Considered Options", "## X").replace(
        "## Decision Outcome", "## Considered Options"
    )

    found = problems(ADR, swapped.replace("## X", "## Decision Outcome").encode(), files)

    assert "the sections are not in order" in found


@pytest.mark.parametrize(
    ("path", "content", "complaint"),
    [
        (ADR, b"\xff\xfe", "UTF-8"),
        (BOM, b"", "empty"),
        (BOM, b"# Title\n\na\0b\n", "NUL"),
        (BOM, b"# Title\n\ntext \n", "MD009"),
        (BOM, b"# Title\n\nline break  \ntext\n", "MD009"),
        (BOM, b"# Title", "MD047"),
        (BOM, b"# Title\n\n\n\nText\n", "MD012"),
        ("notes.md", b"# Title\n\n[a file of this machine](targets)\n", "MD057"),
        (RESULT, b"{}", "required"),
        ("docs/stack/logo.png", b"PNG", "no linter knows"),
        ("docs/adr/web-api.md", b"# Title\n", "YYYYMMDD"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_refused(problems, path, content, complaint):
    assert any(complaint in problem for problem in problems(path, content))


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
        (RESULT, '"django.license": "', '"django.licence": "', "django.licence"),
        (RESULT, '"facts": ["django.size_copies"', '"facts": ["djagno.size_copies"', "a source"),
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


def test_a_figure_of_the_machine_readable_result_needs_its_facts(files, problems):
    result = json.loads(files[RESULT])
    result["layers"][0]["ranked"][0]["figures"][0]["facts"] = []

    found = problems(RESULT, json.dumps(result).encode(), files)

    assert any("should be non-empty" in problem for problem in found), found


FINDING = f'[{{"file": "{BOM}", "line": 1, "rule": "MD001", "message": "a finding"}}]'
BROKEN = b"# Title\n\n| a | b |\n| --- | --- |\n| 1 |\n"


@pytest.mark.parametrize(
    "comment",
    ["<!-- rumdl-disable -->", "<!-- markdownlint-disable MD056 -->", "text <!--prettier-ignore"],
)
def test_a_document_cannot_switch_its_linter_off(problems, comment):
    assert any(
        "could switch a rule off" in problem
        for problem in problems(BOM, f"# Title\n\n{comment}\n".encode() + BROKEN)
    )


def test_no_settings_of_the_folder_or_the_environment_change_the_verdict(
    problems, tmp_path, monkeypatch
):
    settings = '[global]\ndisable = ["MD056"]\nexclude = ["**"]\n'
    for name in (".rumdl.toml", "rumdl.toml"):
        Path(tmp_path, name).write_text(settings)
    Path(tmp_path, ".markdownlint.json").write_text('{"MD056": false}')
    Path(tmp_path, ".gitignore").write_text("*\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUMDL_CONFIG", str(tmp_path / "rumdl.toml"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    assert any("MD056" in problem for problem in problems(BOM, BROKEN))


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (None, "FileNotFoundError"),
        (f"print({FINDING!r}); raise SystemExit(2)", "exit code 2"),
        ("print('[]'); raise SystemExit(2)", "exit code 2"),
        ("print('[]'); raise SystemExit(1)", "does not go with"),
        ("print('fine')", "JSONDecodeError"),
        ("print('{}')", "does not go with"),
        ("print('[{}]'); raise SystemExit(1)", "KeyError"),
        ("""print('[{"file": "other.md", "line": 1}]'); raise SystemExit(1)""", "KeyError"),
        ("import time; time.sleep(60)", "TimeoutExpired"),
    ],
)
def test_a_linter_without_a_verdict_fails_every_document(
    files, catalogue, tmp_path, monkeypatch, script, reason
):
    stand_in = tmp_path / "rumdl"
    if script is not None:
        stand_in.write_text(f"#!{sys.executable}\n{script}\n")
        stand_in.chmod(0o700)
    monkeypatch.setattr(linters, "RUMDL", stand_in)
    monkeypatch.setattr(linters, "RUMDL_SECONDS", 1)

    checks = check_files({BOM: files[BOM], ADR: files[ADR]}, catalogue)

    failed = [check for check in checks if check.name == "markdown" and not check.ok]
    assert {check.path for check in failed} == {BOM, ADR}
    assert all(reason in check.detail for check in failed), failed[0].detail


def test_all_documents_are_read_by_one_run_of_the_linter(files, catalogue, monkeypatch):
    runs = []
    real = subprocess.run

    def counted(*args, **kwargs):
        runs.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(subprocess, "run", counted)

    check_files(files, catalogue)

    assert len(runs) == 1


def test_the_schema_of_the_result_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA.read_bytes()))
