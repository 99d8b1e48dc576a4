"""Reads the entries of the log one by one, whatever their number."""

from __future__ import annotations

import hmac
import json
import os
import re
from binascii import Error as Base64Error
from binascii import a2b_base64, unhexlify
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from json import JSONDecoder
from operator import lt
from typing import Any

from . import strict_json
from .findings import Rejected
from .merkle import Tree, tree_root

CHECK = "entries"
FILE = "log/entries.jsonl"
LEAF_LIMIT = 65_535  # bytes; a leaf is shorter
LINE_LIMIT = 128 << 20
TIMELINE_LIMIT = 100  # rows that a report prints
BLOCK = 4 << 20  # bytes of lines that are read at once
ONE_BY_ONE = 16 << 10  # bytes of lines that are not parted further for the sake of an odd one
SECOND_PROCESS_FROM = 32 << 20  # bytes of entries; below, starting one costs more than it saves
COMMITMENT = "HMAC-SHA256(salt,SHA-256(payload))"

_FIELDS = frozenset(
    {"v", "id", "ts", "tenant", "actor", "door", "action", "object", "phase", "outcome"}
    | {"policy", "payload", "run", "trace"}
)
_ACTOR = frozenset({"type", "id", "name", "on_behalf_of"})
_OBJECT = frozenset({"type", "id"})
_POLICY = frozenset({"digest", "decision"})
_PAYLOAD = frozenset({"alg", "commitment", "size"})
_ACTOR_TYPES = frozenset({"human", "agent", "robot", "system"})
_DOORS = frozenset({"page", "api", "job", "cli", "scim"})
_PHASES = frozenset({"intent", "decision", "result", "gap", "redaction"})
_OUTCOMES = frozenset({"ok", "denied", "failed"})
_SIGNING = "record.sign"  # its facts name the manifest of a pull request's record
# Entries that name a pull request, and what comes before the dot where access is changed.
_NAMING = frozenset({"proposal.open", "proposal.countersign", "proposal.reject", "proposal.merge"})
# Commits on a default branch that no countersigned proposal accounts for.
_BYPASSED = "branch.bypassed"
_REVIEWING = frozenset({"access_review.run", "access_review.answer"})
_NOTABLE = _NAMING | _REVIEWING | {_SIGNING, _BYPASSED}
_ACCESS = frozenset(
    {"directory", "emergency", "identity", "member", "policy", "project_role", "provider"}
    | {"relation", "role", "service", "token"}
)
_TEXT_OR_NOTHING = frozenset({str, type(None)})
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")

# Any line, for those that the pattern of plain lines does not fit.
_LINE_START = re.compile(rb'\{"index":(0|[1-9][0-9]{0,15}+),"leaf":(?=\{)')
_LINE_END = re.compile(rb',"payload":(?:null,"salt":null|"([^"]*+)","salt":"([0-9a-f]{64})")\}\n')


def _plain_pattern() -> re.Pattern[bytes]:
    """Lines whose leaf is in canonical order: nearly all. Useless where _UNPLAIN bytes are.

    That commitments and salts are hexadecimal is left to be seen, for all of them at once.
    """
    text = '"[^"]*+"'
    maybe = rf"(?:null|{text})"

    def one_of(words: Collection[str]) -> str:
        return '"(?:' + "|".join(sorted(words)) + ')"'

    leaf = (
        rf'\{{"action":({text}),'
        rf'"actor":\{{"id":{text},"name":{text},"on_behalf_of":{maybe},'
        rf'"type":{one_of(_ACTOR_TYPES)}\}},'
        rf'"door":{one_of(_DOORS)},"id":{text},"object":(\{{"id":{text},"type":{text}\}}),'
        rf'"outcome":{one_of(_OUTCOMES)},'
        rf'"payload":(?:null|\{{"alg":"{re.escape(COMMITMENT)}",'
        r'"commitment":"([^"]{64})","size":(0|[1-9][0-9]{0,14}+)\}),'
        rf'"phase":"({"|".join(sorted(_PHASES))})",'
        rf'"policy":(?:null|\{{"decision":{text},"digest":{text}\}}),'
        rf'"run":{maybe},"tenant":({text}),"trace":({maybe}),'
        rf'"ts":"{_TIME.pattern}","v":1\}}'
    )
    head = _LINE_START.pattern.removesuffix(rb"(?=\{)")
    end = _LINE_END.pattern.replace(b"[0-9a-f]{64}", b'[^"]{64}')
    return re.compile(b"(?m)^" + head + b"(" + leaf.encode() + b")" + end)


