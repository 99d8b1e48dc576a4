"""Signed notes of a log: checkpoints, cosignatures, proof files (C2SP)."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable
from dataclasses import dataclass

from evidence.merkle import HASH_BYTES
from evidence.signing import COSIGNATURE, Signer, VerifierKey

PROOF_HEADER = "c2sp.org/tlog-proof@v1"
MAX_SIGNATURES = 16
_MARK = "\N{EM DASH} "
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


class NoteFault(ValueError):
    """A note, checkpoint or proof file is malformed, or not signed by a key we were given."""


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: who, which key, and the bytes."""

    name: str
    key_hash: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends in a newline, with the signatures found under it."""

    text: str
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log: its name, how many entries it has, the root over them."""

    origin: str
    size: int
    root: bytes

    @property
    def body(self) -> str:
        """The text that is signed (c2sp.org/tlog-checkpoint)."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """A proof file: where an entry stands in the log, and the hashes up to a signed root."""

    index: int
    hashes: tuple[bytes, ...]  # 32 bytes each, the leaf's sibling first
    checkpoint_note: str
    extra: bytes | None = None  # not authenticated by anything


def parse_note(note: str | bytes) -> Note:
    """Split a note into its text and its signatures (c2sp.org/signed-note). Verifies nothing."""
    whole = _decoded(note)
    text, blank_line, block = whole.rpartition("\n\n")
    if not blank_line or not block.endswith("\n") or not text:
        raise NoteFault("a note is a text, an empty line, then signature lines")
    lines = block[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteFault(f"a note with more than {MAX_SIGNATURES} signatures is refused")
    return Note(text + "\n", tuple(_signature_line(line) for line in lines))


def sign_note(text: str, *signers: Signer) -> str:
    """The whole note: `text`, an empty line, one signature line per signer."""
    if not text.endswith("\n") or _decoded(text) != text:
        raise NoteFault("the text of a note ends with a newline")
    lines = [
        _written(signer.name, _key(signer).key_hash + signer.sign(text.encode()))
        for signer in signers
    ]
    return text + "\n" + "".join(lines)


def cosign(note: str, witness: Signer, *, at: int) -> str:
    """The note with one more line: the witness saw this head at `at`, in seconds since 1970."""
    message = _cosigned(at, parse_note(note).text)
    key = VerifierKey(witness.name, _key(witness).public_key, COSIGNATURE)
    return note + _written(witness.name, key.key_hash + at.to_bytes(8) + witness.sign(message))


def verify_note(note: str | bytes, keys: Iterable[VerifierKey]) -> tuple[Note, list[VerifierKey]]:
    """The note and those of `keys` that signed it, at least one.

    Lines of other keys are ignored, as the format demands. Raises NoteFault when none of the
    keys signed, or when the line of one of them does not verify.
    """
    parsed = parse_note(note)
    signed_by: list[VerifierKey] = []
    for key in keys:
        lines = [
            line
            for line in parsed.signatures
            if (line.name, line.key_hash) == (key.name, key.key_hash)
        ]
        for line in lines:
            if not _line_verifies(line, key, parsed.text):
                raise NoteFault(f"the signature of {key.name} does not fit the text")
        if lines:
            signed_by.append(key)
    if not signed_by:
        raise NoteFault("the note is not signed by any of the keys given")
    return parsed, signed_by


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint. Lines beyond the third are refused: we never write any."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not lines[0]:
        raise NoteFault("a checkpoint is three lines: origin, size, root")
    origin, size, encoded = lines[:3]
    if not _DECIMAL.fullmatch(size):
        raise NoteFault(f"{size!r} is not a tree size")
    root = _base64(encoded)
    if len(root) != HASH_BYTES:
        raise NoteFault("a root has 32 bytes")
    return Checkpoint(origin, int(size), root)


def sign_checkpoint(origin: str, size: int, root: bytes, signer: Signer) -> str:
    """The head of a log as a signed note. The signer's name must be the log's origin."""
    if signer.name != origin:
        raise NoteFault(f"{signer.name} may not sign the head of {origin}")
    return sign_note(Checkpoint(origin, size, root).body, signer)


def verify_checkpoint(note: str | bytes, log_key: VerifierKey) -> Checkpoint:
    """The checkpoint in the note, once `log_key` is seen to have signed it under its own origin."""
    parsed, _ = verify_note(note, [log_key])
    checkpoint = parse_checkpoint(parsed.text)
    if checkpoint.origin != log_key.name:
        raise NoteFault(f"{log_key.name} signed a head of another log, {checkpoint.origin}")
    return checkpoint


def write_proof(proof: InclusionProof) -> str:
    """The proof as a `.tlog-proof` file (c2sp.org/tlog-proof)."""
    lines = [PROOF_HEADER]
    if proof.extra is not None:
        lines.append(f"extra {b64encode(proof.extra).decode()}")
    lines.append(f"index {proof.index}")
    lines.extend(b64encode(sibling).decode() for sibling in proof.hashes)
    return "\n".join(lines) + "\n\n" + proof.checkpoint_note


def parse_proof(text: str | bytes) -> InclusionProof:
    """Read a `.tlog-proof` file. Verifies nothing."""
    head, blank_line, note = _decoded(text).partition("\n\n")
    lines = head.split("\n")
    if not blank_line or lines.pop(0) != PROOF_HEADER:
        raise NoteFault(f"a proof file opens with {PROOF_HEADER}")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = _base64(lines.pop(0).removeprefix("extra "))
    if not lines or not lines[0].startswith("index "):
        raise NoteFault("a proof file names the index of its entry")
    index = lines.pop(0).removeprefix("index ")
    if not _DECIMAL.fullmatch(index):
        raise NoteFault(f"{index!r} is not an index")
    hashes = tuple(_base64(line) for line in lines)
    if any(len(sibling) != HASH_BYTES for sibling in hashes):
        raise NoteFault("every hash of a proof has 32 bytes")
    return InclusionProof(int(index), hashes, note, extra)


def _decoded(note: str | bytes) -> str:
    try:
        text = note.decode() if isinstance(note, bytes) else note
        text.encode()
    except UnicodeError as fault:
        raise NoteFault("a note is UTF-8") from fault
    if any(letter < " " and letter != "\n" for letter in text):
        raise NoteFault("a note holds no control characters")
    return text


def _key(signer: Signer) -> VerifierKey:
    return VerifierKey.parse(signer.vkey)


def _written(name: str, blob: bytes) -> str:
    return f"{_MARK}{name} {b64encode(blob).decode()}\n"


def _signature_line(line: str) -> NoteSignature:
    name, space, encoded = line.removeprefix(_MARK).partition(" ")
    if not line.startswith(_MARK) or not space or not name or "+" in name:
        raise NoteFault(f"{line!r} is not a signature line")
    blob = _base64(encoded)
    if len(blob) < 5:
        raise NoteFault(f"the signature of {name} is too short")
    return NoteSignature(name, blob[:4], blob[4:])


def _line_verifies(line: NoteSignature, key: VerifierKey, text: str) -> bool:
    if key.algorithm != COSIGNATURE:
        return key.verifies(line.signature, text.encode())
    moment, signature = line.signature[:8], line.signature[8:]
    return key.verifies(signature, _cosigned(int.from_bytes(moment), text))


def _cosigned(at: int, text: str) -> bytes:
    """The message of a cosignature/v1 over a checkpoint (c2sp.org/tlog-cosignature)."""
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def _base64(encoded: str) -> bytes:
    """Decode, refusing every spelling but the one an encoder writes."""
    try:
        blob = b64decode(encoded, validate=True)
    except (ValueError, Base64Error) as fault:
        raise NoteFault(f"{encoded!r} is not base64") from fault
    if b64encode(blob).decode() != encoded:
        raise NoteFault(f"{encoded!r} is not the usual spelling of its bytes")
    return blob
