"""The verifier judges the proof of a repair again, and believes no word of it."""

import json
from copy import deepcopy
from hashlib import sha256

import pytest
from verifier_corpus import VERIFIER  # puts the verifier on the path

from evidence.records import RED_GREEN, RecordFault, red_green_claim
from tests.agent.proofs import proof_of, run_of

assert VERIFIER.exists()
from countersign_verify.findings import NUMBER, Rejected  # noqa: E402  # on the path by now
from countersign_verify.red_green import CHECK, STATEMENT, check_red_green  # noqa: E402

FOLDER = "prs/shop-1/"
FIXED = b"total = 0\n"
DECLARED = {"shop.py": {"path": "shop.py", "sha256": sha256(FIXED).hexdigest()}}
TEST = "tests/test_shop.py::test_total"


class Pack:
    """The two things that are asked of a pack."""

    def __init__(self, members):
        self.members = members

    def read(self, name):
        return self.members[name]


def checked(proof, signed=None, declared=DECLARED, times=1):
    content = json.dumps(proof).encode()
    claim = red_green_claim(json.dumps(signed or proof).encode())
    said = [{"predicateType": claim.predicate_type, "predicate": claim.predicate}] * times
    return check_red_green(Pack({f"{FOLDER}red-green.json": content}), FOLDER, declared, said)


@pytest.fixture
def proof():
    return deepcopy(proof_of({"shop.py": sha256(FIXED).hexdigest()}))


def test_a_proof_that_holds_is_counted(proof):
    assert RED_GREEN == STATEMENT
    assert CHECK in NUMBER  # or the verdict could not be printed
    assert checked(proof)
    assert not check_red_green(Pack({}), FOLDER, DECLARED, [])


def test_what_is_no_proof_cannot_be_signed():
    with pytest.raises(RecordFault, match="cannot be read"):
        red_green_claim(b'{"format": "x"}')


FORGED = {
    "a green run that failed": (
        lambda p: p["green"]["runs"].__setitem__(1, run_of([TEST], "failed")),
        "were not green with the change",
    ),
    "two red runs": (lambda p: p["red"]["runs"].pop(), "red in the same way each time"),
    "red for another reason once": (
        lambda p: p["red"]["runs"].__setitem__(2, run_of([TEST], "failed", "KeyError")),
        "red in the same way each time",
    ),
    "green on the base already": (
        lambda p: p["red"].__setitem__("runs", [run_of([TEST], "passed")] * 3),
        "red in the same way each time",
    ),
    "still green when taken back": (
        lambda p: p["reverted"].__setitem__("runs", [run_of([TEST], "passed")]),
        "not red again without the change",
    ),
    "a test lost in the suite": (
        lambda p: p["baseline"]["runs"][0]["passed"].append("tests/test_b.py::test_2"),
        "passed before does not pass now",
    ),
    "green on another tree": (
        lambda p: p["green"].__setitem__("tree_sha256", "0" * 64),
        "the run called green does not count",
    ),
    "a run with a problem": (
        lambda p: p["suite"].__setitem__("problem", "they took too long"),
        "the run called suite does not count",
    ),
    "another sandbox": (
        lambda p: p["red"].__setitem__("tier", "bubblewrap"),
        "not all runs were in the same sandbox",
    ),
    "nothing changed": (
        lambda p: (
            p["trees"].__setitem__("patched", "a" * 64),
            p["green"].__setitem__("tree_sha256", "a" * 64),
            p["suite"].__setitem__("tree_sha256", "a" * 64),
        ),
        "nothing was changed between red and green",
    ),
    "no tests": (lambda p: p.__setitem__("tests", []), "names no test"),
    "another file": (
        lambda p: p["patch"]["files"]["shop.py"].__setitem__("after", "0" * 64),
        "about other files than the pull request: shop.py",
    ),
    "a file too many": (
        lambda p: p["written"].__setitem__("tests/test_new.py", "0" * 64),
        "about other files than the pull request: tests/test_new.py",
    ),
    "half of it": (lambda p: p["green"].pop("runs"), "malformed"),
}


@pytest.mark.parametrize("how", FORGED)
def test_a_proof_that_does_not_hold_is_rejected_though_it_is_signed(proof, how):
    genuine = deepcopy(proof)
    change, reason = FORGED[how]
    change(proof)
    content = json.dumps(proof).encode()
    claim = red_green_claim(json.dumps(genuine).encode())
    signed = {**claim.predicate, "proof": {"digest": {"sha256": sha256(content).hexdigest()}}}
    said = [{"predicateType": RED_GREEN, "predicate": signed}]

    with pytest.raises(Rejected, match=reason):
        check_red_green(Pack({f"{FOLDER}red-green.json": content}), FOLDER, DECLARED, said)


def test_a_proof_that_was_changed_after_signing_is_rejected(proof):
    genuine = deepcopy(proof)
    proof["red"]["runs"][0]["seconds"] = 9

    with pytest.raises(Rejected, match="not the proof that was signed"):
        checked(proof, signed=genuine)


def test_proof_and_statement_belong_together(proof):
    claim = red_green_claim(json.dumps(proof).encode())
    said = [{"predicateType": RED_GREEN, "predicate": claim.predicate}]

    with pytest.raises(Rejected, match="belong together"):
        check_red_green(Pack({}), FOLDER, DECLARED, said)
    with pytest.raises(Rejected, match="belong together"):
        checked(proof, times=2)
    with pytest.raises(Rejected, match="belong together"):
        checked(proof, times=0)