_PLAIN = _plain_pattern()
# Escapes, what would have to be escaped, and the ends of lines.
_UNPLAIN = bytes(range(32)) + b"\\"
_DECODER = JSONDecoder()
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


Noted = tuple[int, dict[str, Any]]  # an index with its leaf


@dataclass(slots=True)
class Log:
    """What is kept of the entries."""

    indexes: list[int] = field(default_factory=list)
    leaf_hashes: list[bytes] = field(default_factory=list)
    timeline: list[dict[str, Any]] = field(default_factory=list)
    kept: dict[int, tuple[dict[str, Any], bytes | None]] = field(default_factory=dict)
    disclosed: int = 0
    withheld: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    before: Tree = field(default_factory=Tree)  # what the entries continue
    incidents: list[Noted] = field(default_factory=list)  # gaps and erasures
    access: list[Noted] = field(default_factory=list)
    bypasses: list[Noted] = field(default_factory=list)
    proposals: list[Noted] = field(default_factory=list)  # entries that name a pull request
    access_reviews: list[tuple[int, dict[str, Any], bytes | None]] = field(default_factory=list)
    manifests: dict[str, int] = field(default_factory=dict)  # digest of a record's -> its entry
    withheld_records: int = 0
    # By trace: what was begun and not ended here, how many entries ended what began before.
    open_intents: dict[bytes, list[Noted]] = field(default_factory=dict)
    answers: dict[bytes, int] = field(default_factory=dict)

    def extend(self, later: Log) -> None:
        if self.indexes and later.indexes and later.indexes[0] <= self.indexes[-1]:
            raise _out_of_order(later.indexes[0], self.indexes[-1])
        self.indexes += later.indexes
        self.leaf_hashes += later.leaf_hashes
        self.timeline += later.timeline[: TIMELINE_LIMIT - len(self.timeline)]
        self.kept |= later.kept
        self.disclosed += later.disclosed
        self.withheld += later.withheld
        self.phases += later.phases
        self.incidents += later.incidents
        self.access += later.access
        self.bypasses += later.bypasses
        self.proposals += later.proposals
        self.access_reviews += later.access_reviews
        self.manifests |= later.manifests
        self.withheld_records += later.withheld_records
        for about, count in later.answers.items():
            begun = self.open_intents.pop(about, [])
            if count < len(begun):
                self.open_intents[about] = begun[:-count]
            elif count > len(begun):
                self.answers[about] = self.answers.get(about, 0) + count - len(begun)
        for about, begun in later.open_intents.items():
            self.open_intents.setdefault(about, []).extend(begun)

    def root_at(self, size: int) -> bytes | None:
        """Root of the tree over the log's first `size` entries; None when it cannot be told."""
        if not self.before.size <= size <= self.before.size + len(self.leaf_hashes):
            return None
        if self.before.size == 0:
            return tree_root(self.leaf_hashes[:size])
        return self.before.extended(self.leaf_hashes[: size - self.before.size])


def read_entries(
    chunks: Iterator[bytes], tenant: str, wanted: Collection[int], *, size: int
) -> Log:
    """Check every entry by itself: its line, its leaf, its payload against the commitment.

    wanted: indexes whose leaf and payload are kept for later checks. size: bytes in all chunks;
    many are shared with a second process where there is a second core.
    """
    log = Log()
    waiting: deque[Log | Future[Log]] = deque()
    with ExitStack() as stack:
        helper = None
        if size >= SECOND_PROCESS_FROM and _cores() > 1:
            helper = stack.enter_context(ProcessPoolExecutor(max_workers=1))
        rows = TIMELINE_LIMIT
        for block in _blocks(chunks):
            busy = sum(isinstance(part, Future) and not part.done() for part in waiting)
            if helper is not None and busy < 2:
                waiting.append(helper.submit(read_block, block, tenant, wanted, rows))
            else:
                waiting.append(read_block(block, tenant, wanted, rows))
            rows = max(0, rows - block.count(b"\n")) if rows else 0
        for part in waiting:
            log.extend(part.result() if isinstance(part, Future) else part)
    if not log.indexes:
        raise Rejected(CHECK, FILE, "holds no entry")
    return log


