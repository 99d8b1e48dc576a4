"""What a recommendation would touch in a repository: files, jobs and the names of secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from agent.recommender.catalogue import Catalogue, Technology
from agent.recommender.markdown import bullets, document, escaped, table
from agent.recommender.scan import IMPORTS, is_worth_reading, occurrences

WORKFLOW = re.compile(r"(^|/)\.github/workflows/[^/]+\.ya?ml$|(^|/)\.gitlab-ci\.ya?ml$")
SECRET = re.compile(
    r"secrets\.([A-Za-z_]\w*)|\$\{?([A-Z][A-Z0-9_]*(?:URL|TOKEN|KEY|PASSWORD|SECRET))\b"
)
# Of .gitlab-ci.yml: what is a setting, not a job.
NOT_A_JOB = ("image", "stages", "variables", "services", "default", "include", "workflow", "cache")
SHOWN = 40  # files of one change


def is_worth_weighing(path: str) -> bool:
    """Whether a file at `path` may be touched by a change of the stack."""
    return is_worth_reading(path) or path.endswith(
        tuple(ending for _, endings in IMPORTS for ending in endings)
    )


def impact(
    files: Mapping[str, bytes], scored: Mapping[str, Any], catalogue: Catalogue
) -> list[dict[str, Any]]:
    """One row for each technology in use that a layer's choice would replace.

    Rows: {layer, leaves, adopts, files: [path], jobs: ["path: job"], secrets: [name]}. Names of
    secrets only, as the files name them; their values are nowhere in a repository that is in order.
    A technology that stays has no row. What cannot be seen in files (data, people) is not here.
    """
    seen: dict[str, list[str]] = {}
    for row in occurrences(files, catalogue):
        if row.sentence not in seen.setdefault(row.value, []):
            seen[row.value].append(row.sentence)
    jobs = _jobs(files)
    staying = {layer["winner"] for layer in scored["layers"]}
    found = []
    for layer in scored["layers"]:
        if layer["winner"] is None:
            continue
        for name, paths in sorted(seen.items()):
            technology = catalogue.technologies[name]
            # Languages and platforms carry the rest; replacing one is not a change of a layer.
            carries = technology.kind in ("platform", "language")
            if carries or layer["layer"] not in technology.layers or name in staying:
                continue
            touched = [(path, job, text) for path, job, text in jobs if _named_in(technology, text)]
            secrets = {
                one or other
                for _, _, text in touched
                for one, other in SECRET.findall(text)
                if (one or other) != "GITHUB_TOKEN"
            }
            found.append(
                {
                    "layer": layer["layer"],
                    "leaves": name,
                    "adopts": layer["winner"],
                    "files": sorted(paths),
                    "jobs": [f"{path}: {job}" for path, job, _ in touched],
                    "secrets": sorted(secrets),
                }
            )
    return found


def impact_note(rows: list[dict[str, Any]], repository: str, catalogue: Catalogue) -> bytes:
    """The analysis as a document of the pull request."""
    names = catalogue.technologies
    blocks = [
        "# Impact on the repository",
        f"Read from the files of {escaped(repository)}: lock files, imports, containers, "
        "pipelines. Data, people and what runs outside the repository cannot be seen there; look "
        "at them before a choice is put in place.",
    ]
    if not rows:
        blocks.append("Nothing in use would be replaced by a choice of this pull request.")
        return document(blocks)
    blocks.append(
        table(
            ("Layer", "In use", "Chosen", "Files", "Jobs", "Secrets named"),
            (
                (
                    row["layer"],
                    names[row["leaves"]].name,
                    names[row["adopts"]].name,
                    str(len(row["files"])),
                    str(len(row["jobs"])),
                    ", ".join(f"`{_plain(name)}`" for name in row["secrets"]) or "none",
                )
                for row in rows
            ),
        )
    )
    for row in rows:
        blocks += [
            f"## From {names[row['leaves']].name} to {names[row['adopts']].name}, {row['layer']}",
            bullets(
                [f"`{_plain(path)}`" for path in row["files"][:SHOWN]]
                + [f"job `{_plain(job)}`" for job in row["jobs"][:SHOWN]]
            ),
        ]
    return document(blocks)


def _jobs(files: Mapping[str, bytes]) -> list[tuple[str, str, str]]:
    """(path, job, its text) of every pipeline that can be read."""
    found = []
    for path, content in sorted(files.items()):
        if not WORKFLOW.search(path):
            continue
        try:
            read = yaml.safe_load(content)
        except (yaml.YAMLError, UnicodeDecodeError):
            continue
        if not isinstance(read, dict):
            continue
        listed = read.get("jobs", read)
        if not isinstance(listed, dict):
            continue
        found += [
            (path, str(name), yaml.safe_dump(job))
            for name, job in listed.items()
            if isinstance(job, dict)
            and str(name) not in NOT_A_JOB
            and not str(name).startswith(".")
        ]
    return found


def _named_in(technology: Technology, text: str) -> bool:
    names = (technology.id, technology.name, *technology.aliases)
    pattern = "|".join(re.escape(name) for name in names if len(name) > 2)
    return bool(re.search(rf"(?<![\w])(?:{pattern})(?![a-z])", text, re.IGNORECASE))


def _plain(text: str) -> str:
    return "".join(each for each in text if each.isprintable() and each not in "`|<>")
