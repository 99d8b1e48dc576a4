"""Frameworks, rules, coverage, and what other tools are told of it."""

import json
from datetime import UTC, datetime

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from evidence import controls
from evidence.controls import (
    NONE,
    PARTLY,
    PER_PR,
    SNAPSHOT,
    RuleFault,
    Seen,
    coverage,
    frameworks,
    rules,
    strongest_possible,
)
from evidence.oscal import assessment_results, attestations

AT = datetime(2026, 11, 23, tzinfo=UTC)
REVIEW = "ssdf-1.1:PW.2.1"


def leaf(action, actor="ada", kind="human", phase="result", outcome="ok"):
    return {
        "action": action,
        "phase": phase,
        "outcome": outcome,
        "actor": {"id": actor, "type": kind},
    }


def seen(*leaves, files=("review.json",), folder="prs/shop-1"):
    return Seen(folder, list(enumerate(leaves)), dict.fromkeys(files, b"{}"))


def row_of(rows, name):
    framework, _, control = name.partition(":")
    title = frameworks()[framework].title
    return next(row for row in rows if (row["framework"], row["id"]) == (title, control))


ASKED, READ = leaf("recommendation.create"), leaf("proposal.countersign", "lin")


def test_every_control_that_was_promised_is_there_in_our_own_words():
    sizes = {one.id: len(one.controls) for one in frameworks().values()}

    assert sizes == {"asvs-4.0.3": 259, "asvs-5.0": 253, "slsa-1.1-build": 9, "ssdf-1.1": 42}
    wordings = [control.wording for one in frameworks().values() for control in one.controls]
    assert all(10 <= len(wording) <= 100 for wording in wordings)
    # Both standards begin each requirement so; ours is not their text.
    assert not any(wording.startswith("Verify") for wording in wordings)


def test_a_second_person_proves_review_and_names_the_entry():
    row = row_of(coverage([seen(ASKED, READ)]), REVIEW)

    assert row["strength"] == PER_PR
    assert row["evidence"] == [{"entry": 1}, {"file": "prs/shop-1/review.json"}]


@pytest.mark.parametrize(
    "pull_request",
    [
        seen(ASKED, leaf("proposal.countersign", "ada")),
        seen(ASKED, leaf("proposal.countersign", "lin", kind="agent")),
        seen(ASKED, leaf("proposal.countersign", "lin", outcome="denied")),
        seen(ASKED, leaf("proposal.countersign", "lin", phase="intent")),
        seen(READ),  # nobody knows who asked
        seen(ASKED, READ, files=()),
        seen(),
    ],
)
def test_nothing_is_ticked_that_is_not_proved(pull_request):
    assert row_of(coverage([pull_request]), REVIEW)["strength"] == NONE


def test_what_holds_for_some_pull_requests_says_for_how_many():
    row = row_of(coverage([seen(ASKED, READ), seen(ASKED, folder="prs/shop-2")]), REVIEW)

    assert row["strength"] == PARTLY
    assert "1 of 2" in row["note"]


def test_without_pull_requests_there_is_no_evidence():
    assert {row["strength"] for row in coverage([])} == {NONE}


def test_an_empty_bill_of_materials_is_no_inventory():
    listed = Seen("prs/a-1", [], {"sbom.cdx.json": b'{"components": [{}]}'})
    empty = Seen("prs/a-1", [], {"sbom.cdx.json": b'{"components": []}'})

    assert row_of(coverage([listed]), "asvs-5.0:V15.1.2")["strength"] == PER_PR
    assert row_of(coverage([empty]), "asvs-5.0:V15.1.2")["strength"] == NONE


def test_a_snapshot_shows_rules_that_are_in_force():
    facts = {
        "roles": {
            "digest": "ab",
            "not_by_requester": ["proposal.countersign"],
            "only_by_people": ["proposal.countersign"],
        },
        "people": {"by_role": {"auditor": 1}},
    }

    rows = coverage([], (7, facts))

    assert row_of(rows, "ssdf-1.1:PS.1.1")["evidence"] == [{"entry": 7}]
    assert row_of(rows, "ssdf-1.1:PO.2.1")["strength"] == SNAPSHOT
    facts["roles"]["not_by_requester"] = []
    assert row_of(coverage([], (7, facts)), "ssdf-1.1:PS.1.1")["strength"] == NONE


def test_most_of_ssdf_can_only_be_shown_by_people():
    best = [strongest_possible()[control.name] for control in frameworks()["ssdf-1.1"].controls]

    assert (best.count(PER_PR), best.count(SNAPSHOT), len(best)) == (10, 3, 42)


def test_a_rule_about_an_unknown_control_is_refused(tmp_path):
    (tmp_path / "one.yaml").write_text(
        "id: f\ntitle: F\nversion: '1'\nsource: s\nlicence: l\n"
        "groups: [{id: g, title: G, controls: [{id: A, wording: something}]}]\n"
    )
    rule = "rules: [{id: r, says: s, per: log, strength: none, controls: ['f:B'], facts: {a: b}}]"
    (tmp_path / "rules.yaml").write_text(rule)
    with pytest.raises(RuleFault, match="f:B"):
        rules(tmp_path)
    rules.cache_clear()
    (tmp_path / "rules.yaml").write_text(rule.replace("f:B", "f:A").replace(", facts: {a: b}", ""))
    with pytest.raises(RuleFault, match="always hold"):
        rules(tmp_path)


def test_other_tools_are_told_the_same_and_no_verdict():
    rows = coverage([seen(ASKED, READ)])
    known = list(frameworks().values())

    oscal = json.loads(assessment_results(rows, known, pack="t/p", title="Pack", at=AT))
    cdxa = attestations(rows, known, pack="t/p", tenant="Acme", at=AT)

    results = oscal["assessment-results"]["results"]
    observed = {
        o["title"].partition(":")[0] for one in results for o in one.get("observations", [])
    }
    assert {row["id"] for row in rows if row["evidence"]} == observed
    assert not any("findings" in one for one in results)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(cdxa.decode()) is None
    assert assessment_results(rows, known, pack="t/p", title="Pack", at=AT) == assessment_results(
        rows, known, pack="t/p", title="Pack", at=AT
    )
    assert controls.rules_digest() == controls.rules_digest()
