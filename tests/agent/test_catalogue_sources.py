"""Sources are read anew when somebody asks or their turn comes; a silent canary stops it."""

import datetime as dt
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.utils import timezone

from agent import catalogue_sources, jobs, own_catalogue, places, queue
from agent.models import CatalogueRefresh, CatalogueSource, Repository
from authz.errors import BadRequest, Conflict, Denied
from evidence.models import OpenIntent
from tenants.actor import system_actor
from tenants.models import Project
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW

ENDED = [{"cycle": "3.8", "eol": "2024-10-07", "latest": "3.8.20"}]
VALKEY = [{"cycle": "99.1", "releaseDate": "2026-05-19", "eol": False, "latest": "99.1.4"}]
PIP = {"info": {"name": "pip", "version": "26.3"}, "urls": []}
DJANGO = {
    "info": {
        "name": "Django",
        "version": "9.1.3",
        "license": None,
        "license_expression": "BSD-3-Clause",
        "requires_python": ">=3.12",
        "requires_dist": ["asgiref>=3.9", "sqlparse>=0.5", 'bcrypt; extra == "bcrypt"'],
        "classifiers": ["Framework :: Django"],
    },
    "urls": [{"upload_time_iso_8601": "2026-11-03T10:00:00.000000Z"}],
}
NPM = {"name": "npm", "dist-tags": {"latest": "12.0.0"}, "versions": {"12.0.0": {}}}
VUE = {
    "name": "vue",
    "dist-tags": {"latest": "3.99.1"},
    "versions": {"3.99.1": {"license": "MIT", "dependencies": {"@vue/shared": "3.99.1"}}},
    "time": {"created": "2013-12-07T00:00:00Z", "3.99.1": "2026-11-20T10:00:00Z"},
}
# What each answers in its published format: the canary, then something to learn.
ANSWERS = {
    "endoflife": {"/python.json": ENDED, "/valkey.json": VALKEY},
    "pypi": {"/pypi/pip/json": PIP, "/pypi/django/json": DJANGO},
    "npm": {"/npm": NPM, "/vue": VUE},
    "osv": {
        "pkg:pypi/django@2.2.0": {"vulns": [{"id": "GHSA-1"}]},
        "pkg:pypi/django": {"vulns": [{"id": "GHSA-1"}, {"id": "GHSA-2"}]},
    },
    "deps-dev": {
        "/v3/systems/pypi/packages/pip": {"versions": [{}]},
        "/v3/systems/pypi/packages/django": {"versions": [{}, {}]},
    },
    "scorecard": {
        "/projects/github.com/ossf/scorecard": {"score": 9.1},
        "/projects/github.com/django/django": {"score": 6.2},
    },
}
LEARNT = {
    "endoflife": ("valkey.latest_version", "99.1.4"),
    "pypi": ("django.latest_version", "9.1.3"),
    "npm": ("vue.latest_version", "3.99.1"),
    "osv": ("django.advisories_known", "2 advisories"),
    "deps-dev": ("django.published_versions", "2 versions"),
    "scorecard": ("django.scorecard", "6.2 of 10"),
}
WITHOUT_CANARY = {
    "endoflife": {"/python.json": [{**ENDED[0], "eol": False}]},
    "pypi": {"/pypi/pip/json": {"info": {"name": "other", "version": "1"}}},
    "npm": {"/npm": {**NPM, "name": "other"}},
    "osv": {"pkg:pypi/django@2.2.0": {}},
    "deps-dev": {"/v3/systems/pypi/packages/pip": {"versions": []}},
    "scorecard": {"/projects/github.com/ossf/scorecard": {"score": 0}},
}
LANDSCAPE = """landscape:
  - subcategories:
      - items:
          - {name: Kubernetes, project: graduated, repo_url: "https://github.com/x/y"}
          - {name: Flux, project: sandbox, repo_url: "https://github.com/fluxcd/flux2"}
"""


