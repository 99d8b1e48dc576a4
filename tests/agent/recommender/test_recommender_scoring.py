"""Scores mean the same whatever stands beside them, and the answer explains itself."""

import dataclasses
import datetime as dt
import itertools
import json
from types import MappingProxyType

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from requests_to_try import requests

from agent.recommender import Constraints, eliminate, fitting, prepare, retrieve, score, weighed
from agent.recommender.acceptability import sharpened
from agent.recommender.catalogue import Catalogue
from agent.recommender.named_options import with_named_options
from agent.recommender.scoring import dominator
from agent.recommender.valuation import on_curve
from agent.recommender.weighing import (
    rank_order_centroid,
    tipping_weight,
    weighted_total,
    weights,
)

TODAY = dt.date(2026, 11, 23)
CRITERIA = ("a", "b", "c", "d")
worths = st.fixed_dictionaries({key: st.floats(0, 1) for key in CRITERIA})


def without(catalogue: Catalogue, technology: str) -> Catalogue:
    """The same catalogue as if `technology` had never been added."""
    kept = {key: value for key, value in catalogue.technologies.items() if key != technology}
    names = {key: value for key, value in catalogue.names.items() if value != technology}
    return dataclasses.replace(
        catalogue, technologies=MappingProxyType(kept), names=MappingProxyType(names)
    )


@given(data=st.data())
@settings(deadline=None, max_examples=12)
def test_adding_an_option_never_reverses_two_others(catalogue, recommend, data):
    layer = data.draw(st.sampled_from([layer.id for layer in catalogue.layers]))
    added = data.draw(st.sampled_from([option.id for option in catalogue.options(layer)]))
    asked = data.draw(requests(catalogue, layers=st.just([layer])))
    assume(added not in asked.already_run)
    assume(added not in asked.must_haves)

    before = recommend(asked, known=without(catalogue, added)).layer(layer)["ranked"]
    after = recommend(asked).layer(layer)["ranked"]

    assert [row["technology"] for row in before] == [
        row["technology"] for row in after if row["technology"] != added
    ]
    totals = {row["technology"]: row["total"] for row in after}
    assert all(row["total"] == totals[row["technology"]] for row in before)


@given(
    better=worths,
    losses=worths,
    criterion=st.sampled_from(CRITERIA),
    order=st.permutations(CRITERIA),
)
def test_raising_a_weight_never_puts_a_dominated_option_ahead(better, losses, criterion, order):
    worse = {key: better[key] * losses[key] for key in CRITERIA}
    low = dict(zip(order, rank_order_centroid(len(CRITERIA)), strict=True))
    raised = [criterion, *(key for key in order if key != criterion)]
    high = dict(zip(raised, rank_order_centroid(len(CRITERIA)), strict=True))

    assert high[criterion] >= low[criterion]
    for weight in (low, high):
        assert weighted_total(better, weight) >= weighted_total(worse, weight) - 1e-12


@given(first=worths, second=worths, order=st.permutations(CRITERIA))
def test_at_the_tipping_weight_the_two_options_draw_level(first, second, order):
    weight = dict(zip(order, rank_order_centroid(len(CRITERIA)), strict=True))
    for criterion in CRITERIA:
        level = tipping_weight(first, second, weight, criterion)
        if level is None:
            continue
        rest = (1 - level) / (1 - weight[criterion])
        moved = {key: level if key == criterion else share * rest for key, share in weight.items()}

        assert sum(moved.values()) == pytest.approx(1)
        assert weighted_total(first, moved) == pytest.approx(weighted_total(second, moved))


@given(st.integers(1, 20))
def test_weights_fall_with_the_rank_and_sum_to_one(count):
    found = rank_order_centroid(count)

    assert sum(found) == pytest.approx(1)
    assert all(left > right for left, right in itertools.pairwise(found))


