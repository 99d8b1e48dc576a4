"""What every place for signing keys has to promise; a new adapter runs the same tests.

Derive a class from KeysContract, whose name begins with Test, and give it two fixtures: `keys`, an
adapter onto a store that knows none of the tenants below, and `reopened`, a second adapter onto
the same store, made as another process would make it. A place that cannot sign messages of every
length says so in `limits`, and by its signers' `longest`.
"""

from uuid import uuid4

import pytest

from authz import log_keys
from evidence import ledger
from evidence.dsse import Subject, open_envelope, sign_envelope, statement
from evidence.models import Checkpoint
from evidence.notes import verify_checkpoint
from evidence.recount import recount
from evidence.signing import KeyExists, KeyFault, KeyLost, VerifierKey
from tenants.actor import system_actor

ORIGIN = "countersign/acme/x"


class KeysContract:
    """Tests of the protocol evidence.signing.Keys."""

    # How many bytes at least and at most a message may have, where the place sets limits.
    limits: tuple[int, int] | None = None

    @pytest.mark.parametrize("message", [b"", b"a head\n", bytes(4096), bytes(range(256)) * 300])
    def test_a_signature_is_plain_ed25519_by_the_verifier_key(self, keys, message):
        made = keys.create(uuid4(), ORIGIN)
        key = VerifierKey.parse(made.vkey)
        if self.limits and not self.limits[0] <= len(message) <= self.limits[1]:
            with pytest.raises(KeyFault, match=rf"{len(message):,}\b.*nothing was signed"):
                made.sign(message)
            return

        signature = made.sign(message)

        assert made.longest == (self.limits and self.limits[1])
        assert made.name == key.name == ORIGIN
        assert len(signature) == 64
        assert key.verifies(signature, message)
        assert not key.verifies(signature, message + b".")
        assert made.sign(message) == signature  # RFC 8032: the same each time

    @pytest.mark.parametrize("length", [10, 4096, 70_000])
    def test_a_statement_of_any_length_is_signed(self, keys, length):
        made = keys.create(uuid4(), ORIGIN)
        said = statement([Subject("x", {"sha256": "00" * 32})], "urn:x", {"a": "x" * length})

        envelope = sign_envelope(said, made)

        assert open_envelope(envelope, [VerifierKey.parse(made.vkey)]) == said

    def test_another_process_finds_the_key_that_was_made(self, keys, reopened):
        tenant = uuid4()
        made = keys.create(tenant, ORIGIN)

        found = reopened.signer_for(tenant, made.vkey)

        assert (found.name, found.vkey) == (made.name, made.vkey)
        assert found.sign(b"a head") == made.sign(b"a head")

    def test_a_first_key_is_made_once(self, keys, reopened):
        tenant = uuid4()
        made = keys.create(tenant, ORIGIN)

        with pytest.raises(KeyExists):
            keys.create(tenant, ORIGIN)
        with pytest.raises(KeyExists):
            reopened.create(tenant, ORIGIN)

        assert reopened.adopt(tenant, ORIGIN).vkey == made.vkey

    def test_a_next_key_leaves_those_before_it(self, keys, reopened):
        tenant = uuid4()
        made = [keys.create(tenant, ORIGIN), *(keys.create_next(tenant, ORIGIN) for _ in range(2))]

        assert len({one.vkey for one in made}) == 3
        for one in made:
            found = reopened.signer_for(tenant, one.vkey)
            assert VerifierKey.parse(one.vkey).verifies(found.sign(b"a head"), b"a head")

    def test_a_first_key_that_was_never_put_on_record_is_found(self, keys, reopened):
        tenant = uuid4()
        made = keys.create(tenant, ORIGIN)

        assert reopened.adopt(tenant, ORIGIN).vkey == made.vkey

    def test_a_key_that_is_not_there_is_lost_and_none_is_made(self, keys):
        tenant, other = uuid4(), uuid4()
        made = keys.create(tenant, ORIGIN)

        with pytest.raises(KeyLost):
            keys.signer_for(other, made.vkey)  # somebody else's
        with pytest.raises(KeyLost):
            keys.adopt(other, ORIGIN)

        assert keys.create(other, ORIGIN).vkey != made.vkey  # was not there until now

    def test_no_key_is_taken_for_another(self, keys):
        tenant, other = uuid4(), uuid4()
        keys.create(tenant, ORIGIN)
        theirs = keys.create(other, ORIGIN)

        with pytest.raises(KeyFault):
            keys.signer_for(tenant, theirs.vkey)

    @pytest.mark.parametrize("make", ["create", "create_next"])
    def test_an_origin_that_no_verifier_could_read_leaves_no_key(self, keys, make):
        tenant = uuid4()

        with pytest.raises(ValueError, match="cannot name a key"):
            getattr(keys, make)(tenant, "with a space")

        with pytest.raises(KeyLost):
            keys.adopt(tenant, ORIGIN)

    def test_a_log_is_sealed_and_its_key_changed(self, keys, reopened, in_acme):
        by = system_actor("an operator", "cli")
        ledger.record("test.note", by=by, on=in_acme.project)
        ledger.seal(keys)
        rotated = log_keys.rotate(keys, "drill", by=by)
        ledger.record("test.note", by=by, on=in_acme.project)

        head = ledger.seal(reopened)

        assert verify_checkpoint(head.note, VerifierKey.parse(rotated.vkey)).size == head.size
        assert recount().checkpoints == Checkpoint.objects.count()
