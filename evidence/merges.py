"""Says of a merge what an auditor can check by hashing: the commit's own bytes, who let it in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1, sha256
from typing import Any

import rfc8785

from evidence.dsse import Subject
from evidence.records import Claim, RecordFault

MERGE = "urn:countersign:merge:v1"

_TREE = re.compile(rb"tree ([0-9a-f]{40})")
_PARENT = re.compile(rb"parent ([0-9a-f]{40})")


@dataclass(frozen=True, slots=True)
class MergeCommit:
    """A commit as its bytes say it: what `git cat-file commit` prints."""

    id: str
    sha256: str  # of the bytes themselves
    tree: str
    parents: tuple[str, ...]

    def brings_in(self, head: str, tree: str, base: str) -> bool:
        """Whether it brings in a head with this tree, which left its branch at `base`.

        It is the head, moved on to, or a merge with the head as second parent. Where the branch
        still stood at `base`, there is nothing that such a merge could have put beside it.
        """
        if self.id == head:
            return self.tree == tree
        if len(self.parents) != 2 or self.parents[1] != head:
            return False
        return self.tree == tree or self.parents[0] != base


def read_commit(content: bytes) -> MergeCommit:
    """The commit that these bytes are. Raises RecordFault when they are none."""
    headers = content.partition(b"\n\n")[0].split(b"\n")
    tree = _TREE.fullmatch(headers[0])
    if tree is None:
        raise RecordFault("these bytes are no commit: they do not begin with a tree")
    parents = []
    for line in headers[1:]:
        if not (found := _PARENT.fullmatch(line)):
            break  # parents come first; what looks like one below belongs to something else
        parents.append(found[1].decode())
    # Git names objects by SHA-1; the SHA-256 beside it is what a proof rests on.
    named = sha1(b"commit %d\0%b" % (len(content), content), usedforsecurity=False)
    return MergeCommit(
        named.hexdigest(), sha256(content).hexdigest(), tree[1].decode(), tuple(parents)
    )


def merge_file(
    commit: MergeCommit,
    *,
    head: str,
    branch: str,
    entry: int,
    leaf: Mapping[str, Any],
    facts: Mapping[str, Any],
    countersigned: Sequence[int],
) -> bytes:
    """The bytes of merge.json.

    entry, leaf, facts: of the entry by which the merge is on record; no facts when they were
    erased. countersigned: indexes of the entries by which people let the head through.
    """
    return rfc8785.dumps(
        {
            "commit": {
                "id": commit.id,
                "sha256": commit.sha256,
                "tree": commit.tree,
                "parents": list(commit.parents),
            },
            "head": head,
            "branch": branch,
            "merged_by": {"id": leaf["actor"]["id"], "name": leaf["actor"]["name"]},
            "at": leaf["ts"],
            "allowed_by": {
                "decision": leaf["policy"]["decision"],
                "digest": leaf["policy"]["digest"],
                "policies": list(facts.get("policies", ())),
            },
            "entry": entry,
            "countersigned": list(countersigned),
        }
    )


def merge_claim(repository: str, file: bytes) -> Claim:
    """merge.json as a statement, which is about the merge commit besides the pull request."""
    said = json.loads(file)
    commit = said["commit"]
    subject = Subject(
        f"{repository}@{said['branch']}", {"gitCommit": commit["id"], "gitTree": commit["tree"]}
    )
    return Claim(MERGE, said, also=(subject,))
