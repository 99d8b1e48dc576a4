"""What a tenant adds to the catalogue is the tenant's alone, and let in by two people."""

import datetime as dt

import pytest

from agent import own_catalogue, places
from agent.models import CatalogueEntry, CatalogueRefresh
from agent.recommender import Constraints, eliminate, retrieve
from agent.recommender.refresh import Reading
from authz.errors import BadRequest, Conflict, Denied
from tenants.actor import Actor, system_actor
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW

TODAY = dt.date(2026, 11, 23)
HOUSE = {
    "id": "house-queue",
    "name": "House queue",
    "aliases": "hq, our queue",
    "layers": ["cache-queue"],
    "kind": "server",
    "licence": "LicenseRef-House",
    "source": "Wiki page House queue",
}


def actor(company, name) -> Actor:
    return company.people[name].actor("page", signed_in=JUST_NOW)


def reading_of(version="99.0") -> Reading:
    facts = {"valkey": {"latest_version": {"value": version, "locator": "products/valkey"}}}
    return Reading("endoflife", "a test", TODAY, TODAY, "python 3.8 has ended", facts)


def test_a_technology_of_your_own_is_an_option_for_you_alone(acme, globex, entries):
    with tenant_scope(acme.scope):
        own_catalogue.add_technology(HOUSE, by=actor(acme, "tomas"))

        found = places.catalogue().find("our queue")
        assert found is not None
        assert found.own
        assert found.id in {option.id for option in places.catalogue().options("cache-queue")}
        assert places.catalogue().facts["house-queue.license"].grade == "J"
        assert places.catalogue().digest != places.shared_catalogue().digest
    with tenant_scope(globex.scope):
        assert places.catalogue().find("our queue") is None
        assert places.catalogue() is places.shared_catalogue()
    assert entries(acme)[-1] == ("catalogue.change", "ok")


def test_a_technology_of_your_own_goes_with_its_facts_and_its_standard(in_acme, entries):
    by = actor(in_acme, "tomas")
    own_catalogue.add_technology(HOUSE, by=by)
    said = {"attribute": "capability.rbac", "value": "yes", "source": "wiki"}
    own_catalogue.add_fact("house-queue", said, by=by)
    own_catalogue.set_standard("house-queue", {"verdict": "approved", "reason": "ours"}, by=by)
    asked = Constraints.parse(
        {"title": "Shop", "layers": ["cache-queue"], "already_run": ["our queue"]},
        catalogue=places.catalogue(),
    )

    own_catalogue.remove_technology("house-queue", by=by)

    assert not CatalogueEntry.objects.exists()
    assert places.catalogue() is places.shared_catalogue()
    assert entries(in_acme)[-1] == ("catalogue.change", "ok")
    kept = retrieve(asked, places.catalogue(), TODAY)  # what was asked stays, its name is unknown
    assert kept["unrecognised"] == list(asked.already_run)
    with pytest.raises(Conflict):
        own_catalogue.remove_technology("house-queue", by=by)


def test_one_fact_of_your_own_can_be_taken_back(in_acme):
    by = actor(in_acme, "tomas")
    said = {"attribute": "assurance.provenance", "value": "yes", "source": "our lab"}
    own_catalogue.add_fact("vault", said, by=by)

    own_catalogue.remove_fact("vault", "assurance.provenance", by=by)

    assert places.catalogue().facts["vault.assurance.provenance"].state == "unknown"
    with pytest.raises(Conflict):
        own_catalogue.remove_fact("vault", "assurance.provenance", by=by)


def test_what_all_share_cannot_be_removed_and_not_everybody_may(in_acme, entries):
    own_catalogue.add_technology(HOUSE, by=actor(in_acme, "tomas"))

    with pytest.raises(Conflict, match="ban"):
        own_catalogue.remove_technology("postgresql", by=actor(in_acme, "tomas"))
    for name in ("bo", "iris"):
        with pytest.raises(Denied):
            own_catalogue.remove_technology("house-queue", by=actor(in_acme, name))
        assert entries(in_acme)[-1] == ("catalogue.change.denied", "denied")

    assert places.catalogue().find("our queue") is not None


def test_only_who_may_changes_the_catalogue(in_acme, entries):
    for name in ("bo", "iris"):
        with pytest.raises(Denied):
            own_catalogue.add_technology(HOUSE, by=actor(in_acme, name))
        assert entries(in_acme)[-1] == ("catalogue.change.denied", "denied")
    with pytest.raises(Denied):
        own_catalogue.add_technology(HOUSE, by=system_actor("operator", "cli"))

    assert places.catalogue() is places.shared_catalogue()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"id": "Bad Id"}, "id"),
        ({"id": "postgresql"}, "id"),
        ({"kind": "gadget"}, "kind"),
        ({"layers": ["nowhere"]}, "layers"),
        ({"layers": []}, "layers"),
        ({"name": " "}, "name"),
        ({"source": ""}, "source"),
        ({"licence": "MITT"}, "id"),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused_with_the_field(in_acme, wrong, field):
    with pytest.raises(BadRequest) as refusal:
        own_catalogue.add_technology({**HOUSE, **wrong}, by=actor(in_acme, "tomas"))

    assert field in refusal.value.errors


