"""The offline verifier: what it accepts, what it rejects, what it says of each."""

import json
import os
import random
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from evidence.completeness import Account
from evidence.merkle import tree_root
from evidence.notes import cosign, sign_checkpoint
from evidence.signing import COSIGNATURE, VerifierKey
from tests.evidence import verifier_corpus as corpus
from tests.evidence.verifier_corpus import (
    FORGERIES,
    ORIGIN,
    VERIFIER,
    Unusable,
    built,
    entries,
    log_key,
    sample,
    sealed,
    signer_named,
    unpacked,
    verified,
)

WITNESS = signer_named("witness.example/w1", seed=2)
WITNESS_KEY = str(
    VerifierKey(WITNESS.name, VerifierKey.parse(WITNESS.vkey).public_key, COSIGNATURE)
)
ALONE = """
import sys
started_with = set(sys.modules)  # Debian's Python brings a sitecustomize of its own
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"django", "evidence", "tenants", "authz", "agent", "portal",
                                  "celery", "rfc8785", "weasyprint"}:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
from countersign_verify.cli import main
code = main(sys.argv[1:])
ours = {name.split(".")[0] for name in set(sys.modules) - started_with}
ours -= set(sys.stdlib_module_names)
print(sorted(name for name in ours if not name.startswith("_")))
sys.exit(code)
"""


def command(*arguments: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    start = ["-c", code] if code else ["-m", "countersign_verify"]
    return subprocess.run(
        [sys.executable, "-P", *start, *arguments],
        capture_output=True,
        text=True,
        cwd="/",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(VERIFIER)},
        check=False,
    )


@pytest.fixture
def pack(tmp_path) -> Path:
    path = tmp_path / "sample.zip"
    path.write_bytes(built())
    return path


@pytest.mark.parametrize("coverage", ["selection", "range", "period", "digests"])
def test_a_genuine_pack_under_a_pinned_key_is_local(coverage, tmp_path):
    findings = verified(built(coverage), tmp_path, keys=[log_key()])

    assert (findings.verdict, findings.exit_code) == ("LOCAL", 0)
    assert {check for check, _ in findings.verified} >= {
        "container",
        "manifest",
        "signature",
        "digest",
        "json",
        "checkpoint",
        "scope",
        "entries",
        "inclusion",
        "completeness",
        "pull request",
        "approvals",
        "controls",
        "report",
    }


def test_without_a_key_of_the_auditors_a_pack_is_only_intact_and_says_unpinned(tmp_path):
    findings = verified(built(), tmp_path)

    assert (findings.verdict, findings.exit_code) == ("INTACT", 3)
    assert findings.warnings[0].startswith("UNPINNED")


def test_a_strangers_pack_is_intact_only_as_long_as_no_key_is_pinned(tmp_path):
    made = sample(signer=signer_named(ORIGIN, seed=9))

    pack = made.build()

    assert verified(pack, tmp_path).verdict == "INTACT"
    assert verified(pack, tmp_path, keys=[log_key()]).verdict == "REJECTED"


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.name)
def test_a_forged_pack_is_rejected_for_its_own_reason(forgery, tmp_path):
    forged = forgery.make(unpacked(built(forgery.coverage)))

    findings = verified(forged, tmp_path, keys=[log_key()])

    assert findings.failure is not None
    assert findings.exit_code == 1
    assert findings.failure.check == forgery.check
    assert forgery.reason in f"{findings.failure.subject}: {findings.failure.reason}"


@pytest.mark.parametrize("coverage", ["selection", "range", "period"])
def test_sealing_an_unchanged_pack_again_is_no_forgery(coverage, tmp_path):
    assert verified(sealed(unpacked(built(coverage))), tmp_path, keys=[log_key()]).exit_code == 0


def mutated(pack: bytes, chance: random.Random) -> bytes:
    """One to three bytes replaced, or a stretch removed, doubled or moved."""
    changed = bytearray(pack)
    at = chance.randrange(len(pack))
    match chance.randrange(4):
        case 0 | 1:
            for _ in range(chance.randint(1, 3)):
                place = chance.randrange(len(changed))
                changed[place] ^= 1 << chance.randrange(8)
        case 2:
            del changed[at : at + chance.randint(1, 40)]
        case 3:
            changed[at:at] = changed[at : at + chance.randint(1, 40)]
    return bytes(changed)


