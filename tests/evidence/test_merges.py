"""What a record says of a merge: read from a real commit, judged again by the verifier."""

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from evidence import pack
from evidence.dsse import pull_request_subjects
from evidence.merges import merge_claim, merge_file, read_commit
from evidence.merkle import Frontier, leaf_hash, tree_root
from evidence.notes import sign_checkpoint
from evidence.pack import PackEntry, Start
from evidence.records import Claim, RecordFault, signed_bundle
from tests.evidence.verifier_corpus import (
    ADA,
    AGENT,
    BASE,
    FOLDER,
    HEAD,
    ORIGIN,
    OTHER,
    SYSTEM,
    TREE,
    VERIFIER,
    Sample,
    entry,
    log_key,
    population_row,
    sample,
    verified,
)

assert VERIFIER.exists()
from countersign_verify.findings import NUMBER  # noqa: E402  # on the path by now
from countersign_verify.merges import CHECK, COMMIT, FILE  # noqa: E402

LIN = {"type": "human", "id": "lin", "name": "Lin Chen", "on_behalf_of": None}
COUNTERSIGNED, ORDERED, BEGUN, MERGED, SIGNED = 20, 35, 36, 38, 40
SHOWN = (3, 5, 6, 9, 17, 18, COUNTERSIGNED, ORDERED, BEGUN, MERGED, SIGNED)
ELSEWHERE = "5a" * 20  # where the branch stood meanwhile
POLICIES = ["merge-by-second-person"]
Told = dict[str, Any]


def commit(
    tree: str = TREE, parents: Sequence[str] = (BASE, HEAD), says: str = "Merge pull request #7"
) -> bytes:
    """A commit as git stores it."""
    who = "Lin Chen <lin@example.com> 1795410000 +0000"
    lines = [f"tree {tree}", *(f"parent {sha}" for sha in parents)]
    return "\n".join([*lines, f"author {who}", f"committer {who}", "", says]).encode()


def merging(index: int = MERGED, **changes: Any) -> PackEntry:
    """The entry that says what came of the order."""
    said = {
        "actor": LIN,
        "phase": "result",
        "allowed": True,
        "trace": "t-1",
        "facts": {"step": "merged", "policies": POLICIES},
    }
    return entry(index, "proposal.merge", **{**said, **changes})


def merged(
    content: bytes | None = None,
    *,
    told: Callable[[Told], object] = lambda said: None,
    claimed: Callable[[Claim], Claim] = lambda claim: claim,
    rows: Mapping[int, PackEntry] | None = None,
    without: Sequence[str] = (),
    shown: Sequence[int] = SHOWN,
    coverage: str = "selection",
) -> Sample:
    """The corpus's proposal, merged: everything signed by the right key, whatever it says.

    told: changes merge.json before it is signed; claimed: the statement alone. rows: entries in
    place of the sample's. without: files of the merge that are left out.
    """
    made = sample("range")
    content = commit() if content is None else content
    read = read_commit(content)
    named = {"merge_sha": read.id, "head_sha": HEAD, "step": "merged", "policies": POLICIES}
    diff_sha256 = made.population[0]["diff_sha256"]
    log = made.log
    log[COUNTERSIGNED] = entry(
        COUNTERSIGNED,
        "proposal.countersign",
        actor=ADA,
        facts={"diff_sha256": diff_sha256, "head_sha": HEAD},
    )
    log[ORDERED] = merging(ORDERED, trace=None, facts={"step": "ordered"})
    log[BEGUN] = merging(BEGUN, phase="intent", facts={"step": "merge"})
    log[MERGED] = merging(facts=named)
    for index, row in (rows or {}).items():
        log[index] = row
    file = merge_file(
        read,
        head=HEAD,
        branch="main",
        entry=MERGED,
        leaf=json.loads(merging().leaf),
        facts=named,
        countersigned=[COUNTERSIGNED],
    )
    said = json.loads(file)
    told(said)
    file = json.dumps(said, sort_keys=True).encode()
    artifacts = {
        name.removeprefix(f"{FOLDER}/"): body
        for name, body in made.files.items()
        if name.startswith(f"{FOLDER}/") and not name.endswith("bundle.intoto.jsonl")
    }
    artifacts |= {
        name: body for name, body in ((FILE, file), (COMMIT, content)) if name not in without
    }
    claims = [Claim("urn:countersign:agent-run:v1", {"steps": 2})]
    if "statement" not in without:
        claims.append(claimed(merge_claim("acme/storefront", file)))
    subjects = pull_request_subjects(
        "acme/storefront", 7, commit=HEAD, tree=TREE, diff_sha256=diff_sha256
    )
    bundle, manifest_sha256 = signed_bundle(subjects, claims, artifacts, made.signer)
    made.files = {
        **{name: body for name, body in made.files.items() if not name.startswith("prs/")},
        **{f"{FOLDER}/{name}": body for name, body in artifacts.items()},
        f"{FOLDER}/bundle.intoto.jsonl": bundle,
    }
    log[SIGNED] = entry(
        SIGNED, "record.sign", facts={"manifest_sha256": manifest_sha256}, phase="result"
    )
    made.entries = log if coverage == "range" else [log[index] for index in shown]
    made.leaf_hashes = [leaf_hash(row.leaf) for row in log]
    made.scope = replace(made.scope, coverage=coverage)
    return made


