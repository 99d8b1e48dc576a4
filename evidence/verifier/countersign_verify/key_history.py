"""Which key signed for which stretch of the log, and how that is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from . import entries, notes, strict_json
from .container import Container
from .findings import Findings, Rejected
from .keys import LOG, VerifierKey, parse_key
from .merkle import is_consistent, root_from_proof
from .notes import Checkpoint

CHECK = "keys"
FILE = "keys/history.json"
ANNOUNCING = "log_key.rotate"
_TERM = frozenset({"vkey", "valid_from", "handover"})
_HANDOVER = frozenset({"index", "leaf", "inclusion", "note", "consistency"})


@dataclass(frozen=True, slots=True)
class Term:
    """A key with the index of the first entry that it signs for."""

    key: VerifierKey
    since: int
    handover: Mapping[str, Any] | None = None  # how the key before it named it


@dataclass(frozen=True, slots=True)
class History:
    """The keys of one log, oldest first. Claims until check_history() has seen their proofs."""

    terms: Sequence[Term] = field(default_factory=tuple)

    @property
    def origin(self) -> str:
        return self.terms[-1].key.name

    @property
    def keys(self) -> list[VerifierKey]:
        return [term.key for term in self.terms]

    def of_entry(self, index: int) -> VerifierKey:
        """The key in force for what the log says at `index`."""
        return [term.key for term in self.terms if term.since <= index][-1]

    def of_head(self, size: int) -> VerifierKey:
        """The key that signs the head over `size` entries: that of the last of them."""
        return self.of_entry(max(0, size - 1))

    def require_head(self, check: str, subject: str, head: Checkpoint) -> None:
        """Rejected unless the key in force signed this head of this log."""
        if head.origin != self.origin:
            raise Rejected(check, subject, f"is the head of another log, {head.origin}")
        key = self.of_head(head.size)
        if notes.signers(check, subject, head, [key]):
            return
        for other in notes.signers(check, subject, head, self.keys):
            raise Rejected(
                check,
                subject,
                f"is signed by key {other.key_id}; over {head.size} entries key {key.key_id} "
                "was in force",
            )
        raise Rejected(check, subject, f"is not signed by {key.name}")


def read_history(files: Container, own: VerifierKey) -> History:
    """What the pack claims. Without the file, its own key has signed from the beginning."""
    if FILE not in files.members:
        return History([Term(own, 0)])
    rows = strict_json.read_object(FILE, files.read(FILE)).get("keys")
    if not isinstance(rows, list) or not rows:
        raise Rejected(CHECK, FILE, "lists no keys")
    terms: list[Term] = []
    for row in rows:
        if not isinstance(row, dict) or row.keys() != _TERM or type(row["valid_from"]) is not int:
            raise Rejected(CHECK, FILE, "a key has other parts than vkey, valid_from and handover")
        try:
            key = parse_key(row["vkey"])
        except (ValueError, AttributeError) as fault:
            raise Rejected(CHECK, FILE, str(fault)) from fault
        if key.kind != LOG or key.name != own.name:
            raise Rejected(CHECK, FILE, f"{key.name} is not a key of this log")
        if row["valid_from"] <= terms[-1].since if terms else row["valid_from"] != 0:
            raise Rejected(CHECK, FILE, "its keys do not follow each other from 0 on")
        if (row["handover"] is None) != (not terms):
            raise Rejected(CHECK, FILE, f"key {key.key_id} is not handed over to")
        if key in [term.key for term in terms]:
            raise Rejected(CHECK, FILE, f"key {key.key_id} is listed twice")
        terms.append(Term(key, row["valid_from"], row["handover"]))
    if terms[-1].key != own:
        raise Rejected(CHECK, FILE, "does not end with the key that signed the pack")
    return History(terms)


def check_history(history: History, tenant: str, head: Checkpoint, findings: Findings) -> None:
    """Each key was announced by an entry under a head that the key before it signed, and that head
    is a beginning of the pack's."""
    if history.terms[-1].since >= head.size and head.size:
        raise Rejected(
            CHECK,
            f"{FILE}, key {history.keys[-1].key_id}",
            f"signs from entry {history.terms[-1].since} on, yet signed a head over {head.size}",
        )
    for before, term in zip(history.terms, history.terms[1:], strict=False):
        try:
            _check_handover(before, term, tenant, head)
        except (KeyError, TypeError, AttributeError, ValueError) as fault:
            raise Rejected(CHECK, FILE, f"malformed at {fault}") from fault
    said = ", ".join(f"{term.key.key_id} from entry {term.since}" for term in history.terms)
    findings.saw(CHECK, f"in force: {said}")


