"""How risky a proposal is to let through: a score that anybody can recount, with its reasons."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from agent.forge import diff as unified
from agent.forge.diff import FileDiff, MalformedDiff
from agent.models import Plan, Proposal
from evidence.sbom import is_lock_file

HIGHEST = 100
PLAN = 40  # points of a plan with a risk of 1, or of one that is not known
# Lines added and removed, at least -> points; the largest that fits counts.
SIZES = ((1501, 30), (501, 20), (201, 10), (51, 5))
UNTESTED = 15  # the program changes, no test does
TESTS_SHRINK = 15  # more lines of tests go than come
BINARY = 10  # what nobody can read in the diff

_DOCUMENTS = {".md", ".rst", ".adoc"}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_BUILDS = {".github", ".gitlab", ".circleci", ".buildkite", ".woodpecker"}
_BUILD_FILES = {
    ".gitlab-ci.yml",
    ".travis.yml",
    "azure-pipelines.yml",
    "bitbucket-pipelines.yml",
    "codeowners",
    "jenkinsfile",
}
_DEPLOYS = {"deploy", "deployment", "helm", "charts", "k8s", "kubernetes", "terraform", "ansible"}
_DEPLOY_FILES = ("dockerfile", "containerfile", "docker-compose", "compose.y", "procfile")
_ACCESS = {
    *("auth", "authn", "authz", "authentication", "authorization", "login", "oauth", "oidc"),
    *("saml", "session", "sessions", "password", "passwords", "permission", "permissions"),
    *("crypto", "secret", "secrets", "token", "tokens", "security", "acl", "rbac"),
}
_MIGRATIONS = {"migrations", "migrate", "alembic", "flyway", "liquibase"}
_DEPENDENCIES = {
    *("pyproject.toml", "setup.py", "setup.cfg", "package.json", "go.mod", "go.sum"),
    *("cargo.toml", "cargo.lock", "pom.xml", "build.gradle", "build.gradle.kts", "gemfile"),
    *("gemfile.lock", "composer.json", "composer.lock", "yarn.lock", "pnpm-lock.yaml"),
}
_CODE = {
    *(".c", ".cc", ".cpp", ".cs", ".ex", ".go", ".h", ".java", ".js", ".jsx", ".kt", ".mjs"),
    *(".php", ".pl", ".py", ".rb", ".rs", ".scala", ".sh", ".sql", ".swift", ".ts", ".tsx", ".vue"),
}


@dataclass(frozen=True)
class Risk:
    """score: 0 (none) to 100. reasons: points, each with what they are for in plain words."""

    score: int
    reasons: tuple[tuple[int, str], ...]


def risk_of(files: Iterable[FileDiff], plan_risk: float | None) -> Risk:
    """How risky it is to let these changes through; the same changes score the same for ever.

    Points are added up and cut off at 100: the plan's risk (0 to 1; None: not known, counted as
    the highest), the size, each kind of sensitive place that is touched (once, however many
    files), code that changes without tests, tests that shrink, files that cannot be read.
    """
    files = list(files)
    lines = sum(file.added + file.removed for file in files)
    reasons = [
        (PLAN, "the risk of the plan is not known, so it counts as the highest")
        if plan_risk is None
        else (round(plan_risk * PLAN), f"the plan has a risk of {plan_risk:g} of 1"),
        (
            next((points for least, points in SIZES if lines >= least), 0),
            f"{lines:,} lines are added or removed",
        ),
    ]
    for points, what, is_such in _PLACES:
        # A file that was moved touches both places.
        paths = sorted({p for file in files for p in (file.path, file.old_path) if is_such(p)})
        if paths:
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            reasons.append((points, f"it touches {what}: {paths[0]}{more}"))
    tests = [file for file in files if _is_test(file.path) or _is_test(file.old_path)]
    if any(_is_code(file.path) for file in files) and not tests:
        reasons.append((UNTESTED, "the program changes, and no test does"))
    if sum(file.removed - file.added for file in tests) > 0:
        reasons.append((TESTS_SHRINK, "more lines of tests are removed than added"))
    if any(file.binary for file in files):
        reasons.append((BINARY, "a changed file is not text, so nobody can read it in the diff"))
    counted = tuple(reason for reason in reasons if reason[0])
    return Risk(min(HIGHEST, sum(points for points, _ in counted)), counted)


def measure(proposal: Proposal, diff: bytes, plan: Plan | None) -> None:
    """Set what policies look at, lines and risk, to what the diff says. Does not save."""
    try:
        files = unified.files(diff)
    except MalformedDiff as error:
        # Nobody may pass for harmless by what cannot be read.
        risk = Risk(HIGHEST, ((HIGHEST, f"the diff cannot be read: {error}"),))
        proposal.lines_added = _beginning(diff, b"+")
        proposal.lines_removed = _beginning(diff, b"-")
    else:
        risk = risk_of(files, plan.risk_score if plan else None)
        proposal.lines_added = sum(file.added for file in files)
        proposal.lines_removed = sum(file.removed for file in files)
    proposal.risk_score = risk.score
    proposal.risk_reasons = [{"points": points, "said": said} for points, said in risk.reasons]


def _beginning(diff: bytes, sign: bytes) -> int:
    return sum(line.startswith(sign) for line in diff.splitlines())


def _parts(path: str) -> set[str]:
    return {part.lower() for part in PurePosixPath(path).parts}


def _name(path: str) -> str:
    return PurePosixPath(path).name.lower()


def _words(path: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(path)}


def _is_document(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in _DOCUMENTS


def _is_test(path: str) -> bool:
    folders, name = _parts(str(PurePosixPath(path).parent)), _name(path)
    return bool(
        folders & {"test", "tests", "spec", "__tests__"}
        or re.match(r"test_|conftest\.py$", name)
        or re.search(r"[._-](test|tests|spec)\.\w+$", name)
        or re.search(r"Tests?\.\w+$", PurePosixPath(path).name)
    )


def _is_code(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in _CODE and not _is_test(path)


def _is_build(path: str) -> bool:
    return bool(_parts(path) & _BUILDS) or _name(path) in _BUILD_FILES


def _is_deployment(path: str) -> bool:
    named = _name(path).startswith(_DEPLOY_FILES) or path.lower().endswith((".tf", ".tfvars"))
    return not _is_document(path) and (named or bool(_parts(path) & _DEPLOYS))


def _is_access(path: str) -> bool:
    return not _is_document(path) and not _is_test(path) and bool(_words(path) & _ACCESS)


def _is_migration(path: str) -> bool:
    inside = bool(_parts(path) & _MIGRATIONS) or path.lower().endswith(".sql")
    return inside and not _is_document(path) and not _is_test(path)


def _is_dependency(path: str) -> bool:
    return is_lock_file(path) or _name(path) in _DEPENDENCIES


_PLACES = (
    (25, "how it is built and checked", _is_build),
    (20, "how it is deployed", _is_deployment),
    (25, "who may do what, or secrets", _is_access),
    (20, "the shape of the database", _is_migration),
    (10, "what it depends on", _is_dependency),
)
