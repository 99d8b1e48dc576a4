"""The files of the pull request are complete, repeatable, and safe with any text."""

import ast
import datetime as dt
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.recommender import Constraints
from agent.recommender.adr import earlier_records, marked_superseded
from agent.recommender.linters import check_files
from agent.recommender.pull_request import pull_request_text
from agent.recommender.rendering import render

ROOT = Path(__file__).resolve().parents[3]
TODAY = dt.date(2026, 11, 23)
REQUEST_ID = "0190f3a2-0000-7000-8000-00000000ada0"
STACK_FILES = {
    "bom.md",
    "bom.cdx.json",
    "control-mapping.md",
    "test-plan.md",
    "rollback.md",
    "options.md",
    "recommendation.json",
}


def test_every_artifact_of_the_contract_is_there(files, first_example):
    layers = [layer["layer"] for layer in first_example.scored["layers"]]

    assert set(files) == {f"docs/adr/20261123-{layer}.md" for layer in layers} | {
        f"docs/stack/{name}" for name in STACK_FILES
    }


def test_every_linter_passes_every_file(files, catalogue):
    failed = [check for check in check_files(files, catalogue) if not check.ok]

    assert failed == []


def test_every_example_passes_every_linter(catalogue, recommend):
    for example in catalogue.examples[1:]:
        recommendation = recommend({**example, "layers": ["web-api", "secrets"]})
        rendered = _render(recommendation, catalogue)

        assert [check for check in check_files(rendered, catalogue) if not check.ok] == []


def test_the_same_request_gives_the_same_bytes_in_another_process(files, tmp_path):
    script = (
        "import datetime as dt, hashlib, sys\n"
        "from pathlib import Path\n"
        "from agent.recommender import *\n"
        "from agent.recommender.rendering import render\n"
        "known = load(Path('schemas/catalog'))\n"
        "asked = Constraints.parse(known.examples[0])\n"
        "today = dt.date(2026, 11, 23)\n"
        "found = retrieve(asked, known, today)\n"
        "scored = score(asked, known, found, eliminate(asked, known, found, today))\n"
        f"files = render(asked, known, scored, request_id='{REQUEST_ID}',\n"
        "    requested_by='Ada Lovelace', today=today)\n"
        "for path, content in files.items():\n"
        "    print(path, hashlib.sha256(content).hexdigest())\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        check=True,
    )

    here = [f"{path} {hashlib.sha256(content).hexdigest()}" for path, content in files.items()]
    assert done.stdout.split("\n")[:-1] == here


def test_a_decision_record_has_its_front_matter_drivers_options_and_figures(files):
    text = files["docs/adr/20261123-web-api.md"].decode()

    assert text.startswith("---\nstatus: proposed\ndate: 2026-11-23\n")
    assert 'decision-makers: ["Ada Lovelace"]' in text
    for heading in ("Decision Drivers", "Considered Options", "Decision Outcome", "Consequences"):
        assert re.search(rf"^##+ {heading}$", text, re.MULTILINE)
    assert "- Good, because" in text
    assert "- Bad, because" in text
    assert "`django.latest_cycle_eol`" in text


def test_the_bill_for_machines_lists_each_choice_once_with_licence_and_version(
    files, first_example
):
    bom = json.loads(files["docs/stack/bom.cdx.json"])

    assert bom["specVersion"] == "1.6"
    names = [item["bom-ref"] for item in bom["components"] + bom["services"]]
    assert sorted(names) == sorted({layer["winner"] for layer in first_example.scored["layers"]})
    django = next(item for item in bom["components"] if item["bom-ref"] == "django")
    assert django["version"] == "6.1.3"
    assert django["purl"] == "pkg:pypi/django@6.1.3"
    assert django["licenses"] == [{"license": {"id": "BSD-3-Clause"}}]


def test_a_bill_of_another_request_has_another_serial_number(catalogue, recommend, files):
    recommendation = recommend(catalogue.examples[0])
    other = render(
        recommendation.constraints,
        catalogue,
        recommendation.scored,
        request_id="another",
        requested_by="Ada Lovelace",
        today=TODAY,
    )

    def serial(rendered):
        return json.loads(rendered["docs/stack/bom.cdx.json"])["serialNumber"]

    assert serial(other) != serial(files)


def test_an_unknown_is_never_printed_as_nought(files):
    for path in ("docs/stack/bom.md", "docs/stack/options.md"):
        text = files[path].decode()
        assert "unknown" in text
        assert "| 0 |" not in text
        assert "None" not in text
    # The count of advisories is 0 only where a source was read, with its window beside it.
    for match in re.finditer(r"known advisories: 0 ", files["docs/stack/options.md"].decode()):
        assert (
            "published 2022-10-10 to 2024-10-10"
            in files["docs/stack/options.md"].decode()[match.start() : match.start() + 90]
        )


