"""Says yes or no to a head: the rules of c2sp.org/tlog-witness, apart from HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

from countersign_witness.keys import ED25519, PublicKey, WitnessKey
from countersign_witness.memory import Memory, Seen
from countersign_witness.merkle import EMPTY_ROOT, continues
from countersign_witness.notes import Checkpoint, Line, Malformed, Request, parse_request

TEXT, SIZE = "text/plain; charset=utf-8", "text/x.tlog.size"


@dataclass(frozen=True)
class Answer:
    """An HTTP status with what goes with it."""

    status: int
    body: str
    kind: str = TEXT


class Witness:
    """Cosigns heads of the logs it was told of. logs: every key that may sign a log's heads; the
    key's name is the log's origin, and one origin may have several keys, as after a rotation."""

    def __init__(
        self,
        key: WitnessKey,
        logs: Iterable[PublicKey],
        memory: Memory,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.key, self.memory, self._now = key, memory, now
        self.logs: dict[str, list[PublicKey]] = {}
        for log in logs:
            if log.kind != ED25519:
                raise ValueError(f"{log.name} is the key of a witness, not of a log")
            self.logs.setdefault(log.name, []).append(log)

    def add_checkpoint(self, body: bytes) -> Answer:
        """The cosignature, once the head is on disk as the newest one; or why there is none."""
        try:
            asked = parse_request(body)
        except Malformed as fault:
            return Answer(400, f"{fault}\n")
        head = asked.checkpoint
        if head.origin not in self.logs:
            return Answer(404, "this witness does not know that log\n")
        signed = self._signatures_of_log(head)
        if not signed:
            return Answer(403, "the head is not signed by a key of that log\n")
        if asked.old_size > head.size:
            return Answer(400, "the old size is larger than the new one\n")
        with self.memory.deciding(head.origin) as (seen, decided):
            if refusal := _refusal(asked, seen):
                return refusal
            line = self.key.cosign(head.text, int(self._now()))
            note = head.text + "\n" + "".join(one.written for one in signed) + line
            decided.append(Seen(head.size, head.root, note))
        # Only here: what was decided is on disk.
        return Answer(200, line)

    def newest(self, origin_hash: str) -> Answer:
        """The newest head that was cosigned, with the cosignature, for whoever monitors the log."""
        for origin in self.logs:
            if sha256(origin.encode()).hexdigest() == origin_hash:
                seen = self.memory.newest(origin)
                if seen is not None:
                    return Answer(200, seen.note)
        return Answer(404, "no head of that log was cosigned\n")

    def _signatures_of_log(self, head: Checkpoint) -> list[Line]:
        """Those of the log's keys; none at all when one of them does not verify."""
        found = []
        for key in self.logs[head.origin]:
            for line in head.lines:
                if (line.name, line.key_hash) != (key.name, key.key_hash):
                    continue
                if not key.verifies(line.signature, head.text.encode()):
                    return []
                found.append(line)
        return found


def _refusal(asked: Request, seen: Seen | None) -> Answer | None:
    head, seen_size = asked.checkpoint, seen.size if seen else 0
    if asked.old_size != seen_size:
        return Answer(409, f"{seen_size}\n", SIZE)
    if head.size == 0 and head.root != EMPTY_ROOT:
        return Answer(422, "a log without entries has another root\n")
    if seen is None or seen_size == 0:
        return Answer(422, "there is nothing yet to prove\n") if asked.proof else None
    if not continues(seen_size, head.size, seen.root, head.root, asked.proof):
        return Answer(422, "this is not the past that was seen before\n")
    return None
