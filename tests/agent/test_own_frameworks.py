"""Frameworks that a tenant brings along as OSCAL, and what shows their controls."""

import json

import pytest

from agent.control_documents import accept_document, add_document, today
from agent.coverage import standing
from agent.own_frameworks import import_framework, known, remove_framework, say_what_shows
from agent.packing import configuration
from authz.errors import BadRequest, Conflict, Denied
from evidence import ledger
from evidence.controls import NONE, SNAPSHOT_ACTION, UPLOAD, rules, shipped
from evidence.models import OwnFramework
from evidence.oscal_catalogue import read_catalogue
from evidence.oscal_files import NotOscal
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW
from tests.evidence import nist_shaped_catalogue as nist
from tests.evidence.small_catalogue import small_catalogue, small_profile
from tests.portal.standing import sealed
from tests.tenants.operators import manage


@pytest.fixture
def tomas(in_acme):
    return in_acme.people["tomas"].actor("page", signed_in=JUST_NOW)


def strengths(framework: str) -> dict[str, str]:
    now = standing()
    title = now.known.frameworks[framework].title
    return {row["id"]: row["strength"] for row in now.rows if row["framework"] == title}


def test_a_catalogue_is_read_with_ids_titles_and_levels():
    found = read_catalogue(small_catalogue())

    assert (found.title, found.version) == ("House rules", "1.0")
    assert [(title, [(one.id, one.level) for one in rows]) for title, rows in found.groups] == [
        ("Doors", [("X-1", 2), ("X-1(1)", 0)]),
        ("Changes", [("Y-1", 0)]),
    ]


def test_profiles_say_the_levels_from_the_least_demanding_on():
    found = read_catalogue(small_catalogue(), [small_profile("y-1"), small_profile("y-1", "x-1.1")])

    levels = {one.id: one.level for _, rows in found.groups for one in rows}
    assert levels == {"X-1": 2, "X-1(1)": 2, "Y-1": 1}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "no JSON"),
        (b"[]", "expected an object"),
        (b'{"profile": {}}', "expected an object"),
        (b'{"catalog": {}}', "no metadata"),
        (b'{"catalog": {"metadata": {"title": "x", "version": "1"}}}', "no control"),
        (small_catalogue(groups="x"), "no list of objects"),
        (small_catalogue(controls=[{"id": "z"}]), "title of the control z"),
        (small_catalogue(controls=[{"id": "y-1", "title": "twice"}] * 2), "twice"),
        (small_catalogue(title=""), "title of the catalogue"),
    ],
)
def test_what_is_no_catalogue_is_refused_with_the_reason(content, said):
    with pytest.raises(NotOscal, match=said):
        read_catalogue(content)


def test_a_catalogue_shaped_as_sp_800_53_is_read_with_its_baselines():
    low, high = nist.profile("ac-1", "ac-2"), nist.profile("ac-1", "ac-2", "ac-2.1")

    found = read_catalogue(nist.sp800_53(), [low, high])

    assert [title for title, _ in found.groups] == ["Access Control", "Supply Chain"]
    assert [(one.id, one.title, one.level) for _, rows in found.groups for one in rows] == [
        ("AC-1", "Policy and procedures", 1),
        ("AC-2", "Accounts", 1),
        ("AC-2(1)", "Machines keep accounts", 2),
        ("SR-3", "Suppliers are looked at", 0),
    ]


@pytest.mark.parametrize(
    ("imports", "taken"),
    [
        ({"include-all": {}}, {"ac-1", "ac-2", "ac-2.1", "sr-3"}),
        (
            {"include-all": {}, "exclude-controls": [{"with-ids": ["sr-3"]}]},
            {"ac-1", "ac-2", "ac-2.1"},
        ),
        ({"include-controls": [{"matching": [{"pattern": "ac-2*"}]}]}, {"ac-2", "ac-2.1"}),
        (
            {
                "include-controls": [{"with-ids": ["sr-3"], "matching": [{"pattern": "ac-?"}]}],
                "exclude-controls": [{"matching": [{"pattern": "*-1"}]}],
            },
            {"ac-2", "sr-3"},
        ),
    ],
)
def test_a_profile_takes_controls_in_each_way_that_oscal_has(imports, taken):
    profile = json.dumps({"profile": {"imports": [{"href": "#x", **imports}]}}).encode()

    found = read_catalogue(nist.sp800_53(), [profile])

    assert {one.key for _, rows in found.groups for one in rows if one.level == 1} == taken


