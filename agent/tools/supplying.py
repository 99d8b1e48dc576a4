"""Says what a repository depends on, under which licences, as far as that is written down.

Nothing is looked up over a network: a version or licence that the files and the metadata at hand
do not tell is UNKNOWN, which is never counted as good.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any
from uuid import UUID, uuid5

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from license_expression import ExpressionError, get_spdx_licensing
from packageurl import PackageURL
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from agent import locks
from agent.outputs import LICENCES, SBOM
from agent.recommender.licences import CLASSES, permitted, restriction
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
from authz.permissions import Permission

UNKNOWN = "UNKNOWN"
POLICIES = ("permissive_only", "copyleft_ok", "any")
_NAMESPACE = UUID("b3c4c0a4-5f0e-5d6b-9a56-3f1f7b0c7d11")
_REQUIREMENTS = re.compile(r"(^|/)requirements[\w.-]*\.(txt|lock)$")
_COMMENT = re.compile(r"(^|\s)#.*$|\s--hash=\S+|\s*\\$")

# What trove classifiers and free words of metadata mean, where they mean one thing.
_SPDX = {
    "OSI Approved :: MIT License": "MIT",
    "OSI Approved :: Apache Software License": "Apache-2.0",
    "OSI Approved :: BSD License": "BSD-3-Clause",
    "OSI Approved :: ISC License (ISCL)": "ISC",
    "OSI Approved :: Python Software Foundation License": "PSF-2.0",
    "OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "OSI Approved :: GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "OSI Approved :: GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "MIT License": "MIT",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "LGPL with exceptions": "LGPL-3.0-only",
}
_FAMILIES = (
    ("AGPL", 2),
    ("LGPL", 1),
    ("MPL", 1),
    ("EPL", 1),
    ("GPL", 2),
    ("SSPL", 3),
    ("BUSL", 3),
)


@dataclass(frozen=True)
class Package:
    """One dependency as a file declares it. version: exact, or UNKNOWN."""

    name: str
    version: str
    declared: str
    where: str
    licence: str


def sbom_generate(bench: Bench, arguments: Mapping[str, Any]) -> Observation:
    """Writes a CycloneDX 1.6 bill of materials of what the repository declares."""
    packages = list(_packages(_tree(bench, arguments)))
    content = _bom(bench, packages)
    unpinned = sum(package.version == UNKNOWN for package in packages)
    said = f"{len(packages)} packages declared, {unpinned} without an exact version"
    return Observation(
        said,
        {SBOM: content},
        result={
            "sbom_uri": f"sha256:{sha256(content).hexdigest()}",
            "packages": [
                {"name": p.name, "version": p.version, "where": p.where} for p in packages
            ],
            "licenses": sorted({package.licence for package in packages}),
        },
    )


def license_check(bench: Bench, arguments: Mapping[str, Any]) -> Observation:
    """Compares the licences of what is declared with a policy; new trouble has to be put right."""
    policy = arguments.get("policy", "copyleft_ok")
    before = {p.name for p in _packages(bench.tree("base"))}
    rows = [
        {
            "name": package.name,
            "licence": package.licence,
            "verdict": _verdict(package.licence, policy),
            "new": package.name not in before,
        }
        for package in _packages(_tree(bench, arguments))
    ]
    counts = {word: sum(row["verdict"] == word for row in rows) for word in _VERDICTS}
    bad = [row for row in rows if row["new"] and row["verdict"] == "refused"]
    said = ", ".join(f"{count} {word}" for word, count in counts.items())
    if bad:
        said += f"; new and refused: {bad[0]['name']} ({bad[0]['licence']})"
    return Observation(
        f"licences by {policy}: {said}",
        {LICENCES: as_json({"policy": policy, "packages": rows})},
        ok=not bad,
        result={"policy": policy, "packages": rows, **counts},
    )


_VERDICTS = ("allowed", "refused", "unknown")


def _tree(bench: Bench, arguments: Mapping[str, Any]) -> dict[str, bytes]:
    return bench.tree(arguments.get("target", "patched"))


def _packages(files: Mapping[str, bytes]) -> Iterator[Package]:
    seen = set()
    for where, declared in _declared(files):
        try:
            requirement = Requirement(declared)
        except InvalidRequirement:
            continue
        name = canonicalize_name(requirement.name)
        pins = [s.version for s in requirement.specifier if s.operator in {"==", "==="}]
        version = pins[0] if len(pins) == 1 and "*" not in pins[0] else UNKNOWN
        if (name, version) not in seen:
            seen.add((name, version))
            yield Package(name, version, declared, where, licence_of(name))


def _declared(files: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    for path in sorted(files):
        if path.endswith("pyproject.toml"):
            yield from ((path, said) for said in _of_pyproject(path, files[path]))
        elif locks.is_lock(path):
            yield from ((path, f"{name}=={version}") for name, version in locks.pins(files[path]))
        elif _REQUIREMENTS.search(path):
            for line in files[path].decode(errors="replace").splitlines():
                said = _COMMENT.sub("", line).strip().rstrip("\\").strip()
                if said and not said.startswith("-"):
                    yield path, said


def _of_pyproject(path: str, content: bytes) -> list[str]:
    try:
        said = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise BadArguments(f"target: {path} is not TOML: {error}") from error
    project = said.get("project", {})
    groups = [
        project.get("dependencies", []),
        *project.get("optional-dependencies", {}).values(),
        *said.get("dependency-groups", {}).values(),
    ]
    return [item for group in groups for item in group if isinstance(item, str)]


def licence_of(name: str) -> str:
    """SPDX expression by the metadata of the package as it is installed here, or UNKNOWN."""
    try:
        said = metadata(name)
    except PackageNotFoundError:
        return UNKNOWN
    words = [said.get("License-Expression", "") or ""]
    words += [c.removeprefix("License :: ") for c in said.get_all("Classifier") or ()]
    words.append(said.get("License", "") or "")
    for word in words:
        spdx = _SPDX.get(word.strip(), word.strip())
        if not spdx or len(spdx) > 200:
            continue
        try:
            return str(get_spdx_licensing().parse(spdx, validate=True))
        except ExpressionError:
            continue
    return UNKNOWN


def _verdict(licence: str, policy: str) -> str:
    if licence == UNKNOWN:
        return "unknown"
    keys = get_spdx_licensing().license_keys(licence)
    classes = {key: next((n for part, n in _FAMILIES if part in key), 0) for key in keys}
    # A licence that is kept from being open by its own words counts as the strictest.
    classes |= {key: len(CLASSES) - 1 for key in keys if key.startswith("LicenseRef-")}
    flat = re.sub(r"\s+WITH\s+[\w.-]+", "", licence)
    try:
        return "allowed" if permitted(restriction(flat, classes), policy) else "refused"
    except KeyError:
        return "unknown"


def _bom(bench: Bench, packages: list[Package]) -> bytes:
    bom = Bom(serial_number=uuid5(_NAMESPACE, f"{bench.task_id}"))
    bom.metadata.timestamp = bench.asked_at
    root = Component(
        name=bench.repository.name, version=bench.base_sha, type=ComponentType.APPLICATION
    )
    bom.metadata.component = root
    for package in packages:
        version = None if package.version == UNKNOWN else package.version
        component = Component(
            name=package.name,
            version=version,
            type=ComponentType.LIBRARY,
            purl=PackageURL("pypi", name=package.name, version=version),
            bom_ref=f"{package.name}@{package.version}",
            licenses=[_licence(package.licence)],
            description=f"declared in {package.where} as {package.declared}",
        )
        bom.components.add(component)
        bom.register_dependency(root, [component])
    return JsonV1Dot6(bom).output_as_string(indent=1).encode()


def _licence(said: str) -> Any:
    return DisjunctiveLicense(name=UNKNOWN) if said == UNKNOWN else LicenseExpression(value=said)


_TARGET = text("Which tree.", enum=["base", "patched"])
_NAME = text("As the index writes it.")

SBOM_GENERATE = Tool(
    sbom_generate,
    Permission.TASK_RUN,
    says="Write a CycloneDX bill of materials of what the repository declares.",
    arguments=takes(target=_TARGET),
    result=gives(
        sbom_uri=text("CycloneDX 1.6, JSON.", pattern="^sha256:[0-9a-f]{64}$"),
        packages=listed(
            gives(name=_NAME, version=text("Exact, or UNKNOWN."), where=text("File.")), "Declared."
        ),
        licenses=listed({"type": "string"}, "SPDX expressions, or UNKNOWN."),
    ),
)
LICENSE_CHECK = Tool(
    license_check,
    Permission.TASK_RUN,
    says="Compare the licences of what the repository declares with a policy.",
    arguments=takes(target=_TARGET, policy=text("What may be used.", enum=list(POLICIES))),
    result=gives(
        policy=text("The policy."),
        packages=listed(
            gives(
                name=_NAME,
                licence=text("SPDX expression, or UNKNOWN."),
                verdict=text("By the policy.", enum=list(_VERDICTS)),
                new={"type": "boolean", "description": "Whether the task added it."},
            ),
            "Declared.",
        ),
        **{word: whole("Packages.") for word in _VERDICTS},
    ),
)
