"""Sources are read anew; a source whose canary fails is unreachable, never zero."""

import datetime as dt
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from agent.recommender import reading
from agent.recommender.additions import Own
from agent.recommender.refresh import CONNECTORS, Origin, Unreachable, compare, packages, read
from agent.recommender.refresh.reading import Reading, written

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
    after = reading.build(files, Own(snapshots={"endoflife": found.document()}))
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

    own = Own(snapshots={"osv": found.document()})
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

    told = packages.read_pypi({"django": "django"}, ["BSD-3-Clause"], said.__getitem__)

    assert {name: fact["value"] for name, fact in told.facts["django"].items()} == {
        "latest_version": "6.1.3",
        "license": "BSD-3-Clause",
        "requires_python": ">=3.12",
        "direct_runtime_dependencies": 2,
    }
    assert "26.3" in told.canary
    with pytest.raises(Unreachable):
        packages.read_pypi({}, [], lambda _: {})


def test_what_npm_shows_becomes_facts():
    said = {
        "npm": {"name": "npm", "version": "12"},
        "vue": {
            "version": "3.6.1",
            "license": "MIT",
            "dependencies": {"@vue/shared": "3.6.1"},
            "time": {
                "created": "2013-12-07T00:00:00Z",
                "3.6.0": "2026-03-01T00:00:00Z",
                "3.6.1": "2026-11-20T10:00:00Z",
                "3.7.0-beta.1": "2026-11-21T10:00:00Z",
                "3.0.0": "2020-09-18T00:00:00Z",
            },
        },
    }

    vue = packages.read_npm({"vue": "vue"}, ["MIT"], TODAY, said.__getitem__).facts["vue"]

    assert vue["latest_release_date"]["value"] == "2026-11-20"
    assert vue["final_releases_last_12_months"]["value"] == 2
    assert vue["direct_runtime_dependencies"]["value"] == 1
    with pytest.raises(Unreachable):
        packages.read_npm({}, [], TODAY, lambda _: {"name": "npm"})


PIP_ON_AN_OLD_PYTHON = """#!{python}
import json, sys
# As pip 23.2 on Python 3.11 answers: --python-version chooses the wheels, and yet the release is
# held against the Python that pip runs on, unless it is told not to.
version, requires = ("6.1.3", ">=3.12") if "--ignore-requires-python" in sys.argv else (
    "5.2.19", ">=3.10")
name = sys.argv[-1]
if name == "broken":
    sys.exit("ERROR: No matching distribution found for broken")
metadata = {{"name": name, "version": version, "requires_python": requires,
            "classifier": ["License :: OSI Approved :: BSD License"]}}
print(json.dumps({{"install": [{{"metadata": metadata}}]}}))
"""


def test_the_newest_release_is_told_whatever_python_pip_runs_on(tmp_path, monkeypatch):
    client = tmp_path / "pip"
    client.write_text(PIP_ON_AN_OLD_PYTHON.format(python=sys.executable))
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    told = packages.read_pypi({"django": "django", "flask": "broken"}, ["BSD-3-Clause"])

    assert told.facts["django"]["latest_version"]["value"] == "6.1.3"
    # "BSD License" does not say which one, so no licence is claimed.
    assert "license" not in told.facts["django"]
    assert "No matching distribution" in told.unanswered["flask"]


@pytest.mark.parametrize("known", ["6.1.3", "6.1.3rc1", "not a version"])
def test_an_older_release_than_the_one_known_is_not_believed(known):
    said = {"pip": {"name": "pip", "version": "26.3"}, "django": {"version": "5.2.19"}}

    told = packages.read_pypi({"django": "django"}, [], said.__getitem__, {"django": known})

    assert ("django" in told.unanswered) == (known != "not a version")
    assert ("django" in told.facts) == (known == "not a version")


def test_a_version_far_beyond_the_one_known_wants_a_look_first():
    said = {"pip": {"name": "pip", "version": "26.3"}, "thing": {"version": "1000.0.0"}}

    told = packages.read_pypi({"thing": "thing"}, [], said.__getitem__, {"thing": "0.87.0"})

    assert told.facts == {}
    assert "far beyond 0.87.0" in told.unanswered["thing"]


def test_a_number_published_by_mistake_is_not_the_newest_release():
    said = {
        "npm": {"name": "npm", "version": "12"},
        "react-native": {
            "version": "1000.0.0",
            "time": {
                "created": "2015-03-01T00:00:00Z",
                "1000.0.0": "2024-12-13T00:00:00Z",
                "0.88.1": "2026-10-27T14:43:35Z",
                "0.89.0-rc.0": "2026-11-04T11:05:06Z",
            },
        },
    }

    told = packages.read_npm({"react-native": "react-native"}, [], TODAY, said.__getitem__)

    assert told.facts == {}
    assert "0.88.1 came out on 2026-10-27" in told.unanswered["react-native"]


def test_days_on_which_a_mirror_copied_releases_are_not_days_of_publication():
    said = {
        "npm": {"name": "npm", "version": "12"},
        "recoil": {
            "version": "0.7.7",
            "time": {"0.7.7": "2024-12-07", "0.7.0": "2026-01-03", "0.1.0": "2026-08-17"},
        },
    }

    told = packages.read_npm({"recoil": "recoil"}, [], TODAY, said.__getitem__)

    assert told.facts["recoil"]["latest_version"]["value"] == "0.7.7"
    assert set(told.facts["recoil"]) == {"latest_version", "direct_runtime_dependencies"}


def test_what_got_no_answer_keeps_its_facts_and_their_day():
    def reading_of(facts, day, **more):
        return Reading("pypi", "index", day, day, "canary", facts, **more)

    first = reading_of(
        {
            "django": {"latest_version": {"value": "6.1"}, "latest_release_date": {"value": "d"}},
            "flask": {"latest_version": {"value": "3.1"}, "license": {"value": "MIT"}},
            "celery": {"latest_version": {"value": "5.5"}, "license": {"value": "MIT"}},
        },
        TODAY,
    ).document()
    later = TODAY + dt.timedelta(days=9)
    anew = {
        "flask": {"latest_version": {"value": "3.1"}},
        "celery": {"latest_version": {"value": "5.6"}},
    }

    facts = reading_of(anew, later, unanswered={"django": "gone"}).document(before=first)["facts"]

    assert facts["django"]["latest_version"]["as_of"] == TODAY
    # The same release still has the licence it was told to have; a newer one may have another.
    assert facts["flask"]["license"]["as_of"] == TODAY
    assert "as_of" not in facts["flask"]["latest_version"]
    assert "license" not in facts["celery"]


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
