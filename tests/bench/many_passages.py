"""Makes a tenant's documents many: python -m tests.bench.many_passages HOST N.

Adds a repository with passages to the project of the tenant's first one until it has N; the code
host does not have it, so that nobody reads it anew. Their words are those
of this repository's documents, mixed; their vectors are those documents', each moved a little, so
that a search by words and by meaning has as much to compare and to order as with N real ones.
Needs the environment of env.sh.
"""

import argparse
import os
import random
from pathlib import Path

import django
import numpy as np

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
django.setup()  # models can be imported only after it

from agent import searching  # noqa: E402
from agent.models import Passage, Repository  # noqa: E402
from agent.retrieval.embedding import as_text, embed  # noqa: E402
from tenants.scope import scope_of_host, tenant_scope  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
REAL = 150  # passages that are really embedded
MOVED = 0.3  # length of what is added to a vector of length 1


def main() -> None:
    """Add what is missing, and say how many there are."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("host")
    asked.add_argument("count", type=int)
    asked.add_argument("--check", action="store_true", help="add none, fail if there are fewer")
    options = asked.parse_args()
    scope = scope_of_host(options.host)
    if scope is None:
        raise SystemExit(f"there is no tenant at {options.host}")
    with tenant_scope(scope):
        first = Repository.objects.order_by("created_at").first()
        if first is None:
            raise SystemExit(f"{options.host} has no repository")
        repository, _ = Repository.objects.get_or_create(
            project_id=first.project_id, name="many-passages"
        )
        there = Passage.objects.filter(repository=repository).count()
        if not options.check:
            made = _made(repository, options.count - there)
            Passage.objects.bulk_create(made, batch_size=500)
        elif there < options.count:
            raise SystemExit(f"only {there:,} passages were there to search")


def _made(repository: Repository, missing: int) -> list[Passage]:
    real = [
        row
        for path in sorted(ROOT.glob("docs/*.md"))
        for row in searching.passages_of(
            repository, str(path.relative_to(ROOT)), path.read_bytes(), ""
        )
    ][:REAL]
    vectors = np.array(embed([f"{row.title}\n{row.text}" for row in real]))
    chance = random.Random(1)
    noise = np.random.default_rng(1)
    made = []
    for number in range(missing):
        place = number % len(real)
        like, other = real[place], chance.choice(real)
        step = noise.standard_normal(vectors.shape[1])
        moved = vectors[place] + MOVED * step / np.linalg.norm(step)
        words = like.text.split() + other.text.split()
        made.append(
            Passage(
                repository=repository,
                path=f"docs/many/{number}.md",
                content_sha256="",
                kind=Passage.Kind.DOCUMENT,
                document=like.document,
                title=like.title,
                line=1,
                text=" ".join(chance.sample(words, len(words) // 2)),
                vector=as_text((moved / np.linalg.norm(moved)).astype(np.float32)),
            )
        )
    return made


if __name__ == "__main__":
    main()
