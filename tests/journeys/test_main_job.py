"""The main job, from a form to a pull request to an evidence pack that verifies."""

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from deploy.journey import Broken, Session
from evidence.models import Entry
from tenants.scope import tenant_scope
from tests.browsing import Visitors, chromium

ROOT = Path(__file__).resolve().parents[2]
VERIFIER = {**os.environ, "PYTHONPATH": str(ROOT / "evidence" / "verifier")}

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def ready(acme, globex, with_repository):
    """Both companies with a repository each."""
    for company in (acme, globex):
        with tenant_scope(company.scope):
            with_repository(company)
    return acme


def _session(company, port, name):
    session = Session(f"http://{company.host}:{port}", name)
    session.sign_in()
    return session


def _wait(read, path, done, what):
    for _ in range(1200):
        found = read(path)
        if done(found):
            return found
        time.sleep(0.1)
    pytest.fail(f"waited two minutes for {what}: {found}")
    return None


def _verify(pack, key):
    said = subprocess.run(
        [sys.executable, "-m", "countersign_verify", str(pack), "--key", str(key), "--json"],
        env=VERIFIER,
        capture_output=True,
        text=True,
        check=False,
    )
    return said.returncode, json.loads(said.stdout)


def test_over_http(ready, globex, portal, tmp_path):
    ada, lin, bo, iris = (_session(ready, portal, n) for n in ("Ada", "Lin", "Bo", "Iris"))
    eve = _session(globex, portal, "Ada")
    request = ada.read("/recommendations/examples")[0]
    request["repository"] = ada.read("/repositories")["items"][0]["id"]

    task = ada.post("/recommendations", request)
    task = _wait(
        ada.read,
        f"/recommendations/{task['id']}",
        lambda found: found["state"] not in {"queued", "in_progress"},
        "the pull request",
    )
    assert task["state"] == "completed", task["reason"]
    proposal = ada.read(f"/proposals/{task['proposal_id']}")
    signature = f"/proposals/{proposal['id']}/countersignature"

    # Who may not, and how it is told.
    with pytest.raises(Broken, match=r"403 .*second person"):
        ada.post(signature, {"digest": proposal["digest"]})
    with pytest.raises(Broken, match="403"):
        bo.post(signature, {"digest": proposal["digest"]})
    with pytest.raises(Broken, match="404"):
        eve.post(signature, {"digest": proposal["digest"]})
    with pytest.raises(Broken, match=r"409 .*changed"):
        lin.post(signature, {"digest": "0" * 64})
    lin.post(signature, {"digest": proposal["digest"], "comment": "read it all"})
    with pytest.raises(Broken, match=r"409 .*already"):
        lin.post(signature, {"digest": proposal["digest"]})

    # The pull request can be cloned from disk, with the files that were countersigned.
    cloned = tmp_path / "clone"
    command = ["git", "clone", "-q", "-b", proposal["branch"], proposal["url"], str(cloned)]
    subprocess.run(command, check=True)
    assert len(list((cloned / "docs" / "adr").glob("*.md"))) >= 14
    bill = json.loads((cloned / "docs" / "stack" / "bom.cdx.json").read_text())
    assert bill["specVersion"] == "1.6"

    with pytest.raises(Broken, match="403"):
        ada.post(f"/proposals/{proposal['id']}/packs", {})
    pack = iris.post(f"/proposals/{proposal['id']}/packs", {})
    pack = _wait(
        iris.read,
        f"/packs/{pack['id']}",
        lambda found: found["state"] in {"ready", "failed"},
        "the pack",
    )
    assert pack["state"] == "ready", pack
    for nobody in (bo, eve):
        with pytest.raises(Broken, match=r"40[34]"):
            nobody.download(f"/packs/{pack['id']}/download")
    archive, key = tmp_path / "pack.zip", tmp_path / "key"
    archive.write_bytes(iris.download(f"/packs/{pack['id']}/download"))
    key.write_text(iris.read("/log/key")["vkey"])

    exit_code, said = _verify(archive, key)
    assert (exit_code, said["verdict"]) == (0, "LOCAL"), said

    # One changed byte in a file of the pull request is found.
    forged = tmp_path / "forged.zip"
    with zipfile.ZipFile(archive) as sound, zipfile.ZipFile(forged, "w") as out:
        for file in sound.infolist():
            content = sound.read(file)
            if file.filename.endswith("rollback.md"):
                content = content.replace(b"e", b"3", 1)
            out.writestr(file, content)
    exit_code, said = _verify(forged, key)
    assert exit_code == 1
    assert "rollback.md" in json.dumps(said)

    # Every refusal of this tenant's people is in its ledger; eve left no trace here.
    with tenant_scope(ready.scope):
        for _ in range(300):
            denied = list(
                Entry.objects.filter(outcome="denied").values_list("action", "actor_name")
            )
            if len(denied) >= 6:
                break
            time.sleep(0.1)
    assert ("proposal.countersign.denied", "Ada") in denied
    assert ("proposal.countersign.denied", "Bo") in denied
    assert ("proposal.countersign.refused", "Lin") in denied
    assert ("pack.export.denied", "Ada") in denied
    assert {name for _, name in denied} == {"Ada", "Bo", "Lin"}


def test_in_a_browser(ready, portal, tmp_path):
    from playwright.sync_api import expect

    address = f"http://{ready.host}:{portal}"

    with chromium() as browser:
        visitors = Visitors(browser, address, "main-job")
        ada = visitors.sign_in("Ada")
        visitors.picture(ada, "home")
        ada.goto(f"{address}/recommendations/new/")
        ada.get_by_text("GitHub-first enterprise portal").first.click()
        expect(ada.get_by_label("Title")).to_have_value("GitHub-first enterprise portal")
        visitors.picture(ada, "form")
        ada.get_by_role("button", name="Ask for the recommendation").click()
        ada.wait_for_url("**/recommendations/*-*/")
        visitors.picture(ada, "running")
        ada.get_by_role("link", name="Read the proposal").click(timeout=90_000)
        ada.wait_for_url("**/proposals/*/")
        expect(ada.get_by_role("button", name="Countersign")).to_have_count(0)
        visitors.picture(ada, "proposal-requester")

        lin = visitors.sign_in("Lin")
        lin.goto(ada.url)
        for tab in ("options", "files", "diff", "checks", "evidence"):
            lin.goto(f"{ada.url}?tab={tab}")
            lin.wait_for_load_state("networkidle")
            visitors.picture(lin, f"proposal-{tab}")
        lin.get_by_label("Comment").fill("Read it all.")
        lin.get_by_role("button", name="Countersign").click()
        expect(lin.get_by_text("Countersigned by")).to_be_visible()
        visitors.picture(lin, "proposal-countersigned")

        iris = visitors.sign_in("Iris")
        iris.goto(f"{ada.url}?tab=evidence")
        iris.get_by_role("button", name="Build evidence pack").click()
        iris.wait_for_url("**/packs/*/")
        with iris.expect_download(timeout=90_000) as download:
            iris.get_by_role("link", name="Download").click(timeout=90_000)
        archive = tmp_path / "pack.zip"
        download.value.save_as(archive)
        visitors.picture(iris, "pack")
        iris.goto(f"{address}/audit/")
        visitors.picture(iris, "audit")

        tomas = visitors.sign_in("Tomas")
        tomas.goto(f"{address}/people/")
        visitors.picture(tomas, "people")

    key = tmp_path / "key"
    key.write_text(_session(ready, portal, "Iris").read("/log/key")["vkey"])
    exit_code, said = _verify(archive, key)
    assert exit_code == 0, said
    assert visitors.complaints == []