def test_the_request_ranks_first_and_the_layer_fills_the_rest(catalogue):
    layer = catalogue.layer("web-api")

    found = weights(layer, ["adoption", "cost", "features"])

    ranked = sorted(found, key=lambda criterion: -found[criterion])
    assert ranked[:2] == ["adoption", "features"]
    assert set(ranked) == set(layer.criteria)


def test_a_priority_that_does_not_matter_for_a_layer_is_reported(recommend):
    layer = recommend({"priorities": ["performance"]}).layer("identity")

    assert layer["ignored_priorities"] == ["performance"]


@given(x=st.floats(-10, 110), y=st.floats(-10, 110))
def test_a_value_function_never_turns_back(x, y):
    anchors = [(0.0, 0.0), (10.0, 0.4), (100.0, 1.0)]
    low, high = sorted((x, y))

    assert 0 <= on_curve(anchors, low) <= on_curve(anchors, high) <= 1


@given(own=worths, other=worths)
def test_an_option_is_dominated_only_by_one_at_least_as_good_everywhere(own, other):
    found = dominator(own, [("other", other)])

    assert (found == "other") == (all(other[k] >= own[k] for k in CRITERIA) and other != own)


@given(data=st.data())
@settings(deadline=None, max_examples=6)
def test_every_figure_shown_rests_on_facts_that_exist(catalogue, recommend, data):
    scored = recommend(data.draw(requests(catalogue))).scored

    for layer in scored["layers"]:
        for row in layer["ranked"]:
            for figure in row["figures"]:
                assert figure["facts"], (row["technology"], figure["label"])
                assert set(figure["facts"]) <= set(catalogue.facts)
                if figure["text"].startswith("unknown"):
                    assert figure["value"] is None, "an unknown must never look like a number"
            for valuation in row["criteria"].values():
                assert set(valuation["facts"]) <= set(catalogue.facts)
                assert 0 <= valuation["value"] <= 1


@given(data=st.data())
@settings(deadline=None, max_examples=5)
def test_contributions_add_up_to_the_score_and_the_order_follows_it(catalogue, recommend, data):
    scored = recommend(data.draw(requests(catalogue))).scored

    for layer in scored["layers"]:
        places = [(row["held_back"], -row["total"]) for row in layer["ranked"]]
        assert places == sorted(places)
        for row in layer["ranked"]:
            added = sum(value["contribution"] for value in row["criteria"].values())
            assert added == pytest.approx(row["total"], abs=1e-4)


def test_every_step_survives_being_stored_between_two_workers(catalogue, first_example):
    for step in (first_example.evidence, first_example.eliminated, first_example.scored):
        assert json.loads(json.dumps(step)) == step


def test_nine_of_ten_layers_get_a_primary_with_two_alternatives_and_figures(first_example):
    layers = first_example.scored["layers"]

    complete = [
        layer
        for layer in layers
        if layer["winner"] and len(layer["alternatives"]) == 2 and layer["why"]
    ]

    assert len(layers) >= 14
    assert len(complete) >= 0.9 * len(layers)
    for layer in complete:
        labels = {figure["label"] for figure in layer["ranked"][0]["figures"]}
        assert {"Latency", "Cost", "Support", "Known advisories"} <= labels


def test_a_layer_with_too_few_options_says_what_ruled_them_out(recommend):
    layer = recommend(
        {"skills": ["python"], "must_haves": ["django"], "layers": ["web-api"]}
    ).layer("web-api")

    assert layer["winner"] == "django"
    assert layer["alternatives"] == []
    assert "must_haves" in layer["short"]
    assert layer["confidence"]["level"] == "none"


def test_a_layer_without_any_option_is_left_open(catalogue, recommend):
    everything = [option.id for option in catalogue.options("sbom")]

    layer = recommend({"must_nots": everything, "layers": ["sbom"]}).layer("sbom")

    assert layer["winner"] is None
    assert layer["ranked"] == []
    assert layer["confidence"]["sentence"] == "No option is left."