def read_block(block: bytes, tenant: str, wanted: Collection[int], rows: int) -> Log:
    """Check whole lines. rows: how many entries to keep for the timeline."""
    lines = _PLAIN.findall(block)
    # Each begins with a line and ends with one: if that is all there is of ends, they are all.
    if lines and _only_ends(block) == len(lines):
        try:
            return _read_plainly(lines, tenant, wanted, rows)
        except _Odd:
            pass  # said below, with the reason and the line
    half = len(block) // 2
    middle = (block.rfind(b"\n", 0, half) + 1) or (block.index(b"\n", half) + 1)
    if len(block) <= ONE_BY_ONE or middle == len(block):
        return _read_one_by_one(block, tenant, wanted, rows)
    # A line with escapes, or a wrong one: the others are still read together.
    log = read_block(block[:middle], tenant, wanted, rows)
    log.extend(read_block(block[middle:], tenant, wanted, rows - len(log.timeline)))
    return log


class _Odd(Exception):
    """Something in these lines is not as it should be."""


def _read_plainly(
    lines: Sequence[tuple[bytes, ...]], tenant: str, wanted: Collection[int], rows: int
) -> Log:
    """Check lines that the pattern fits, each step for all of them at once. Raises _Odd.

    What a line does not have is empty in its row: a salt has 64 digits, and so has a commitment.
    """
    digits, leaves, actions, objects, commitments, sizes, phases, tenants, traces, packed, salts = (
        zip(*lines, strict=True)
    )
    indexes = list(map(int, digits))
    if (
        set(tenants) != {b'"%b"' % tenant.encode()}
        or max(map(len, leaves)) >= LEAF_LIMIT
        or not all(map(lt, indexes, indexes[1:]))
    ):
        raise _Odd
    log = Log(indexes, [sha256(b"\x00" + leaf).digest() for leaf in leaves])
    payloads: list[bytes | None] = [None] * len(lines)
    shown = [at for at, salt in enumerate(salts) if salt]
    columns: Iterable[Sequence[bytes]] = (packed, salts, commitments, sizes)
    if len(shown) < len(lines):
        columns = [[column[at] for at in shown] for column in columns]
        hidden = [
            commitment for commitment, salt in zip(commitments, salts, strict=True) if not salt
        ]
        _unhex(b"".join(hidden))
        log.withheld = len(hidden) - hidden.count(b"")
    for at, payload in zip(shown, _opened(*columns), strict=True):
        payloads[at] = payload
    log.disclosed = len(shown)
    log.phases.update({word.decode(): count for word, count in Counter(phases).items()})
    notable = {action for action in set(actions) if _is_notable(action)}
    for at, (phase, action) in enumerate(zip(phases, actions, strict=True)):
        if phase != b"decision":
            # Both ends of an effect carry one trace.
            place = objects[at] if traces[at] == b"null" else traces[at]
            _note_phase(log, indexes[at], leaves[at], phase, place)
        if action in notable:
            _note_action(log, indexes[at], leaves[at], payloads[at])
    for at in range(min(rows, len(lines))):
        log.timeline.append(_timeline_row(indexes[at], leaf_fields(indexes[at], leaves[at])))
    for index in wanted:
        at = bisect_left(indexes, index)
        if at < len(indexes) and indexes[at] == index:
            log.kept[index] = leaf_fields(index, leaves[at]), payloads[at]
    return log


def _opened(
    packed: Sequence[bytes],
    salts: Sequence[bytes],
    commitments: Sequence[bytes],
    sizes: Sequence[bytes],
) -> list[bytes]:
    """The payloads, each compared with HMAC-SHA256(salt, SHA-256(payload)). Raises _Odd.

    It is spelled out because the library's takes half as long again, a million times over.
    """
    try:
        payloads = [a2b_base64(text, strict_mode=True) for text in packed]
    except Base64Error as fault:
        raise _Odd from fault
    zeros = b"0" * 64
    keys = _unhex(zeros.join((*salts, b"")))  # each filled up to a block
    inner, outer = keys.translate(_INNER), keys.translate(_OUTER)
    committed = [
        sha256(
            outer[at : at + 64] + sha256(inner[at : at + 64] + sha256(payload).digest()).digest()
        ).digest()
        for at, payload in zip(range(0, len(keys), 64), payloads, strict=True)
    ]
    if b"".join(committed).hex().encode() != b"".join(commitments) or list(
        map(len, payloads)
    ) != list(map(int, sizes)):
        raise _Odd
    return payloads


def _unhex(digits: bytes) -> bytes:
    """What lower-case hexadecimal digits stand for. Raises _Odd when they are something else."""
    try:
        value = unhexlify(digits)
    except Base64Error as fault:
        raise _Odd from fault
    if value.hex().encode() != digits:
        raise _Odd
    return value


