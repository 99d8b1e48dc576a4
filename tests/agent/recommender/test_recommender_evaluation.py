"""Agreement with published decisions is measured without knowing them, and said with its doubt."""

import datetime as dt
import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from agent.recommender import evaluation
from agent.recommender.evaluation import BadCases, Ranking, evaluate, rank_case, read_cases
from agent.recommender.named_options import (
    KNOWN,
    MADE_BY,
    READ,
    UNKNOWN,
    with_named_options,
)
from agent.recommender.which_layer import layer_of

TODAY = dt.date(2026, 11, 23)
OWN = Path(__file__).with_name("consensus_cases.json")


@pytest.fixture(scope="module")
def cases():
    return read_cases(json.loads(OWN.read_bytes()))


@pytest.mark.parametrize(
    ("name", "how", "is_for"),
    [
        ("PostgreSQL", KNOWN, "PostgreSQL"),
        ("redis-sentinel", READ, "Redis"),
        ("self-hosted-redis", READ, "Redis"),
        ("aws-something-new", MADE_BY, "Amazon Web Services"),
        ("quuxdb", UNKNOWN, "quuxdb"),
        ("homegrown", READ, "homegrown"),
    ],
)
def test_an_option_is_taken_for_what_its_name_says_and_no_more(catalogue, name, how, is_for):
    layer = catalogue.layer("cache-queue")

    extended, (option,) = with_named_options([name], layer, catalogue, TODAY)

    assert option.how == how
    assert is_for in option.sentence
    drafted = extended.technologies[option.technology]
    if how == UNKNOWN:
        known = {key for key, fact in drafted.facts.items() if fact.state == "known"}
        assert not known & {"license", "operations_burden", "lock_in", "hosting.managed"}
    for fact in drafted.facts.values():
        assert fact.technology == option.technology
        assert extended.facts[fact.id] is fact


@pytest.mark.parametrize(
    ("layer", "name", "taken_for"),
    [
        ("dependency-scanning", "snyk", "snyk-open-source"),
        ("code-scanning", "snyk", "snyk"),
        ("source-hosting", "gitlab", "gitlab-hosting"),
        ("ci-cd", "gitlab", "gitlab"),
        ("api-style", "grpc", "grpc-protocol"),
        ("search", "postgresql", "postgresql"),
        ("web-api", "go-standard-library", "go-net-http"),
        ("test-tool", "go-standard-library", "go-test"),
        ("data-access", "go-standard-library", "go-database-sql"),
    ],
)
def test_a_brand_is_taken_for_its_product_in_the_layer(catalogue, layer, name, taken_for):
    _, (option,) = with_named_options([name], catalogue.layer(layer), catalogue, TODAY)

    assert option.technology == taken_for


@pytest.mark.parametrize(
    ("slug", "names", "asked", "layer"),
    [
        ("security-scanning", ["snyk", "renovate"], ["grouped_updates"], "dependency-scanning"),
        ("security-scanning", ["snyk", "semgrep"], ["sast"], "code-scanning"),
        ("service-mesh", ["istio", "linkerd"], [], "service-mesh"),
        ("container-registry", ["harbor", "aws-ecr"], [], "artifact-registry"),
        ("deployment", ["argo-cd", "flux"], [], "delivery"),
        ("yaml-parser", ["gson", "custom-build"], [], "application-library"),
        ("api-docs", ["openapi-swagger", "raml", "postman"], [], "documentation"),
        ("unit-testing", ["go-standard-library", "testify"], [], "test-tool"),
        ("Component testing", ["jest", "something-new"], [], "test-tool"),
    ],
)  # fmt: skip
def test_the_layer_is_what_people_call_it_its_options_and_what_the_words_ask_for(
    catalogue, slug, names, asked, layer
):
    assert layer_of(slug, names, catalogue, asked).id == layer
    assert layer_of(slug, names[::-1], catalogue, asked).id == layer


def test_who_gets_a_technology_that_two_names_stand_for_does_not_depend_on_their_order(catalogue):
    layer = catalogue.layer("log-writing")
    names = ["slf4j-with-log4j2", "slf4j-with-logback", "log4j2"]

    taken = [
        {option.name: option.technology for option in with_named_options(
            list(order), layer, catalogue, TODAY
        )[1]}
        for order in itertools.permutations(names)
    ]  # fmt: skip

    assert all(one == taken[0] for one in taken)
    assert list(taken[0]) == names
    assert len(set(taken[0].values())) == len(names)


def test_running_it_yourself_costs_more_work_than_the_product_alone(catalogue):
    layer = catalogue.layer("cache-queue")

    extended, (own, managed) = with_named_options(
        ["self-hosted-redis", "managed-redis"], layer, catalogue, TODAY
    )

    burden = [
        extended.technologies[option.technology].facts["operations_burden"].value
        for option in (own, managed)
    ]
    assert burden[0] > burden[1]


def test_the_ranking_of_a_case_does_not_depend_on_how_its_options_are_shuffled(catalogue, cases):
    for case in cases[:6]:
        orders = {rank_case(case, catalogue, TODAY, seed=seed).order for seed in range(4)}
        assert len(orders) == 1, case.id


def test_the_decision_itself_is_never_looked_at(catalogue, cases):
    case = cases[0]
    for decision in case.options:
        other = type(case)(**{**_fields(case), "decision": decision})
        assert rank_case(other, catalogue, TODAY).order == rank_case(case, catalogue, TODAY).order


@pytest.mark.slow
def test_most_of_our_own_judgements_are_met(catalogue, cases):
    found = evaluate(cases[:24], catalogue, TODAY, seeds=1)

    engine = found["methods"]["engine"]
    assert engine["top_1"]["value"] > found["methods"]["popularity"]["top_1"]["value"]
    assert engine["pairwise"]["value"] >= 0.7
    assert engine["top_1"]["low"] <= engine["top_1"]["value"] <= engine["top_1"]["high"]
    assert found["same_for_every_order"]
    assert 0 <= found["calibration"]["error"] <= 1
    assert set(found["methods"]) >= {"no familiarity", "no precedent", "random", "popularity"}


@pytest.mark.parametrize(("right", "surer"), [(1.0, True), (0.5, False)])
def test_beliefs_are_held_against_what_other_repositories_saw(cases, right, surer):
    rankings = [
        Ranking(
            replace(case, repository=f"repository {number % 4}", decision=case.options[0]),
            "layer",
            case.options if number % 8 < 8 * right else case.options[::-1],
            0.7,
            {},
        )
        for number, case in enumerate(cases[:32])
    ]

    found = evaluation._cross_validated(rankings)

    assert (found["temperature"] < 1) == surer
    assert found["error"] < 0.3 - 1e-9 if surer else found["error"] < 0.2 + 1e-9


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"adrs": []},
        {"adrs": [{"repo": "a"}]},
        [{"repo": "a", "layer": "x", "constraints": [], "existing": [], "options": ["b", "c"],
          "decision": "d"}],
    ],
)  # fmt: skip
def test_a_file_that_holds_no_cases_is_refused(document):
    with pytest.raises(BadCases):
        read_cases(document)


def _fields(case):
    return {name: getattr(case, name) for name in case.__slots__}