def test_dropping_the_constraint_that_rules_out_the_best_option_is_offered(recommend):
    layer = recommend(
        {"must_nots": ["postgresql"], "already_run": ["postgresql"], "layers": ["relational-data"]}
    ).layer("relational-data")

    kinds = {turn["kind"]: turn for turn in layer["what_would_change_it"]}
    assert kinds["constraint"]["rival"] == "postgresql"
    assert kinds["constraint"]["constraints"] == ["must_nots"]


def test_the_smallest_weight_change_is_the_smallest(catalogue, first_example):
    for layer in first_example.scored["layers"]:
        turn = next((t for t in layer["what_would_change_it"] if t["kind"] == "weight"), None)
        if turn is None:
            continue
        numbers = {
            row["technology"]: {key: value["value"] for key, value in row["criteria"].items()}
            for row in layer["ranked"]
        }
        levels = [
            abs(level - layer["weights"][criterion])
            for rival in numbers
            if rival != layer["winner"]
            for criterion in layer["weights"]
            if (
                level := tipping_weight(
                    numbers[layer["winner"]], numbers[rival], layer["weights"], criterion
                )
            )
            is not None
        ]
        assert abs(turn["to"] - turn["from"]) == pytest.approx(min(levels), abs=1e-3)


def test_familiarity_and_precedent_are_taken_from_the_request_alone(recommend):
    stranger = recommend({"skills": ["java"], "already_run": ["mysql"]}).layer("relational-data")
    friend = recommend({"skills": ["mysql"], "already_run": ["mysql"]}).layer("relational-data")

    def worth(layer, criterion):
        row = next(row for row in layer["ranked"] if row["technology"] == "mysql")
        return row["criteria"][criterion]["value"]

    assert worth(friend, "familiarity") > worth(stranger, "familiarity")
    assert worth(friend, "precedent") == worth(stranger, "precedent") == 1.0


def test_a_judgement_is_capped_and_says_so(recommend):
    layer = recommend({}).layer("compute-platform")
    row = next(row for row in layer["ranked"] if row["technology"] == "docker-compose")
    heavy = next(row for row in layer["ranked"] if row["technology"] == "kubernetes")

    for found in (row, heavy):
        assert found["criteria"]["operations"]["grade"] == "J"
        assert "counted at 60%" in found["criteria"]["operations"]["note"]
    # The heaviest burden there is, worth 0 if it were measured, is pulled towards the middle.
    assert heavy["criteria"]["operations"]["value"] == pytest.approx(0.2)


def test_what_was_entered_by_hand_is_capped_like_a_judgement_and_says_so(recommend):
    layer = recommend({"skills": ["python"], "already_run": ["postgresql"]}).layer("web-api")
    django = next(row for row in layer["ranked"] if row["technology"] == "django")

    for criterion in ("features", "stack_fit", "familiarity", "precedent"):
        valuation = django["criteria"][criterion]
        assert valuation["grade"] == "J", criterion
        assert "grade J: counted at 60%" in valuation["note"]
        assert valuation["value"] <= 0.8
    assert django["criteria"]["longevity"]["grade"] == "A"


@pytest.mark.parametrize("grade", ["D", "S"])
def test_a_doubtful_or_old_figure_is_shown_and_never_counted(catalogue, first_example, grade):
    for layer in first_example.scored["layers"]:
        for row in layer["ranked"]:
            for valuation in row["criteria"].values():
                assert valuation["grade"] != grade


def test_a_fact_past_its_time_no_longer_counts(recommend):
    now = recommend({"layers": ["web-api"]}).layer("web-api")
    later = recommend({"layers": ["web-api"]}, today=dt.date(2032, 1, 1)).layer("web-api")

    def longevity(layer):
        row = next(row for row in layer["ranked"] if row["technology"] == "django")
        return row["criteria"]["longevity"]

    assert longevity(now)["missing"] == 0
    assert longevity(later)["missing"] == 1


