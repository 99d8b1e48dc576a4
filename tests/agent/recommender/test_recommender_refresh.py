"""Sources are read anew; a source whose canary fails is unreachable, never zero."""

import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from agent.recommender import reading
from agent.recommender.refresh import CONNECTORS, Origin, Unreachable, compare, packages, read
from agent.recommender.refresh.reading import written

TODAY = dt.date(2026, 11, 23)
VALKEY = """---
title: Valkey
releases:
  - releaseCycle: "9.1"
    releaseDate: 2026-05-19
    eol: false
    latest: "9.1.4"
    latestReleaseDate: 2026-11-02
  - releaseCycle: "9.0"
    releaseDate: 2025-10-21
    eol: 2028-10-21
    latest: "9.0.9"
    latestReleaseDate: 2026-11-02
---

> Text.
"""
PYTHON = """---
title: Python
releases:
  - releaseCycle: "3.8"
    releaseDate: 2019-10-14
    eol: 2024-10-07
    latest: "3.8.20"
---
"""


@pytest.fixture
def serve() -> Iterator[Callable[[dict[str, object]], str]]:
    """A server on the loopback that answers each path with the JSON it was given."""
    servers = []

    def start(answers: dict[str, object]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._answer(asked["package"]["purl"])

            def _answer(self, key: str = "") -> None:
                found = answers.get(key or self.path)
                if isinstance(found, int):
                    self.send_error(found)
                    return
                self.send_response(200 if found is not None else 404)
                self.end_headers()
                self.wfile.write(json.dumps(found).encode())

            def log_message(self, *_: object) -> None:
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
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "products").mkdir()
    (tmp_path / "products" / "valkey.md").write_text(VALKEY)
    (tmp_path / "products" / "python.md").write_text(PYTHON)
    return tmp_path


def test_release_lines_are_read_from_a_checkout(catalogue, checkout, folder):
    found = read(CONNECTORS["endoflife"], Origin(str(checkout)), catalogue, TODAY)

    assert found.facts["valkey"]["latest_version"]["value"] == "9.1.4"
    assert found.facts["valkey"]["supported_cycles"]["value"] == 2
    assert "latest_cycle_eol" not in found.facts["valkey"]  # no end is announced: unknown, not ""
    assert found.cycles["valkey"][1][2] == dt.date(2028, 10, 21)
    files = reading.read_files(folder)
    after = reading.build(files, reading.Own(snapshots={"endoflife": found.document()}))
    assert after.technologies["valkey"].cycles[0].name == "9.1"
    assert after.facts["valkey.latest_version"].value == "9.1.4"
    changed = {row.fact: row for row in compare(catalogue, after).changed}
    assert changed["valkey.latest_version"].after == "9.1.4"


def test_release_lines_are_read_from_an_address(catalogue, serve):
    address = serve(
        {
            "/python.json": [{"cycle": "3.8", "eol": "2024-10-07", "latest": "3.8.20"}],
            "/valkey.json": [
                {"cycle": "9.1", "releaseDate": "2026-05-19", "eol": False, "latest": "9.1.4"}
            ],
        }
    )

    found = read(CONNECTORS["endoflife"], Origin(address), catalogue, TODAY)

    assert set(found.facts) == {"valkey", "python"}
    assert found.as_of == TODAY


@pytest.mark.parametrize("ends", ["false", "2031-10-07", "true"])
def test_a_source_whose_canary_fails_is_unreachable(catalogue, checkout, ends):
    path = checkout / "products" / "python.md"
    path.write_text(PYTHON.replace("2024-10-07", ends))

    with pytest.raises(Unreachable, match=r"python 3\.8"):
        read(CONNECTORS["endoflife"], Origin(str(checkout)), catalogue, TODAY)


def test_a_source_that_does_not_answer_is_unreachable(catalogue, serve):
    with pytest.raises(Unreachable):
        read(CONNECTORS["endoflife"], Origin(serve({"/python.json": 500})), catalogue, TODAY)
    with pytest.raises(Unreachable):
        read(CONNECTORS["endoflife"], Origin("/no/such/folder"), catalogue, TODAY)


def test_an_advisory_source_that_knows_none_is_unreachable_not_zero(catalogue, serve):
    nothing = {"pkg:pypi/django@2.2.0": {}, "pkg:pypi/django": {}}

    with pytest.raises(Unreachable, match="no advisory"):
        read(CONNECTORS["osv"], Origin(serve(nothing)), catalogue, TODAY, frozenset({"django"}))


def test_a_package_that_cannot_be_asked_about_is_unreachable_not_zero(catalogue, serve, folder):
    answers = {
        "pkg:pypi/django@2.2.0": {"vulns": [{"id": "GHSA-1"}]},
        "pkg:pypi/django": {"vulns": [{"id": "GHSA-1"}, {"id": "GHSA-2"}]},
        "pkg:pypi/flask": 503,
    }
    only = frozenset({"django", "flask"})

    found = read(CONNECTORS["osv"], Origin(serve(answers)), catalogue, TODAY, only)

    own = reading.Own(snapshots={"osv": found.document()})
    after = reading.build(reading.read_files(folder), own)
    assert after.facts["django.advisories_known"].value == 2
    flask = after.facts["flask.advisories_known"]
    assert (flask.value, flask.state, flask.shown()) == (None, "unreachable", "unreachable")


