"""The pack: the same bytes for the same facts, nothing that is plainly wrong."""

import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import jsonschema
import pytest
from pypdf import PdfReader

from evidence.pack import PackEntry, PackFault
from tests.evidence import verifier_corpus as corpus
from tests.evidence.verifier_corpus import FOLDER, TENANT, built, entry, sample, unpacked

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "schemas" / "evidence-pack.schema.json").read_text())
BUILD = """
import hashlib
from tests.evidence.verifier_corpus import sample
print(hashlib.sha256(sample().build()).hexdigest())
"""


def test_the_same_facts_give_the_same_bytes_in_another_process():
    elsewhere = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    done = subprocess.run(
        [sys.executable, "-c", BUILD],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **elsewhere},
        check=True,
    )

    assert done.stdout.strip() == sha256(built()).hexdigest()


@pytest.mark.parametrize("coverage", ["selection", "range", "period", "digests"])
def test_every_document_has_the_shape_that_the_schema_gives(coverage):
    files = unpacked(built(coverage))
    documents = {name: json.loads(files[name]) for name in files if name.endswith(".json")}
    validator = jsonschema.Draft202012Validator(SCHEMA)

    validator.validate(documents)
    for line in files["population/prs.jsonl"].splitlines():
        validator.evolve(
            schema=SCHEMA["$defs"]["population_row"] | {"$defs": SCHEMA["$defs"]}
        ).validate(json.loads(line))
    for line in files["log/entries.jsonl"].splitlines():
        fields = json.loads(line)
        validator.evolve(
            schema=SCHEMA["$defs"]["entry_line"] | {"$defs": SCHEMA["$defs"]}
        ).validate(fields)


def test_a_pack_lists_and_signs_every_file_but_its_two_seals():
    files = unpacked(built())
    listed = json.loads(files["manifest.json"])["files"]

    assert files.keys() - listed.keys() == {"manifest.json", "manifest.dsse.json"}
    for name, facts in listed.items():
        assert facts == {"sha256": sha256(files[name]).hexdigest(), "size": len(files[name])}


def test_a_pack_opens_with_ordinary_tools_and_fixed_times():
    with zipfile.ZipFile(BytesIO(built())) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}

    assert names == sorted(names)
    assert names[:2] == ["00-README.md", "00-report.pdf"]


def test_a_selection_carries_proofs_and_a_range_needs_none():
    proofs = [name for name in unpacked(built()) if name.startswith("log/proofs/")]

    assert len(proofs) == 8
    assert not [name for name in unpacked(built("range")) if name.startswith("log/proofs/")]


def test_the_reading_guide_names_the_key_and_warns_of_it():
    readme = unpacked(built())["00-README.md"].decode()

    assert f"--key '{corpus.log_key()}'" in readme
    assert "by another way than this pack" in readme


def pdf_text(pack: bytes) -> str:
    reader = PdfReader(BytesIO(unpacked(pack)["00-report.pdf"]))
    return "\n".join(page.extract_text() for page in reader.pages)


def test_every_figure_of_the_printed_report_is_in_the_json():
    files = unpacked(built())
    # Times are printed without their T and Z, long digests may be broken across lines.
    known = re.sub(r"[TZ]", " ", files["report.json"].decode())
    known += sha256(files["report.json"]).hexdigest() + " 00-report.pdf SHA-256 "
    printed = pdf_text(built())
    pages = len(PdfReader(BytesIO(files["00-report.pdf"])).pages)
    for page in range(1, pages + 1):
        printed = printed.replace(f"{page} / {pages}", "")

    for figure in re.findall(r"\d+(?:[.,:-]\d+)*", printed):
        assert figure in known, figure


def test_the_printed_report_tells_the_whole_story():
    text = " ".join(pdf_text(built()).split())

    for part in (
        "Choose a technology stack for the new storefront",
        "PostgreSQL 18",
        "MariaDB 12",
        "Secret scan",
        "Ada Lovelace",
        "proposal.countersign",
        "PW.7.2",
        "Costs are list prices",
        "countersign-verify PACK.zip --key",
    ):
        assert part in text
    assert "compliant" not in text.lower()


def test_the_printed_report_carries_its_figures_as_an_attachment():
    files = unpacked(built())
    reader = PdfReader(BytesIO(files["00-report.pdf"]))

    assert reader.attachments["report.json"] == [files["report.json"]]
    assert "A-3" in pdf_kind(files["00-report.pdf"])


def pdf_kind(pdf: bytes) -> str:
    metadata = PdfReader(BytesIO(pdf)).xmp_metadata
    assert metadata is not None
    part = metadata.rdf_root.toxml()
    return "A-3" if re.search(r"pdfaid:part\W*3", part) else part