def test_every_standard_asked_for_is_mapped_with_a_strength_of_evidence(files, catalogue):
    text = files["docs/stack/control-mapping.md"].decode()

    for standard in catalogue.controls["standards"]:
        assert f"## {standard['title']}" in text
        assert len(standard["controls"]) >= 9
        for control in standard["controls"]:
            assert f"| {control['id']} |" in text
            assert control["strength"] in catalogue.controls["strengths"]


def test_a_control_without_a_layer_in_scope_has_no_evidence(catalogue, recommend):
    recommendation = recommend({"layers": ["web-api"], "compliance": ["slsa_l3"]})
    text = _render(recommendation, catalogue)["docs/stack/control-mapping.md"].decode()

    row = next(line for line in text.splitlines() if line.startswith("| hosted "))
    assert row.endswith("| none |")
    assert "SSDF" not in text


def test_the_test_plan_names_red_tests_for_every_decided_layer(files, first_example):
    text = files["docs/stack/test-plan.md"].decode()

    assert len(re.findall(r"^\| `test_\w+` \| `tests/", text, re.MULTILINE)) >= 2 * len(
        first_example.scored["layers"]
    )
    assert "300 ms at the 95th percentile under 50 requests per second" in text


def test_the_machine_readable_result_carries_every_fact_it_cites_once(files, catalogue):
    result = json.loads(files["docs/stack/recommendation.json"])

    cited = {
        fact
        for layer in result["layers"]
        for row in layer["ranked"]
        for figure in row.get("figures", [])
        for fact in figure["facts"]
    } | {row["fact"] for layer in result["layers"] for row in layer["eliminated"]}
    listed = [fact for source in result["sources"] for fact in source["facts"]]
    assert cited <= set(listed)
    assert len(listed) == len(set(listed))
    assert result["catalogue"] == catalogue.digest
    for source in result["sources"]:
        for name, value in source["facts"].items():
            fact = catalogue.facts[name]
            assert value == (fact.value if fact.state == "known" else fact.state)
            assert (source["source"], source["grade"]) == (fact.source, fact.grade)


def test_the_machine_readable_result_repeats_the_scores(files, first_example):
    result = json.loads(files["docs/stack/recommendation.json"])

    for kept, layer in zip(result["layers"], first_example.scored["layers"], strict=True):
        assert kept["winner"] == layer["winner"]
        assert list(kept["weights"].items()) == sorted(
            layer["weights"].items(), key=lambda item: -item[1]
        )
        for short, row in zip(kept["ranked"], layer["ranked"], strict=True):
            assert (short["technology"], short["total"]) == (row["technology"], row["total"])
            assert ("criteria" in short) == (row["rank"] <= 3)
            if "criteria" in short:
                added = sum(found["contribution"] for found in short["criteria"].values())
                assert added == pytest.approx(row["total"], abs=1e-3)
        assert [row["fact"] for row in kept["eliminated"]] == [
            row["fact"] for row in layer["eliminated"]
        ]


def test_a_person_can_review_the_whole_pull_request(files):
    result = files["docs/stack/recommendation.json"]

    assert len(result) < 400_000
    assert sum(content.count(b"\n") for content in files.values()) < 6_000
    lines = result.decode().splitlines()
    assert sum('"rank": ' in line for line in lines) == result.count(b'"rank": ')
    assert sum(line.startswith('   "django.') for line in lines) > 10


def test_a_step_that_was_stored_with_its_keys_in_another_order_gives_the_same_result(
    files, catalogue, first_example
):
    stored = json.loads(json.dumps(first_example.scored, sort_keys=True))
    path = "docs/stack/recommendation.json"

    rendered = render(
        first_example.constraints,
        catalogue,
        stored,
        request_id=REQUEST_ID,
        requested_by="Ada Lovelace",
        today=TODAY,
    )

    assert rendered[path] == files[path]


def test_a_licence_entered_by_hand_says_so_wherever_it_is_shown(files, catalogue, recommend):
    bom = files["docs/stack/bom.md"].decode()
    machines = json.loads(files["docs/stack/bom.cdx.json"])
    ruled_out = _render(
        recommend({"licence_policy": "osi_only", "layers": ["secrets"]}), catalogue
    )["docs/stack/options.md"].decode()

    for item in machines["components"] + machines["services"]:
        licence = catalogue.facts[f"{item['bom-ref']}.license"]
        shown = {row["name"]: row["value"] for row in item["properties"]}
        if licence.state != "known":
            assert "countersign:licence-basis" not in shown
            continue
        assert shown["countersign:licence-basis"] == licence.basis()
        assert re.search(rf"\| {licence.basis()} \| `{licence.id}`", bom)
    assert re.search(r"BUSL-1\.1.* grade J, entered by hand, not re-read\. \|", ruled_out)


