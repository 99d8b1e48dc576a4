"""The catalogue is complete, sourced, and refuses to load when it contradicts itself."""

import datetime as dt
import re
import shutil
from pathlib import Path

import pytest

from agent.recommender import BadCatalogue, Catalogue, load
from agent.recommender.names import contested

REGISTRY_HOSTS = re.compile(r"https?://|pypi\.org|npmjs|pythonhosted|rubygems\.org|crates\.io")


def test_there_are_fourteen_layers_or_more_with_three_options_or_more(catalogue):
    assert len(catalogue.layers) >= 14
    for layer in catalogue.layers:
        assert len(catalogue.options(layer.id)) >= 3, layer.id


def test_every_fact_says_where_it_comes_from_and_when(catalogue):
    for fact in catalogue.facts.values():
        assert fact.source, fact.id
        assert fact.locator, fact.id
        assert isinstance(fact.as_of, dt.date), fact.id
        assert fact.grade in catalogue.trust, fact.id
        assert (fact.value is None) == (fact.state != "known"), fact.id


def test_no_source_is_given_as_the_address_of_a_package_registry(catalogue):
    for fact in catalogue.facts.values():
        assert not REGISTRY_HOSTS.search(f"{fact.source} {fact.locator}"), fact.id


def test_a_judgement_is_graded_as_one(catalogue):
    for technology in catalogue.technologies.values():
        for attribute in ("operations_burden", "lock_in", "standing", "companions"):
            fact = technology.facts.get(attribute)
            assert fact is None or fact.grade == "J", attribute


def test_only_what_a_program_read_is_of_the_best_grade(catalogue):
    by_hand = [fact for fact in catalogue.facts.values() if fact.by_hand]

    assert by_hand
    for fact in by_hand:
        assert fact.grade == "J", fact.id
        assert "entered by hand, not re-read" in fact.source
        assert "entered by hand, not re-read" in fact.basis()
    for fact in catalogue.facts.values():
        assert fact.by_hand or "by hand" not in fact.source
        if fact.attribute.startswith(("capability.", "hosting.")) and fact.state == "known":
            assert fact.grade == "J", fact.id


def test_an_unknown_is_never_shown_as_a_number(catalogue):
    unknown = [fact for fact in catalogue.facts.values() if fact.state == "unknown"]

    assert unknown
    assert {fact.shown() for fact in unknown} == {"unknown"}


def test_every_option_states_its_licence_hosting_and_capabilities_even_if_unknown(catalogue):
    for layer in catalogue.layers:
        for option in catalogue.options(layer.id):
            wanted = ["license", "hosting.self_hosted", "hosting.managed", "hosting.air_gapped"]
            wanted += [f"capability.{capability}" for capability in layer.capabilities]
            assert set(wanted) <= set(option.facts), option.id


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Postgres", "postgresql"),
        ("PostgreSQL", "postgresql"),
        ("node.js", "nodejs"),
        ("k8s", "kubernetes"),
        ("C#", "dotnet"),
        ("GitHub Actions", "github-actions"),
        ("Apache Kafka 4.1", "kafka"),
        ("PostgreSQL 17", "postgresql"),
        ("Redis (self-hosted)", "redis"),
        ("Vue.js v3", "vue"),
        ("ReactJS", "react"),
        ("React + Vite", "react"),
        ("Spring Boot 3.x", "spring-boot"),
        ("HashiCorp Vault Enterprise", "vault"),
        ("Google Kubernetes Engine (GKE)", "gke"),
        ("Kafka cluster", "kafka"),
        ("Flask with SQLAlchemy", "flask"),
        ("golang", "go"),
        ("DRF", "django-rest-framework"),
        ("Azure DevOps", "azure-pipelines"),
        ("AWS Lambda", "aws-lambda"),
        ("Mongo DB", "mongodb"),
        ("MongoDB Atlas", "mongodb-atlas"),
        ("React Native", "react-native"),
        ("React.js 19", "react"),
        ("SvelteKit", "sveltekit"),
        ("Amazon DynamoDB", "dynamodb"),
        ("Elastic Stack (ELK)", "elastic-observability"),
        ("NGINX Unit", None),
        ("JUnit 5", "junit"),
        ("Playwright for Python", "playwright"),
        ("Apache Airflow 2.x", "airflow"),
        ("Docker Compose v2", "docker-compose"),
        ("Launch Darkly", "launchdarkly"),
        ("S3", "amazon-s3"),
        ("env vars", "environment-variables"),
        ("MSSQL", "mssql"),
        ("Jira", None),
    ],
)
def test_a_technology_is_found_however_people_write_it(catalogue, written, meant):
    found = catalogue.find(written)

    assert (found and found.id) == meant