def seen(findings):
    return [what for check, what in findings.verified if check == CHECK]


@pytest.mark.parametrize("coverage", ["selection", "range"])
def test_a_merge_is_hashed_and_compared_with_its_entry(coverage, tmp_path):
    findings = verified(merged(coverage=coverage).build(), tmp_path, keys=[log_key()])

    assert (findings.verdict, findings.exit_code) == ("LOCAL", 0), findings.failure
    assert seen(findings) == [
        "1 merges: commit hashed, the countersigned head is its second parent or the commit itself,"
        " and an entry names it",
        f"{FOLDER} came to main as commit {read_commit(commit()).id}, merged by Lin Chen",
    ]
    assert not any("merge" in line for line in findings.not_verified)
    assert NUMBER[CHECK] == 9


def test_the_same_merge_gives_the_same_bytes():
    assert merged().build() == merged().build()


def test_bytes_that_git_wrote_are_read_as_git_names_them(tmp_path):
    def git(*words: str, stdin: bytes = b"") -> str:
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *words], input=stdin, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    git("init", "-q", "--object-format=sha1")
    tree = git("mktree")
    parents = [
        git("hash-object", "-t", "commit", "-w", "--stdin", stdin=commit(tree, (), f"{number}"))
        for number in (1, 2)
    ]
    content = commit(tree, parents, "both\n\nparent of nothing")
    name = git("hash-object", "-t", "commit", "-w", "--stdin", stdin=content)

    read = read_commit(content)

    assert (read.id, read.tree, list(read.parents)) == (name, tree, parents)
    assert read.sha256 == sha256(content).hexdigest()
    assert git("rev-parse", f"{name}^2") == read.parents[1]


def test_what_is_no_commit_is_not_read():
    for content in (b"", b"blob", b"tree 12\n\n", b"parent " + b"1" * 40):
        with pytest.raises(RecordFault, match="no commit"):
            read_commit(content)


@pytest.mark.parametrize(
    ("content", "brings_in"),
    [
        (commit(), True),
        (commit("77" * 20, (ELSEWHERE, HEAD)), True),
        (commit("77" * 20), False),
        (commit(parents=(HEAD, BASE)), False),
        (commit(parents=(BASE, ELSEWHERE, HEAD)), False),
        (commit(parents=(BASE,)), False),
    ],
)
def test_a_merge_brings_in_the_head_and_nothing_beside_it(content, brings_in):
    assert read_commit(content).brings_in(HEAD, TREE, BASE) is brings_in


def test_a_head_that_a_branch_was_moved_on_to_brings_itself_in():
    read = read_commit(commit(parents=(BASE,)))

    assert read.brings_in(read.id, TREE, BASE)
    assert not read.brings_in(read.id, "77" * 20, BASE)


def test_what_the_other_side_held_is_said_not_to_be_verified(tmp_path):
    made = merged(commit("77" * 20, (ELSEWHERE, HEAD))).build()

    findings = verified(made, tmp_path, keys=[log_key()])

    assert findings.exit_code == 0, findings.failure
    assert any("hold nothing but both sides" in line for line in findings.not_verified)


def test_a_merge_whose_facts_were_erased_still_has_commit_person_and_rules(tmp_path):
    made = merged(rows={MERGED: PackEntry(MERGED, merging().leaf)}).build()

    findings = verified(made, tmp_path, keys=[log_key()])

    assert findings.exit_code == 0, findings.failure
    assert any("entry 38 names the commit" in line for line in findings.not_verified)


def test_a_record_from_before_merges_were_told_stays_good_and_says_what_is_missing(tmp_path):
    made = merged(without=(FILE, COMMIT, "statement")).build()

    findings = verified(made, tmp_path, keys=[log_key()])

    assert findings.exit_code == 0, findings.failure
    assert seen(findings) == []
    assert [line for line in findings.not_verified if "which commit came of" in line] == [
        f"which commit came of {FOLDER}: its record does not tell of the merge of entry 38"
    ]