def _read_one_by_one(block: bytes, tenant: str, wanted: Collection[int], rows: int) -> Log:
    """The same for lines of any kind; Rejected names the line and what is wrong with it."""
    log = Log()
    index, position = -1, 0
    while position < len(block):
        line = _read_line(block, position, tenant, index)
        if line.index <= index:
            raise _out_of_order(line.index, index)
        index, position, fields = line.index, line.end, line.fields
        payload = line.payload()
        log.disclosed += payload is not None
        log.withheld += payload is None and fields["payload"] is not None
        log.leaf_hashes.append(sha256(b"\x00" + line.leaf).digest())
        log.indexes.append(index)
        log.phases[fields["phase"]] += 1
        if fields["phase"] != "decision":
            _note_phase(log, index, line.leaf, fields["phase"].encode(), line.place)
        if _is_notable(_plainly(fields["action"])):
            _note_action(log, index, line.leaf, payload)
        if len(log.timeline) < rows:
            log.timeline.append(_timeline_row(index, fields))
        if index in wanted:
            log.kept[index] = fields, payload
    return log


def _note_phase(log: Log, index: int, leaf: bytes, phase: bytes, place: bytes) -> None:
    if phase == b"intent":
        log.open_intents.setdefault(place, []).append((index, leaf_fields(index, leaf)))
        return
    if phase != b"redaction":
        begun = log.open_intents.get(place)
        if begun is None:
            log.answers[place] = log.answers.get(place, 0) + 1
        else:
            begun.pop()
            if not begun:
                del log.open_intents[place]
    if phase != b"result":
        log.incidents.append((index, leaf_fields(index, leaf)))


def _is_notable(action: bytes) -> bool:
    name = action.decode(errors="replace").strip('"')
    return name in _NOTABLE or name.partition(".")[0] in _ACCESS


def _note_action(log: Log, index: int, leaf: bytes, payload: bytes | None) -> None:
    fields = leaf_fields(index, leaf)
    if fields["action"] == _BYPASSED:
        log.bypasses.append((index, fields))
        if fields["object"]["type"] == "proposal":
            log.proposals.append((index, fields))
        return
    if fields["outcome"] != "ok":
        return
    if fields["action"].partition(".")[0] in _ACCESS:
        log.access.append((index, fields))
    if fields["action"] in _NAMING and fields["object"]["type"] == "proposal":
        log.proposals.append((index, fields))
    if fields["action"] in _REVIEWING:
        log.access_reviews.append((index, fields, payload))
    if fields["action"] == _SIGNING and payload is None:
        log.withheld_records += 1
    if fields["action"] == _SIGNING and payload is not None:
        facts = strict_json.read_object(f"entry {index}", payload)
        if isinstance(manifest := facts.get("manifest_sha256"), str):
            log.manifests[manifest] = index


def _only_ends(block: bytes) -> int:
    """How many bytes are ends of lines or have no place in canonical text; -1 when it is none."""
    if not (block.isascii() or _is_utf8(block)):
        return -1
    return len(block) - len(block.translate(None, _UNPLAIN))


