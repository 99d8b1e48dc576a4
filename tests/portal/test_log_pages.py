"""How the log grew, who witnesses it, how long facts are kept, the way from entry to root."""

import base64
import re
from datetime import timedelta
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.utils import timezone

from authz import log_keys, retention
from evidence import history, ledger
from evidence.merkle import Frontier, inclusion_proof, leaf_hash, tree_root
from evidence.models import Checkpoint, Cosignature, Retention
from evidence.signing import FileKeys
from portal.pages.log_pictures import steps_to_root
from tenants.actor import system_actor
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW
from tests.portal.standing import sealed


def more(company, count=1):
    for _ in range(count):
        ledger.record(
            "session.open",
            by=company.people["bo"].actor("page", signed_in=JUST_NOW),
            on=company.people["bo"],
        )
    return sealed()


@pytest.fixture
def witness(settings):
    """A witness that is asked and a quorum of one; nobody answers at its address."""
    public = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    body = b"\x04" + public
    number = sha256(b"w1.example\n" + body).digest()[:4].hex()
    vkey = f"w1.example+{number}+{base64.b64encode(body).decode()}"
    settings.WITNESSES = [f"{vkey} https://w1.invalid"]
    settings.WITNESS_QUORUM = 1
    return "w1.example"


def cosigned(head, name):
    Cosignature.objects.create(
        size=head.size, witness=name, line="— x\n", received_at=timezone.now()
    )


def test_the_picture_shows_cosigned_heads_and_those_that_are_not(acme, sign_in, witness):
    with tenant_scope(acme.scope):
        cosigned(sealed(), witness)
        more(acme)

    page = sign_in(acme, "iris").get("/audit/heads/").content.decode()

    assert page.count('<circle class="cosigned" cx="6') == 1  # the legend's
    assert len(re.findall(r'<circle class="cosigned" cx="\d+\.\d', page)) == 1
    assert len(re.findall(r'<circle class="alone" cx="\d+\.\d', page)) == 1
    assert "2 signed heads, 1 of them cosigned by the quorum" in page
    assert page.count("Witnessed") == 1
    assert page.count("> Local") == 1


def test_a_change_of_key_and_a_gap_are_marked(acme, sign_in):
    by = system_actor("operator", "cli")
    with tenant_scope(acme.scope):
        sealed()
        log_keys.rotate(FileKeys(settings.KEYS_DIR), "yearly", by=by)
        ledger.record("pack.build", by=by, on=acme.project, phase="gap", outcome="failed")
        more(acme)

    page = sign_in(acme, "iris").get("/audit/heads/").content.decode()

    assert 'class="mark-key"><title>another key signs from entry' in page
    assert 'class="mark-gap"><title>gap, entry' in page
    assert "nobody knows what came of it" in page


def test_a_log_with_many_heads_is_drawn_in_some_steps(in_acme, monkeypatch):
    monkeypatch.setattr(history, "POINTS", 3)
    now = timezone.now()
    for size in range(1, 21):
        Checkpoint.objects.create(
            size=size, root=b"", note="", signed_at=now + timedelta(minutes=size)
        )

    points = history.points([], 0)

    assert len(points) <= 4
    assert sum(point.heads for point in points) == 20
    assert points[-1].size == 20
    assert [point.size for point in points] == sorted(point.size for point in points)


def test_the_way_to_the_root_names_the_halves_that_the_proof_is_made_of():
    leaves = [leaf_hash(b"%d" % number) for number in range(11)]
    for index in range(11):
        proof = inclusion_proof(index, leaves)
        steps = steps_to_root(index, 11, proof)
        assert len(steps) == len(proof)
        for step, hashed in zip(steps, proof, strict=True):
            assert step.hashed == hashed.hex()
            assert tree_root(leaves[step.first : step.last + 1]) == hashed
        assert (steps[-1].gives_first, steps[-1].gives_last) == (0, 10)
    frontier = Frontier()
    frontier.extend(leaves)
    assert frontier.root() == tree_root(leaves)


def test_an_entry_shows_its_way_up_the_tree_in_words_and_as_a_picture(acme, sign_in):
    with tenant_scope(acme.scope):
        size = sealed().size

    page = sign_in(acme, "iris").get("/audit/1/").content.decode()

    assert "the hash of entry 0, which stand before it, gives the hash of entries 0 to 1" in page
    assert f">entries 0 to {size - 1}" in page or f"0 to {size - 1}<" in page
    assert "Entry 1 and" in page


def test_witnesses_stand_with_their_last_cosignature(acme, sign_in, witness):
    iris = sign_in(acme, "iris")
    with tenant_scope(acme.scope):
        head = sealed()
    before = iris.get("/audit/keeping/").content.decode()
    with tenant_scope(acme.scope):
        cosigned(head, witness)

    after = iris.get("/audit/keeping/").content.decode()

    assert "waits for cosignatures" in before
    assert "Never" in before
    assert "has the cosignatures it needs" in after
    assert "Never" not in after
    assert "1 of 1 have to cosign" in after


def test_without_witnesses_the_page_says_what_that_means(acme, sign_in):
    with tenant_scope(acme.scope):
        sealed()

    assert (
        "could rewrite it unseen" in sign_in(acme, "iris").get("/audit/keeping/").content.decode()
    )


def test_a_tenant_admin_says_how_long_facts_are_kept(acme, sign_in, entries):
    tomas = sign_in(acme, "tomas")

    answer = tomas.post("/audit/keeping/", {"days": "400", "reason": "contract"}, follow=True)

    assert "<strong>400 days</strong>" in answer.content.decode()
    with tenant_scope(acme.scope):
        assert retention.days_kept() == 400
    assert entries(acme)[-1] == ("retention.change", "ok")


@pytest.mark.parametrize(
    ("days", "reason", "said"),
    [
        ("89", "short", "it must be 90 at least"),
        ("soon", "x", "expected a number of days"),
        ("400", " ", "say why in a sentence"),
    ],
)
def test_less_than_ninety_days_are_refused_and_nothing_changes(acme, sign_in, days, reason, said):
    answer = sign_in(acme, "tomas").post("/audit/keeping/", {"days": days, "reason": reason})

    assert answer.status_code == 422
    assert said in answer.content.decode()
    with tenant_scope(acme.scope):
        assert not Retention.objects.exists()


@pytest.mark.parametrize("name", ["iris", "bo"])
def test_nobody_else_changes_how_long_facts_are_kept(acme, sign_in, name):
    answer = sign_in(acme, name).post("/audit/keeping/", {"days": "400", "reason": "x"})

    assert answer.status_code == 403
    with tenant_scope(acme.scope):
        assert not Retention.objects.exists()