def test_stale_facts_are_marked_in_the_evidence(catalogue, recommend):
    evidence = recommend({"layers": ["web-api"]}).evidence

    stale = {name for row in evidence["layers"]["web-api"]["options"] for name in row["stale"]}
    assert "django.advisories_2022_10_to_2024_10" in stale
    assert "django.license" not in stale


def test_later_layers_follow_the_language_chosen_first(recommend):
    scored = recommend({"layers": ["language-runtime", "web-api"], "must_haves": ["go"]}).scored

    assert scored["languages"] == ["go"]
    assert scored["layers"][1]["ranked"][0]["criteria"]["stack_fit"]["value"] > 0.65


def test_a_service_of_a_cloud_that_is_not_there_is_worth_less(recommend):
    def total(asked):
        layer = recommend({"layers": ["secrets"], **asked}).layer("secrets")
        return next(
            row["total"] for row in layer["ranked"] if row["technology"] == "aws-secrets-manager"
        )

    assert total({"already_run": ["aws"]}) > total({"already_run": ["azure"]})


def worth(recommend, layer, technology, criterion, **asked):
    ranked = recommend({"layers": [layer], **asked}).layer(layer)["ranked"]
    return next(r for r in ranked if r["technology"] == technology)["criteria"][criterion]


def test_who_names_several_things_it_has_to_do_is_answered_by_features_first(recommend):
    asked = {"layers": ["cache-queue"], "priorities": ["cost", "operations"]}

    one = recommend({**asked, "building": "A replay is possible."}).layer("cache-queue")
    several = recommend(
        {**asked, "building": "Background jobs wait in a queue; events can be replayed."}
    ).layer("cache-queue")

    assert max(one["weights"], key=one["weights"].get) == "cost"
    assert max(several["weights"], key=several["weights"].get) == "features"


def test_a_service_that_is_used_a_little_costs_what_its_smallest_plan_costs(recommend):
    little = {"building": "Sign-in for a small audience."}

    before = worth(recommend, "identity", "auth0", "cost")
    after = worth(recommend, "identity", "auth0", "cost", **little)

    assert after["value"] > before["value"]
    assert "smallest plan" in after["note"]
    # What runs on machines of one's own costs them, however few people come.
    own = [worth(recommend, "identity", "keycloak", "cost", **said) for said in ({}, little)]
    assert own[0] == own[1]


def test_who_keeps_records_has_a_database_anyway(recommend):
    alone = worth(recommend, "vector-search", "pgvector", "operations", building="Search.")
    beside = worth(
        recommend, "vector-search", "pgvector", "operations", building="It also stores users."
    )

    assert "brings a platform" in alone["note"]
    assert "brings a platform" not in beside["note"]
    assert beside["value"] > alone["value"]


def test_new_things_to_learn_count_where_the_request_fears_them(recommend):
    asked = {"already_run": ["flask"], "priorities": ["familiarity"]}
    layer = "authorization"

    silent = recommend({"layers": [layer], "already_run": ["flask"]}).layer(layer)
    own = worth(recommend, layer, "custom-build", "familiarity", **asked)
    policy = worth(recommend, layer, "opa", "familiarity", **asked)

    assert silent["weights"]["familiarity"] == 0
    assert own["value"] > policy["value"]
    assert policy["note"] == "something new to learn"


def test_an_option_of_which_only_the_name_is_known_is_not_called_easy_to_learn(catalogue):
    layer = catalogue.layer("documentation")
    extended, (option,) = with_named_options(["kronograph"], layer, catalogue, TODAY)
    asked = Constraints.parse(
        {"title": "Portal", "priorities": ["familiarity"], "already_run": ["flask"],
         "layers": [layer.id]},
    )  # fmt: skip
    evidence = retrieve(asked, extended, TODAY, only=[option.technology])
    scored = score(asked, extended, evidence, eliminate(asked, extended, evidence, TODAY))

    (row,) = scored["layers"][0]["ranked"]
    assert row["criteria"]["familiarity"]["value"] == extended.unknown
    assert row["criteria"]["familiarity"]["missing"] == 1