def test_the_pull_request_says_why_what_proves_it_and_the_way_back(catalogue, first_example, files):
    title, body = pull_request_text(
        first_example.constraints,
        catalogue,
        first_example.scored,
        task_id="0190f3a2-1111",
        requested_by="Ada Lovelace",
        paths=list(files),
    )

    assert re.fullmatch(r"docs: adopt stack for .+ \[T-0190f3a2\]", title)
    assert re.findall(r"^## (.+)$", body, re.MULTILINE) == [
        "Why",
        "Evidence",
        "Risk and rollback",
        "Test plan",
        "References",
    ]
    assert body.count("<details>") == body.count("</details>") >= 4


HOSTILE = [
    "<script>alert(1)</script>",
    "| a | b |\n| --- | --- |",
    "# Heading\n## Decision Outcome",
    "---\nstatus: accepted\n---",
    "```\nunclosed",
    "[click](javascript:alert(1)) ![x](y)",
    "https://example.invalid *bold* _under_ 1. one",
    "`django.licence`",
    "</details><img src=x onerror=alert(1)>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_person_becomes_markup(catalogue, recommend, text):
    recommendation = recommend({"title": text, "building": text, "layers": ["sbom"]})

    rendered = _render(recommendation, catalogue, requested_by=text)
    _, body = pull_request_text(
        recommendation.constraints,
        catalogue,
        recommendation.scored,
        task_id="0190f3a2",
        requested_by=text,
        paths=list(rendered),
    )

    assert [check for check in check_files(rendered, catalogue) if not check.ok] == []
    for document in (*(rendered[path].decode() for path in rendered if path.endswith(".md")), body):
        assert not re.search(r"(?<!\\)<(script|img)", document)
    assert body.count("<details>") == body.count("</details>")


@given(title=st.text(min_size=1, max_size=120), task=st.uuids())
@settings(deadline=None, max_examples=12)
def test_a_title_is_one_line_under_seventy_characters(catalogue, first_example, title, task):
    constraints = Constraints(title=title)

    found, _ = pull_request_text(
        constraints,
        catalogue,
        first_example.scored,
        task_id=str(task),
        requested_by="Ada",
        paths=[],
    )

    assert len(found) < 70
    assert len(found.splitlines()) == 1


def test_importing_the_recommender_loads_no_linter():
    script = (
        "import sys, agent.recommender\n"
        "print(*{'jsonschema', 'rfc3987_syntax', 'cyclonedx', 'lark'} & set(sys.modules))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == ""


def test_the_recommender_knows_no_framework_no_clock_and_no_network():
    forbidden = {"django", "celery", "ninja", "requests", "httpx", "socket", "urllib", "time"}
    for path in (ROOT / "agent" / "recommender").glob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {(node.module or "").split(".")[0]}
            else:
                continue
            assert not names & forbidden, f"{path.name}: {names & forbidden}"
        clocks = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        assert not {"now", "today", "utcnow"} & {
            node.attr
            for node in clocks
            if getattr(node.value, "id", "") in ("dt", "date", "datetime")
        }, path.name


def _render(recommendation, catalogue, requested_by="Ada Lovelace"):
    return render(
        recommendation.constraints,
        catalogue,
        recommendation.scored,
        request_id=REQUEST_ID,
        requested_by=requested_by,
        today=TODAY,
    )


def test_a_record_and_the_one_that_takes_its_place_name_each_other(catalogue, first_example, files):
    layer = first_example.scored["layers"][0]["layer"]
    old_path, new_path = f"docs/adr/20250102-{layer}.md", f"docs/adr/20261123-{layer}.md"
    others = ["docs/adr/20250102-storage.md", new_path, f"docs/notes/20250102-{layer}.md"]
    closed = marked_superseded(files[new_path], new_path)

    found = earlier_records([*others, old_path], layer, TODAY)
    rendered = render(
        first_example.constraints,
        catalogue,
        first_example.scored,
        request_id="0190f3a2-0000-7000-8000-00000000ada0",
        requested_by="Ada",
        today=TODAY,
        supersedes={layer: found},
    )

    assert found == [old_path]
    assert f'supersedes: ["20250102-{layer}.md"]' in rendered[new_path].decode()
    assert f"[20250102-{layer}.md](20250102-{layer}.md)" in rendered[new_path].decode()
    assert f"status: superseded\nsuperseded-by: 20261123-{layer}.md\n" in closed.decode()
    assert closed.decode().count("status:") == 1
    checks = check_files({**rendered, old_path: closed}, catalogue)
    assert [check for check in checks if not check.ok] == []
    # What is closed already, or states no status, is not touched.
    assert marked_superseded(closed, new_path) is None
    assert marked_superseded(b"# A record of our own\n", new_path) is None
