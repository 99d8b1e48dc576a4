"""Has the log's heads cosigned by witnesses outside, and says which heads are."""

from __future__ import annotations

import http.client
import logging
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone

from evidence import ledger
from evidence.models import Checkpoint, Cosignature
from evidence.notes import NoteFault, verify_note
from evidence.signing import COSIGNATURE, VerifierKey

log = logging.getLogger(__name__)

SECONDS = 10  # for one answer
_ANSWER_LIMIT = 65_536  # bytes

LOCAL, WITNESSED = "LOCAL", "WITNESSED"


class WitnessUnavailable(Exception):
    """A witness does not answer, or not sensibly; asking again later may help."""


class WitnessRefused(Exception):
    """A witness saw another past of this log than the one we have. Somebody has to look at once."""


@dataclass(frozen=True, slots=True)
class Witness:
    """Somebody outside who cosigns heads: the key, and where to ask."""

    key: VerifierKey
    address: str

    @classmethod
    def parse(cls, line: str) -> Witness:
        """Read `<verifier key> <address>`. Raises ValueError for a key that cannot cosign."""
        written, _, address = line.strip().partition(" ")
        key = VerifierKey.parse(written)
        if key.algorithm != COSIGNATURE:
            raise ValueError(f"the key of {key.name} is not a witness's (type 0x04)")
        parts = urlsplit(address.strip())
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"the witness {key.name} needs an address such as https://w1.example")
        return cls(key, address.strip().rstrip("/"))


def witnesses() -> list[Witness]:
    """Whom this installation asks, from WITNESSES."""
    return [Witness.parse(line) for line in settings.WITNESSES]


def cosign_newest(asked: Iterable[Witness] | None = None) -> list[str]:
    """Have the newest head of the pinned tenant's log cosigned by whoever has not yet.

    Returns the names of those who did now. Raises WitnessRefused (after everybody was asked), else
    WitnessUnavailable, when one did not.
    """
    head = Checkpoint.objects.order_by("-size").first()
    if head is None:
        return []
    names: list[str] = []
    troubles: list[Exception] = []
    for witness in witnesses() if asked is None else asked:
        if Cosignature.objects.filter(size=head.size, witness=witness.key.name).exists():
            continue
        try:
            _keep(head, witness, _ask(head, witness))
            names.append(witness.key.name)
        except (WitnessUnavailable, WitnessRefused) as trouble:
            log.error("witness %s: %s", witness.key.name, trouble)
            troubles.append(trouble)
    if troubles:
        raise min(troubles, key=lambda one: isinstance(one, WitnessUnavailable))
    return names


def note_of(head: Checkpoint) -> str:
    """The signed head with every cosignature there is."""
    lines = Cosignature.objects.filter(size=head.size).order_by("witness")
    return head.note + "".join(lines.values_list("line", flat=True))


def who_cosigned(head: Checkpoint) -> list[str]:
    """The witnesses, of those we ask, who cosigned the head."""
    asked = {witness.key.name for witness in witnesses()}
    lines = Cosignature.objects.filter(size=head.size, witness__in=asked)
    return list(lines.order_by("witness").values_list("witness", flat=True))


def state_of(head: Checkpoint) -> str:
    """WITNESSED when the quorum has cosigned the head, else LOCAL."""
    quorum: int = settings.WITNESS_QUORUM
    return WITNESSED if quorum and len(who_cosigned(head)) >= quorum else LOCAL


def _ask(head: Checkpoint, witness: Witness) -> str:
    """The witness's line. It may have seen more than we have kept: then it says how much."""
    last = Cosignature.objects.filter(witness=witness.key.name).order_by("-size").first()
    old_size = last.size if last else 0
    for _ in range(2):
        if old_size > head.size:
            raise WitnessRefused(
                f"it has cosigned {old_size} entries of a log that has {head.size}"
            )
        status, body = _post(witness, _request(head, old_size))
        match status:
            case 200:
                return body
            case 409:
                old_size = _size_of(body)
            case 422:
                raise WitnessRefused(f"of {old_size} entries: {body.strip()}")
            case _:
                raise WitnessUnavailable(f"it answered {status}: {body.strip()[:200]}")
    raise WitnessUnavailable("it changed its mind about what it saw last")


def _request(head: Checkpoint, old_size: int) -> bytes:
    proof = ledger.consistency(old_size, head) if old_size else []
    lines = [f"old {old_size}", *(b64encode(hashed).decode() for hashed in proof)]
    return ("\n".join(lines) + "\n\n" + head.note).encode()


def _size_of(body: str) -> int:
    written = body.removesuffix("\n")
    if not written.isdecimal() or len(written) > 19:
        raise WitnessUnavailable("it did not say which size it saw last")
    return int(written)


def _post(witness: Witness, body: bytes) -> tuple[int, str]:
    parts = urlsplit(witness.address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=SECONDS)
    try:
        connection.request("POST", f"{parts.path}/add-checkpoint", body)
        answer = connection.getresponse()
        return answer.status, answer.read(_ANSWER_LIMIT).decode()
    except (OSError, http.client.HTTPException, UnicodeDecodeError) as fault:
        raise WitnessUnavailable(f"{witness.address}: {type(fault).__name__}: {fault}") from fault
    finally:
        connection.close()


def _keep(head: Checkpoint, witness: Witness, answered: str) -> None:
    """Store the witness's own line, once it is seen to verify; whatever else it sent is dropped."""
    try:
        note, _ = verify_note(head.note + answered, [witness.key])
    except NoteFault as fault:
        raise WitnessUnavailable(f"what it signed does not verify: {fault}") from fault
    mine = (witness.key.name, witness.key.key_hash)
    (at, *_) = [i for i, s in enumerate(note.signatures) if (s.name, s.key_hash) == mine]
    line = (head.note + answered).split("\n\n")[-1].splitlines(keepends=True)[at]
    Cosignature.objects.get_or_create(
        size=head.size,
        witness=witness.key.name,
        defaults={"line": line, "received_at": timezone.now()},
    )