@pytest.mark.parametrize("name", ["no such thing", "", "17", "apache", "Postgrs", "database"])
def test_a_name_nobody_knows_is_not_found_and_never_guessed(catalogue, name):
    assert catalogue.find(name) is None


def test_a_slip_of_the_pen_gets_a_suggestion(catalogue):
    assert catalogue.suggestions("Postgrsql")[0].id == "postgresql"


def test_what_was_left_aside_of_a_name_is_said(catalogue):
    assert catalogue.resolve("PostgreSQL").is_exact
    assert catalogue.resolve("PostgreSQL 17").left_aside == "17"


def test_the_digest_changes_with_any_byte_of_any_file(folder, tmp_path):
    copy = _copy(folder, tmp_path)
    before = load(copy).digest

    path = copy / "examples.yaml"
    path.write_text(path.read_text() + "# a comment\n")

    assert load(copy).digest != before


def test_the_same_files_give_the_same_digest(folder, catalogue, tmp_path):
    assert load(_copy(folder, tmp_path)).digest == catalogue.digest


@pytest.mark.parametrize(
    ("name", "before", "after", "complaint"),
    [
        ("facts/pypi.yaml", 'source: "pypi"', 'source: "hearsay"', "hearsay"),
        ("technologies/web-api.yaml", "id: flask", "id: django", "twice"),
        ("technologies/web-api.yaml", "kind: framework", "kind: gadget", "gadget"),
        ("facts/pypi.yaml", "BSD-3-Clause", "BSD-3-Claus", "BSD-3-Claus"),
        ("technologies/web-api.yaml", "layers: [web-api]", "layers: [wep-api]", "wep-api"),
        ("technologies/web-api.yaml", "companions: [python", "companions: [pyhton", "pyhton"),
        ("technologies/web-api.yaml", "as_of: 2026-11-23", "as_of: yesterday", "as_of"),
        ("technologies/web-api.yaml", "capability.orm:", "capability.ormm:", "ormm"),
        ("technologies/web-api.yaml", "  name:", "  nam:", "name is missing"),
        ("layers.yaml", "capabilities: [memory_safe", "capabilities: [memory_save", "memory_save"),
        ("layers.yaml", "criteria: [familiarity", "criteria: [familarity", "familarity"),
        ("layers.yaml", "- id: language-runtime", "- id: [", "YAML"),
    ],
)
def test_a_catalogue_that_contradicts_itself_is_refused_with_the_place(
    folder, tmp_path, name, before, after, complaint
):
    copy = _copy(folder, tmp_path)
    path = copy / name
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))

    with pytest.raises(BadCatalogue) as refusal:
        load(copy)

    assert complaint in str(refusal.value)


def test_what_an_option_leaves_out_is_a_typed_unknown_that_says_nobody_read_it(folder, tmp_path):
    copy = _copy(folder, tmp_path)
    path = copy / "technologies" / "secrets.yaml"
    line = "      capability.rotation: true\n"
    assert line in path.read_text()
    path.write_text(path.read_text().replace(line, "", 1))

    fact = load(copy).facts["vault.capability.rotation"]

    assert (fact.value, fact.state, fact.grade) == (None, "unknown", "D")
    assert fact.source == "No source read yet"


def test_a_layer_with_too_few_options_is_refused(folder, tmp_path):
    copy = _copy(folder, tmp_path)
    path = copy / "layers.yaml"
    path.write_text(path.read_text().replace("- id: sbom\n", "- id: nobody-fills-this\n"))
    for entries in (copy / "technologies").glob("*.yaml"):
        entries.write_text(entries.read_text().replace("layers: [sbom]", "layers: []"))
    entries = copy / "technologies" / "dependency-scanning.yaml"
    entries.write_text(
        entries.read_text().replace("dependency-scanning, sbom]", "dependency-scanning]")
    )

    with pytest.raises(BadCatalogue, match="nobody-fills-this: 0 options"):
        load(copy)


