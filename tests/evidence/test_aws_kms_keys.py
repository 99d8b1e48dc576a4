"""Signing keys in AWS KMS, or rather in a stand-in of its published contract: never tried on AWS.

A real botocore client asks; see kms_stand_in.py for what answers.
"""

import json
import logging
import traceback
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import override_settings

from agent import dossier
from agent.places import artifact_store
from evidence import aws_kms_keys, ledger
from evidence.aws_kms_keys import LONGEST, AwsKmsKeys
from evidence.dsse import DIGEST_TYPE, PAYLOAD_TYPE, open_envelope
from evidence.keys_here import keys_here
from evidence.models import Checkpoint, Entry, LogKey, Pack, SignedRecord
from evidence.recount import recount
from evidence.signing import FileKeys, KeyExists, KeyFault, KeyLost, VerifierKey
from tenants.actor import system_actor
from tenants.scope import tenant_scope
from tests.agent.test_stamped_packs import ordered
from tests.evidence import kms_stand_in
from tests.evidence.keys_contract import ORIGIN, KeysContract
from tests.evidence.kms_stand_in import EDWARDS, REGION, Refusal
from tests.evidence.verifier_corpus import unpacked, verified

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
SECRET, SESSION = "a-secret-access-key", "a-session-token"


@pytest.fixture(autouse=True)
def credentials(monkeypatch, tmp_path):
    """Where botocore looks first; and none of this machine's own settings."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", SESSION)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    aws_kms_keys._client.cache_clear()
    yield
    aws_kms_keys._client.cache_clear()


@pytest.fixture
def service():
    with kms_stand_in.running() as running:
        yield running
    assert running.problems == []
    assert running.scopes <= {f"{REGION}/kms"}


@pytest.fixture
def keys(service):
    return AwsKmsKeys(REGION, service.address)


@pytest.fixture
def reopened(service, keys):
    """With a client of its own, as another process has."""
    return AwsKmsKeys(REGION, f"{service.address}/")


class TestAwsKmsKeys(KeysContract):
    """Keys in AWS KMS are as good as any; long statements are signed by their digest."""

    limits = (1, LONGEST)


def test_what_is_too_long_is_refused_before_the_service_is_asked(keys, service):
    made = keys.create(uuid4(), ORIGIN)
    asked = service.asked.copy()

    with pytest.raises(KeyFault, match="this one has 4,097; nothing was signed"):
        made.sign(bytes(LONGEST + 1))

    assert service.asked == asked


def test_a_key_says_whose_it_is(keys, service):
    tenant = uuid4()
    keys.create(tenant, ORIGIN)
    keys.create_next(tenant, ORIGIN)

    assert [key["tags"] for key in service.keys.values()] == [
        {"countersign-tenant": str(tenant)},
        {"countersign-tenant": str(tenant)},
    ]
    first, later = sorted(service.aliases)
    assert first == f"alias/countersign/{tenant}"
    assert later.startswith(f"{first}/")


def test_a_key_is_made_as_plain_ed25519_and_asked_for_nothing_else(keys, service):
    made = keys.create(uuid4(), ORIGIN)
    made.sign(b"a head")

    assert [key["spec"] for key in service.keys.values()] == [EDWARDS]
    assert service.asked == {"GetPublicKey": 2, "CreateKey": 1, "CreateAlias": 1, "Sign": 1}


def test_the_policy_for_the_worker_allows_what_is_asked_and_no_more(keys, service):
    policy = json.loads((DEPLOY / "aws-kms-policy.json").read_text())
    tenant = uuid4()
    keys.create(tenant, ORIGIN).sign(b"a head")
    keys.create_next(tenant, ORIGIN)

    allowed = [
        action
        for statement in policy["Statement"]
        for action in (
            [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        )
    ]
    # To make a key with a tag takes the right to tag, too.
    assert set(allowed) == {f"kms:{name}" for name in service.asked} | {"kms:TagResource"}
    (signing,) = (one for one in policy["Statement"] if one["Action"] == "kms:Sign")
    assert signing["Condition"]["StringEquals"] == {
        "kms:KeySpec": aws_kms_keys.SPEC,
        "kms:SigningAlgorithm": aws_kms_keys.ALGORITHM,
        "kms:MessageType": "RAW",
    }
    assert all(one["Effect"] == "Allow" for one in policy["Statement"])


def test_a_signature_by_another_key_is_not_given_out(keys, service):
    made = keys.create(uuid4(), ORIGIN)
    keys.create(uuid4(), ORIGIN)
    service.signs_with = list(service.keys)[-1]

    with pytest.raises(KeyFault, match="does not verify"):
        made.sign(b"a head")


def test_an_alias_that_leads_to_another_key_is_not_followed(keys, service):
    tenant, other = uuid4(), uuid4()
    made = keys.create(tenant, ORIGIN)
    keys.create(other, ORIGIN)
    moved = service.aliases[f"alias/countersign/{other}"]
    service.aliases[f"alias/countersign/{tenant}"] = moved

    with pytest.raises(KeyLost, match="have the alias lead to it again"):
        keys.signer_for(tenant, made.vkey)
    # Who had found the key before goes on with it.
    assert made.sign(b"a head")


def test_a_key_of_another_kind_is_refused(keys, service):
    tenant = uuid4()
    answer = keys.asked("create_key", KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    service.aliases[f"alias/countersign/{tenant}"] = answer["KeyMetadata"]["KeyId"]

    with pytest.raises(KeyFault, match="not an Ed25519 key"):
        keys.adopt(tenant, ORIGIN)


@pytest.mark.parametrize(
    ("state", "told"),
    [("PendingDeletion", "deletion pending"), ("Disabled", "the key is disabled")],
)
def test_a_key_that_may_not_sign_is_a_fault_and_none_is_made(keys, service, state, told):
    tenant = uuid4()
    made = keys.create(tenant, ORIGIN)
    (key,) = service.keys.values()
    key["state"] = state

    for use in (
        lambda: made.sign(b"a head"),
        lambda: keys.signer_for(tenant, made.vkey),
        lambda: keys.create(tenant, ORIGIN),
    ):
        with pytest.raises(KeyFault, match=told) as fault:
            use()
        assert not isinstance(fault.value, (KeyLost, KeyExists))
    assert len(service.keys) == 1


def test_a_key_that_is_gone_is_lost(keys, service):
    tenant = uuid4()
    made = keys.create(tenant, ORIGIN)
    service.keys.clear()

    with pytest.raises(KeyLost, match="NotFoundException"):
        made.sign(b"a head")
    with pytest.raises(KeyLost):
        keys.signer_for(tenant, made.vkey)


@pytest.mark.parametrize(
    "code",
    ["AccessDeniedException", "ThrottlingException", "KMSInternalException"],
)
def test_a_refusal_is_a_fault_with_its_code_asked_for_once(keys, service, code):
    made = keys.create(uuid4(), ORIGIN)
    service.refusals["Sign"] = Refusal(code)
    service.asked.clear()

    with pytest.raises(KeyFault, match=rf"refused sign: {code} \(request [0-9a-f-]+\)") as fault:
        made.sign(b"a head")

    assert not isinstance(fault.value, KeyLost)
    assert service.asked == {"Sign": 1}  # the worker asks again by itself


def test_a_right_that_is_missing_makes_no_second_first_key(keys, service):
    tenant = uuid4()
    keys.create(tenant, ORIGIN)
    service.refusals["GetPublicKey"] = Refusal("AccessDeniedException")

    with pytest.raises(KeyFault, match="lacks a right"):
        keys.create(tenant, ORIGIN)

    assert len(service.keys) == 1


@pytest.mark.parametrize("make", ["create", "create_next"])
def test_a_key_that_could_not_be_named_is_named_to_the_operator(keys, service, make):
    service.refusals["CreateAlias"] = Refusal("LimitExceededException")

    with pytest.raises(KeyFault, match="has no alias, schedule its deletion") as fault:
        getattr(keys, make)(uuid4(), ORIGIN)

    (key_id,) = service.keys
    assert key_id in str(fault.value)


def test_a_first_key_made_by_a_process_that_died_is_adopted(keys, service, reopened):
    tenant = uuid4()
    service.refusals["GetPublicKey"] = Refusal("NotFoundException")  # as if it came too soon
    with pytest.raises(KeyFault):
        keys.create(tenant, ORIGIN)
    service.refusals.clear()

    assert reopened.adopt(tenant, ORIGIN).sign(b"a head")
    with pytest.raises(KeyExists):
        reopened.create(tenant, ORIGIN)
    assert len(service.keys) == 1


def test_a_service_that_does_not_answer_is_given_up(keys, service):
    made = keys.create(uuid4(), ORIGIN)
    service.answers.clear()
    service.asked.clear()

    with pytest.raises(KeyFault, match="gave no answer to sign: ReadTimeoutError"):
        made.sign(b"a head")

    assert service.asked == {"Sign": 1}
    # What docs/ledger.md promises for one answer, so that heads stay within their ten seconds.
    patience = aws_kms_keys.PATIENCE
    assert patience.connect_timeout + patience.read_timeout <= 2


def test_a_service_that_cannot_be_reached_is_a_fault():
    with kms_stand_in.running() as gone:
        keys = AwsKmsKeys(REGION, gone.address)

    with pytest.raises(KeyFault, match="gave no answer to get_public_key: EndpointConnection"):
        keys.create(uuid4(), ORIGIN)


def test_an_answer_that_is_none_is_a_fault(keys, service):
    made = keys.create(uuid4(), ORIGIN)
    service.says_nonsense = True

    with pytest.raises(KeyFault):
        made.sign(b"a head")
    with pytest.raises(KeyFault):
        keys.create(uuid4(), ORIGIN)

    assert len(service.keys) == 1


@pytest.mark.parametrize("by", ["setting", "AWS's own variable"])
def test_the_service_is_asked_over_https_only(monkeypatch, by):
    endpoint = "http://kms.example.com" if by == "setting" else ""
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://kms.example.com")

    with pytest.raises(KeyFault, match="over https only"):
        AwsKmsKeys(REGION, endpoint).create(uuid4(), ORIGIN)


def test_without_credentials_nothing_is_asked(monkeypatch, service, keys):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)

    with pytest.raises(KeyFault, match="NoCredentialsError"):
        keys.create(uuid4(), ORIGIN)

    assert service.asked == {}


def test_no_secret_shows_in_messages_tracebacks_or_logs(keys, service, caplog):
    caplog.set_level(logging.DEBUG)
    made = keys.create(uuid4(), ORIGIN)
    made.sign(b"a head")
    # AWS repeats the request it did not believe, with its headers.
    service.refusals["Sign"] = Refusal("InvalidSignatureException", f"x-amz-token:{SESSION}")

    with pytest.raises(KeyFault) as fault:
        made.sign(b"a head")

    shown = "".join(traceback.format_exception(fault.value)) + caplog.text + repr((keys, made))
    assert "InvalidSignatureException" in shown
    assert SESSION not in shown
    assert SECRET not in shown


@pytest.fixture
def region(service):
    with override_settings(
        KEYS_AWS_REGION=REGION, KEYS_AWS_ENDPOINT=service.address, KEYS_MODULE="", KEYS_DIR=None
    ):
        yield


def test_a_log_moves_from_files_to_the_service(acme, tmp_path, region, service):
    folder, by = tmp_path / "keys", system_actor("an operator", "cli")
    with tenant_scope(acme.scope):
        ledger.record("test.note", by=by, on=acme.project)
        ledger.seal(FileKeys(folder))

    call_command("rotate_log_key", acme.host, reason="a key service", from_files=folder)

    for path in folder.iterdir():
        path.unlink()
    with tenant_scope(acme.scope):
        ledger.record("test.note", by=by, on=acme.project)
        head = ledger.seal(keys_here())
        assert LogKey.objects.count() == len(ledger.key_terms(head)) == 2
        assert recount().checkpoints == Checkpoint.objects.count()
    assert len(service.keys) == 1


def test_entries_wait_for_a_service_that_refuses(acme, region, service):
    by = system_actor("an operator", "cli")
    with tenant_scope(acme.scope):
        ledger.record("test.note", by=by, on=acme.project)
        sealed = ledger.seal(keys_here())
        ledger.record("test.note", by=by, on=acme.project)
        service.refusals["Sign"] = Refusal("ThrottlingException")

        with pytest.raises(KeyFault, match="ThrottlingException"):
            ledger.seal(keys_here())

        service.refusals.clear()
        assert ledger.seal(keys_here()).size == sealed.size + 1
        assert recount().checkpoints == Checkpoint.objects.count()


@pytest.mark.parametrize("kind", [Pack.Kind.PROPOSAL, Pack.Kind.PERIOD])
def test_a_record_and_a_pack_are_signed_there_and_verified(
    in_acme, region, service, tmp_path, kind
):
    if kind == Pack.Kind.PERIOD:
        ordered(in_acme, Pack.Kind.PROPOSAL)  # for something to be in it
    pack = ordered(in_acme, kind)

    dossier.build(pack.pk, keys_here())

    pack.refresh_from_db()
    assert pack.state == Pack.State.READY, pack.problem
    content = artifact_store().get(pack.tenant_id, pack.sha256)
    found = verified(content, tmp_path, keys=[dossier.log_key()])
    assert (found.verdict, found.failure) == ("LOCAL", None)
    files = unpacked(content)
    (bundle,) = (files[name].splitlines() for name in files if name.endswith(".intoto.jsonl"))
    types = [json.loads(line)["payloadType"] for line in (*bundle, files["manifest.dsse.json"])]
    assert types[-1] == DIGEST_TYPE
    assert set(types[:-1]) == {DIGEST_TYPE, PAYLOAD_TYPE}  # the record has long and short ones
    assert len(service.keys) == 1
    (record,) = SignedRecord.objects.all()
    key = VerifierKey.parse(dossier.log_key())
    said = [open_envelope(line, [key]) for line in bundle]
    assert record.manifest_sha256 == sha256(said[-1]).hexdigest()
    assert recount().checkpoints == Checkpoint.objects.count()


def test_a_pack_that_the_service_does_not_sign_says_why_and_the_log_goes_on(
    in_acme, region, service
):
    pack = ordered(in_acme)
    ledger.seal(keys_here())
    service.refusals["Sign"] = Refusal("AccessDeniedException")

    dossier.build(pack.pk, keys_here())

    pack.refresh_from_db()
    assert pack.state == Pack.State.FAILED
    assert "AccessDeniedException" in pack.problem
    service.refusals.clear()
    head = ledger.seal(keys_here())
    assert recount().checkpoints == Checkpoint.objects.count()
    assert head.size == Entry.objects.count()


def test_the_service_is_used_where_its_region_is_named(region, service):
    assert keys_here() == AwsKmsKeys(REGION, service.address)
    with (
        override_settings(KEYS_MODULE="/usr/lib/softhsm/libsofthsm2.so"),
        pytest.raises(KeyFault, match="both set"),
    ):
        keys_here()


def test_a_key_is_changed_only_where_keys_are(acme):
    with (
        override_settings(KEYS_AWS_REGION="", KEYS_MODULE="", KEYS_DIR=None),
        pytest.raises(CommandError, match="only the evidence worker may sign"),
    ):
        call_command("rotate_log_key", acme.host, reason="x")
