"""Checks which commit came of a pull request: by git's own digest, and by what the log says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha1, sha256
from typing import Any

from . import envelope, strict_json
from .container import Container
from .entries import Log
from .findings import Findings, Rejected

CHECK = "merge"
FILE, COMMIT = "merge.json", "merge.commit"
STATEMENT = "urn:countersign:merge:v1"
PRINTED = 10  # merges that are named one by one
_MERGING, _SIGNING = "proposal.merge", "proposal.countersign"

_PLACE = re.compile(r"prs/[^/]+-[0-9]+/merge\.json")
_TREE = re.compile(rb"tree ([0-9a-f]{40}|[0-9a-f]{64})")
_PARENT = re.compile(rb"parent ([0-9a-f]{40}|[0-9a-f]{64})")
_PARTS = frozenset(
    {"commit", "head", "branch", "merged_by", "at", "allowed_by", "entry", "countersigned"}
)


def entries_wanted(files: Container) -> set[int]:
    """The entries that the check has to look into."""
    wanted: set[int] = set()
    for name in filter(_PLACE.fullmatch, files.members):
        told = strict_json.read_object(name, files.read(name))
        named = told.get("countersigned")
        wanted |= {
            index
            for index in [told.get("entry"), *(named if isinstance(named, list) else ())]
            if type(index) is int
        }
    return wanted


def check_merge_commit(
    files: Container, folder: str, described: Mapping[str, Any], said: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """What merge.json says, once commit, statement and pull request agree; None without a merge.

    described: pull-request.json. said: the signed statements of its record.
    """
    subject = folder + FILE
    signed = [one for one in said if one.get("predicateType") == STATEMENT]
    here = [name for name in (FILE, COMMIT) if folder + name in files.members]
    if not here and not signed:
        return None
    if len(here) != 2 or len(signed) != 1:
        raise Rejected(
            CHECK, subject, f"a merge is {FILE}, {COMMIT} and one signed statement, or none of them"
        )
    told = strict_json.read_object(subject, files.read(subject))
    if told.keys() != _PARTS or signed[0]["predicate"] != told:
        raise Rejected(CHECK, subject, "is not the merge that was signed")
    commit = told["commit"]
    about = envelope.digests(subject, dict(signed[0])).values()
    if {"gitCommit": commit["id"], "gitTree": commit["tree"]} not in about:
        raise Rejected(CHECK, subject, "its statement is about another commit than the merge")
    content = files.read(folder + COMMIT)
    _check_bytes(folder + COMMIT, content, commit)
    _check_place(subject, told, described)
    return told


def _check_bytes(subject: str, content: bytes, commit: Mapping[str, Any]) -> None:
    """The bytes are the commit that is named: by both digests, by tree and by parents."""
    if sha256(content).hexdigest() != commit["sha256"]:
        raise Rejected(CHECK, subject, "is not the bytes whose SHA-256 merge.json says")
    framed = b"commit %d\0%b" % (len(content), content)
    named = sha1(framed, usedforsecurity=False).hexdigest(), sha256(framed).hexdigest()
    if commit["id"] not in named:
        raise Rejected(
            CHECK,
            subject,
            f"git calls these bytes commit {named[0]}, merge.json says {commit['id']}",
        )
    first, *others = content.partition(b"\n\n")[0].split(b"\n")
    tree = _TREE.fullmatch(first)
    parents = []
    for line in others:
        if not (found := _PARENT.fullmatch(line)):
            break
        parents.append(found[1].decode())
    if tree is None or tree[1].decode() != commit["tree"]:
        raise Rejected(CHECK, subject, "holds another tree than merge.json says")
    if parents != commit["parents"]:
        raise Rejected(CHECK, subject, "has other parents, or in another order, than merge.json")


def _check_place(subject: str, told: Mapping[str, Any], described: Mapping[str, Any]) -> None:
    """The commit brings in the pull request's head, and is on the branch that it was for."""
    commit, head, base = told["commit"], described["head"], described["base"]
    parents = commit["parents"]
    if (told["head"], told["branch"]) != (head["commit"], base["branch"]):
        raise Rejected(CHECK, subject, "is the merge of another head, or into another branch")
    moved_on = commit["id"] == head["commit"]
    if not moved_on and (len(parents) != 2 or parents[1] != head["commit"]):
        raise Rejected(
            CHECK,
            subject,
            f"the commit is neither the head {head['commit']} nor a merge with it as second parent",
        )
    if (moved_on or parents[0] == base["commit"]) and commit["tree"] != head["tree"]:
        raise Rejected(
            CHECK,
            subject,
            "the commit holds other files than the head, though its branch had not moved",
        )