def _check_handover(before: Term, term: Term, tenant: str, head: Checkpoint) -> None:
    given = term.handover
    subject = f"{FILE}, key {term.key.key_id}"
    if not isinstance(given, dict) or given.keys() != _HANDOVER:
        raise Rejected(CHECK, subject, "its handover has other parts than one")
    last = notes.read_checkpoint(CHECK, subject, given["note"].encode())
    if (last.origin, last.size) != (term.key.name, term.since):
        raise Rejected(CHECK, subject, f"is not handed over to after {term.since} entries")
    if not notes.signers(CHECK, subject, last, [before.key]):
        raise Rejected(CHECK, subject, f"key {before.key.key_id} did not sign the handover")
    index, leaf = given["index"], given["leaf"].encode()
    if type(index) is not int or not before.since <= index < term.since:
        raise Rejected(CHECK, subject, "is not announced while the key before it was in force")
    said = entries.leaf_fields(index, leaf)
    material = str(term.key).removeprefix(f"{term.key.name}+")
    announced = said["action"], said["outcome"], said["object"], said["tenant"]
    if announced != (ANNOUNCING, "ok", {"type": "logkey", "id": material}, tenant):
        raise Rejected(CHECK, subject, f"entry {index} does not announce it")
    path = notes.hashes(CHECK, subject, given["inclusion"])
    if root_from_proof(index, last.size, sha256(b"\x00" + leaf).digest(), path) != last.root:
        raise Rejected(CHECK, subject, f"entry {index} is not under the head of the handover")
    path = notes.hashes(CHECK, subject, given["consistency"])
    if not is_consistent(last.size, head.size, last.root, head.root, path):
        raise Rejected(CHECK, subject, "was handed over to in another past of this log")


def check_pins(
    history: History,
    pinned: Sequence[VerifierKey],
    since: Mapping[VerifierKey, int],
    head: Checkpoint,
    findings: Findings,
) -> None:
    """Compare the pack's keys with those that the auditor brought along.

    since: from which index on a pinned key signs, where the auditor knows that.
    """
    terms = {term.key: term.since for term in history.terms}
    for key in dict.fromkeys(pinned):
        if key.name != history.origin:
            continue
        if key in terms:
            if since.get(key, terms[key]) != terms[key]:
                raise Rejected(
                    CHECK,
                    f"key {key.key_id}",
                    f"signs from entry {since[key]} on as you know, from {terms[key]} by the pack",
                )
        elif since.get(key, head.size) < head.size:
            raise Rejected(
                CHECK,
                f"key {key.key_id}",
                f"signs from entry {since[key]} on as you know, but the pack leaves it out: "
                "whoever made it used a key whose time was over",
            )
        elif key not in since:
            findings.warnings.append(
                f"key {key.key_id} is yours and not in this pack; give the index that it signs "
                "from, or the pack could hide that its own key's time was over"
            )
    if pinned and history.keys[-1] not in pinned:
        known = [key for key in history.keys if key in pinned]
        findings.warnings.append(
            f"key {history.keys[-1].key_id} is not yours; it was followed from {known[-1].key_id}, "
            "which signed its announcement: ask for it by another way and pin it"
        )