def test_a_countersignature_from_before_the_range_is_said_not_to_be_verified(tmp_path):
    made = merged(coverage="range")
    before, frontier = 30, Frontier()
    frontier.extend(made.leaf_hashes[:before])
    note = sign_checkpoint(ORIGIN, before, tree_root(made.leaf_hashes[:before]), made.signer)
    made.entries, made.earlier_sizes = made.log[before:], ()
    made.files["access/approvals.json"] = b'{"approvals": []}'
    made.files["controls/coverage.json"] = b'{"controls": []}'
    made.scope = replace(made.scope, start=Start(note, frontier))

    findings = verified(made.build(), tmp_path, keys=[log_key()])

    assert findings.exit_code == 0, findings.failure
    assert any("entry 20 lies before this range" in line for line in findings.not_verified)


def with_commit(content: bytes) -> Callable[[Told], object]:
    """merge.json says of the commit what fits other bytes."""
    read = read_commit(content)

    def edit(told: Told) -> None:
        told["commit"] = {
            "id": read.id,
            "sha256": read.sha256,
            "tree": read.tree,
            "parents": list(read.parents),
        }

    return edit


def elsewhere(claim: Claim) -> Claim:
    """The statement is about the pull request alone."""
    return replace(claim, also=())


def embellished(claim: Claim) -> Claim:
    return replace(claim, predicate={**claim.predicate, "branch": "release"})


CHANGED = commit(says="Merge pull request #7, and a thing or two besides")
OTHER_HEAD = commit(parents=(BASE, ELSEWHERE))
# Each is a whole pack of somebody who holds the log's key and signed all of it anew.
FORGERIES: dict[str, tuple[Callable[[], Sample], str]] = {
    "bytes of another commit": (
        lambda: merged(CHANGED, told=with_commit(commit())),
        "is not the bytes whose SHA-256 merge.json says",
    ),
    "commit bytes changed, their SHA-256 put right": (
        lambda: merged(
            CHANGED,
            told=lambda said: said["commit"].update(id=read_commit(commit()).id),
        ),
        f"git calls these bytes commit {read_commit(CHANGED).id}",
    ),
    "another merge commit of the same two": (
        lambda: merged(
            CHANGED,
            rows={
                MERGED: merging(
                    facts={
                        "merge_sha": read_commit(commit()).id,
                        "head_sha": HEAD,
                        "policies": POLICIES,
                    }
                )
            },
        ),
        "entry 38 names another commit or another head",
    ),
    "parents told in another order": (
        lambda: merged(told=lambda said: said["commit"]["parents"].reverse()),
        "has other parents, or in another order",
    ),
    "parents swapped in the commit": (
        lambda: merged(commit(parents=(HEAD, BASE))),
        "neither the head",
    ),
    "head that is not a parent": (lambda: merged(OTHER_HEAD), "neither the head"),
    "merge of three": (
        lambda: merged(commit(parents=(BASE, HEAD, ELSEWHERE))),
        "neither the head",
    ),
    "commit on top of the head": (lambda: merged(commit(parents=(HEAD,))), "neither the head"),
    "tree told otherwise": (
        lambda: merged(told=lambda said: said["commit"].update(tree="77" * 20)),
        "holds another tree than merge.json says",
    ),
    "files slipped in by the merge": (
        lambda: merged(commit("77" * 20)),
        "holds other files than the head",
    ),
    "merge.json of another proposal": (
        lambda: merged(OTHER_HEAD, told=lambda said: said.update(head=ELSEWHERE)),
        "is the merge of another head, or into another branch",
    ),
    "merge into another branch": (
        lambda: merged(told=lambda said: said.update(branch="release")),
        "is the merge of another head, or into another branch",
    ),
    "entry of another proposal's merge": (
        lambda: of_another(),
        "entry 38 is no proposal.merge of this proposal",
    ),
    "merged entry missing": (
        lambda: merged(shown=[index for index in SHOWN if index != MERGED]),
        "names entry 38, which is not in the pack",
    ),
    "entry of the intent": (
        lambda: merged(told=lambda said: said.update(entry=BEGUN)),
        "entry 36 does not say that it was carried out",
    ),
    "entry of the order": (
        lambda: merged(told=lambda said: said.update(entry=ORDERED, at=at(ORDERED))),
        "entry 35 names another commit or another head",
    ),
    "merge that failed": (
        lambda: merged(rows={MERGED: merging(outcome="failed")}),
        "entry 38 is no proposal.merge of this proposal",
    ),
    "merge by an agent": (
        lambda: merged(rows={MERGED: merging(actor=AGENT)}),
        "entry 38 is not the act of a person",
    ),
    "merge by somebody else": (
        lambda: merged(told=lambda said: said["merged_by"].update(id="bo", name="Bo")),
        "entry 38 says that somebody else merged it",
    ),
    "merge at another time": (
        lambda: merged(told=lambda said: said.update(at="2026-11-23T04:00:00.000000Z")),
        "entry 38 says that it was merged at another time",
    ),
    "merge under other rules": (
        lambda: merged(told=lambda said: said["allowed_by"].update(digest="cd" * 32)),
        "entry 38 was allowed by other rules",
    ),
    "merge under a policy that nobody asked": (
        lambda: merged(told=lambda said: said["allowed_by"]["policies"].append("four-eyes")),
        "entry 38 was allowed by other rules",
    ),
    "merge that nobody countersigned": (
        lambda: merged(told=lambda said: said["countersigned"].clear()),
        "names no entry by which the head was countersigned",
    ),
    "countersignature of another head": (
        lambda: merged(
            rows={
                COUNTERSIGNED: entry(
                    COUNTERSIGNED,
                    "proposal.countersign",
                    actor=ADA,
                    facts={
                        "diff_sha256": sample().population[0]["diff_sha256"],
                        "head_sha": ELSEWHERE,
                    },
                )
            }
        ),
        "entry 20 countersigns another head",
    ),
    "countersignature after the merge": (
        lambda: merged(
            rows={39: entry(39, "proposal.countersign", actor=ADA, facts={"head_sha": HEAD})},
            told=lambda said: said.update(countersigned=[39]),
            shown=(*SHOWN[:-1], 39, SIGNED),
        ),
        "was countersigned only after it was merged",
    ),
    "countersignature by the product": (
        lambda: merged(
            rows={19: entry(19, "proposal.countersign", actor=SYSTEM, facts={"head_sha": HEAD})},
            told=lambda said: said.update(countersigned=[19]),
            shown=(3, 9, 19, *SHOWN[6:]),
        ),
        "entry 19 is not the act of a person",
    ),
    "statement about no commit": (
        lambda: merged(claimed=elsewhere),
        "its statement is about another commit than the merge",
    ),
    "statement that says otherwise": (
        lambda: merged(claimed=embellished),
        "is not the merge that was signed",
    ),
    "merge.json with another part": (
        lambda: merged(told=lambda said: said.update(note="fine")),
        "is not the merge that was signed",
    ),
    "merge without its statement": (lambda: merged(without=("statement",)), "or none of them"),
    "merge without its commit": (lambda: merged(without=(COMMIT,)), "or none of them"),
    "statement without its file": (lambda: merged(without=(FILE, COMMIT)), "or none of them"),
}