def test_your_own_fact_fills_a_gap_and_does_not_overrule_a_better_source(in_acme):
    by = actor(in_acme, "tomas")
    said = {"source": "our lab", "as_of": "2026-11-20"}
    assert places.catalogue().facts["vault.assurance.provenance"].state == "unknown"

    own_catalogue.add_fact(
        "vault", {**said, "attribute": "assurance.provenance", "value": "yes"}, by=by
    )
    own_catalogue.add_fact("django", {**said, "attribute": "license", "value": "MIT"}, by=by)

    fact = places.catalogue().facts["vault.assurance.provenance"]
    assert (fact.value, fact.grade, fact.locator) == (True, "J", "our lab")
    assert places.catalogue().facts["django.license"].value == "BSD-3-Clause"
    with pytest.raises(BadRequest):
        own_catalogue.add_fact("vault", {**said, "attribute": "nonsense", "value": "1"}, by=by)


def test_what_is_banned_is_never_recommended_until_the_ban_is_lifted(in_acme):
    by = actor(in_acme, "tomas")
    ban = {"verdict": "banned", "reason": "contract ended", "until": "2027-12-31"}

    own_catalogue.set_standard("mongodb", ban, by=by)

    known = places.catalogue()
    assert known.standards["mongodb"].until == dt.date(2027, 12, 31)
    asked = Constraints.parse({"title": "Shop", "layers": ["relational-data"]}, catalogue=known)
    sieved = eliminate(asked, known, retrieve(asked, known, TODAY), TODAY)
    assert "mongodb" not in sieved["layers"]["relational-data"]["kept"]
    own_catalogue.set_standard("mongodb", {"verdict": ""}, by=by)
    assert not places.catalogue().standards
    with pytest.raises(BadRequest):
        own_catalogue.set_standard("mongodb", {"verdict": "loved", "reason": "x"}, by=by)


def test_a_refresh_counts_once_a_second_person_countersigned_it(in_acme, entries):
    ada_like, second = actor(in_acme, "tomas"), in_acme
    refresh = own_catalogue.propose_refresh("endoflife", reading_of(), by=ada_like)

    assert places.catalogue() is places.shared_catalogue()
    assert refresh.difference["removed_altogether"] > 0
    changed = {row["fact"]: row["after"] for row in refresh.difference["changed"]}
    assert changed["valkey.latest_version"] == "99.0"
    with pytest.raises(Denied):  # not by whoever asked for it
        own_catalogue.accept_refresh(refresh, refresh.digest, by=ada_like)
    assert CatalogueRefresh.objects.get().state == "open"
    assert entries(second)[-1] == ("catalogue.approve.denied", "denied")


def test_an_operators_refresh_is_let_in_by_a_person_who_read_it(in_acme, entries):
    operator = system_actor("operator", "cli")
    refresh = own_catalogue.propose_refresh("endoflife", reading_of(), by=operator)
    by = actor(in_acme, "tomas")

    with pytest.raises(Conflict, match="not the refresh that you read"):
        own_catalogue.accept_refresh(refresh, "0" * 64, by=by)
    own_catalogue.accept_refresh(refresh, refresh.digest, by=by)

    assert places.catalogue().facts["valkey.latest_version"].value == "99.0"
    assert places.shared_catalogue().facts["valkey.latest_version"].value != "99.0"
    assert entries(in_acme)[-1] == ("catalogue.approve", "ok")
    with pytest.raises(Conflict, match="accepted already"):
        own_catalogue.reject_refresh(refresh, "too late", by=by)


def test_a_refused_refresh_changes_nothing_and_keeps_the_reason(in_acme, entries):
    refresh = own_catalogue.propose_refresh(
        "endoflife", reading_of(), by=system_actor("operator", "cli")
    )
    by = actor(in_acme, "tomas")

    with pytest.raises(BadRequest):
        own_catalogue.reject_refresh(refresh, " ", by=by)
    own_catalogue.reject_refresh(refresh, "the source is wrong", by=by)

    assert places.catalogue() is places.shared_catalogue()
    assert CatalogueRefresh.objects.get().decided_by_name == by.name


def test_a_refresh_read_before_the_catalogue_changed_is_not_let_in(in_acme):
    refresh = own_catalogue.propose_refresh(
        "endoflife", reading_of(), by=system_actor("operator", "cli")
    )
    by = actor(in_acme, "tomas")
    own_catalogue.add_technology(HOUSE, by=by)

    with pytest.raises(Conflict, match="changed since"):
        own_catalogue.accept_refresh(refresh, refresh.digest, by=by)