@pytest.fixture
def serve():
    """A server on the loopback that answers each path, or the package asked about, with JSON."""
    servers = []

    def start(answers):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self._answer(self.path)

            def do_POST(self):
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._answer(asked["package"]["purl"])

            def _answer(self, key):
                found = answers.get(key)
                body = json.dumps(found).encode()
                self.send_response(200 if found is not None else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def asked(monkeypatch):
    """What was queued; nothing is sent anywhere."""
    sent = []
    monkeypatch.setattr(queue, "refresh_source", sent.append)
    return sent


def tomas(company, name="tomas"):
    return company.people[name].actor("page", signed_in=JUST_NOW)


def read_now(company, name, address, **more):
    """Set up, ask and read, as the job does it."""
    fields = {"is_on": True, "address": address, **more}
    catalogue_sources.alter(name, fields, by=tomas(company))
    row = catalogue_sources.ask_for_refresh(name, by=tomas(company))
    catalogue_sources.run(row.pk)
    return catalogue_sources.source(name)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_source_is_read_from_its_address_and_waits_for_another_person(
    in_acme, serve, asked, entries, name
):
    found = read_now(in_acme, name, serve(ANSWERS[name]))

    assert (found.row.state, found.row.result) == ("idle", "proposed"), found.row.said
    assert found.canary_verdict == "holds"
    assert asked == [found.row.pk]
    refresh = CatalogueRefresh.objects.get(pk=found.row.proposed)
    fact, value = LEARNT[name]
    changes = {row["fact"]: row for key in ("changed", "added") for row in refresh.difference[key]}
    assert changes[fact]["after"] == value
    # The intent, what came of it, and the proposal are three entries.
    assert [entry for entry in entries(in_acme) if entry[0] == "catalogue.refresh"] == [
        ("catalogue.refresh", "ok")
    ] * 4
    assert not OpenIntent.objects.exists()
    with pytest.raises(Denied):
        own_catalogue.accept_refresh(refresh, refresh.digest, by=tomas(in_acme))


@pytest.mark.parametrize("name", WITHOUT_CANARY)
def test_a_silent_canary_stops_the_import_and_says_so(in_acme, serve, asked, entries, name):
    before = places.catalogue().digest

    found = read_now(in_acme, name, serve({**ANSWERS[name], **WITHOUT_CANARY[name]}))

    assert (found.row.result, found.canary_verdict) == ("canary_failed", "failed")
    assert "nothing of it is believed" in found.row.said
    assert not CatalogueRefresh.objects.exists()
    assert places.catalogue().digest == before
    assert entries(in_acme)[-1] == ("catalogue.refresh", "failed")
    assert not OpenIntent.objects.exists()


def test_a_source_that_does_not_answer_keeps_its_age(in_acme, serve, asked):
    age = catalogue_sources.source("endoflife").as_of

    found = read_now(in_acme, "endoflife", serve({}))

    assert found.row.result == "unreachable"
    assert found.canary_verdict == ""
    assert found.as_of == age


def test_the_landscape_is_read_from_a_file_of_the_operator_and_nothing_else(
    in_acme, asked, settings, tmp_path
):
    settings.CATALOGUE_SOURCES_DIR = tmp_path / "kept"
    settings.CATALOGUE_SOURCES_DIR.mkdir()
    (settings.CATALOGUE_SOURCES_DIR / "landscape.yml").write_text(LANDSCAPE)
    (tmp_path / "secret.yml").write_text(LANDSCAPE)

    found = read_now(in_acme, "cncf", "landscape.yml")

    assert found.row.result == "proposed"
    for outside in ("../secret.yml", str(tmp_path / "secret.yml"), "/etc/passwd", "nothing.yml"):
        with pytest.raises(BadRequest) as refused:
            catalogue_sources.alter("cncf", {"address": outside}, by=tomas(in_acme))
        assert "your operator keeps" in refused.value.errors["address"]


def test_a_file_that_was_moved_outside_since_is_not_read(in_acme, asked, settings, tmp_path):
    settings.CATALOGUE_SOURCES_DIR = tmp_path / "kept"
    settings.CATALOGUE_SOURCES_DIR.mkdir()
    kept = settings.CATALOGUE_SOURCES_DIR / "landscape.yml"
    kept.write_text(LANDSCAPE)
    catalogue_sources.alter("cncf", {"address": "landscape.yml"}, by=tomas(in_acme))
    kept.rename(tmp_path / "landscape.yml")
    kept.symlink_to(tmp_path / "landscape.yml")

    row = catalogue_sources.ask_for_refresh("cncf", by=tomas(in_acme))
    catalogue_sources.run(row.pk)

    assert catalogue_sources.source("cncf").row.result == "unreachable"


def test_an_inner_address_is_not_asked(in_acme, asked, settings, serve):
    address = serve(ANSWERS["endoflife"])
    catalogue_sources.alter("endoflife", {"address": address}, by=tomas(in_acme))
    settings.IDENTITY_ALLOW_LOOPBACK = False

    row = catalogue_sources.ask_for_refresh("endoflife", by=tomas(in_acme))
    catalogue_sources.run(row.pk)

    found = catalogue_sources.source("endoflife")
    assert found.row.result == "unreachable"
    assert "no address that this portal may ask" in found.row.said
    with pytest.raises(BadRequest):
        catalogue_sources.alter("endoflife", {"address": address}, by=tomas(in_acme))


def test_security_sources_and_folders_are_off_and_nothing_runs_by_itself(in_acme, asked):
    found = {one.name: one for one in catalogue_sources.sources()}

    on = {name for name, one in found.items() if one.row.is_on}
    assert on == {"endoflife", "cncf", "pypi", "npm"}
    assert all(one.row.every_days == 0 for one in found.values())
    assert catalogue_sources.due() == []
    with pytest.raises(Conflict, match="OSV is off"):
        catalogue_sources.ask_for_refresh("osv", by=tomas(in_acme))
    assert asked == []
    with pytest.raises(BadRequest, match="usual place"):
        catalogue_sources.alter("wolfi", {"is_on": True}, by=tomas(in_acme))


@pytest.mark.parametrize("days", ["2", "-1", "x", ""])
def test_a_rhythm_that_is_not_offered_is_refused_with_its_field(in_acme, days):
    with pytest.raises(BadRequest) as refused:
        catalogue_sources.alter("npm", {"every_days": days}, by=tomas(in_acme))

    assert "every_days" in refused.value.errors


def test_the_schedule_asks_for_what_is_due_and_nobody_else(in_acme, asked, serve):
    catalogue_sources.alter(
        "endoflife",
        {"every_days": 7, "address": serve(ANSWERS["endoflife"])},
        by=tomas(in_acme),
    )
    catalogue_sources.alter("npm", {"every_days": 7, "is_on": False}, by=tomas(in_acme))

    jobs._refresh_due()
    jobs._refresh_due()

    row = CatalogueSource.objects.get(connector="endoflife")
    assert asked == [row.pk]
    catalogue_sources.run(row.pk)
    refresh = CatalogueRefresh.objects.get()
    assert refresh.requester_name == "schedule"
    assert catalogue_sources.due() == []
    CatalogueSource.objects.update(asked_at=timezone.now() - dt.timedelta(days=7))
    assert catalogue_sources.due() == ["endoflife"]
    # A person may decide about it, since none asked for it.
    own_catalogue.accept_refresh(refresh, refresh.digest, by=tomas(in_acme))
    assert places.catalogue().facts["valkey.latest_version"].value == "99.1.4"


def test_the_job_looks_into_every_tenant_with_repositories(acme, asked):
    with tenant_scope(acme.scope):
        project = Project.objects.first()
        Repository.objects.create(project=project, name="shop")
        catalogue_sources.alter("cncf", {"every_days": 1}, by=tomas(acme))

    jobs.look_for_due_sources()

    with tenant_scope(acme.scope):
        assert asked == [CatalogueSource.objects.get().pk]


def test_what_is_read_twice_is_proposed_once(in_acme, asked, serve):
    address = serve(ANSWERS["endoflife"])
    first = read_now(in_acme, "endoflife", address)
    catalogue_sources.run(first.row.pk)  # the message came again
    assert CatalogueRefresh.objects.count() == 1

    second = read_now(in_acme, "endoflife", address)

    states = dict(CatalogueRefresh.objects.values_list("pk", "state"))
    assert states == {first.row.proposed: "replaced", second.row.proposed: "open"}
    CatalogueRefresh.objects.update(requester_id="somebody else")
    replaced = CatalogueRefresh.objects.get(state="replaced")
    with pytest.raises(Conflict, match="replaced already"):
        own_catalogue.accept_refresh(replaced, replaced.digest, by=tomas(in_acme))


def test_while_a_source_is_read_it_is_not_asked_for_again(in_acme, asked):
    row = catalogue_sources.ask_for_refresh("npm", by=tomas(in_acme))
    again = catalogue_sources.ask_for_refresh("npm", by=tomas(in_acme))

    assert asked == [row.pk]
    assert again.pk == row.pk
    # Whoever read it died; after a while it may be asked for anew.
    CatalogueSource.objects.update(
        state="running", touched_at=timezone.now() - catalogue_sources.STALE
    )
    catalogue_sources.ask_for_refresh("npm", by=tomas(in_acme))
    assert asked == [row.pk, row.pk]


def test_whoever_lost_the_right_meanwhile_changes_nothing(in_acme, asked, serve):
    address = serve(ANSWERS["endoflife"])
    catalogue_sources.alter("endoflife", {"address": address}, by=tomas(in_acme))
    row = catalogue_sources.ask_for_refresh("endoflife", by=tomas(in_acme))
    CatalogueSource.objects.update(asked_by=in_acme.people["bo"])

    catalogue_sources.run(row.pk)

    assert catalogue_sources.source("endoflife").row.result == "failed"
    assert not CatalogueRefresh.objects.exists()


@pytest.mark.parametrize("name", ["bo", "iris"])
def test_only_who_may_sets_up_and_asks(in_acme, asked, name):
    by = tomas(in_acme, name)

    with pytest.raises(Denied):
        catalogue_sources.alter("osv", {"is_on": True}, by=by)
    with pytest.raises(Denied):
        catalogue_sources.ask_for_refresh("endoflife", by=by)

    assert not CatalogueSource.objects.exists()
    assert asked == []


def test_a_machine_may_not_switch_a_source_on(in_acme):
    with pytest.raises(Denied):
        catalogue_sources.alter("osv", {"is_on": True}, by=system_actor("schedule", "job"))


def test_what_a_package_told_before_stays_when_it_gives_no_answer(in_acme, asked, serve):
    kept = places.catalogue_files().documents["facts/pypi.yaml"]["facts"]

    found = read_now(in_acme, "pypi", serve(ANSWERS["pypi"]))

    document = CatalogueRefresh.objects.get(pk=found.row.proposed).document
    assert "not believed" in found.row.said
    assert set(kept) <= set(document["facts"])
    assert (found.row.done, found.row.total) == (found.row.total, found.row.total)