def of_another() -> Sample:
    made = merged(rows={MERGED: merging(object_id=OTHER)})
    made.population.append(
        population_row(OTHER, "00" * 32, number=8, folder="", excluded="not drawn")
    )
    return made


def file_of(made: Sample) -> bytes:
    return made.files[f"{FOLDER}/{FILE}"]


def at(index: int) -> str:
    return str(json.loads(merging(index).leaf)["ts"])


@pytest.fixture
def undrawn(monkeypatch):
    """Reports without pages, which cost a second each: what is rejected before has none to show."""
    monkeypatch.setattr(pack, "render_report", lambda report, attached: b"%PDF")


@pytest.mark.parametrize("name", FORGERIES)
def test_whoever_holds_the_key_still_cannot_forge_a_merge(name, undrawn, tmp_path):
    forge, reason = FORGERIES[name]

    findings = verified(forge().build(), tmp_path, keys=[log_key()])

    assert (findings.verdict, findings.exit_code) == ("REJECTED", 1)
    assert findings.failure.check == CHECK
    assert reason in findings.failure.reason


def test_a_merge_with_odd_parts_never_crashes_the_verifier(undrawn, tmp_path):
    for name, value in [
        ("entry", [38]),
        ("countersigned", 20),
        ("countersigned", [{}]),
        ("commit", {**json.loads(file_of(merged()))["commit"], "parents": 7}),
        ("merged_by", None),
        ("allowed_by", "rules"),
    ]:
        odd = merged(told=lambda said, name=name, value=value: said.update({name: value}))
        findings = verified(odd.build(), tmp_path, keys=[log_key()])
        assert findings.verdict == "REJECTED", name
