"""The witness as a process of its own: it remembers, and refuses a second past."""

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.test import override_settings

from evidence import jobs, ledger, witnessing
from evidence.merkle import EMPTY_ROOT, consistency_proof, leaf_hash, tree_root
from evidence.models import Checkpoint, Cosignature
from evidence.notes import Checkpoint as Head
from evidence.notes import sign_checkpoint, sign_note, verify_note
from evidence.signing import COSIGNATURE, FileKeys, KeySigner, VerifierKey
from tenants.actor import system_actor
from tenants.scope import tenant_scope

ROOT = Path(__file__).parents[2]
NAME, LOG = "witness.example/w1", "countersign/acme/7"
HASHES = [leaf_hash(n.to_bytes(2)) for n in range(40)]
# The same beginning, then another past.
REWRITTEN = [*HASHES[:5], leaf_hash(b"something else"), *HASHES[6:]]


class Process:
    """A running countersign-witness."""

    def __init__(self, home, logs):
        self.home, self.logs = home, logs
        home.mkdir(exist_ok=True)
        (home / "logs.vkeys").write_text("# logs\n" + "\n".join(logs) + "\n")
        if not (home / "witness.pem").exists():
            made = self._command("key", "--home", str(home), "--name", NAME)
            self.vkey = subprocess.run(made, env=_environment(), check=True, capture_output=True)
            self.vkey = self.vkey.stdout.decode().strip()
        self.start()

    def _command(self, *arguments):
        return [sys.executable, "-m", "countersign_witness", *arguments]

    def start(self, before="", port=0):
        command = self._command("serve", "--home", str(self.home), "--name", NAME)
        command += ["--logs", str(self.home / "logs.vkeys"), "--port", str(port)]
        if before:
            script = f"{before}\nimport sys\nfrom countersign_witness.cli import main\n"
            script += "sys.exit(main(sys.argv[1:]))"
            command = [sys.executable, "-c", script, *command[3:]]
        self.process = subprocess.Popen(
            command, env=_environment(), stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline().strip() == self.vkey
        self.port = int(re.search(r":(\d+)$", self.process.stdout.readline().strip()).group(1))

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(10)
        self.process.stdout.close()
        return code

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers["Content-Type"]
        finally:
            connection.close()

    def add(self, old, hashes, size, signer, proof=None):
        if proof is None:
            proof = consistency_proof(old, hashes[:size]) if old else []
        note = sign_checkpoint(LOG, size, tree_root(hashes[:size]), signer)
        return self.ask("POST", "/add-checkpoint", _request(old, proof, note))


def _environment():
    return {**os.environ, "PYTHONPATH": str(ROOT / "evidence" / "witness")}


def _request(old, proof, note):
    lines = [f"old {old}", *(b64encode(one).decode() for one in proof)]
    return ("\n".join(lines) + "\n\n" + note).encode()


@pytest.fixture
def signer():
    return KeySigner(LOG, Ed25519PrivateKey.generate())


@pytest.fixture
def witness(tmp_path, signer):
    process = Process(tmp_path / "witness", [signer.vkey])
    yield process
    if process.process.poll() is None:
        process.end()


def test_a_head_that_continues_the_last_one_is_cosigned_for_everybody_to_verify(witness, signer):
    before = int(time.time())
    status, first, _ = witness.add(0, HASHES, 7, signer)
    again, line, kind = witness.add(7, HASHES, 40, signer)

    assert (status, again, kind) == (200, 200, "text/plain; charset=utf-8")
    key = VerifierKey.parse(witness.vkey)
    assert key.algorithm == COSIGNATURE
    note = sign_checkpoint(LOG, 40, tree_root(HASHES), signer) + line
    read, signed_by = verify_note(note, [key])
    assert signed_by == [key]
    (mine,) = [one for one in read.signatures if one.name == NAME]
    assert before <= int.from_bytes(mine.signature[:8]) <= int(time.time())
    assert first != line
    # Whoever monitors the log sees the same head with both signatures.
    address = f"/{sha256(LOG.encode()).hexdigest()}/checkpoint"
    assert witness.ask("GET", address)[:2] == (200, note)


def test_another_past_is_refused_and_the_first_one_stays(witness, signer):
    witness.add(0, HASHES, 10, signer)

    honest_proof = consistency_proof(10, HASHES)
    for proof in (honest_proof, consistency_proof(10, REWRITTEN), []):
        assert witness.add(10, REWRITTEN, 40, signer, proof)[0] == 422
    assert witness.add(10, REWRITTEN, 10, signer, [])[0] == 422
    assert witness.add(0, REWRITTEN, 40, signer)[:3] == (409, "10\n", "text/x.tlog.size")
    assert witness.add(10, HASHES, 9, signer, [])[0] == 400  # a log does not shrink

    assert witness.add(10, HASHES, 40, signer)[0] == 200


def test_only_a_key_of_the_log_is_believed(witness, signer):
    other = KeySigner(LOG, Ed25519PrivateKey.generate())
    elsewhere = KeySigner("countersign/globex/8", Ed25519PrivateKey.generate())
    note = sign_checkpoint(elsewhere.name, 3, tree_root(HASHES[:3]), elsewhere)
    forged = sign_checkpoint(LOG, 3, tree_root(HASHES[:3]), signer)
    forged = forged.replace(b64encode(tree_root(HASHES[:3])).decode(), "A" * 43 + "=")

    assert witness.add(0, HASHES, 3, other)[0] == 403
    assert witness.ask("POST", "/add-checkpoint", _request(0, [], note))[0] == 404
    assert witness.ask("POST", "/add-checkpoint", _request(0, [], forged))[0] == 403


def test_a_stranger_s_signature_beside_the_log_s_is_ignored(witness, signer):
    other = KeySigner("somebody.example", Ed25519PrivateKey.generate())
    body = Head(LOG, 3, tree_root(HASHES[:3])).body
    note = sign_note(body, other, signer)

    status, line, _ = witness.ask("POST", "/add-checkpoint", _request(0, [], note))

    assert (status, line.count("\n")) == (200, 1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0\n",
        b"old 01\n\nx\n3\nAAAA\n\n\xe2\x80\x94 x AAAA\n",
        b"old -1\n\n",
        b"\xff\xfe",
        b"old 0\n" + b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n" * 64 + b"\nx\n1\n\n\n",
        b"old 0\nnot base64!\n\nx\n1\nAAAA\n\n\xe2\x80\x94 x AAAA\n",
    ],
)
def test_a_malformed_request_is_told_so(witness, body):
    assert witness.ask("POST", "/add-checkpoint", body)[0] == 400


