"""Entries are checked thousands at once, with the same outcome as one by one."""

import json
from base64 import b64encode
from collections.abc import Callable
from functools import cache

import pytest

from evidence.leaf import commitment
from tests.evidence import verifier_corpus as corpus
from tests.evidence.verifier_corpus import entries

TENANT = str(corpus.TENANT)
COUNT, ODD = 300, 170


def line(index: int, leaf: bytes, payload: bytes | None, salt: bytes | None) -> bytes:
    packed = b"null" if payload is None else b'"%b"' % b64encode(payload)
    salted = b"null" if salt is None else b'"%b"' % salt.hex().encode()
    return b'{"index":%d,"leaf":%b,"payload":%b,"salt":%b}\n' % (index, leaf, packed, salted)


@cache
def plain() -> tuple[bytes, ...]:
    """Lines of all kinds, with and without payloads, many times over."""
    log = corpus.sample("range").log
    rows = [log[index % len(log)] for index in range(COUNT)]
    return tuple(line(i, row.leaf, row.payload, row.salt) for i, row in enumerate(rows))


def disclosed() -> bytes:
    """A line with a payload in the middle of them, to be changed."""
    leaf = json.loads(corpus.sample("range").log[0].leaf)
    payload, salt = b'{"a":1}', bytes(range(32))
    leaf["payload"] = {
        "alg": entries.COMMITMENT,
        "commitment": commitment(salt, payload),
        "size": len(payload),
    }
    return line(ODD, spelled(leaf), payload, salt)


def spelled(leaf: dict[str, object]) -> bytes:
    return json.dumps(leaf, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def among(odd: bytes) -> bytes:
    return b"".join((*plain()[:ODD], odd, *plain()[ODD + 1 :]))


def escaped() -> bytes:
    leaf = json.loads(corpus.sample("range").log[0].leaf)
    leaf["actor"]["name"] = 'Bo "the \\ builder"'
    return line(ODD, spelled(leaf), None, None)


@pytest.mark.parametrize("odd", [disclosed, escaped])
def test_lines_read_together_say_what_each_says_alone(odd):
    block = among(odd())
    assert len(block) > 4 * entries.ONE_BY_ONE

    together = entries.read_block(block, TENANT, {3, ODD}, 100)

    assert together == entries._read_one_by_one(block, TENANT, {3, ODD}, 100)
    assert together.indexes == list(range(COUNT))
    assert together.disclosed > 40
    assert together.withheld > 0
    assert len(together.timeline) == 100


def test_what_many_blocks_end_is_counted_as_in_one():
    rows = [
        (phase, "t1" if at % 3 else "t2")
        for at, phase in enumerate([*["result", "intent", "intent", "result", "gap"] * 8, "intent"])
    ]
    leaf = json.loads(corpus.sample("range").log[0].leaf) | {"payload": None}
    lines = [
        line(at, spelled(leaf | {"phase": phase, "trace": trace}), None, None)
        for at, (phase, trace) in enumerate(rows)
    ]
    whole = entries.read_block(b"".join(lines), TENANT, (), 0)

    nested = entries.read_block(b"".join(lines[:10]), TENANT, (), 0)
    last = entries.read_block(b"".join(lines[10:25]), TENANT, (), 0)
    last.extend(entries.read_block(b"".join(lines[25:]), TENANT, (), 0))
    nested.extend(last)

    assert nested == whole
    assert whole.answers
    assert whole.open_intents


def test_plain_lines_are_not_read_one_by_one(monkeypatch):
    monkeypatch.setattr(entries, "_read_one_by_one", None)

    assert len(entries.read_block(among(disclosed()), TENANT, (), 0).indexes) == COUNT


def test_one_odd_line_leaves_the_others_together(monkeypatch):
    slowly = []
    read = entries._read_one_by_one
    monkeypatch.setattr(
        entries, "_read_one_by_one", lambda block, *rest: slowly.append(block) or read(block, *rest)
    )

    entries.read_block(among(escaped()), TENANT, (), 0)

    assert [escaped() in block for block in slowly] == [True]
    assert len(slowly[0]) <= entries.ONE_BY_ONE


WRONG: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "another payload": (lambda x: x.replace(b"eyJhIjoxfQ==", b"eyJhIjoyfQ=="), "commits to"),
    "a payload that is no base64": (lambda x: x.replace(b"eyJhIjoxfQ==", b"!!!!"), "not base64"),
    "another salt": (lambda x: x.replace(b"0001020304", b"0001020305"), "commits to"),
    "a salt in capitals": (lambda x: x.replace(b"0a0b0c", b"0A0B0C"), "its payload or salt"),
    "a salt that is no number": (lambda x: x.replace(b"0a0b0c", b"0a0b0x"), "its payload or salt"),
    "another size": (lambda x: x.replace(b'"size":7', b'"size":8'), "commits to"),
    "a payload that no leaf names": (
        lambda x: x[: x.index(b'"payload":{')] + b'"payload":null' + x[x.index(b',"phase"') :],
        "does not name",
    ),
    "a commitment in capitals": (
        lambda x: _withheld(x).replace(b'"commitment":"', b'"commitment":"A')[:-2] + b"\n",
        "malformed",
    ),
    "a withheld commitment that is no number": (
        lambda x: _withheld(x).replace(_commitment(x), b"x" * 64),
        "malformed: payload",
    ),
    "a withheld commitment in capitals": (
        lambda x: _withheld(x).replace(_commitment(x), b"A" * 64),
        "malformed: payload",
    ),
    "another tenant": (lambda x: x.replace(TENANT.encode(), b"somebody"), "another tenant"),
    "an index that was there": (lambda x: x.replace(b":170,", b":169,", 1), "does not follow"),
    "an index of later": (lambda x: x.replace(b":170,", b":172,", 1), "does not follow entry 172"),
    "words before the line": (lambda x: b"x" + x, "not the four keys"),
    "words after the line": (lambda x: x[:-1] + b"x\n", "its payload or salt"),
    "an empty line": (lambda x: x + b"\n", "not the four keys"),
    "a line end in a text": (lambda x: x.replace(b'"name":"', b'"name":"a\n'), "malformed"),
    "a control character": (lambda x: x.replace(b'"name":"', b'"name":"\x01'), "malformed"),
    "bytes that are no UTF-8": (lambda x: x.replace(b'"name":"', b'"name":"\xff'), "malformed"),
    "a leaf that is too long": (
        lambda x: x.replace(b'"name":"', b'"name":"' + b"x" * entries.LEAF_LIMIT),
        "a leaf of",
    ),
}


def _commitment(one: bytes) -> bytes:
    return one.partition(b'"commitment":"')[2][:64]


def _withheld(one: bytes) -> bytes:
    return one[: one.index(b',"payload":"')] + b',"payload":null,"salt":null}\n'


@pytest.mark.parametrize("kind", WRONG)
def test_one_wrong_line_among_many_is_named_with_its_reason(kind):
    change, reason = WRONG[kind]
    odd = change(disclosed())
    assert odd != disclosed()

    with pytest.raises(entries.Rejected, match=reason) as found:
        entries.read_block(among(odd), TENANT, (), 0)

    assert str(found.value) == _said_alone(odd)


def _said_alone(odd: bytes) -> str:
    with pytest.raises(entries.Rejected) as found:
        entries._read_one_by_one(among(odd), TENANT, (), 0)
    return str(found.value)
