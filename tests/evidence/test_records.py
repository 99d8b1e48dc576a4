"""The parts of a proposal's record: bill of materials, test results, statements, their list."""

import json
from base64 import b64decode
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from verifier_corpus import HEAD, ORIGIN, TREE, signer_named

from evidence.dsse import open_envelope, pull_request_subjects
from evidence.records import (
    MANIFEST,
    Claim,
    RecordFault,
    checks_claim,
    fingerprint,
    junit_claim,
    provenance_claim,
    sarif_problem,
    signed_bundle,
)
from evidence.sbom import is_lock_file, repository_sbom
from evidence.signing import VerifierKey

AT = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
LOCKS = {
    "requirements.txt": (
        b"django==6.1.3 \\\n    --hash=sha256:" + b"ab" * 32 + b"\n# a remark\nflask>=1\n"
    ),
    "service/uv.lock": (
        b'[[package]]\nname = "httpx"\nversion = "0.28.1"\nsource = {registry = "x"}\n'
        b'sdist = {hash = "sha256:' + b"cd" * 32 + b'"}\n'
        b'[[package]]\nname = "service"\nversion = "0"\nsource = {virtual = "."}\n'
    ),
    "web/package-lock.json": json.dumps(
        {
            "lockfileVersion": 3,
            "packages": {
                "": {"name": "web"},
                "node_modules/@tabler/core": {"version": "1.4.0"},
                "node_modules/a/node_modules/b": {"version": "2.0.0"},
                "node_modules/here": {"link": True, "resolved": "here"},
            },
        }
    ).encode(),
}


def sbom(files):
    return repository_sbom(files, name="shop", commit=HEAD, at=AT)


def components(files):
    return [row["purl"] for row in json.loads(sbom(files))["components"]]


def test_lock_files_of_python_and_npm_become_one_valid_bill_of_materials():
    text = sbom(LOCKS)

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.decode()) is None
    assert components(LOCKS) == [
        "pkg:npm/%40tabler/core@1.4.0",
        "pkg:npm/b@2.0.0",
        "pkg:pypi/django@6.1.3",
        "pkg:pypi/httpx@0.28.1",
    ]
    assert sbom(dict(reversed(LOCKS.items()))) == text


def test_poetry_and_pipenv_are_read_too():
    files = {
        "poetry.lock": b'[[package]]\nname = "Ruff_x"\nversion = "1"\n',
        "Pipfile.lock": b'{"default": {"attrs": {"version": "==25.3"}}, "develop": {}}',
    }

    assert components(files) == ["pkg:pypi/attrs@25.3", "pkg:pypi/ruff-x@1"]


def test_a_lock_file_that_cannot_be_read_is_named_with_the_reason():
    said = json.loads(sbom({"uv.lock": b"[[", "package-lock.json": b'{"dependencies": {}}'}))

    unread = [
        row["value"]
        for row in said["metadata"]["properties"]
        if row["name"] == "countersign:unread"
    ]
    assert [line.partition(":")[0] for line in unread] == ["package-lock.json", "uv.lock"]
    assert "version 2 and 3" in unread[0]


def test_only_lock_files_are_read():
    assert is_lock_file("deep/requirements-dev.lock")
    assert not is_lock_file("docs/requirements.md")
    assert not is_lock_file("package.json")


JUNIT = b"""<testsuites><testsuite name="s">
<testcase classname="t.A" name="one"/>
<testcase classname="t.A" name="two"><failure message="no"/></testcase>
<testcase classname="t.A" name="three"><skipped/></testcase>
</testsuite></testsuites>"""


def test_junit_becomes_a_test_result_that_names_its_file():
    claim = junit_claim("tests/unit.junit.xml", JUNIT)

    assert claim.predicate == {
        "result": "FAILED",
        "configuration": [
            {"name": "tests/unit.junit.xml", "digest": {"sha256": sha256(JUNIT).hexdigest()}}
        ],
        "passedTests": ["t.A.one"],
        "warnedTests": ["t.A.three"],
        "failedTests": ["t.A.two"],
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<testsuite>", "not well-formed"),
        (b"<html/>", "no JUnit file"),
        (b"", "not well-formed"),
    ],
)
def test_what_is_no_junit_is_no_result(content, reason):
    with pytest.raises(RecordFault, match=reason):
        junit_claim("x", content)


def test_entities_of_a_test_report_reach_for_nothing(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    content = (
        f'<!DOCTYPE t [<!ENTITY x SYSTEM "file://{secret}">]>'
        '<testsuite><testcase name="a">&x;</testcase></testsuite>'
    ).encode()

    assert "hidden" not in json.dumps(dict(junit_claim("x", content).predicate))


def test_a_scan_has_to_be_sarif():
    assert sarif_problem(b'{"version": "2.1.0", "runs": []}') == ""
    assert sarif_problem(b"[]") == "not SARIF 2.1.0"
    assert sarif_problem(b"{").startswith("not JSON")


def test_provenance_says_which_level_it_reaches_and_why_not_more():
    claim = provenance_claim(
        builder="urn:b",
        invocation="urn:i",
        repository="shop",
        base_commit=HEAD,
        parameters={},
        tools=["render"],
        started="2026-11-23T05:00:00Z",
        finished="2026-11-23T05:01:00Z",
    )

    inside = claim.predicate["buildDefinition"]["internalParameters"]
    assert inside["slsaBuildLevel"] == 1
    assert "level 2 asks for" in inside["whyNotHigher"]


def test_the_last_statement_lists_all_others_and_every_file():
    signer = signer_named(ORIGIN)
    subjects = pull_request_subjects("shop", 7, commit=HEAD, tree=TREE, diff_sha256="00" * 32)
    claims = [checks_claim([("lint", True)]), Claim("urn:x", {"a": 1})]

    bundle, digest = signed_bundle(subjects, claims, {"diff.patch": b"d"}, signer)

    *others, last = bundle.splitlines()
    payload = open_envelope(last, [VerifierKey.parse(signer.vkey)])
    said = json.loads(payload)
    assert digest == sha256(payload).hexdigest()
    assert b64decode(json.loads(last)["payload"]) == payload
    assert said["predicateType"] == MANIFEST
    assert [row["sha256"] for row in said["predicate"]["statements"]] == [
        sha256(line).hexdigest() for line in others
    ]
    assert said["predicate"]["artifacts"] == [
        {"path": "diff.patch", "sha256": sha256(b"d").hexdigest()}
    ]


def test_the_same_said_twice_has_one_fingerprint():
    claims = [Claim("urn:x", {"a": 1})]

    assert fingerprint(claims, {"f": b"1"}) == fingerprint(list(claims), {"f": b"1"})
    assert fingerprint(claims, {"f": b"1"}) != fingerprint(claims, {"f": b"2"})
    assert fingerprint([], {"f": b"1"}) != fingerprint(claims, {"f": b"1"})
