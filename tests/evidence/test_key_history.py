"""Which key may sign what: each for its own stretch of the log, and never after its time."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from evidence.dsse import sign_envelope
from evidence.merkle import leaf_hash, tree_root
from evidence.notes import sign_checkpoint
from evidence.pack import PackFault
from tests.evidence import verifier_corpus as corpus
from tests.evidence.verifier_corpus import (
    NEXT_SEED,
    ORIGIN,
    built,
    canonical,
    entry,
    log_key,
    rotated_sample,
    sealed,
    signer_named,
    unpacked,
    verified,
)

OLD, NEW = signer_named(ORIGIN), signer_named(ORIGIN, NEXT_SEED)
BOTH = {OLD.vkey: 0, NEW.vkey: 26}


@pytest.mark.parametrize("coverage", ["selection", "range"])
def test_a_log_that_changed_its_key_verifies_under_the_newest_alone(coverage, tmp_path):
    findings = verified(rotated_sample(coverage).build(), tmp_path, keys=[NEW.vkey])

    assert (findings.verdict, findings.exit_code) == ("LOCAL", 0), findings.failure
    assert any("from entry 26" in what for check, what in findings.verified if check == "keys")


def test_with_both_keys_and_their_indexes_too(tmp_path):
    findings = verified(built("rotated"), tmp_path, keys=[*BOTH], since=BOTH)

    assert (findings.verdict, findings.exit_code) == ("LOCAL", 0), findings.failure


def test_an_old_key_leads_to_the_new_one_but_says_that_it_was_followed(tmp_path):
    findings = verified(built("rotated"), tmp_path, keys=[OLD.vkey])

    assert (findings.verdict, findings.exit_code) == ("LOCAL", 3), findings.failure
    assert "it was followed from" in findings.warnings[0]


def test_a_record_made_under_the_new_key_verifies(tmp_path):
    made = rotated_sample(since=10, recorded_by=NEXT_SEED)

    findings = verified(made.build(), tmp_path, keys=[NEW.vkey])

    assert findings.exit_code == 0, findings.failure


def test_heads_of_the_old_key_are_compared_as_long_as_they_lie_in_its_time(tmp_path):
    hashes = rotated_sample().leaf_hashes
    early = sign_checkpoint(ORIGIN, 20, tree_root(hashes[:20]), OLD).encode()
    late = sign_checkpoint(ORIGIN, 32, tree_root(hashes[:32]), OLD).encode()

    good = verified(built("rotated"), tmp_path, keys=[NEW.vkey], previous=early)
    bad = verified(built("rotated"), tmp_path, keys=[NEW.vkey], previous=late)

    assert good.exit_code == 0, good.failure
    assert bad.failure is not None
    assert bad.failure.check == "consistency"
    assert "was in force" in bad.failure.reason


def _history(edit: Callable[[list[dict[str, Any]]], None], **signing: Any) -> bytes:
    files = unpacked(built("rotated"))
    fields = json.loads(files["keys/history.json"])
    edit(fields["keys"])
    return sealed(files | {"keys/history.json": canonical(fields)}, **({"signer": NEW} | signing))


def _set(part: str, value: Any) -> Callable[[list[dict[str, Any]]], None]:
    def edit(keys: list[dict[str, Any]]) -> None:
        keys[1]["handover"][part] = value(keys[1]["handover"]) if callable(value) else value

    return edit


def _second(part: str, value: Any) -> Callable[[list[dict[str, Any]]], None]:
    return lambda keys: keys[1].update({part: value})


def _stolen_note(signer: Any) -> str:
    hashes = rotated_sample().leaf_hashes
    return sign_checkpoint(ORIGIN, 26, tree_root(hashes[:26]), signer)


def _other_past() -> str:
    hashes = list(rotated_sample().leaf_hashes)
    hashes[3] = leaf_hash(b"another past")
    return sign_checkpoint(ORIGIN, 26, tree_root(hashes[:26]), OLD)


def _head_over(size: int, signer: Any) -> bytes:
    """The rotated pack of the first `size` entries, signed by somebody who keeps quiet."""
    made = rotated_sample("range")
    made.entries = made.log = made.log[:size]
    made.leaf_hashes = made.leaf_hashes[:size]
    made.signer, made.key_terms, made.earlier_sizes = signer, [], ()
    return made.build()


def _whole_head(signer: Any) -> bytes:
    hashes = rotated_sample().leaf_hashes
    return sign_checkpoint(ORIGIN, len(hashes), tree_root(hashes), signer).encode()


def _mixed_record() -> bytes:
    """A pull request's record whose last statement, the one that the log names, is signed anew."""
    files = unpacked(built("rotated"))
    name = f"{corpus.FOLDER}/bundle.intoto.jsonl"
    *rest, last = files[name].splitlines(keepends=True)
    signed_anew = sign_envelope(b64decode(json.loads(last)["payload"]), NEW) + b"\n"
    return sealed(files | {name: b"".join([*rest, signed_anew])}, NEW)