def _blocks(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Whole lines, about 4 MiB at a time."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        if size + len(chunk) >= BLOCK and (end := chunk.rfind(b"\n") + 1):
            yield b"".join((*held, chunk[:end]))
            held, size = [chunk[end:]], len(chunk) - end
        else:
            held.append(chunk)
            size += len(chunk)
        if size > LINE_LIMIT:
            raise Rejected(CHECK, FILE, "a line without end")
    if last := b"".join(held):
        if not last.endswith(b"\n"):
            raise Rejected(CHECK, FILE, "the last line is cut off")
        yield last


def _cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _is_utf8(leaf: bytes) -> bool:
    try:
        leaf.decode()
    except UnicodeDecodeError:
        return False
    return True


def _out_of_order(index: int, previous: int) -> Rejected:
    return Rejected(CHECK, f"entry {index}", f"does not follow entry {previous}")


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of any kind, its leaf read strictly. packed: the payload in base64."""

    index: int
    leaf: bytes
    fields: dict[str, Any]
    packed: bytes | None
    salt: bytes
    end: int

    @property
    def place(self) -> bytes:
        """What both ends of an effect have in common, as plain lines spell it."""
        trace = self.fields["trace"]
        return _plainly(self.fields["object"] if trace is None else trace)

    def payload(self) -> bytes | None:
        """The payload, compared with its commitment; None when there is none here."""
        if self.packed is None:
            return None
        subject, said = f"entry {self.index}", self.fields["payload"]
        if said is None:
            raise Rejected(CHECK, subject, "a payload that its leaf does not name")
        try:
            payload = a2b_base64(self.packed, strict_mode=True)
        except Base64Error as fault:
            raise Rejected(CHECK, subject, f"not base64: {fault}") from fault
        committed = hmac.digest(unhexlify(self.salt), sha256(payload).digest(), "sha256").hex()
        if committed != said["commitment"] or len(payload) != said["size"]:
            raise Rejected(CHECK, subject, "the payload or its salt is not what it commits to")
        return payload


def _read_line(block: bytes, position: int, tenant: str, previous: int) -> _Line:
    """The line that begins there, or the reason why it is none."""
    head = _LINE_START.match(block, position)
    stop = block.index(b"\n", position) + 1
    if head is None:
        raise Rejected(
            CHECK,
            f"line after entry {previous}",
            "malformed: not the four keys as they are spelled",
        )
    index = int(head[1])
    leaf = _leaf_at(index, block[head.end() : stop])
    tail = _LINE_END.fullmatch(block, head.end() + len(leaf), stop)
    if tail is None:
        raise Rejected(CHECK, f"entry {index}", "malformed: its payload or salt")
    if len(leaf) >= LEAF_LIMIT:
        raise Rejected(CHECK, f"entry {index}", f"a leaf of {len(leaf)} bytes")
    fields = leaf_fields(index, leaf)
    if fields["tenant"] != tenant:
        raise Rejected(CHECK, f"entry {index}", f"belongs to another tenant, {fields['tenant']}")
    return _Line(index, leaf, fields, tail[1], tail[2] or b"", tail.end())


def _plainly(value: Any) -> bytes:
    """A part of a leaf as canonical leaves spell it."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def _leaf_at(index: int, rest: bytes) -> bytes:
    """The bytes of the JSON object that `rest` starts with."""
    try:
        text = rest.decode()
        _, end = _DECODER.raw_decode(text)
    except (UnicodeError, ValueError, RecursionError) as fault:
        raise Rejected(CHECK, f"entry {index}", f"its leaf is malformed: {fault}") from fault
    return text[:end].encode()


def leaf_fields(index: int, leaf: bytes) -> dict[str, Any]:
    """The leaf, read strictly; Rejected names the field that is wrong."""
    try:
        fields = strict_json.parsed(leaf.decode())
        _check_fields(fields)
    except (UnicodeError, ValueError, TypeError, RecursionError) as fault:
        raise Rejected(CHECK, f"entry {index}", f"its leaf is malformed: {fault}") from fault
    found: dict[str, Any] = fields
    return found


def _check_fields(fields: Any) -> None:
    """Raises ValueError or TypeError unless this is a leaf of version 1."""
    if type(fields) is not dict or fields.keys() != _FIELDS:
        raise ValueError("other fields than those of a leaf")
    actor, about = fields["actor"], fields["object"]
    policy, payload = fields["policy"], fields["payload"]
    if type(fields["v"]) is not int or fields["v"] != 1:
        raise ValueError("v is not 1")
    if type(actor) is not dict or actor.keys() != _ACTOR or actor["type"] not in _ACTOR_TYPES:
        raise ValueError("actor")
    if type(about) is not dict or about.keys() != _OBJECT:
        raise ValueError("object")
    for name, words in (("door", _DOORS), ("phase", _PHASES), ("outcome", _OUTCOMES)):
        if fields[name] not in words:
            raise ValueError(name)
    if policy is not None and (type(policy) is not dict or policy.keys() != _POLICY):
        raise ValueError("policy")
    texts = [fields["id"], fields["action"], fields["tenant"], fields["ts"], *about.values()]
    texts += [actor["id"], actor["name"], *(policy or {}).values()]
    if not all(type(text) is str for text in texts):
        raise ValueError("a field that should be text is not")
    for value in (actor["on_behalf_of"], fields["run"], fields["trace"]):
        if type(value) not in _TEXT_OR_NOTHING:
            raise ValueError("on_behalf_of, run or trace")
    if not _TIME.fullmatch(fields["ts"]):
        raise ValueError("ts is not a time in UTC to the microsecond")
    if payload is not None and not (
        type(payload) is dict
        and payload.keys() == _PAYLOAD
        and payload["alg"] == COMMITMENT
        and type(payload["size"]) is int
        and re.fullmatch("[0-9a-f]{64}", payload["commitment"])
    ):
        raise ValueError("payload")


def _timeline_row(index: int, fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "index": index,
        "ts": fields["ts"],
        "actor": fields["actor"]["name"],
        "actor_type": fields["actor"]["type"],
        "on_behalf_of": fields["actor"]["on_behalf_of"],
        "door": fields["door"],
        "action": fields["action"],
        "phase": fields["phase"],
        "outcome": fields["outcome"],
    }