def test_an_empty_log_has_one_root_and_a_proof_from_nothing_is_no_proof(witness, signer):
    wrong = sign_checkpoint(LOG, 0, bytes(32), signer)
    right = sign_checkpoint(LOG, 0, EMPTY_ROOT, signer)

    assert witness.ask("POST", "/add-checkpoint", _request(0, [], wrong))[0] == 422
    assert witness.add(0, HASHES, 5, signer, [bytes(32)])[0] == 422
    assert witness.ask("POST", "/add-checkpoint", _request(0, [], right))[0] == 200
    assert witness.add(0, HASHES, 5, signer)[0] == 200


def test_too_much_is_not_read_and_other_addresses_are_not_there(witness):
    assert witness.ask("POST", "/add-checkpoint", b"x" * 70_000)[0] == 413
    assert witness.ask("POST", "/elsewhere", b"x")[0] == 404
    assert witness.ask("GET", "/add-checkpoint")[0] == 404
    assert witness.ask("GET", f"/{'0' * 64}/checkpoint")[0] == 404


def test_what_was_seen_is_remembered_when_it_is_started_again(witness, signer):
    witness.add(0, HASHES, 10, signer)

    assert witness.end() == 0
    witness.start()

    assert witness.add(0, REWRITTEN, 40, signer)[:2] == (409, "10\n")
    assert witness.add(10, HASHES, 40, signer)[0] == 200