def test_a_catalogue_shaped_as_the_ssdf_gets_short_ids_and_says_what_they_mean():
    found = read_catalogue(nist.ssdf())

    assert [(one.id, one.title) for _, rows in found.groups for one in rows] == [
        ("PO.1", "Requirements of security are known"),
        ("PO.1.1", "Write down what the toolchain has to hold."),
        ("PO.1.2", "Write down what the product has to hold."),
    ]


def test_an_imported_framework_is_the_tenant_s_alone(acme, globex, entries):
    tomas = acme.people["tomas"].actor("page", signed_in=JUST_NOW)
    with tenant_scope(acme.scope):
        import_framework("house", small_catalogue(), by=tomas)
        assert strengths("house") == {"X-1": NONE, "X-1(1)": NONE, "Y-1": NONE}
        assert known().digest != shipped().digest
    with tenant_scope(globex.scope):
        assert "house" not in known().frameworks
        assert known().digest == shipped().digest
    assert entries(acme)[-1] == ("framework.change", "ok")


def test_a_rule_shows_a_control_of_one_s_own_framework(in_acme, tomas):
    row = import_framework("house", small_catalogue(), by=tomas)
    ledger.record(SNAPSHOT_ACTION, by=tomas, on=in_acme.project, facts=configuration())
    sealed()

    say_what_shows(row, "Y-1", [_snapshot_rule()], by=tomas)

    assert strengths("house")["Y-1"] == "configuration snapshot"
    again = import_framework("house", small_catalogue(title="House rules, again"), by=tomas)
    assert again.rules == {"Y-1": [_snapshot_rule()]}
    say_what_shows(again, "Y-1", [], by=tomas)
    assert strengths("house")["Y-1"] == NONE


def test_a_document_shows_a_control_of_one_s_own_framework(in_acme, tomas):
    row = import_framework("house", small_catalogue(), by=tomas)
    document = add_document(
        {
            "title": "Oil can",
            "owner": "Facilities",
            "valid_until": today(),
            "controls": ["house:X-1(1)"],
        },
        b"oil",
        "oil.txt",
        by=tomas,
    )
    with pytest.raises(Conflict, match="withdraw that first"):
        remove_framework(row, by=tomas)
    iris = in_acme.people["iris"].actor("page", signed_in=JUST_NOW)
    accept_document(document, document.sha256, by=iris)

    assert strengths("house")["X-1(1)"] == UPLOAD


@pytest.mark.parametrize(
    ("framework_id", "content", "field"),
    [
        ("ssdf-1.1", small_catalogue(), "id"),
        ("documents", small_catalogue(), "id"),
        ("No Good", small_catalogue(), "id"),
        ("house", b"no", "file"),
        ("house", small_catalogue(title="NIST SSDF 1.1"), "file"),
    ],
)
def test_what_cannot_be_brought_is_named(in_acme, tomas, framework_id, content, field):
    with pytest.raises(BadRequest) as refused:
        import_framework(framework_id, content, by=tomas)

    assert set(refused.value.errors) == {field}
    assert not OwnFramework.objects.exists()


def test_an_auditor_changes_no_framework(in_acme, entries):
    with pytest.raises(Denied):
        import_framework(
            "house",
            small_catalogue(),
            by=in_acme.people["iris"].actor("page", signed_in=JUST_NOW),
        )

    assert entries(in_acme)[-1] == ("framework.change.denied", "denied")


def test_an_operator_brings_a_catalogue_by_command(acme, tmp_path):
    file, low = tmp_path / "house.json", tmp_path / "low.json"
    file.write_bytes(small_catalogue())
    low.write_bytes(small_profile("x-1"))

    said = manage(
        "import_controls", acme.host, str(file), "--id", "house", "--profile", str(low), role="app"
    )

    assert "has House rules, version 1.0: 3 controls in 2 groups, as house" in said
    with tenant_scope(acme.scope):
        row = OwnFramework.objects.get()
    assert row.groups[0]["controls"][0] == {
        "id": "X-1",
        "title": "Doors have locks",
        "level": 1,
    }
    assert "text of others" not in json.dumps(row.groups)


def _snapshot_rule() -> str:
    return next(rule.id for rule in rules() if rule.facts)