def test_who_names_an_option_as_known_has_said_what_counts(recommend):
    asked = {"layers": ["ci-cd"], "priorities": ["cost"]}

    # Python is no option of this layer, so it says which language to fit, no more.
    language = recommend({**asked, "skills": ["python"]}).layer("ci-cd")
    option = recommend({**asked, "skills": ["jenkins"]}).layer("ci-cd")

    first, second = sorted(option["weights"], key=option["weights"].get, reverse=True)[:2]
    assert (first, second) == ("cost", "familiarity")
    assert option["weights"]["familiarity"] > language["weights"]["familiarity"]


def test_who_wants_to_be_rid_of_something_has_said_what_decides(recommend):
    asked = {"layers": ["ci-cd"], "already_run": ["jenkins"], "priorities": ["cost"]}

    content = recommend(asked).layer("ci-cd")
    leaving = recommend({**asked, "leaving": ["jenkins"]}).layer("ci-cd")

    first, second = sorted(leaving["weights"], key=leaving["weights"].get, reverse=True)[:2]
    assert (first, second) == ("cost", "precedent")
    assert leaving["weights"]["precedent"] > content["weights"]["precedent"]


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 1.5, 3.0])
def test_a_belief_keeps_the_order_of_the_shares_and_the_middle(sharpness):
    shares = [number / 50 for number in range(51)]

    beliefs = [sharpened(share, sharpness) for share in shares]

    assert beliefs == sorted(set(beliefs))
    assert all(0 < belief < 1 for belief in beliefs)
    assert sharpened(0.5, sharpness) == pytest.approx(0.5)
    assert sharpened(0.3, sharpness) == 0.3
    assert sharpened(0.7, 1.0) == pytest.approx(0.7)


def test_the_word_for_confidence_follows_what_is_believed(catalogue, first_example):
    bounds = catalogue.confidence
    compared = 0

    for layer in first_example.scored["layers"]:
        said = layer["confidence"]
        if said["first"] is None:
            continue
        compared += 1
        assert said["believed"] == pytest.approx(
            sharpened(said["first"], bounds["sharpness"]), abs=1e-4
        )
        strong, moderate = said["believed"] >= bounds["strong"], said["believed"] >= 0.45
        assert said["level"] == ("strong" if strong else "moderate" if moderate else "toss-up")
        assert f"{said['believed']:.0%} sure" in said["sentence"]
    assert compared >= 14


def test_weighing_anew_values_nothing_anew_and_says_the_same(catalogue, monkeypatch):
    asked = Constraints.parse(catalogue.examples[0], catalogue=catalogue)
    found = retrieve(asked, catalogue, TODAY)
    sieved = eliminate(asked, catalogue, found, TODAY)
    otherwise = {"cost": 5, "features": 3, "adoption": 1}
    prepared = prepare(asked, catalogue, found, sieved)
    usual = weighed(prepared)
    valued = []
    value_of = fitting.value_of

    def counted(criterion, technology, setting):
        valued.append((technology.id, setting.chosen))
        return value_of(criterion, technology, setting)

    monkeypatch.setattr(fitting, "value_of", counted)
    assert weighed(prepared) == usual
    assert valued == []  # not one of them
    again = weighed(prepared, stated=otherwise)
    anew = len(valued)
    weighed(prepare(asked, catalogue, found, sieved), stated=otherwise)

    # With other winners beside them, some are worth something else; those alone are looked at.
    assert anew < (len(valued) - anew) / 5
    assert weighed(prepared, stated=otherwise) == again
    assert again == score(asked, catalogue, found, sieved, stated=otherwise)
    assert usual == score(asked, catalogue, found, sieved)
