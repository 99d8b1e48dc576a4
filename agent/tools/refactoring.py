"""Renames, moves or extracts, keeps the old names reachable, and says what is left to do."""

import difflib
from collections.abc import Mapping
from typing import Any

from agent import restructuring
from agent.changes import FORMAT, RefactorRequest
from agent.forge import ForgeRefused, policy
from agent.methods import Method, renamed_method
from agent.outputs import CHANGE, CHARACTER, PATCH, PATCHED, WRITTEN_TESTS
from agent.recasting import CannotRecast, Recast, Rename
from agent.tools.characterising import test_file
from agent.tools.contract import (
    BadArguments,
    Bench,
    Observation,
    Tool,
    as_json,
    gives,
    listed,
    takes,
    text,
    whole,
)
from agent.tools.patching import standing_patches
from authz.permissions import Permission

FILES = 300  # that one refactoring may change
RISK = {"rename": 0.25, "extract": 0.3, "move": 0.35}
UNKNOWN = 0.2  # more, when nothing could be written down before


def refactor_code(bench: Bench, arguments: Mapping[str, Any]) -> Observation:
    """Changes every file that it takes; what was written down before follows the new name."""
    asked = RefactorRequest.from_json({**RefactorRequest(arguments["how"]).to_json(), **arguments})
    files = dict(bench.base_files)
    try:
        found = _recast(asked, files)
    except CannotRecast as why:
        raise BadArguments(f"the call: {why}") from why
    changed = dict(found.files)
    if len(changed) > FILES:
        raise BadArguments(f"the call: it changes {len(changed)} files; at most {FILES} may change")
    for path in changed:
        _require_open(path)
    written = bench.read_json(CHARACTER) if bench.has(CHARACTER) else None
    if written and asked.how != "extract":
        module, _, name = asked.new_name.rpartition(".")
        changed[written["path"]] = test_file(module, name, written["rows"])
    report = _report(bench, asked, found, changed, written)
    said = f"{sum(found.counts.values())} places in {len(found.files)} files"
    return Observation(
        said,
        {
            PATCHED: as_json(changed),
            PATCH: standing_patches(files, changed),
            CHANGE: as_json(report),
        },
        result={
            "files": sorted(changed),
            "places": sum(found.counts.values()),
            "left": list(found.left)[:50],
        },
    )


def _recast(asked: RefactorRequest, files: Mapping[str, bytes]) -> Recast:
    match asked.how:
        case "rename":
            if method := Method.of(files, asked.name):
                return renamed_method(files, method, asked.new_name.rpartition(".")[2])
            return restructuring.renamed_everywhere(files, Rename.parse(asked.name, asked.new_name))
        case "move":
            return restructuring.moved(files, Rename.parse(asked.name, asked.new_name))
        case _:
            return restructuring.extracted(
                files, asked.path, asked.first, asked.last, asked.new_name
            )


def _report(
    bench: Bench,
    asked: RefactorRequest,
    found: Recast,
    changed: Mapping[str, str],
    written: Mapping[str, Any] | None,
) -> dict[str, Any]:
    risks = []
    if written:
        risks.append(
            f"{written['tests']} calls of {written['function']} were written down as tests before;"
            f" they tell {written['killed']} of {written['mutants']} small changes from it."
        )
    else:
        risks.append("Nothing could be written down before: only the repository's tests speak.")
    if found.left:
        risks.append(f"{len(found.left)} places were left for a person.")
    files = [path for path in changed if not bench.has(WRITTEN_TESTS) or path in found.files]
    return {
        "format": FORMAT,
        "kind": bench.kind,
        "title": asked.title,
        "why": asked.why,
        "what": _what(asked, found, written),
        "files": sorted(changed),
        "risk": round(RISK[asked.how] + (0 if written else UNKNOWN), 2),
        "risks": risks,
        "rollback": "Reverting the merge takes everything back: behaviour, data and settings are"
        " as they were.",
        "notes": [],
        "impact": [
            {"path": path, "lines": _lines(bench.base_files.get(path, b""), changed[path])}
            for path in sorted(files)
        ],
        "left": list(found.left)[:200],
        "stages": _stages(asked),
        "replaced": [],
    }


def _what(asked: RefactorRequest, found: Recast, written: Mapping[str, Any] | None) -> list[str]:
    places = sum(found.counts.values())
    match asked.how:
        case "rename":
            said = [
                f"{asked.name} is called {asked.new_name.rpartition('.')[2]} now, {places} places."
            ]
        case "move":
            module = asked.new_name.rpartition(".")[0]
            said = [f"{asked.name} is defined in {module} now; {len(found.files)} files follow."]
        case _:
            where = f"{asked.path}, lines {asked.first} to {asked.last}"
            said = [f"{where} became the function {asked.new_name}."]
    if written:
        said.append(f"{written['path']} says what it did before, and runs with it after.")
    return said


def _stages(asked: RefactorRequest) -> list[str]:
    old, new = asked.name, asked.new_name
    if asked.how == "extract":
        return ["Nothing outside has to change: the function that was cut keeps its name."]
    return [
        f"Stage 1, this pull request: everything in this repository uses {new}; {old} stays as"
        " another name of it, so nothing outside breaks.",
        f"Stage 2, by whoever uses {old} from outside: change to {new}.",
        f"Stage 3, a pull request of its own: take {old} away.",
    ]


def _lines(before: bytes, after: str) -> list[int]:
    """Lines of the new text that are not in the old one."""
    old, new = before.decode(errors="replace").split("\n"), after.split("\n")
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    changed = [range(low, high) for tag, _, _, low, high in matcher.get_opcodes() if tag != "equal"]
    return [line + 1 for lines in changed for line in lines][:200]


def _require_open(path: str) -> None:
    try:
        policy.check_path(path)
        policy.check_agent_path(path)
    except ForgeRefused as refusal:
        raise BadArguments(f"the call: {refusal}") from refusal


_TEXT = text("As the request says.", maxLength=600)

REFACTOR_CODE = Tool(
    refactor_code,
    Permission.TASK_RUN,
    says="Rename or move a definition everywhere, or extract lines of a function.",
    arguments=takes(
        ("how", "new_name"),
        how=text("What to do.", enum=["rename", "extract", "move"]),
        name=_TEXT,
        new_name=_TEXT,
        path=_TEXT,
        first=whole("First line, from 1.", minimum=0),
        last=whole("Last line.", minimum=0),
        why=text("For the reader.", maxLength=4_000),
    ),
    result=gives(
        files=listed({"type": "string"}, "Changed files."),
        places=whole("Changed places."),
        left=listed({"type": "string"}, "Places for a person to look at."),
    ),
)