DIE_BEFORE_ANSWERING = """
import os
from countersign_witness import witness
class Dies(witness.Answer):
    def __init__(self, status, *rest):
        if status == 200:
            os.kill(os.getpid(), 9)
        super().__init__(status, *rest)
witness.Answer = Dies
"""
DIE_BEFORE_PERSISTING = """
import os
from countersign_witness import witness
witness.Seen = lambda *_: os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(
    ("script", "remembered"), [(DIE_BEFORE_ANSWERING, 40), (DIE_BEFORE_PERSISTING, 10)]
)
def test_killed_around_the_moment_it_persists_it_never_cosigns_two_pasts(
    witness, signer, script, remembered
):
    witness.add(0, HASHES, 10, signer)
    witness.end()
    witness.start(before=script)

    with pytest.raises((http.client.HTTPException, ConnectionError)):
        witness.add(10, HASHES, 40, signer)
    assert witness.process.wait(10) == -9
    witness.process.stdout.close()
    witness.start()

    # It remembers what it may have cosigned, answered or not, and cosigns that again when asked.
    assert witness.add(0, REWRITTEN, 40, signer)[:2] == (409, f"{remembered}\n")
    assert witness.add(remembered, REWRITTEN, 40, signer)[0] == 422
    assert witness.add(remembered, HASHES, 40, signer)[0] == 200


def test_many_at_once_are_decided_one_after_the_other(witness, signer):
    witness.add(0, HASHES, 1, signer)
    answers = []

    def submit(size):
        answers.append((size, witness.add(1, HASHES, size, signer)[0]))

    threads = [threading.Thread(target=submit, args=(size,)) for size in range(2, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    won = [size for size, status in answers if status == 200]
    assert len(won) == 1
    assert {status for size, status in answers if size not in won} == {409}


# The portal's side -------------------------------------------------------------------------------


@pytest.fixture
def sealed(acme, tmp_path):
    """acme with a sealed log, and a witness that knows it; gives (keys, witness, grow)."""
    keys = FileKeys(tmp_path / "keys")

    def grow(count=3):
        for number in range(count):
            by = system_actor("test", "cli")
            ledger.record("test.note", by=by, on=acme.project, facts={"number": number})
        return ledger.seal(keys)

    with tenant_scope(acme.scope):
        grow()
        vkey = ledger.signer(keys).vkey
    witness = Process(tmp_path / "witness", [vkey])
    with override_settings(
        WITNESSES=[f"{witness.vkey} http://127.0.0.1:{witness.port}"], WITNESS_QUORUM=1
    ):
        with tenant_scope(acme.scope):
            yield keys, witness, grow
    if witness.process.poll() is None:
        witness.end()


def test_a_head_is_local_until_the_quorum_has_cosigned_it(sealed):
    _, witness, _grow = sealed
    head = Checkpoint.objects.get()
    assert witnessing.state_of(head) == "LOCAL"

    assert witnessing.cosign_newest() == [NAME]
    assert witnessing.cosign_newest() == []

    assert witnessing.state_of(head) == "WITNESSED"
    _, signed_by = verify_note(witnessing.note_of(head), [VerifierKey.parse(witness.vkey)])
    assert [key.name for key in signed_by] == [NAME]
    with override_settings(WITNESS_QUORUM=2):
        assert witnessing.state_of(head) == "LOCAL"
    with override_settings(WITNESSES=[]):
        assert witnessing.state_of(head) == "LOCAL"


def test_each_new_head_is_proved_to_continue_the_one_before(sealed):
    _, _witness, grow = sealed
    for _ in range(3):
        witnessing.cosign_newest()
        grow(5)

    assert witnessing.cosign_newest() == [NAME]
    assert Cosignature.objects.count() == 4


def test_what_a_witness_saw_and_we_did_not_hear_of_is_asked_again(sealed):
    _, witness, grow = sealed
    witnessing.cosign_newest()
    head = grow()
    request = witnessing._request(head, Cosignature.objects.get().size)
    assert witness.ask("POST", "/add-checkpoint", request)[0] == 200  # and the answer got lost

    assert witnessing.cosign_newest() == [NAME]
    grow()
    assert witnessing.cosign_newest() == [NAME]


def test_a_pack_waits_for_the_quorum_and_goes_without_it_in_the_end(sealed, monkeypatch):
    _, witness, grow = sealed
    monkeypatch.setattr(jobs.cosign, "delay", witnessing.cosign_newest)
    first = Checkpoint.objects.get()

    assert NAME in jobs.cosigned_note(first)
    monkeypatch.setattr(jobs.cosign, "delay", lambda: None)  # nobody asks the witness

    assert jobs.cosigned_note(grow(), seconds=0.3).count("\N{EM DASH}") == 1
    assert witness.process.poll() is None


def test_a_witness_that_is_away_can_be_asked_later(sealed):
    _, witness, _grow = sealed
    witness.end()

    with pytest.raises(witnessing.WitnessUnavailable):
        witnessing.cosign_newest()
    witness.start(port=witness.port)

    assert witnessing.cosign_newest() == [NAME]


def test_a_rewritten_log_is_refused_although_its_key_signed_it(sealed, monkeypatch):
    keys, _, grow = sealed
    witnessing.cosign_newest()
    head = grow()
    signer, origin = ledger.signer(keys), ledger.signer(keys).name
    head.note = sign_checkpoint(origin, head.size, tree_root(HASHES[: head.size]), signer)

    with pytest.raises(witnessing.WitnessRefused, match="not the past"):
        witnessing._ask(head, witnessing.witnesses()[0])


def test_a_truncated_log_is_refused(sealed, monkeypatch):
    _, _, grow = sealed
    grow(8)
    witnessing.cosign_newest()
    shorter = Checkpoint.objects.order_by("size").first()

    with pytest.raises(witnessing.WitnessRefused, match="of a log that has"):
        witnessing._ask(shorter, witnessing.witnesses()[0])
    with monkeypatch.context() as forgetful:  # as if our own record of it were gone too
        forgetful.setattr(
            witnessing.Cosignature.objects, "filter", lambda **_: Cosignature.objects.none()
        )
        with pytest.raises(witnessing.WitnessRefused, match="of a log that has"):
            witnessing._ask(shorter, witnessing.witnesses()[0])


def test_a_line_that_the_witness_did_not_sign_is_not_kept(sealed, monkeypatch):
    key = VerifierKey.parse(sealed[1].vkey)
    blob = b64encode(key.key_hash + int(time.time()).to_bytes(8) + bytes(64)).decode()
    monkeypatch.setattr(witnessing, "_post", lambda *_: (200, f"\N{EM DASH} {NAME} {blob}\n"))

    with pytest.raises(witnessing.WitnessUnavailable, match="does not verify"):
        witnessing.cosign_newest()
    assert Cosignature.objects.count() == 0


@pytest.mark.parametrize(
    "line",
    [
        "nonsense http://127.0.0.1",
        f"{KeySigner(NAME, Ed25519PrivateKey.from_private_bytes(bytes(32))).vkey} http://x.example",
    ],
)
def test_a_witness_that_cannot_be_one_is_refused_by_name(line):
    with pytest.raises(ValueError, match=r"key hash|witness's"):
        witnessing.Witness.parse(line)