def check_merges(
    merges: Sequence[tuple[str, Mapping[str, Any], Mapping[str, Any]]],
    rows: Sequence[Mapping[str, Any]],
    log: Log,
    findings: Findings,
) -> None:
    """Each merge is the one that its entry says, of what the entries say was countersigned.

    merges: folder, merge.json and pull-request.json of each. rows: the population.
    """
    proposals = {row["folder"]: row["proposal"] for row in rows if row["folder"]}
    for folder, told, described in merges:
        try:
            _check_recorded(folder, told, described, proposals[folder], log, findings)
        except (KeyError, TypeError, AttributeError) as fault:
            raise Rejected(CHECK, f"{folder}/{FILE}", f"malformed at {fault}") from fault
    _name_untold(proposals, {folder for folder, _, _ in merges}, log, findings)
    if not merges:
        return
    findings.saw(
        CHECK,
        f"{len(merges)} merges: commit hashed, the countersigned head is its second parent or the"
        " commit itself, and an entry names it",
    )
    for folder, told, _ in merges[:PRINTED]:
        findings.saw(
            CHECK,
            f"{folder} came to {told['branch']} as commit {told['commit']['id']}, merged by "
            f"{told['merged_by']['name']}",
        )
    moved = sum(
        told["commit"]["tree"] != described["head"]["tree"] for _, told, described in merges
    )
    if moved:
        findings.not_verified.append(
            f"that {moved} merges hold nothing but both sides: their branch had moved on meanwhile,"
            " and the rest of the repository is not here"
        )


def _check_recorded(
    folder: str,
    told: Mapping[str, Any],
    described: Mapping[str, Any],
    proposal: str,
    log: Log,
    findings: Findings,
) -> None:
    subject, index, head = f"{folder}/{FILE}", told["entry"], described["head"]["commit"]
    leaf, facts = _entry(subject, index, _MERGING, proposal, log)
    allowed = told["allowed_by"]
    if leaf["phase"] != "result":
        raise Rejected(CHECK, subject, f"entry {index} does not say that it was carried out")
    if told["merged_by"] != {name: leaf["actor"][name] for name in ("id", "name")}:
        raise Rejected(CHECK, subject, f"entry {index} says that somebody else merged it")
    if told["at"] != leaf["ts"]:
        raise Rejected(CHECK, subject, f"entry {index} says that it was merged at another time")
    if {name: allowed[name] for name in ("decision", "digest")} != leaf["policy"]:
        raise Rejected(CHECK, subject, f"entry {index} was allowed by other rules")
    if facts is None:
        findings.not_verified.append(
            f"that entry {index} names the commit of {folder}: its facts are withheld or erased"
        )
    elif (facts.get("merge_sha"), facts.get("head_sha")) != (told["commit"]["id"], head):
        raise Rejected(CHECK, subject, f"entry {index} names another commit or another head")
    elif facts.get("policies", []) != allowed["policies"]:
        raise Rejected(CHECK, subject, f"entry {index} was allowed by other rules")
    signed = told["countersigned"]
    if not signed:
        raise Rejected(CHECK, subject, "names no entry by which the head was countersigned")
    for place in signed:
        if place < log.before.size:
            findings.not_verified.append(
                f"that the head of {folder} was countersigned: entry {place} lies before this range"
            )
            continue
        _, facts = _entry(subject, place, _SIGNING, proposal, log)
        if place > index:
            raise Rejected(CHECK, subject, "was countersigned only after it was merged")
        if facts is not None and facts.get("head_sha") != head:
            raise Rejected(CHECK, subject, f"entry {place} countersigns another head")


def _entry(
    subject: str, index: Any, action: str, proposal: str, log: Log
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """An entry that merge.json names, with its facts where they are disclosed."""
    if index not in log.kept:
        raise Rejected(CHECK, subject, f"names entry {index}, which is not in the pack")
    leaf, payload = log.kept[index]
    if (leaf["action"], leaf["outcome"]) != (action, "ok") or leaf["object"] != {
        "type": "proposal",
        "id": proposal,
    }:
        raise Rejected(CHECK, subject, f"entry {index} is no {action} of this proposal")
    if leaf["actor"]["type"] != "human":
        raise Rejected(CHECK, subject, f"entry {index} is not the act of a person")
    return leaf, (None if payload is None else strict_json.read_object(f"entry {index}", payload))


def _name_untold(
    proposals: Mapping[str, str], told: set[str], log: Log, findings: Findings
) -> None:
    """Merges that the entries show and the records do not: those of older records."""
    begun = {leaf["trace"] for _, leaf in log.proposals if leaf["phase"] == "intent"}
    done = {
        leaf["object"]["id"]: index
        for index, leaf in log.proposals
        if leaf["action"] == _MERGING and leaf["phase"] == "result" and leaf["trace"] in begun
    }
    for folder, proposal in proposals.items():
        if folder not in told and proposal in done:
            findings.not_verified.append(
                f"which commit came of {folder}: its record does not tell of the merge of entry"
                f" {done[proposal]}"
            )
