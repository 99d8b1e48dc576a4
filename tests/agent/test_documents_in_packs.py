"""Documents travel in packs; the verifier takes none that a second person did not accept."""

import json
import re
from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest
from django.conf import settings

from agent import dossier, pack_orders
from agent.control_documents import accept_document, add_document, today
from agent.own_frameworks import import_framework
from agent.pack_orders import PackOrder
from agent.places import artifact_store
from evidence import ledger
from evidence.models import ControlDocument, Pack
from evidence.signing import FileKeys
from tests.at_browser import JUST_NOW
from tests.evidence.small_catalogue import small_catalogue
from tests.evidence.verifier_corpus import sealed, unpacked, verified
from tests.portal.standing import sealed as seal_all

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = jsonschema.Draft202012Validator(
    json.loads((ROOT / "schemas" / "evidence-pack.schema.json").read_text())
)
LIST, COVERAGE = "controls/documents.json", "controls/coverage.json"
UPLOADED = b'{"a": 1, "a": 2}'  # no strict reader takes this as JSON


def person(company, name):
    return company.people[name].actor("page", signed_in=JUST_NOW)


def accepted(company, title="Training plan", controls=("ssdf-1.1:PO.2.2",), days=30):
    row = add_document(
        {
            "title": title,
            "owner": "Head of engineering",
            "valid_until": today() + timedelta(days=days),
            "controls": controls,
        },
        UPLOADED,
        "plan.json",
        by=person(company, "tomas"),
    )
    accept_document(row, row.sha256, by=person(company, "iris"))
    return row


def built(company, framework=""):
    keys = FileKeys(settings.KEYS_DIR)
    kind = Pack.Kind.FRAMEWORK if framework else Pack.Kind.PERIOD
    pack = pack_orders.order_pack(PackOrder(kind, framework=framework), by=person(company, "iris"))
    dossier.build(pack.pk, keys)
    pack.refresh_from_db()
    assert pack.state == Pack.State.READY, pack.problem
    return artifact_store().get(pack.tenant_id, pack.sha256)


def row_of(files, control):
    rows = json.loads(files[COVERAGE])["controls"]
    return next(row for row in rows if row["id"] == control)


def test_a_pack_carries_the_document_and_the_verifier_checks_it(in_acme, tmp_path):
    row = accepted(in_acme)
    seal_all()

    content = built(in_acme)

    files = unpacked(content)
    (told,) = json.loads(files[LIST])["documents"]
    assert files[told["path"]] == UPLOADED
    assert (told["sha256"], told["accepted_by"]["name"]) == (row.sha256, "Iris")
    shown = row_of(files, "PO.2.2")
    assert shown["strength"] == "organisational upload"
    assert shown["evidence"][0] == {"file": told["path"]}
    assert {"entry": told["entries"][0]} in shown["evidence"]
    SCHEMA.validate(
        {
            name: json.loads(files[name])
            for name in files
            if name.endswith(".json") and "/files/" not in name
        }
    )
    found = verified(content, tmp_path, keys=[dossier.log_key()])
    assert found.failure is None
    assert any("1 documents, each accepted by a second person" in said for said in _said(found))


def test_a_framework_pack_holds_its_own_documents_and_none_that_do_not_count(in_acme, tmp_path):
    import_framework("house", small_catalogue(), by=person(in_acme, "tomas"))
    accepted(in_acme)
    accepted(in_acme, title="Oil can", controls=["house:X-1"])
    add_document(
        {
            "title": "Waits",
            "owner": "x",
            "valid_until": today(),
            "controls": ["house:Y-1"],
        },
        b"waits",
        "w.txt",
        by=person(in_acme, "tomas"),
    )
    ControlDocument.objects.filter(title="Oil can").update(valid_until=today())

    files = unpacked(content := built(in_acme, framework="house"))

    assert [one["title"] for one in json.loads(files[LIST])["documents"]] == ["Oil can"]
    assert row_of(files, "X-1")["strength"] == "organisational upload"
    assert row_of(files, "Y-1")["strength"] == "none"
    assert verified(content, tmp_path, keys=[dossier.log_key()]).failure is None


