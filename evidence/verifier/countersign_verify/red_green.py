"""Judges the proof of a repair again: red without the change, green with it, red again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from . import strict_json
from .container import Container
from .findings import Rejected

CHECK = "red/green"
NAME = "red-green.json"
STATEMENT = "urn:countersign:red-green:v1"
RED_RUNS = 3
_RUNS = ("baseline", "red", "green", "suite", "reverted")
_PATCHED = {"green", "suite"}


def check_red_green(
    pack: Container, folder: str, declared: Mapping[str, Any], said: Sequence[Mapping[str, Any]]
) -> bool:
    """Whether a pull request has a proof; raises Rejected unless that proof holds.

    declared: the pull request's files by path. said: the signed statements of its record. Nothing
    is run again: what is judged is what the runs reported, and that it is about these files.
    """
    subject = folder + NAME
    signed = [one["predicate"] for one in said if one.get("predicateType") == STATEMENT]
    if subject not in pack.members and not signed:
        return False
    if subject not in pack.members or len(signed) != 1:
        raise Rejected(CHECK, subject, "a proof and one signed statement about it belong together")
    content = pack.read(subject)
    if signed[0]["proof"]["digest"] != {"sha256": sha256(content).hexdigest()}:
        raise Rejected(CHECK, subject, "is not the proof that was signed")
    proof = strict_json.read_object(subject, content)
    try:
        if problem := _about_other_files(proof, declared) or _does_not_hold(proof):
            raise Rejected(CHECK, subject, problem)
    except (KeyError, TypeError, AttributeError, IndexError) as fault:
        raise Rejected(CHECK, subject, f"malformed at {fault}") from fault
    return True


def _about_other_files(proof: Mapping[str, Any], declared: Mapping[str, Any]) -> str:
    proved = {path: file["after"] for path, file in proof["patch"]["files"].items()}
    proved |= proof["written"]
    standing = {path: file.get("sha256") for path, file in declared.items()}
    if proved != standing:
        odd = sorted({path for path, _ in proved.items() ^ standing.items()})
        return f"is about other files than the pull request: {odd[0]}"
    return ""


def _does_not_hold(proof: Mapping[str, Any]) -> str:
    """Why the runs do not show a repair; nothing when they do."""
    tests = set(proof["tests"])
    runs = {name: proof[name]["runs"] for name in _RUNS}
    if not tests:
        return "names no test"
    for name in _RUNS:
        tree = proof["trees"]["patched" if name in _PATCHED else "base"]
        if proof[name]["problem"] or proof[name]["tree_sha256"] != tree or not runs[name]:
            return f"the run called {name} does not count"
    if len({(proof[name]["tier"], proof[name]["environment_digest"]) for name in _RUNS}) != 1:
        return "not all runs were in the same sandbox"
    if proof["trees"]["base"] == proof["trees"]["patched"]:
        return "nothing was changed between red and green"
    red = [_failing(run, tests) for run in runs["red"]]
    if len(red) < RED_RUNS or red[0].keys() != tests or any(one != red[0] for one in red):
        return "the tests were not red in the same way each time"
    if not all(tests <= set(run["passed"]) and run["exit_code"] == 0 for run in runs["green"]):
        return "the tests were not green with the change"
    if _failing(runs["reverted"][0], tests) != red[0]:
        return "the tests were not red again without the change"
    aside = {
        test for name in _RUNS for key in ("flaky", "quarantined") for test in proof[name][key]
    }
    if lost := set(runs["baseline"][0]["passed"]) - set(runs["suite"][0]["passed"]) - aside:
        return f"a test that passed before does not pass now: {sorted(lost)[0]}"
    return ""


def _failing(run: Mapping[str, Any], tests: set[str]) -> dict[str, str]:
    return {row["id"]: row["reason"] for row in run["failing"] if row["id"] in tests}