def test_what_people_wrote_cannot_become_markup():
    made = sample()
    made.story["title"] = "<img src='file:///etc/passwd'> & <script>alert(1)</script>"

    text = pdf_text(made.build())

    assert "<script>alert(1)</script>" in text


def test_a_long_range_prints_its_beginning_and_says_what_is_left_out():
    made = sample("range")
    made.log += [entry(index, "task.note") for index in range(41, 230)]
    made.entries = made.log
    made.leaf_hashes = [corpus.leaf_hash(row.leaf) for row in made.log]

    report = json.loads(unpacked(made.build())["report.json"])

    assert (len(report["timeline"]), report["timeline_omitted"]) == (100, 130)
    assert report["log"]["entries"] == 230


def without(files, name):
    return {path: content for path, content in files.items() if path != name}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda made: made.entries.clear(), "proves nothing"),
        (lambda made: made.entries.reverse(), "does not follow"),
        (lambda made: made.leaf_hashes.reverse(), "not in the log under"),
        (
            lambda made: made.entries.__setitem__(0, replace(made.entries[0], payload=b"{}")),
            "not the one it commits to",
        ),
        (
            lambda made: made.entries.__setitem__(0, replace(made.entries[0], salt=None)),
            "together or not",
        ),
        (
            lambda made: made.entries.__setitem__(1, replace(made.entries[1], payload=b"{}")),
            "never had a payload",
        ),
        (
            lambda made: made.entries.__setitem__(
                0, entry(3, "task.submit", tenant_id=corpus.UUID(int=9))
            ),
            "another tenant",
        ),
        (lambda made: made.files.update({"../escape": b""}), "cannot be a path"),
        (lambda made: made.files.update({"prs//x": b""}), "cannot be a path"),
        (lambda made: made.files.update({"prs/no-number/x": b""}), "<repo>-<number>"),
        (lambda made: made.files.update({"scope.json": b"{}"}), "written by the pack itself"),
        (lambda made: made.files.update({f"{FOLDER}/diff.patch": b""}), "is not the diff"),
        (lambda made: made.files.pop(f"{FOLDER}/bundle.intoto.jsonl"), "is missing"),
        (lambda made: made.files.pop("access/approvals.json"), "is missing"),
        (lambda made: made.files.update({"controls/coverage.json": b"{"}), "is not JSON"),
        (lambda made: made.story.pop("layers"), "the story has"),
    ],
)
def test_what_is_plainly_wrong_is_never_written(change, reason):
    made = sample()
    change(made)

    with pytest.raises(PackFault, match=reason):
        made.build()


def test_the_hashes_must_be_those_under_the_checkpoint():
    made = sample()

    with pytest.raises(PackFault, match="do not lead to the checkpoint's root"):
        corpus.build_pack(
            scope=made.scope,
            entries=made.entries,
            leaf_hashes=made.leaf_hashes[:-1],
            checkpoint_note=made.checkpoint_note,
            files=made.files,
            signer=made.signer,
            story=made.story,
        )


def test_a_range_pack_must_hold_every_entry():
    made = sample("range")
    del made.entries[7]

    with pytest.raises(PackFault, match="every entry from 0 to 40"):
        made.build()


def test_a_pack_is_signed_by_the_key_of_its_own_log():
    made = sample()
    note = made.checkpoint_note

    with pytest.raises(ValueError, match="not signed by any"):
        corpus.build_pack(
            scope=made.scope,
            entries=made.entries,
            leaf_hashes=made.leaf_hashes,
            checkpoint_note=note,
            files=made.files,
            signer=corpus.signer_named(corpus.ORIGIN, seed=5),
            story=made.story,
        )


def test_a_file_that_packs_too_well_is_stored_as_it_is(tmp_path):
    made = sample()
    made.files["access/doors.jsonl"] = b'{"step":1}\n' * 100_000

    pack = made.build()

    with zipfile.ZipFile(BytesIO(pack)) as archive:
        kept = archive.getinfo("access/doors.jsonl")
    assert kept.compress_type == zipfile.ZIP_STORED
    assert corpus.verified(pack, tmp_path, keys=[corpus.log_key()]).verdict == "LOCAL"


def test_names_in_other_alphabets_survive(tmp_path):
    made = sample()
    made.files["access/Rollenänderungen 变更.json"] = b"{}"

    findings = corpus.verified(made.build(), tmp_path, keys=[corpus.log_key()])

    assert findings.verdict == "LOCAL"


def test_an_entry_that_was_erased_stays_provable(tmp_path):
    made = sample()
    made.entries = [PackEntry(row.index, row.leaf) for row in made.entries]
    made.story["title"] = f"Erased at the request of tenant {TENANT}"

    findings = corpus.verified(made.build(), tmp_path, keys=[corpus.log_key()])

    assert findings.verdict == "LOCAL"
    assert ("entries", "0 payloads fit their commitments; 7 are withheld or erased") in (
        findings.verified
    )
