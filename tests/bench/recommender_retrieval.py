"""Compares search by words, by meaning and by both: python -m tests.bench.recommender_retrieval.

The documents of this repository, questions in other words than theirs, and the document that
answers each. Needs the environment of env.sh; what it writes is rolled back. With --passages N it
also times a search among N passages.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

import django
from django.db import transaction

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
os.environ["DATABASE_ROLE"] = "owner"
django.setup()  # models can be imported only after it

from agent import searching  # noqa: E402
from agent.models import Passage, Repository  # noqa: E402
from agent.retrieval.embedding import as_text, embed  # noqa: E402
from authz import people  # noqa: E402
from tenants.actor import system_actor  # noqa: E402
from tenants.cells.models import Tenant  # noqa: E402
from tenants.models import Project  # noqa: E402
from tenants.scope import scope_of_tenant, tenant_scope  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
# (question, path that answers it)
GOLDEN = (
    ("how is one customer's data kept apart from another's", "adr/0003-row-level-security.md"),
    ("why is there no separate database server to install", "adr/0005-embedded-servers.md"),
    ("what happens when an employee leaves the company directory", "docs/scim.md"),
    ("which hashing is used for the audit trail", "adr/0004-ledger-format.md"),
    ("why are there two kinds of background workers", "adr/0008-two-queues.md"),
    ("how can one large client get its own schema", "adr/0011-cells.md"),
    ("log in with the company identity provider by OpenID", "adr/0012-openid-connect.md"),
    ("enterprise single sign-on with XML assertions", "adr/0013-saml.md"),
    ("who picked the web framework and the programming language", "adr/0002-django-and-python.md"),
    ("where do style sheets and scripts for the browser come from", "adr/0006-browser-assets.md"),
    ("how are versions of dependencies frozen", "adr/0007-lock-files.md"),
    ("code host that works without the internet", "adr/0009-local-forge.md"),
    ("which tool checks the generated Markdown", "adr/0010-rumdl.md"),
    ("rules that decide whether an action is sensitive", "adr/0016-cedar.md"),
    ("automatic creation of accounts from the directory", "adr/0014-scim.md"),
    ("what do the words tenant and cell mean", "docs/glossary.md"),
    ("where do the facts of the recommender come from", "docs/recommender.md"),
    ("add a technology to the catalogue", "docs/catalogue.md"),
    ("which layers import which", "docs/architecture.md"),
    ("how should documents be worded", "docs/style.md"),
)


def main() -> None:
    """Print recall at 1 and 5 and the mean reciprocal rank of each way of searching."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--passages", type=int, default=0, help="time a search among this many")
    options = asked.parse_args()
    _measure(options.passages)


def _measure(many: int) -> None:
    known = Tenant.objects.order_by("slug").first()
    if known is None:
        by = system_actor("bench", "cli")
        scope = people.open_tenant("bench", "Bench", "bench.localhost", cell="pool", by=by)
    else:
        scope = scope_of_tenant(known.pk)
    with tenant_scope(scope), transaction.atomic():
        project = Project.objects.create(slug="bench-retrieval", name="Bench")
        repository = Repository.objects.create(project=project, name="bench-retrieval")
        paths = [*ROOT.glob("adr/*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*.md")]
        made = [
            row
            for path in sorted(paths)
            for row in searching.passages_of(
                repository, str(path.relative_to(ROOT)), path.read_bytes(), ""
            )
        ]
        start = time.perf_counter()
        vectors = embed([f"{row.title}\n{row.text}" for row in made])
        each = (time.perf_counter() - start) / len(made) * 1000
        for row, vector in zip(made, vectors, strict=True):
            row.vector = as_text(vector)
        Passage.objects.bulk_create(made)
        print(f"{len(made)} passages of {len(paths)} documents, {each:.0f} ms to embed each")
        there = {str(path.relative_to(ROOT)) for path in paths}
        golden = [(question, path) for question, path in GOLDEN if path in there]
        for name, weights in (
            ("words", (1, 0)),
            ("meaning", (0, 1)),
            ("alike", (1, 1)),
            ("1 to 3", (1, 3)),
            ("1 to 5", (1, 5)),
        ):
            places = []
            for question, path in golden:
                found = searching.search(question, [repository.pk], most=20, weights=weights)
                documents = list(dict.fromkeys(row.passage.path for row in found))
                places.append(documents.index(path) + 1 if path in documents else None)
            ranks = [1 / place if place else 0.0 for place in places]
            first = sum(place == 1 for place in places) / len(places)
            five = sum(place is not None and place <= 5 for place in places) / len(places)
            print(
                f"{name:<8} first {first:.0%}, among 5 {five:.0%}, "
                f"MRR {statistics.mean(ranks):.3f} (n={len(places)})"
            )
        if many:
            _time(many, repository, made)
        transaction.set_rollback(True)


def _time(many: int, repository: object, made: list) -> None:  # type: ignore[type-arg]
    copies = []
    while len(copies) + len(made) < many:
        like = made[len(copies) % len(made)]
        copies.append(
            Passage(
                repository=like.repository,
                path=f"copy-{len(copies)}.md",
                kind=like.kind,
                document=like.document,
                title=like.title,
                line=like.line,
                text=like.text,
                vector=like.vector,
            )
        )
    Passage.objects.bulk_create(copies, batch_size=500)
    took = []
    for question, _ in GOLDEN:
        start = time.perf_counter()
        # As a layer's question is asked: names literally, the rest by its meaning.
        searching.search(question, [repository.pk], words="Cedar", most=3)  # type: ignore[attr-defined]
        took.append((time.perf_counter() - start) * 1000)
    total = Passage.objects.count()
    print(
        f"a search among {total:,} passages: median {statistics.median(took):.0f} ms, "
        f"slowest {max(took):.0f} ms"
    )


if __name__ == "__main__":
    main()