def test_a_list_confirms_or_fills_a_gap_and_never_overrules(catalogue):
    """Wolfi says BSD-3-Clause of PostgreSQL, whose licence has a name of its own."""
    fact = catalogue.facts["postgresql.license"]

    assert fact.value == "PostgreSQL"
    assert ("postgresql.license", "BSD-3-Clause") in {
        (kept.id, other.value) for kept, other in catalogue.disagreements
    }
    assert not any(
        kept.secondary and not other.secondary for kept, other in catalogue.disagreements
    )


def test_there_are_enough_technologies_in_every_layer_that_people_ask_about(catalogue):
    assert len(catalogue.technologies) >= 350
    for layer in catalogue.layers:
        fill = [tech for tech in catalogue.technologies.values() if layer.id in tech.layers]
        ways = [tech for tech in fill if tech.kind == "approach"]
        # There are fewer ways of working than products.
        assert len(fill) >= (5 if len(ways) >= 0.4 * len(fill) else 10), layer.id


def test_a_rare_product_is_only_an_option_where_a_request_names_it(catalogue):
    plain = {option.id for option in catalogue.options("observability-backend")}
    named = {option.id for option in catalogue.options("observability-backend", {"icinga"})}

    assert catalogue.technologies["icinga"].rare
    assert named - plain == {"icinga"}


def test_a_rarer_product_says_what_it_was_judged_like(catalogue):
    icinga = catalogue.technologies["icinga"]

    assert catalogue.find("Icinga") is icinga
    assert icinga.facts["operations_burden"].grade == "J"
    assert (
        icinga.facts["capability.alerting"].locator == "Countersign catalogue, judged like Nagios"
    )
    assert icinga.facts["hosting.self_hosted"].state == "unknown"
    assert icinga.facts["standing"].value <= 2


def test_every_option_has_eight_facts_or_more(catalogue):
    for layer in catalogue.layers:
        for option in catalogue.options(layer.id):
            known = [fact for fact in option.facts.values() if fact.state == "known"]
            assert len(known) >= 8, option.id


@pytest.mark.parametrize(
    ("technology", "version", "licence"),
    [
        ("redis", "7.2.4", "BSD-3-Clause"),
        ("redis", "7.4.0", "LicenseRef-RSALv2 OR SSPL-1.0"),
        ("redis", "8.2", "LicenseRef-RSALv2 OR SSPL-1.0 OR AGPL-3.0-only"),
        ("terraform", "1.5.7", "MPL-2.0"),
        ("terraform", "1.15.9", "BUSL-1.1"),
        ("elasticsearch", "7.10", "Apache-2.0"),
        ("django", "6.1", None),
    ],
)
def test_the_licence_of_a_version_is_read_from_its_history(catalogue, technology, version, licence):
    assert catalogue.technologies[technology].licence_of(version) == licence


def test_rules_say_what_goes_together_and_why(catalogue):
    found = {(rule.kind, rule.right): rule for rule in catalogue.rules_of("pgvector")}

    assert found["requires", "postgresql"].why
    assert found["synergy", "postgresql"].strength == 0.8
    for rule in catalogue.rules:
        assert rule.source, rule.id
        assert 0 < rule.strength <= 1, rule.id
        assert rule.left != rule.right, rule.id


def test_who_runs_it_for_you_is_named(catalogue):
    offered = {one.technology for one in catalogue.technologies["postgresql"].offerings}

    assert {"rds-postgresql", "azure-postgresql", "cloud-sql"} <= offered
    assert "Cloud SQL (Google)" in str(catalogue.facts["postgresql.offerings"].value)


def test_building_it_keeping_it_and_renting_it_are_alternatives(catalogue):
    found = {option.id for option in catalogue.alternatives("relational-data")}

    assert {"custom-build", "status-quo", "managed-service"} <= found
    for option in catalogue.alternatives("relational-data"):
        assert "capability.acid_transactions" in option.facts


def test_no_two_technologies_claim_the_same_name(catalogue):
    rows = [(tech.id, tech.name, tech.aliases) for tech in catalogue.technologies.values()]

    assert contested(rows, catalogue.names) == []


def test_a_missing_file_is_named(folder, tmp_path):
    copy = _copy(folder, tmp_path)
    (copy / "criteria.yaml").unlink()

    with pytest.raises(BadCatalogue, match=r"criteria\.yaml"):
        load(copy)


def test_nothing_in_a_loaded_catalogue_can_be_changed(catalogue: Catalogue):
    with pytest.raises(AttributeError):
        catalogue.digest = "0"
    with pytest.raises(TypeError):
        catalogue.facts["django.license"] = None


def _copy(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / "catalog"))
