"""A request is read leniently, refused clearly, and stored without loss."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from requests_to_try import requests

from agent.recommender import BadConstraints, Constraints
from agent.recommender.linters import SCHEMA


def test_a_form_may_send_lists_as_text_and_numbers_as_text():
    read = Constraints.parse(
        {
            "title": "  Portal ",
            "skills": "python, django\nsql",
            "data_gb": "12.5",
            "latency_budget_ms": "",
            "horizon_months": "24",
        }
    )

    assert read.title == "Portal"
    assert read.skills == ("python", "django", "sql")
    assert read.data_gb == 12.5
    assert read.latency_budget_ms is None
    assert read.horizon_months == 24


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("title", "", "give a short title"),
        ("title", 7, "Expected text"),
        ("title", "x" * 121, "at most 120"),
        ("building", "a\x00b", "control character"),
        ("skills", {"a": 1}, "list of names"),
        ("skills", [1], "names"),
        ("skills", ["x" * 81], "at most 80"),
        ("skills", ["<script>"], "not a name"),
        ("skills", [f"s{n}" for n in range(81)], "at most 80"),
        ("requests_per_second", "-1", "above 0"),
        ("data_gb", "much", "above 0"),
        ("data_gb", True, "above 0"),
        ("monthly_budget_usd", math.nan, "above 0"),
        ("latency_budget_ms", math.inf, "above 0"),
        ("hosting", "on the moon", "choose one of"),
        ("licence_policy", "whatever", "choose one of"),
        ("compliance", ["iso"], "choose from"),
        ("horizon_months", "0", "1 to 120"),
        ("horizon_months", "soon", "1 to 120"),
        ("colour", "red", "Unknown field"),
    ],
)
def test_a_bad_field_is_refused_with_what_was_expected(field, value, says):
    with pytest.raises(BadConstraints) as refusal:
        Constraints.parse({"title": "Portal", field: value})

    assert list(refusal.value.errors) == [field]
    assert says in refusal.value.errors[field]


def test_all_bad_fields_are_named_at_once():
    with pytest.raises(BadConstraints) as refusal:
        Constraints.parse({"hosting": "moon", "data_gb": "x"})

    assert set(refusal.value.errors) == {"title", "hosting", "data_gb"}


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("layers", ["telemetri"], "telemetry"),
        ("priorities", ["feature"], "features"),
        ("must_haves", ["djngo"], "django"),
        ("must_nots", ["monogdb"], "mongodb"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest_one(catalogue, field, value, hint):
    with pytest.raises(BadConstraints) as refusal:
        Constraints.parse({"title": "Portal", field: value}, catalogue=catalogue)

    assert hint in refusal.value.errors[field]


def test_what_an_organisation_runs_may_be_unknown_to_the_catalogue(catalogue, recommend):
    recommendation = recommend({"already_run": ["our own mainframe", "Postgres"]})

    assert recommendation.evidence["unrecognised"] == ["our own mainframe"]


def test_the_examples_of_the_form_are_valid_and_the_first_is_of_the_requirements(catalogue):
    assert len(catalogue.examples) >= 4
    for example in catalogue.examples:
        Constraints.parse(example, catalogue=catalogue)
    first = catalogue.examples[0]["building"]
    assert "GitHub-first, strict TDD, enterprise compliance, RBAC/multi-tenancy" in first


@given(data=st.data())
@settings(deadline=None, max_examples=30)
def test_a_stored_request_is_read_back_unchanged_and_fits_the_published_schema(catalogue, data):
    asked = data.draw(requests(catalogue))
    schema = json.loads(SCHEMA.read_text())
    part = {"$ref": "#/$defs/constraints", "$defs": schema["$defs"]}

    stored = json.loads(json.dumps(asked.to_json()))

    assert Constraints.from_json(stored) == asked
    assert list(Draft202012Validator(part).iter_errors(stored)) == []


def test_all_layers_of_the_catalogue_can_be_asked_for_at_once(catalogue):
    layers = [layer.id for layer in catalogue.layers]

    asked = Constraints.parse({"title": "Everything", "layers": layers}, catalogue=catalogue)

    assert asked.layers == tuple(layers)
