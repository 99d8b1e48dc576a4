"""Access reviews travel in packs; the verifier takes none that the entries do not show."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest
from django.conf import settings

from agent import dossier, pack_orders
from agent.pack_orders import PackOrder
from agent.places import artifact_store
from authz import access_reviews
from authz.errors import Conflict
from authz.models import AccessReviewItem
from evidence import ledger
from evidence.models import Pack
from evidence.signing import FileKeys
from tenants.models import User
from tests.at_browser import JUST_NOW
from tests.evidence.verifier_corpus import sealed, unpacked, verified  # isort: split

# The verifier stands alone: the corpus puts it on the path.
from countersign_verify.access_reviews import bound_digest, check_access_reviews
from countersign_verify.entries import Log
from countersign_verify.findings import Findings, Rejected

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = [
    jsonschema.Draft202012Validator(json.loads((ROOT / "schemas" / name).read_text()))
    for name in ("evidence-pack.schema.json", "access-review.schema.json")
]
FILE = "access/reviews.json"


def person(company, name):
    return company.people[name].actor("page", signed_in=JUST_NOW)


def closed(company):
    """A review with one role ended, one kept, the rest waiting."""
    review = access_reviews.start(9, by=person(company, "tomas"))
    bo = review.items.get(user=company.people["bo"])
    access_reviews.answer(bo, False, "left the team", by=person(company, "ada"))
    kept = review.items.get(user=company.people["iris"])
    access_reviews.answer(kept, True, "", by=person(company, "tomas"))
    access_reviews.close(review, "enough", by=person(company, "tomas"))
    return review


def built(company):
    pack = pack_orders.order_pack(PackOrder(Pack.Kind.PERIOD), by=person(company, "iris"))
    dossier.build(pack.pk, FileKeys(settings.KEYS_DIR))
    pack.refresh_from_db()
    assert pack.state == Pack.State.READY, pack.problem
    return artifact_store().get(pack.tenant_id, pack.sha256)


def test_a_pack_carries_what_was_reviewed_in_its_range(in_acme, tmp_path):
    review = closed(in_acme)
    # A name that changed later: the entry binds who it was, not what they are called.
    User.objects.filter(pk=in_acme.people["bo"].pk).update(name="Robert")

    files = unpacked(content := built(in_acme))

    SCHEMAS[0].validate({name: json.loads(files[name]) for name in files if name.endswith(".json")})
    (row,) = json.loads(files[FILE])["reviews"]
    SCHEMAS[1].validate(row["review"])
    assert row["review"]["review"] == str(review.pk)
    said = {item["whose"]: item for item in row["review"]["items"]}
    assert (said["Robert"]["answer"], said["Robert"]["reason"]) == ("ended", "left the team")
    found = verified(content, tmp_path, keys=[dossier.log_key()])
    assert found.failure is None
    assert any("1 access reviews, each as its closing" in what for _, what in found.verified)


def test_a_review_whose_rows_are_gone_is_named_and_left_out(in_acme, tmp_path):
    review = closed(in_acme)
    AccessReviewItem.objects.filter(review=review, answer="ended").update(reason="tampered with")

    files = unpacked(content := built(in_acme))

    (row,) = json.loads(files[FILE])["reviews"]
    assert (row["review"], row["left_out"]) == (None, "no longer as it was closed")
    found = verified(content, tmp_path, keys=[dossier.log_key()])
    assert found.failure is None
    assert any("1 left out" in what for _, what in found.verified)


def test_an_open_review_is_in_no_pack_and_a_closed_one_stays_as_it_is(in_acme, tmp_path):
    review = access_reviews.start(9, by=person(in_acme, "tomas"))
    item = review.items.get(user=in_acme.people["bo"])

    content = built(in_acme)

    assert FILE not in unpacked(content)
    assert verified(content, tmp_path, keys=[dossier.log_key()]).failure is None
    access_reviews.close(review, "enough", by=person(in_acme, "tomas"))
    with pytest.raises(Conflict, match="closed"):
        access_reviews.assign(item, in_acme.people["lin"], by=person(in_acme, "tomas"))


def edited(change):
    """The list with its first review changed."""

    def forge(files):
        told = json.loads(files[FILE])
        change(told["reviews"])
        return files | {FILE: json.dumps(told).encode()}

    return forge


def the_ended(rows):
    return next(item for item in rows[0]["review"]["items"] if item["answer"] == "ended")


FORGERIES = {
    "a changed answer": (
        edited(lambda rows: the_ended(rows).update(answer="confirmed", reason="")),
        "not the one that entry",
    ),
    "another reason": (
        edited(lambda rows: the_ended(rows).update(reason="asked to")),
        "not the one that entry",
    ),
    "a removed answer": (
        edited(lambda rows: rows[0]["review"]["items"].remove(the_ended(rows))),
        "not the one that entry",
    ),
    "somebody else's review": (
        edited(lambda rows: rows[0]["review"].update(review="x")),
        "not the one that entry",
    ),
    "an added review": (
        edited(lambda rows: rows.append({**rows[0], "entry": 0})),
        "does not list the reviews",
    ),
    "the same review twice": (
        edited(lambda rows: rows.append(rows[0])),
        "does not list the reviews",
    ),
    "a review taken out": (
        lambda files: {name: files[name] for name in files if name != FILE},
        "does not list the reviews",
    ),
    "left out for another reason": (
        edited(lambda rows: rows[0].update(review=None, left_out="too long")),
        "neither shown nor left out",
    ),
    "no item at all": (
        edited(lambda rows: rows[0].update(review={"review": rows[0]["review"]["review"]})),
        "not the one that entry",
    ),
}


@pytest.fixture(scope="module")
def made():
    """A good pack with its signer, made by the first of the forgeries."""
    return {}


def _good(made, request):
    if not made:
        company = request.getfixturevalue("in_acme")
        closed(company)
        made["content"] = built(company)
        made["signer"] = ledger.signer(FileKeys(settings.KEYS_DIR))
    return unpacked(made["content"])


@pytest.mark.parametrize("name", FORGERIES)
def test_whoever_holds_the_key_still_cannot_forge_a_review(name, made, request, tmp_path):
    forge, reason = FORGERIES[name]
    files = forge(_good(made, request))

    found = verified(sealed(files, made["signer"]), tmp_path, keys=[made["signer"].vkey])

    assert found.failure is not None
    assert found.failure.check == "completeness"
    assert re.search(reason, found.failure.reason), found.failure.reason


# What a portal could close that does not fit the answers it recorded before.
LIES = {
    "an answer was turned round": ({"answer": "confirmed"}, "was answered otherwise"),
    "another reason": ({"reason": "asked to"}, "was answered otherwise"),
    "another person": ({"answered_by": "x"}, "was answered otherwise"),
    "an answer was made up": (None, "no entry says the answer"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_closing_entry_that_lies_about_answers_is_found(name, in_acme, tmp_path):
    change, reason = LIES[name]
    review = access_reviews.start(9, by=person(in_acme, "tomas"))
    items = AccessReviewItem.objects.filter(review=review, user=in_acme.people["bo"])
    if change:
        access_reviews.answer(items.get(), False, "left", by=person(in_acme, "ada"))
    items.update(**(change or {"answer": "confirmed", "answered_by": "x"}))
    access_reviews.close(review, "enough", by=person(in_acme, "tomas"))

    found = verified(built(in_acme), tmp_path, keys=[dossier.log_key()])

    assert found.failure is not None
    assert found.failure.check == "completeness"
    assert re.search(reason, found.failure.reason), found.failure.reason


def _shown(items, entries):
    """What the verifier makes of a review with these items, over entries said in short."""
    review = {"review": "r", "number": 1, "items": items}
    log = Log()
    for index, (kind, about, facts) in enumerate(entries):
        leaf = {"object": {"type": kind, "id": about}, "actor": {"id": "ada"}}
        facts = {"review": 1, "reason": ""} | facts
        log.access_reviews.append((index, leaf, json.dumps(facts).encode()))
    facts = {"step": "closed", "sha256": bound_digest(review)}
    leaf = {"object": {"type": "accessreview", "id": "r"}, "actor": {"id": "ada"}}
    log.access_reviews.append((99, leaf, json.dumps(facts).encode()))
    told = {"reviews": [{"entry": 99, "review": review, "left_out": ""}]}
    files = SimpleNamespace(members={FILE: None}, read=lambda name: json.dumps(told).encode())
    check_access_reviews(files, log, Findings())


KEPT = {"id": "i", "answer": "confirmed", "reason": "", "answered_by": {"id": "ada"}}
STARTED = ("accessreview", "r", {"step": "started"})
SAID = ("accessreviewitem", "i", {"step": "confirmed"})


def test_an_answer_from_before_the_range_is_taken_and_a_lost_one_is_not():
    _shown([KEPT], [])
    _shown([KEPT], [STARTED, SAID])
    with pytest.raises(Rejected, match="no entry says the answer"):
        _shown([KEPT], [STARTED])
    with pytest.raises(Rejected, match="leaves out the answer of entry 1"):
        _shown([], [STARTED, SAID])
    with pytest.raises(Rejected, match="answered otherwise"):
        _shown([KEPT | {"answer": "waiting"}], [STARTED, SAID])
    # That of another review is none of its business.
    _shown([], [STARTED, ("accessreviewitem", "i", {"step": "confirmed", "review": 2})])