FORGED: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "no keys": (lambda: _history(lambda keys: keys.clear()), "keys", "lists no keys"),
    "not from the beginning": (
        lambda: _history(lambda keys: keys[0].update(valid_from=3)),
        "keys",
        "do not follow each other",
    ),
    "backwards": (lambda: _history(_second("valid_from", 0)), "keys", "do not follow each other"),
    "one index too early": (
        lambda: _history(_second("valid_from", 25)),
        "keys",
        "is not handed over to after 25",
    ),
    "index as text": (lambda: _history(_second("valid_from", "26")), "keys", "has other parts"),
    "index as truth": (lambda: _history(_second("valid_from", True)), "keys", "has other parts"),
    "no handover": (lambda: _history(_second("handover", None)), "keys", "is not handed over to"),
    "empty handover": (lambda: _history(_second("handover", {})), "keys", "other parts than one"),
    "a part too many": (lambda: _history(_second("by", "x")), "keys", "has other parts"),
    "same key twice": (
        lambda: _history(lambda keys: keys[0].update(vkey=NEW.vkey)),
        "keys",
        "is listed twice",
    ),
    "another name": (
        lambda: _history(
            lambda keys: keys[0].update(vkey=signer_named("countersign/globex/x").vkey)
        ),
        "keys",
        "is not a key of this log",
    ),
    "malformed key": (
        lambda: _history(lambda keys: keys[0].update(vkey="x+00000000+AAAA")),
        "keys",
        "not an Ed25519 verifier key",
    ),
    "ends with another key": (
        lambda: _history(lambda keys: keys.pop()),
        "keys",
        "does not end with the key that signed",
    ),
    "handed over by the new key itself": (
        lambda: _history(_set("note", _stolen_note(NEW))),
        "keys",
        "did not sign the handover",
    ),
    "handed over by a stranger": (
        lambda: _history(_set("note", _stolen_note(signer_named(ORIGIN, 9)))),
        "keys",
        "did not sign the handover",
    ),
    "handed over in another past": (
        lambda: _history(_set("note", _other_past())),
        "keys",
        "is not under the head of the handover",
    ),
    "announcement of another entry": (
        lambda: _history(_set("leaf", entry(24, "task.note", object_id="other").leaf.decode())),
        "keys",
        "does not announce it",
    ),
    "announcement of another tenant": (
        lambda: _history(
            _set("leaf", lambda said: said["leaf"].replace("7000-8000-", "7000-9000-"))
        ),
        "keys",
        "does not announce it",
    ),
    "announcement that was refused": (
        lambda: _history(_set("leaf", lambda said: said["leaf"].replace('"ok"', '"denied"'))),
        "keys",
        "does not announce it",
    ),
    "announcement moved": (
        lambda: _history(_set("index", 23)),
        "keys",
        "is not under the head of the handover",
    ),
    "announcement after the handover": (
        lambda: _history(_set("index", 26)),
        "keys",
        "is not announced while",
    ),
    "proof of the announcement cut short": (
        lambda: _history(_set("inclusion", lambda said: said["inclusion"][:-1])),
        "keys",
        "is not under the head of the handover",
    ),
    "proof of consistency changed": (
        lambda: _history(
            _set(
                "consistency",
                lambda said: [*said["consistency"][:-1], b64encode(bytes(32)).decode()],
            )
        ),
        "keys",
        "in another past",
    ),
    "proof with a short hash": (
        lambda: _history(_set("consistency", [b64encode(bytes(31)).decode()])),
        "keys",
        "has not 32 bytes",
    ),
    "proof that is no list": (lambda: _history(_set("inclusion", 7)), "keys", "malformed"),
    "history left out": (
        lambda: sealed(
            {
                name: content
                for name, content in unpacked(built("rotated")).items()
                if name != "keys/history.json"
            },
            signer=NEW,
        ),
        "signature",
        "which is not the pinned one",
    ),
    "pack signed by the key before": (
        lambda: _history(lambda keys: None, signer=OLD),
        "signature",
        "is not the key that signed the pack",
    ),
    "head signed by the key before": (
        lambda: sealed(
            unpacked(built("rotated")) | {"log/checkpoints/end.note": _whole_head(OLD)},
            signer=NEW,
        ),
        "checkpoint",
        "is not signed by",
    ),
    "record signed by the key before, after its time": (
        lambda: rotated_sample(since=10).build(),
        "pull request",
        "which names it, key",
    ),
    "record signed by the key after, before its time": (
        lambda: rotated_sample(since=26, recorded_by=NEXT_SEED).build(),
        "pull request",
        "which names it, key",
    ),
    "record signed by both": (
        _mixed_record,
        "pull request",
        "signed by several keys",
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_history_of_keys_is_rejected_for_its_own_reason(name, tmp_path):
    make, check, reason = FORGED[name]

    findings = verified(make(), tmp_path, keys=[OLD.vkey], since={})

    assert findings.failure is not None
    assert findings.failure.check == check, findings.failure
    assert reason in f"{findings.failure.subject}: {findings.failure.reason}"


def test_a_key_whose_time_is_over_signs_no_pack_for_who_knows_that(tmp_path):
    stolen = _head_over(41, OLD)

    told = verified(stolen, tmp_path, keys=[*BOTH], since={NEW.vkey: 26})
    untold = verified(stolen, tmp_path, keys=[*BOTH])

    assert told.failure is not None
    assert "used a key whose time was over" in told.failure.reason
    assert (untold.verdict, untold.exit_code) == ("LOCAL", 3)
    assert "give the index that it signs from" in untold.warnings[0]


def test_a_pack_from_the_time_of_the_old_key_stays_good(tmp_path):
    findings = verified(_head_over(26, OLD), tmp_path, keys=[*BOTH], since=BOTH)

    assert (findings.verdict, findings.exit_code) == ("LOCAL", 0), findings.failure


def test_a_thief_of_the_old_key_cannot_hand_over_to_a_key_of_their_own(tmp_path):
    theirs = rotated_sample(seed=9).build()

    told = verified(theirs, tmp_path, keys=[*BOTH], since=BOTH)
    newest_only = verified(theirs, tmp_path, keys=[NEW.vkey])

    assert told.failure is not None
    assert told.failure.check == "keys"
    assert newest_only.failure is not None
    assert newest_only.failure.check == "signature"


def test_another_index_than_the_auditor_knows_is_rejected(tmp_path):
    findings = verified(built("rotated"), tmp_path, keys=[*BOTH], since={NEW.vkey: 30})

    assert findings.failure is not None
    assert "from 26 by the pack" in findings.failure.reason


def test_a_head_under_which_the_newest_key_is_not_yet_in_force_makes_no_pack():
    made = rotated_sample()
    made.signer = OLD

    with pytest.raises(PackFault, match="another key than the one in force"):
        made.build()


def test_keys_with_their_indexes_are_read_from_lines_and_from_the_api(tmp_path):
    lines, answer = tmp_path / "keys.txt", tmp_path / "keys.json"
    lines.write_text(f"{OLD.vkey} 0\n{NEW.vkey} 26\n")
    answer.write_text(json.dumps([{"vkey": key, "valid_from": at} for key, at in BOTH.items()]))
    expected = {corpus.parse_key(key): index for key, index in BOTH.items()}

    for given in ([str(lines)], [str(answer)], [f"{key} {at}" for key, at in BOTH.items()]):
        keys, since = corpus.pins_given(given)
        assert (keys, since) == (list(expected), expected)
    assert corpus.pins_given([log_key()]) == ([corpus.parse_key(log_key())], {})


@pytest.mark.parametrize(
    "said",
    [
        f"{OLD.vkey} -1",
        f"{OLD.vkey} x",
        f"{OLD.vkey} 1 2",
        f"{OLD.vkey} 1\n{OLD.vkey} 2",
        '[{"vkey": "x"}]',
        '[{"vkey": 3, "valid_from": 0}]',
        "[1]",
        "[]",
        "[" + json.dumps({"vkey": OLD.vkey, "valid_from": "0"}) + "]",
    ],
)
def test_keys_that_cannot_be_read_are_unusable(said, tmp_path):
    file = tmp_path / "keys"
    file.write_text(said)

    with pytest.raises(corpus.Unusable):
        corpus.pins_given([str(file)])


def test_a_rotated_range_pack_with_a_beginning_needs_the_old_keys_head(tmp_path):
    period = corpus.period_sample()
    assert period.scope.start is not None
    forged = sign_checkpoint(ORIGIN, 16, tree_root(period.leaf_hashes[:16]), NEW)
    period.scope = replace(period.scope, start=replace(period.scope.start, note=forged))

    findings = verified(period.build(), tmp_path, keys=[log_key()])

    assert findings.failure is not None
    assert "is not signed by" in findings.failure.reason
