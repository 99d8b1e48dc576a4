"""Options are ruled out only by what is known, and every unknown is put before a person."""

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from requests_to_try import requests

from agent.recommender import CatalogueChanged, eliminate, retrieve
from agent.recommender.constraints import Constraints

TODAY = dt.date(2026, 11, 23)


@given(data=st.data())
@settings(deadline=None, max_examples=12)
def test_every_elimination_names_its_constraint_and_a_known_fact(catalogue, data):
    asked = data.draw(requests(catalogue))

    eliminated = eliminate(asked, catalogue, retrieve(asked, catalogue, TODAY), TODAY)

    for layer in eliminated["layers"].values():
        for row in layer["eliminated"]:
            assert row["constraint"] in Constraints.__dataclass_fields__
            fact = catalogue.facts[row["fact"]]
            assert fact.technology == row["technology"]
            assert fact.state == "known", "an unknown must never eliminate"
            assert catalogue.technologies[row["technology"]].name in row["sentence"]
            if fact.by_hand and fact.attribute != "name":
                assert row["sentence"].endswith("grade J, entered by hand, not re-read.")


@given(data=st.data())
@settings(deadline=None, max_examples=12)
def test_an_option_is_kept_or_eliminated_and_never_both(catalogue, data):
    asked = data.draw(requests(catalogue))
    evidence = retrieve(asked, catalogue, TODAY)

    eliminated = eliminate(asked, catalogue, evidence, TODAY)

    for layer_id, layer in eliminated["layers"].items():
        gone = {row["technology"] for row in layer["eliminated"]}
        options = {row["technology"] for row in evidence["layers"][layer_id]["options"]}
        assert gone | set(layer["kept"]) == options
        assert not gone & set(layer["kept"])


@given(data=st.data())
@settings(deadline=None, max_examples=12)
def test_an_unknown_never_passes_silently(catalogue, data):
    asked = data.draw(requests(catalogue))

    eliminated = eliminate(asked, catalogue, retrieve(asked, catalogue, TODAY), TODAY)

    for layer_id, layer in eliminated["layers"].items():
        asked_about = {row["fact"] for row in layer["needs_verification"]}
        for name in layer["kept"]:
            decisive = _decisive_facts(asked, catalogue, layer_id, catalogue.technologies[name])
            assert decisive <= asked_about, name


def _decisive_facts(asked, catalogue, layer_id, technology):
    """Facts the request turns on that nobody knows."""
    wanted = {
        f"capability.{name}"
        for name in asked.must_haves
        if name in catalogue.layer(layer_id).capabilities
    }
    wanted.add("latest_cycle_eol")
    if asked.licence_policy != "any":
        wanted.add("license")
    if asked.hosting in ("self_hosted", "air_gapped"):
        wanted.add(f"hosting.{asked.hosting}")
    if asked.hosting == "managed" and technology.kind in ("server", "service"):
        wanted.add("hosting.managed")
    return {
        technology.facts[name].id for name in wanted if technology.facts[name].state == "unknown"
    }


@pytest.mark.parametrize(
    ("asked", "layer", "technology", "constraint", "fact"),
    [
        ({"licence_policy": "osi_only"}, "secrets", "vault", "licence_policy", "vault.license"),
        (
            {"licence_policy": "permissive_only"},
            "relational-data",
            "mysql",
            "licence_policy",
            "mysql.license",
        ),
        (
            {"hosting": "air_gapped"},
            "identity",
            "auth0",
            "hosting",
            "auth0.hosting.air_gapped",
        ),
        ({"hosting": "managed"}, "identity", "dex", "hosting", "dex.hosting.managed"),
        (
            {"must_haves": ["row_level_security"]},
            "relational-data",
            "mysql",
            "must_haves",
            "mysql.capability.row_level_security",
        ),
        ({"must_haves": ["Django"]}, "web-api", "flask", "must_haves", "flask.name"),
        ({"must_nots": ["k8s"]}, "compute-platform", "kubernetes", "must_nots", "kubernetes.name"),
        ({"skills": ["python"]}, "web-api", "gin", "skills", "gin.languages"),
    ],
)
def test_a_known_conflict_rules_an_option_out(
    recommend, asked, layer, technology, constraint, fact
):
    found = recommend(asked).eliminated["layers"][layer]

    assert technology not in found["kept"]
    assert (technology, constraint, fact) in {
        (row["technology"], row["constraint"], row["fact"]) for row in found["eliminated"]
    }


@pytest.mark.parametrize(
    ("asked", "layer", "fact"),
    [
        (
            {"licence_policy": "osi_only", "layers": ["feature-flags"]},
            "feature-flags",
            "flipt.license",
        ),
        ({"licence_policy": "permissive_only"}, "ci-cd", "github-actions.license"),
        (
            {"must_haves": ["multi_tenancy"]},
            "vector-search",
            "pgvector.capability.multi_tenancy",
        ),
        ({"regions": ["eu-west"]}, "ci-cd", "github-actions.hosting.managed"),
        ({"compliance": ["slsa_l3"]}, "web-api", "django.assurance.provenance"),
        ({"latency_budget_ms": 5}, "vector-search", "pgvector.latency"),
        ({"already_run": ["azure"]}, "secrets", "aws-secrets-manager.requires"),
    ],
)
def test_what_is_not_known_is_put_before_a_person(recommend, asked, layer, fact):
    found = recommend(asked).eliminated["layers"][layer]

    technology = fact.split(".")[0]
    assert technology in found["kept"]
    assert fact in {row["fact"] for row in found["needs_verification"]}


def test_support_that_ends_early_asks_for_a_plan_as_long_as_the_project_is_alive(recommend):
    found = recommend({"horizon_months": 60}).eliminated["layers"]["web-api"]

    assert "django" in found["kept"]
    assert "django.latest_cycle_eol" in {row["fact"] for row in found["needs_verification"]}


def test_support_that_ends_early_rules_out_a_project_that_fell_silent(catalogue, recommend):
    # Twelve days before the end-of-life date is stale, two years after the last release.
    later = dt.date(2027, 8, 10)
    silent = recommend({"horizon_months": 60}, today=later).eliminated["layers"]["web-api"]
    much_later = recommend({"horizon_months": 60}, today=dt.date(2029, 1, 1))

    assert "django" in silent["kept"]
    # By then the fact itself is stale, so it may warn but must not decide.
    assert "django" in much_later.eliminated["layers"]["web-api"]["kept"]


def test_a_step_made_with_another_catalogue_is_refused(catalogue, recommend):
    recommendation = recommend({})
    other = {**recommendation.evidence, "catalogue": "0" * 64}

    with pytest.raises(CatalogueChanged):
        eliminate(recommendation.constraints, catalogue, other, TODAY)