def test_versions_and_scores_have_canaries_too(catalogue, serve):
    versions = {
        "/v3/systems/pypi/packages/pip": {"versions": [1]},
        "/v3/systems/pypi/packages/django": {"versions": [1, 2, 3]},
    }
    scores = {
        "/projects/github.com/ossf/scorecard": {"score": 9.1},
        "/projects/github.com/django/django": {"score": 6.2},
    }
    only = frozenset({"django"})

    found = read(CONNECTORS["deps-dev"], Origin(serve(versions)), catalogue, TODAY, only)
    scored = read(CONNECTORS["scorecard"], Origin(serve(scores)), catalogue, TODAY, only)

    assert found.facts["django"]["published_versions"]["value"] == 3
    assert scored.facts["django"]["scorecard"]["value"] == 6.2
    for name in ("deps-dev", "scorecard"):
        with pytest.raises(Unreachable):
            read(CONNECTORS[name], Origin(serve({})), catalogue, TODAY, only)


def test_connectors_to_other_hosts_about_security_are_off_unless_named():
    off = {name for name, row in CONNECTORS.items() if not row.by_default}

    assert off == {"osv", "deps-dev", "scorecard"}


def test_the_landscape_is_read_from_a_file(catalogue, tmp_path):
    item = {"name": "Kubernetes", "project": "graduated", "repo_url": "https://github.com/x/y"}
    flux = {
        "name": "Flux",
        "project": "graduated",
        "repo_url": "https://github.com/fluxcd/flux2",
        "extra": {"accepted": "2019-07-15"},
    }
    path = tmp_path / "landscape.yml"
    rows = [{"subcategories": [{"items": [item, flux]}, {"items": None}]}]
    path.write_text(yaml.safe_dump({"landscape": rows}))

    found = read(CONNECTORS["cncf"], Origin(str(path)), catalogue, TODAY)

    assert found.facts["flux"]["cncf_maturity"]["value"] == "graduated"
    assert found.facts["flux"]["cncf_accepted_date"]["value"] == "2019-07-15"
    path.write_text(path.read_text().replace("name: Kubernetes", "name: Something"))
    with pytest.raises(Unreachable, match="Kubernetes"):
        read(CONNECTORS["cncf"], Origin(str(path)), catalogue, TODAY)


@pytest.mark.parametrize("content", ["landscape: 3", "- [", "{}", "landscape: [{a: 1}]"])
def test_a_landscape_of_another_shape_is_unreachable(catalogue, tmp_path, content):
    path = tmp_path / "landscape.yml"
    path.write_text(content)

    with pytest.raises(Unreachable):
        read(CONNECTORS["cncf"], Origin(str(path)), catalogue, TODAY)


def test_a_list_that_is_too_short_is_unreachable(catalogue, tmp_path):
    (tmp_path / "software").mkdir()

    with pytest.raises(Unreachable, match="at least 500"):
        read(CONNECTORS["selfhosted"], Origin(str(tmp_path)), catalogue, TODAY)


def test_what_pip_reports_becomes_facts():
    said = {
        "pip": {"name": "pip", "version": "26.3"},
        "django": {
            "name": "Django",
            "version": "6.1.3",
            "license_expression": "BSD-3-Clause",
            "requires_python": ">=3.12",
            "requires_dist": ["asgiref", "sqlparse", 'bcrypt; extra == "bcrypt"'],
        },
    }

    facts, canary = packages.read_pypi({"django": "django"}, ["BSD-3-Clause"], said.__getitem__)

    assert {name: fact["value"] for name, fact in facts["django"].items()} == {
        "latest_version": "6.1.3",
        "license": "BSD-3-Clause",
        "requires_python": ">=3.12",
        "direct_runtime_dependencies": 2,
    }
    assert "26.3" in canary
    with pytest.raises(Unreachable):
        packages.read_pypi({}, [], lambda _: {})


def test_what_npm_shows_becomes_facts():
    said = {
        "npm": {"name": "npm", "version": "12"},
        "vue": {
            "version": "3.6.1",
            "license": "MIT",
            "time": {
                "created": "2013-12-07T00:00:00Z",
                "3.6.0": "2026-03-01T00:00:00Z",
                "3.6.1": "2026-11-20T10:00:00Z",
                "3.7.0-beta.1": "2026-11-21T10:00:00Z",
                "3.0.0": "2020-09-18T00:00:00Z",
            },
        },
    }

    facts, _ = packages.read_npm({"vue": "vue"}, ["MIT"], TODAY, said.__getitem__)

    assert facts["vue"]["latest_release_date"]["value"] == "2026-11-20"
    assert facts["vue"]["final_releases_last_12_months"]["value"] == 2
    with pytest.raises(Unreachable):
        packages.read_npm({}, [], TODAY, lambda _: {"name": "npm"})


def test_a_written_snapshot_reads_back_the_same(catalogue, checkout):
    document = read(CONNECTORS["endoflife"], Origin(str(checkout)), catalogue, TODAY).document()

    assert yaml.safe_load(written("endoflife", document)) == document


def test_reading_a_few_anew_leaves_the_others_as_they_were(catalogue, checkout):
    first = read(CONNECTORS["endoflife"], Origin(str(checkout)), catalogue, TODAY).document()
    later = TODAY + dt.timedelta(days=9)

    only = frozenset({"valkey"})
    found = read(CONNECTORS["endoflife"], Origin(str(checkout)), catalogue, later, only)
    document = found.document(before=first, only=only)

    assert document["facts"]["python"]["latest_version"]["as_of"] == TODAY
    assert set(found.facts) == {"valkey"}
    assert set(document["cycles"]) == {"valkey", "python"}