def test_a_pack_without_documents_has_no_list_of_them(in_acme):
    assert not [name for name in unpacked(built(in_acme)) if name.startswith("controls/doc")]


def edited(files, name, edit):
    fields = json.loads(files[name])
    edit(fields)
    return files | {name: json.dumps(fields).encode()}


def first(**changes):
    return lambda fields: fields["documents"][0].update(changes)


def without(files, pattern):
    return {name: files[name] for name in files if not re.search(pattern, name)}


def other_bytes(files):
    path = json.loads(files[LIST])["documents"][0]["path"]
    return files | {path: b"a better plan"}


def claim(control, strength, evidence):
    def edit(fields):
        next(row for row in fields["controls"] if row["id"] == control).update(
            strength=strength, evidence=evidence
        )

    return edit


def claimed_for_another(files):
    path = json.loads(files[LIST])["documents"][0]["path"]
    return edited(files, COVERAGE, claim("PO.2.3", "organisational upload", [{"file": path}]))


FORGERIES = {
    "another file in its place": (other_bytes, "not the one that was accepted"),
    "its file taken out": (
        lambda files: without(files, "/files/"),
        "points to file|its file is missing",
    ),
    "a longer life": (
        lambda files: edited(files, LIST, first(valid_until="2099-01-01")),
        "not what the entry with the configuration says",
    ),
    "accepted by somebody else": (
        lambda files: edited(files, LIST, first(accepted_by={"id": "x", "name": "X"})),
        "not what the entry with the configuration says",
    ),
    "another path": (
        lambda files: edited(files, LIST, first(path="controls/coverage.json")),
        "described in another way",
    ),
    "resting on an entry that is no snapshot": (
        lambda files: edited(files, LIST, lambda fields: fields.update(snapshot=0)),
        "which is no snapshot",
    ),
    "resting on an entry that is not there": (
        lambda files: edited(files, LIST, lambda fields: fields.update(snapshot=99_999)),
        "not among the entries",
    ),
    "the list taken out": (
        lambda files: without(files, "documents.json"),
        "a document that the list does not have",
    ),
    "a file beside the list": (
        lambda files: files | {"controls/documents/files/x/y.txt": b"slipped in"},
        "a document that the list does not have",
    ),
    "a control that it is not for": (claimed_for_another, "not what that document is for"),
    "an upload without a document": (
        lambda files: edited(
            files, COVERAGE, claim("PO.2.3", "organisational upload", [{"entry": 0}])
        ),
        "shown by no document",
    ),
    "a document that passes for proof": (
        lambda files: edited(
            files,
            COVERAGE,
            lambda fields: next(row for row in fields["controls"] if row["id"] == "PO.2.2").update(
                strength="proved per PR"
            ),
        ),
        "shown by more than documents",
    ),
}


@pytest.fixture(scope="module")
def made():
    """A good pack with its signer, made by the first of the forgeries."""
    return {}


@pytest.mark.parametrize("name", FORGERIES)
def test_whoever_holds_the_key_still_cannot_forge_a_document(name, made, request, tmp_path):
    if not made:
        company = request.getfixturevalue("in_acme")
        accepted(company)
        made["content"] = built(company)
        made["signer"] = ledger.signer(FileKeys(settings.KEYS_DIR))
    forge, reason = FORGERIES[name]

    found = verified(
        sealed(forge(unpacked(made["content"])), made["signer"]),
        tmp_path,
        keys=[made["signer"].vkey],
    )

    assert found.failure is not None
    assert found.failure.check == "controls"
    assert re.search(reason, found.failure.reason), found.failure.reason


def _said(found):
    return [said for _, said in found.verified]