def assert_no_mutation_is_accepted(tmp_path, runs: int, seed: int) -> None:
    chance = random.Random(seed)
    originals = {coverage: built(coverage) for coverage in ("selection", "range", "period")}
    for run in range(runs):
        original = originals[chance.choice(sorted(originals))]
        pack = mutated(original, chance)
        if pack == original:
            continue
        try:
            accepted = verified(pack, tmp_path, keys=[log_key()]).failure is None
        except Unusable:
            continue
        # Deflate has spare bits; a pack that differs in those alone holds the very same files.
        assert not accepted or unpacked(pack) == unpacked(original), f"run {run}"


def test_no_random_change_of_a_pack_is_accepted(tmp_path):
    assert_no_mutation_is_accepted(tmp_path, runs=400, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 12))
def test_no_random_change_out_of_a_hundred_thousand_is_accepted(seed, tmp_path):
    assert_no_mutation_is_accepted(tmp_path, runs=10_000, seed=seed)


def scrambled(value, chance: random.Random):
    """The JSON value with one part of it replaced by something of another type."""
    odd = chance.choice([None, True, 0, -1, 1.5, "", "x", [], {}, [[]], {"a": []}])
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(sorted(value))
        if chance.random() < 0.2:
            return {name: value[name] for name in value if name != key}
        return value | {key: scrambled(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        place = chance.randrange(len(value))
        return [*value[:place], scrambled(value[place], chance), *value[place + 1 :]]
    return odd


def test_odd_documents_signed_by_the_right_key_never_crash_the_verifier(tmp_path):
    chance = random.Random(3)
    files = unpacked(built())
    documents = sorted(name for name in files if name.endswith(".json") and "manifest" not in name)
    for _ in range(150):
        name = chance.choice(documents)
        odd = scrambled(json.loads(files[name]), chance)
        if name == "scope.json" and not _has_tenant_id(odd):
            continue
        forged = sealed(files | {name: json.dumps(odd).encode()})
        verified(forged, tmp_path, keys=[log_key()])


def _has_tenant_id(scope) -> bool:
    return (
        isinstance(scope, dict)
        and isinstance(scope.get("tenant"), dict)
        and "id" in scope["tenant"]
    )


def test_odd_leaves_never_crash_the_verifier():
    chance = random.Random(4)
    leaf = json.loads(sample().entries[0].leaf)
    rejected = 0
    for _ in range(400):
        odd = json.dumps(scrambled(leaf, chance), separators=(",", ":"), sort_keys=True).encode()
        try:
            entries.read_block(corpus.entry_line(odd), str(corpus.TENANT), (), 1)
        except entries.Rejected:
            rejected += 1

    # A text in place of another text is another leaf, not a malformed one.
    assert rejected > 300


def earlier(size: int) -> bytes:
    hashes = sample("range").leaf_hashes[:size]
    return sign_checkpoint(ORIGIN, size, tree_root(hashes), signer_named(ORIGIN)).encode()


@pytest.mark.parametrize("size", [1, 16, 40, 41])
def test_a_log_that_grew_is_consistent_with_an_earlier_head(size, tmp_path):
    findings = verified(built("range"), tmp_path, keys=[log_key()], previous=earlier(size))

    assert findings.exit_code == 0
    assert ("consistency", f"the log grew out of the head over {size} entries") in findings.verified


def test_a_log_whose_past_was_rewritten_is_rejected(tmp_path):
    note = sign_checkpoint(ORIGIN, 16, bytes(32), signer_named(ORIGIN)).encode()

    findings = verified(built("range"), tmp_path, keys=[log_key()], previous=note)

    assert findings.failure.check == "consistency"
    assert "first 16 entries have been rewritten" in findings.failure.reason


def test_a_log_that_shrank_is_rejected(tmp_path):
    note = sign_checkpoint(ORIGIN, 50, bytes(32), signer_named(ORIGIN)).encode()

    findings = verified(built("range"), tmp_path, keys=[log_key()], previous=note)

    assert findings.failure.reason == "had 50 entries, now 41"


@pytest.mark.parametrize(
    ("note", "reason"),
    [
        (sign_checkpoint(ORIGIN, 16, bytes(32), signer_named(ORIGIN, 9)).encode(), "not signed by"),
        (
            sign_checkpoint("other", 16, bytes(32), signer_named("other")).encode(),
            "another log, other",
        ),
        (b"nothing", "not a signed note"),
    ],
)
def test_an_earlier_head_that_is_not_this_logs_is_rejected(note, reason, tmp_path):
    findings = verified(built("range"), tmp_path, keys=[log_key()], previous=note)

    assert findings.failure.check == "consistency"
    assert reason in findings.failure.reason


def test_a_selection_says_that_it_could_not_compare_an_earlier_head(tmp_path):
    findings = verified(built(), tmp_path, keys=[log_key()], previous=earlier(16))

    assert (findings.verdict, findings.exit_code) == ("LOCAL", 3)
    assert "was not compared" in findings.warnings[0]


@cache
def witnessed(wrong_head: bool = False, coverage: str = "range") -> bytes:
    """The sample under a head that the witness cosigned, or pretends to have."""
    files = unpacked(built(coverage))
    note = files["log/checkpoints/end.note"].decode()
    seen = sign_checkpoint(ORIGIN, 1, bytes(32), signer_named(ORIGIN)) if wrong_head else note
    line = cosign(seen, WITNESS, at=1_763_874_000).removeprefix(seen)
    files["log/checkpoints/end.note"] = (note + line).encode()
    report = json.loads(files["report.json"])
    for name in files:
        # Each proof carries the head that it leads to.
        if name.startswith("log/proofs/"):
            files[name] += line.encode()
    for row in report["files"]["list"]:
        if row["path"] == "log/checkpoints/end.note":
            content = files["log/checkpoints/end.note"]
            row |= {"sha256": corpus.sha256(content).hexdigest(), "size": len(content)}
    files["report.json"] = corpus.canonical(report)
    files["00-report.pdf"] = corpus.render_report(report, files["report.json"])
    return sealed(files)


def test_a_cosigned_head_is_witnessed(tmp_path):
    selection, everything = (
        verified(witnessed(coverage=coverage), tmp_path, keys=[log_key()], witnesses=[WITNESS_KEY])
        for coverage in ("selection", "range")
    )

    assert (selection.verdict, selection.exit_code) == ("WITNESSED", 0)
    assert (everything.verdict, everything.exit_code) == ("WITNESSED+COMPLETE", 0)


def test_every_entry_is_complete_only_under_a_witness(tmp_path):
    findings = verified(built("period"), tmp_path, keys=[log_key()])

    assert (findings.verdict, findings.complete) == ("LOCAL", True)
    assert not verified(built(), tmp_path, keys=[log_key()]).complete


def test_a_witness_raises_no_verdict_while_the_key_is_unpinned(tmp_path):
    assert verified(witnessed(), tmp_path, witnesses=[WITNESS_KEY]).verdict == "INTACT"


def test_a_named_witness_that_did_not_sign_is_a_warning(tmp_path):
    findings = verified(built(), tmp_path, keys=[log_key()], witnesses=[WITNESS_KEY])

    assert (findings.verdict, findings.exit_code) == ("LOCAL", 3)
    assert "no signature of witness.example/w1" in findings.warnings[0]


def test_all_named_witnesses_must_have_signed(tmp_path):
    second = signer_named("witness.example/w2", seed=3)
    key = str(VerifierKey(second.name, VerifierKey.parse(second.vkey).public_key, COSIGNATURE))

    findings = verified(witnessed(), tmp_path, keys=[log_key()], witnesses=[WITNESS_KEY, key])

    assert findings.verdict == "LOCAL"
    assert "w2" in findings.warnings[0]


def test_a_witness_signature_over_another_head_is_rejected(tmp_path):
    findings = verified(
        witnessed(wrong_head=True), tmp_path, keys=[log_key()], witnesses=[WITNESS_KEY]
    )

    assert findings.failure.check == "witness"


def test_many_entries_are_shared_with_a_second_process(tmp_path, monkeypatch):
    content = unpacked(built("range"))["log/entries.jsonl"]
    chunks = [content[at : at + 500] for at in range(0, len(content), 500)]
    alone = entries.read_entries(iter(chunks), str(corpus.TENANT), {20}, size=len(content))
    monkeypatch.setattr(entries, "BLOCK", 2_000)
    monkeypatch.setattr(entries, "SECOND_PROCESS_FROM", 0)
    monkeypatch.setattr(entries, "_cores", lambda: 2)

    shared = entries.read_entries(iter(chunks), str(corpus.TENANT), {20}, size=len(content))

    assert shared == alone
    with pytest.raises(entries.Rejected, match="does not follow entry 40"):
        entries.read_entries(iter([*chunks, *chunks]), str(corpus.TENANT), (), size=1)
    broken = content.replace(b'"payload":null', b'"payload":"!"')
    with pytest.raises(entries.Rejected):
        entries.read_entries(iter([broken]), str(corpus.TENANT), (), size=1)


def test_the_verifier_needs_nothing_of_the_product(pack):
    done = command(str(pack), "--key", log_key(), code=ALONE)

    assert done.returncode == 0, done.stderr
    modules = json.loads(done.stdout.strip().split("\n")[-1].replace("'", '"'))
    assert set(modules) <= {"countersign_verify", "cryptography", "cffi"}


def test_the_command_prints_what_it_verified_and_what_it_did_not(pack):
    done = command(str(pack), "--key", log_key())

    assert done.returncode == 0
    assert done.stdout.strip().endswith("LOCAL")
    assert "8 entries stand under the signed head" in done.stdout
    assert "Not verified:" in done.stdout


def test_the_command_takes_a_key_from_a_file(pack, tmp_path):
    key = tmp_path / "log.vkey"
    key.write_text(f"{log_key()}\n")

    assert command(str(pack), "--key", str(key)).returncode == 0


def test_the_command_names_the_file_and_the_reason_of_a_failure(tmp_path):
    path = tmp_path / "forged.zip"
    forgery = next(forgery for forgery in FORGERIES if forgery.name == "swapped file")
    path.write_bytes(forgery.make(unpacked(built())))

    done = command(str(path), "--key", log_key())

    assert done.returncode == 1
    assert "known-limits.md: is not the bytes that were signed" in done.stdout
    assert done.stdout.strip().endswith("REJECTED")


def test_the_command_answers_in_json_too(pack):
    done = command(str(pack), "--json")

    answer = json.loads(done.stdout)
    assert (done.returncode, answer["exit_code"], answer["verdict"]) == (3, 3, "INTACT")
    assert answer["failure"] is None
    assert len(answer["verified"]) > 10


def test_intents_are_answered_by_trace_however_the_lines_are_split(monkeypatch):
    """Both accounts agree on random logs, block by block and as a whole."""
    chance = random.Random(5)
    rows, account = [], Account()
    for index in range(300):
        trace = chance.choice([None, "t1-1", "t2-2", "t3-3"])
        phase = chance.choice(["intent", "result", "gap", "redaction", "decision"])
        about = chance.choice(["a", "b"])
        leaf = json.loads(corpus.entry(index, "x.y", phase=phase, object_id=about).leaf)
        leaf["trace"] = trace
        rows.append(corpus.entry_line(corpus.canonical(leaf)).replace(b":0,", b":%d," % index, 1))
        account.read(index, leaf, in_population=True)
    content = b"".join(rows)

    for block in (500, 3_000, 1 << 20):
        monkeypatch.setattr(entries, "BLOCK", block)
        chunks = (content[at : at + 400] for at in range(0, len(content), 400))
        log = entries.read_entries(chunks, str(corpus.TENANT), (), size=len(content))
        waiting = sorted(index for places in log.open_intents.values() for index, _ in places)

        assert waiting == [row["index"] for row in account.open_intents]
        assert waiting
        assert len(log.incidents) == len(account.gaps) + len(account.redactions)


@pytest.mark.parametrize(
    "arguments",
    [
        ["/nowhere/pack.zip"],
        ["PACK", "--key", "/nowhere/key"],
        ["PACK", "--key", "name+00000000+AAAA"],
        ["PACK", "--key", WITNESS_KEY],
        ["PACK", "--witness", log_key()],
        ["PACK", "--previous", "/nowhere/note"],
        [str(Path(__file__))],
        ["/dev/null"],
    ],
)
def test_what_cannot_be_judged_is_unusable(arguments, pack):
    done = command(*[str(pack) if word == "PACK" else word for word in arguments])

    assert done.returncode == 2
    assert done.stderr.startswith("UNUSABLE: ")


def test_a_format_of_the_future_is_unusable_rather_than_rejected(tmp_path):
    files = unpacked(built())
    files["manifest.json"] = files["manifest.json"].replace(b"pack/2", b"pack/3")

    with pytest.raises(Unusable, match="countersign-pack/3"):
        verified(corpus.zipped(corpus.in_order(files)), tmp_path, keys=[log_key()])
