"""Measures the index of code on Python's own library: python -m tests.bench.code_index.

Reads 100,000 lines of it into the index, then one commit more, then asks: where is the function
that is described so (its own first line of documentation, kept out of the index), and where is the
one of that name. Wall time depends on who else is at work; the seconds of processor, of this
process and of its PostgreSQL, do not. Needs the environment of env.sh; what it writes is taken
away again.
"""

import argparse
import ast
import os
import shutil
import statistics
import subprocess
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import django
from django.db import connection

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
django.setup()  # models can be imported only after it

from agent import code_index, repositories  # noqa: E402
from agent.models import CodeIndex, CodePiece, Repository  # noqa: E402
from agent.places import forge_address, local_forge  # noqa: E402
from authz import people  # noqa: E402
from tenants.actor import system_actor  # noqa: E402
from tenants.models import User  # noqa: E402
from tenants.scope import scope_of_host, tenant_scope  # noqa: E402

BY = system_actor("bench", "cli")
SHIPPED = {"as shipped": code_index.WEIGHTS}
WEIGHTS = {
    "names": (1, 0, 0),
    "words": (0, 1, 0),
    "meaning": (0, 0, 1),
    "alike": (1, 1, 1),
    **SHIPPED,
}


def main() -> None:
    """Print how long reading takes, how long answers take, how good they are."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--lines", type=int, default=100_000)
    asked.add_argument("--questions", type=int, default=150)
    asked.add_argument("--host", default="demo.localhost", help="of a tenant that is there")
    options = asked.parse_args()
    scope = scope_of_host(options.host)
    if scope is None:
        raise SystemExit(f"there is no tenant at {options.host}; manage.py demo_data makes one")
    files, questions = _library(options.lines)
    lines = sum(content.count(b"\n") for content in files.values())
    with tenant_scope(scope):
        name = f"bench-{uuid4().hex[:8]}"
        tenant = people.AsTenant(scope.tenant_id)
        project = people.create_project(name, name, tenant=tenant, by=BY)
        agent = User.objects.get(kind=User.Kind.AGENT, grants__project=project).actor("job")
        repository = repositories.register(
            name, project=project, files=files, written=datetime.now(UTC), by=BY
        )
        try:
            took = _read(repository, agent)
            pieces = CodePiece.objects.filter(repository=repository).count()
            print(f"{lines:,} lines, {pieces:,} pieces: read in {took}", flush=True)
            _commit(repository, sorted(files)[len(files) // 2])
            print(f"one commit that changes one file: {_read(repository, agent)}", flush=True)
            _ask(repository, questions[: options.questions], WEIGHTS)
            print("asked by name:", flush=True)
            _ask(repository, _named(repository)[: options.questions], SHIPPED)
        finally:
            CodePiece.objects.filter(repository=repository).delete()
            CodeIndex.objects.filter(repository=repository).delete()
            Repository.objects.filter(pk=repository.pk).delete()
            shutil.rmtree(local_forge().clone_url(forge_address(repository)))


def _library(lines: int) -> tuple[dict[str, bytes], list[tuple[str, str]]]:
    """Files without the first lines of documentation, and (first line, path) of those."""
    root = Path(sysconfig.get_path("stdlib"))
    files: dict[str, bytes] = {}
    questions = []
    for path in sorted(root.rglob("*.py")):
        name = str(path.relative_to(root))
        if name.startswith(("site-packages", "test/", "idlelib", "lib2to3", "turtledemo")):
            continue
        text = path.read_text(errors="replace")
        said = text.split("\n")
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            documentation = ast.get_docstring(node)
            if documentation is None or len(documentation.split()) < 6 or len(node.body) < 2:
                continue
            first = node.body[0]
            for place in range(first.lineno - 1, first.end_lineno or first.lineno):
                said[place] = ""
            if len(documentation.split("\n")[0].split()) >= 6:
                questions.append((documentation.split("\n")[0], name))
        files[name] = "\n".join(said).encode()
        lines -= len(said)
        if lines <= 0:
            break
    # Every so many, so that they come from everywhere; the same ones each time.
    return files, questions[:: max(1, len(questions) // 150)]


class _Clock:
    """Seconds on the wall and of the processor, from its making on."""

    def __init__(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            self._server = Path(f"/proc/{cursor.fetchone()[0]}/stat")
        self._began = self._now()

    def _now(self) -> tuple[float, float, float]:
        # After the name in brackets: user time is field 14, system time 15, in ticks.
        fields = self._server.read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        return time.perf_counter(), time.process_time(), ticks / os.sysconf("SC_CLK_TCK")

    @property
    def spent(self) -> tuple[float, float, float]:
        """On the wall, of this process, of its server process in PostgreSQL."""
        now = self._now()
        return (now[0] - self._began[0], now[1] - self._began[1], now[2] - self._began[2])

    def __str__(self) -> str:
        wall, here, there = self.spent
        return f"{wall:.1f} s (processor {here:.1f} s, PostgreSQL {there:.1f} s)"


def _read(repository: Repository, agent: object) -> str:
    clock = _Clock()
    while code_index.read_on(repository, by=agent):  # type: ignore[arg-type]
        index = CodeIndex.objects.get(repository=repository)
        print(f"  {index.percent}% after {clock}", flush=True)
    return str(clock)


def _commit(repository: Repository, path: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = local_forge().clone_url(forge_address(repository))
        subprocess.run(["git", "clone", "-q", url, "work"], cwd=folder, check=True)
        work = Path(folder) / "work"
        with (work / path).open("a") as file:
            file.write("\n\ndef added_by_the_bench(first, second):\n    return first + second\n")
        person = ["-c", "user.name=Bench", "-c", "user.email=bench@bench.invalid"]
        subprocess.run(["git", *person, "commit", "-qam", "Change"], cwd=work, check=True)
        subprocess.run(["git", "push", "-q", "origin", "HEAD"], cwd=work, check=True)


def _named(repository: Repository) -> list[tuple[str, str]]:
    """(question, path) of names of two words or more that occur once."""
    rows = CodePiece.objects.filter(repository=repository).exclude(kind=CodePiece.Kind.FILE)
    found = [(name.rpartition(".")[2], path) for name, path in rows.values_list("name", "path")]
    times = Counter(name.lower() for name, _ in found)
    once = sorted((name, path) for name, path in found if "_" in name and times[name.lower()] == 1)
    asked = [(f"where is {name} used, and what does it need", path) for name, path in once]
    return asked[:: max(1, len(asked) // 150)]


def _ask(
    repository: Repository,
    questions: list[tuple[str, str]],
    weighings: Mapping[str, tuple[float, float, float]],
) -> None:
    code_index.search("warm", [repository.pk])
    shipped = code_index.WEIGHTS
    for name, weights in weighings.items():
        code_index.WEIGHTS = weights
        took, ranks = [], []
        clock = _Clock()
        for question, path in questions:
            start = time.perf_counter()
            found = code_index.search(question, [repository.pk], most=10)
            took.append((time.perf_counter() - start) * 1000)
            paths = list(dict.fromkeys(hit.piece.path for hit in found))
            ranks.append(1 / (paths.index(path) + 1) if path in paths else 0.0)
        code_index.WEIGHTS = shipped
        took.sort()
        _, here, there = clock.spent
        print(
            f"{name:<10} right file first {sum(r == 1 for r in ranks) / len(ranks):.0%}, "
            f"among 10 {sum(r > 0 for r in ranks) / len(ranks):.0%}, "
            f"MRR {statistics.mean(ranks):.3f}; p50 {statistics.median(took):.0f} ms, "
            f"p95 {took[int(len(took) * 0.95)]:.0f} ms, processor of each "
            f"{here / len(ranks) * 1000:.0f} + {there / len(ranks) * 1000:.0f} ms (n={len(ranks)})",
            flush=True,
        )


if __name__ == "__main__":
    main()
