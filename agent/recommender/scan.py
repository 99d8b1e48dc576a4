"""Reads from a repository's own files what the team knows and what runs already."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath

from agent.recommender.brief import Reading, mentions
from agent.recommender.catalogue import Catalogue, Technology

MAXIMUM_FILES, MAXIMUM_BYTES = 200, 400_000

# A file that says by its name alone what is used.
BY_NAME = (
    (re.compile(r"(^|/)\.github/workflows/[^/]+\.ya?ml$"), ("github", "github-actions")),
    (re.compile(r"(^|/)\.gitlab-ci\.ya?ml$"), ("gitlab", "gitlab-ci")),
    (re.compile(r"(^|/)Jenkinsfile$"), ("jenkins",)),
    (re.compile(r"(^|/)\.circleci/config\.ya?ml$"), ("circleci",)),
    (re.compile(r"(^|/)azure-pipelines\.ya?ml$"), ("azure", "azure-pipelines")),
    (re.compile(r"(^|/)bitbucket-pipelines\.ya?ml$"), ("bitbucket-pipelines",)),
    (re.compile(r"(^|/)\.travis\.ya?ml$"), ("travis-ci",)),
    (re.compile(r"(^|/)(?:renovate\.json5?|\.renovaterc(?:\.json)?)$"), ("renovate",)),
    (re.compile(r"(^|/)\.github/dependabot\.ya?ml$"), ("dependabot",)),
    (re.compile(r"\.tf$"), ("terraform",)),
    (re.compile(r"(^|/)Pulumi\.ya?ml$"), ("pulumi",)),
    (re.compile(r"(^|/)cdk\.json$"), ("aws-cdk", "aws")),
    (re.compile(r"(^|/)ansible\.cfg$"), ("ansible",)),
    (re.compile(r"(^|/)(?:Chart|kustomization)\.ya?ml$"), ("kubernetes",)),
    (re.compile(r"(^|/)mkdocs\.ya?ml$"), ("mkdocs",)),
    (re.compile(r"(^|/)\.semgrep(?:\.ya?ml|/)"), ("semgrep",)),
    (re.compile(r"(^|/)\.trivyignore$"), ("trivy",)),
)
# A file that names the language of whoever writes it.
LANGUAGE_FILES = (
    (re.compile(r"(^|/)(?:pyproject\.toml|requirements[\w.-]*\.txt|Pipfile|setup\.py)$"), "python"),
    (re.compile(r"(^|/)tsconfig\.json$"), "typescript"),
    (re.compile(r"(^|/)package\.json$"), "javascript"),
    (re.compile(r"(^|/)go\.mod$"), "go"),
    (re.compile(r"(^|/)(?:pom\.xml|build\.gradle)$"), "java"),
    (re.compile(r"(^|/)build\.gradle\.kts$"), "kotlin"),
    (re.compile(r"(^|/)Cargo\.toml$"), "rust"),
    (re.compile(r"(^|/)Gemfile$"), "ruby"),
    (re.compile(r"(^|/)composer\.json$"), "php"),
    (re.compile(r"\.csproj$"), "csharp"),
)
IMAGE = re.compile(r"^\s*(?:-\s*)?(?:FROM(?:\s+--\S+)?|image:|uses:)\s+[\"']?([\w./@:${}-]+)", re.M)
# (package system, endings) to what a source file imports.
IMPORTS = {
    ("pypi", (".py",)): re.compile(r"^\s*(?:from|import)\s+([A-Za-z_]\w*)", re.M),
    ("npm", (".js", ".ts", ".tsx", ".jsx", ".mjs", ".vue", ".svelte")): re.compile(
        r"(?:from|require\(|import)\s*[\"']((?:@[\w.-]+/)?[\w.-]+)"
    ),
    ("gem", (".rb",)): re.compile(r"^\s*require\s+[\"']([\w-]+)", re.M),
}
# Libraries that speak to a server; they say that the server is there.
CLIENTS = {
    "pypi": {
        "redis": "redis", "valkey": "valkey", "psycopg": "postgresql", "psycopg2": "postgresql",
        "psycopg2-binary": "postgresql", "asyncpg": "postgresql", "pymysql": "mysql",
        "mysqlclient": "mysql", "mysql-connector-python": "mysql", "pymongo": "mongodb",
        "pika": "rabbitmq", "aio-pika": "rabbitmq", "kafka-python": "kafka",
        "confluent-kafka": "kafka", "aiokafka": "kafka", "nats-py": "nats",
        "elasticsearch": "elasticsearch", "opensearch-py": "opensearch", "boto3": "aws",
        "hvac": "vault", "temporalio": "temporal", "pymilvus": "milvus",
        "qdrant-client": "qdrant", "weaviate-client": "weaviate", "pymemcache": "memcached",
    },
    "npm": {
        "pg": "postgresql", "mysql": "mysql", "mysql2": "mysql", "mongodb": "mongodb",
        "mongoose": "mongodb", "redis": "redis", "ioredis": "redis", "amqplib": "rabbitmq",
        "kafkajs": "kafka", "nats": "nats", "@elastic/elasticsearch": "elasticsearch",
        "better-sqlite3": "sqlite", "@temporalio/client": "temporal",
    },
    "gem": {"pg": "postgresql", "mysql2": "mysql", "redis": "redis", "bunny": "rabbitmq"},
    "golang": {
        "github.com/jackc/pgx": "postgresql", "github.com/lib/pq": "postgresql",
        "github.com/redis/go-redis": "redis", "go.mongodb.org/mongo-driver": "mongodb",
        "github.com/nats-io/nats.go": "nats", "github.com/segmentio/kafka-go": "kafka",
    },
}  # fmt: skip
ACCEPTED = re.compile(r"^(?:\*\s*)?(?:status:?|## Status)\W*accepted", re.IGNORECASE | re.MULTILINE)


def is_worth_reading(path: str) -> bool:
    """Whether a file at `path` may say what is used; everything else need not be fetched."""
    return bool(
        any(pattern.search(path) for pattern, _ in (*BY_NAME, *LANGUAGE_FILES))
        or _packages_of(path)
        or _holds_images(path)
        or _is_record(path)
    )


def read_repository(files: Mapping[str, bytes], catalogue: Catalogue) -> list[Reading]:
    """What the files say, for a person to confirm: fields `skills` and `already_run`.

    files: path to content. Only names that the catalogue knows come out of it; whatever else
    stands in a file is never carried over. A file that cannot be read says nothing.
    """
    found = occurrences(files, catalogue)
    rows = {(row.field, row.value): row for row in reversed(found) if row.value}
    return list(rows.values())[::-1]


def occurrences(files: Mapping[str, bytes], catalogue: Catalogue) -> list[Reading]:
    """Every place that says something, not only the first; `sentence` is the path."""
    packages = _by_package(catalogue)
    found: list[Reading] = []
    for path in sorted(files)[:MAXIMUM_FILES]:
        text = files[path][:MAXIMUM_BYTES].decode(errors="replace")
        for pattern, names in BY_NAME:
            if pattern.search(path):
                found += [_running(catalogue, name, path, "its name") for name in names]
        for pattern, language in LANGUAGE_FILES:
            spoken = catalogue.find(language) if pattern.search(path) else None
            if spoken is not None:
                found.append(Reading("skills", spoken.id, "its name", path))
        if reader := _packages_of(path):
            for kind, name in reader(text):
                known = packages.get((kind, name.lower()))
                if known is not None:
                    field = "skills" if known.kind in ("framework", "library") else "already_run"
                    found.append(Reading(field, known.id, name, path))
        if _holds_images(path):
            for image in IMAGE.findall(text):
                name = re.split(r"[:@]", image)[0].rsplit("/", 1)[-1]
                found.append(_running(catalogue, name, path, image))
        if _is_record(path) and ACCEPTED.search(text):
            title = re.search(r"^# (.+)$", text, re.MULTILINE)
            if title:
                found += [
                    Reading("already_run", technology.id, written, path)
                    for technology, _, written in mentions(title.group(1), catalogue)
                ]
        for (system, endings), imports in IMPORTS.items():
            if path.endswith(endings):
                for name in dict.fromkeys(imports.findall(text)):
                    known = packages.get((system, name.lower().replace("_", "-")))
                    if known is not None:
                        found.append(Reading("already_run", known.id, name, path))
    return [row for row in found if row.value]


def _running(catalogue: Catalogue, name: str, path: str, words: str) -> Reading:
    known = catalogue.find(name)
    if known is None:
        return Reading("already_run", "", words, path)
    field = "skills" if known.kind == "language" else "already_run"
    return Reading(field, known.id, words, path)


def _by_package(catalogue: Catalogue) -> dict[tuple[str, str], Technology]:
    """(package system, name) to technology; what has no package URL is found by its names."""
    found: dict[tuple[str, str], Technology] = {}
    for technology in catalogue.technologies.values():
        if match := re.match(r"pkg:(\w+)/(.+?)(?:@.*)?$", technology.purl):
            name = match.group(2).replace("%40", "@").lower()
            found[match.group(1), name] = technology
        if technology.kind in ("framework", "library", "tool"):
            for name in (technology.id, *technology.aliases):
                for system in ("pypi", "npm", "gem", "cargo"):
                    found.setdefault((system, name.lower()), technology)
    for system, clients in CLIENTS.items():
        for client, server in clients.items():
            technology_id = catalogue.technologies.get(server)
            if technology_id is not None:
                found[system, client] = technology_id
    return found


Packages = Iterator[tuple[str, str]]


def _packages_of(path: str) -> Callable[[str], Packages] | None:
    name = PurePosixPath(path).name
    if re.fullmatch(r"requirements[\w.-]*\.(?:txt|in|lock)", name):
        return _requirements
    return _READERS.get(name)


def _requirements(text: str) -> Packages:
    for line in text.splitlines():
        if match := re.match(r"([A-Za-z0-9][\w.-]*)", line):
            yield "pypi", match.group(1).replace("_", "-")


def _pyproject(text: str) -> Packages:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    project = document.get("project", {})
    listed = project.get("dependencies", []) if isinstance(project, dict) else []
    if isinstance(listed, list):
        yield from _requirements("\n".join(map(str, listed)))
    poetry = document.get("tool", {}).get("poetry", {}).get("dependencies", {})
    yield from (("pypi", str(name)) for name in poetry)


def _locked_python(text: str) -> Packages:
    yield from (("pypi", name) for name in re.findall(r'^name = "([\w.-]+)"', text, re.M))


def _package_json(text: str) -> Packages:
    try:
        document = json.loads(text)
    except ValueError:
        return
    for key in ("dependencies", "devDependencies"):
        listed = document.get(key) if isinstance(document, dict) else None
        if isinstance(listed, dict):
            yield from (("npm", str(name)) for name in listed)


def _package_lock(text: str) -> Packages:
    yield from (
        ("npm", name) for name in re.findall(r'"node_modules/((?:@[\w.-]+/)?[\w.-]+)"', text)
    )


def _yarn(text: str) -> Packages:
    yield from (("npm", name) for name in re.findall(r'^"?((?:@[\w.-]+/)?[\w.-]+)@', text, re.M))


def _go(text: str) -> Packages:
    for module in re.findall(r"^\s*(?:require\s+)?([\w.-]+\.[a-z]+/[\w./-]+)\s+v", text, re.M):
        yield "golang", module
        yield "golang", re.sub(r"/v\d+$", "", module)


def _maven(text: str) -> Packages:
    pairs = re.findall(r"<groupId>([\w.-]+)</groupId>\s*<artifactId>([\w.-]+)</artifactId>", text)
    for group, artifact in pairs:
        yield "maven", f"{group}/{artifact}"
        yield "npm", artifact.removeprefix("spring-boot-starter").strip("-") or "spring-boot"
        if artifact.startswith("spring-boot"):
            yield "npm", "spring-boot"


def _gradle(text: str) -> Packages:
    for group, artifact in re.findall(r"[\"']([\w.-]+):([\w.-]+)(?::[\w.-]+)?[\"']", text):
        yield "maven", f"{group}/{artifact}"
        if artifact.startswith("spring-boot") or group == "org.springframework.boot":
            yield "npm", "spring-boot"


def _cargo(text: str) -> Packages:
    yield from (("cargo", name) for name in re.findall(r"^([\w-]+)\s*=", text, re.M))


def _gems(text: str) -> Packages:
    yield from (("gem", name) for name in re.findall(r"^\s*gem [\"']([\w-]+)[\"']", text, re.M))


_READERS: Mapping[str, Callable[[str], Packages]] = {
    "pyproject.toml": _pyproject,
    "poetry.lock": _locked_python,
    "uv.lock": _locked_python,
    "package.json": _package_json,
    "package-lock.json": _package_lock,
    "yarn.lock": _yarn,
    "go.mod": _go,
    "pom.xml": _maven,
    "build.gradle": _gradle,
    "build.gradle.kts": _gradle,
    "Cargo.toml": _cargo,
    "Gemfile": _gems,
}


def _holds_images(path: str) -> bool:
    name = PurePosixPath(path).name.lower()
    return (
        name.startswith(("dockerfile", "containerfile"))
        or name.endswith(".dockerfile")
        or bool(re.fullmatch(r"(?:docker-)?compose[\w.-]*\.ya?ml", name))
        or bool(re.search(r"\.github/workflows/[^/]+\.ya?ml$|\.gitlab-ci\.ya?ml$", path))
    )


def _is_record(path: str) -> bool:
    return bool(re.search(r"(^|/)(?:adrs?|decisions)/[^/]+\.md$", path, re.IGNORECASE))
