"""Keeps the passages of a tenant's repositories, and finds those that answer a question."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from django.contrib.postgres.search import SearchQuery, SearchRank
from django.db.models import F, FloatField, QuerySet
from django.db.models.expressions import RawSQL

from agent.models import Passage, Repository
from agent.places import forge_address, forge_of
from agent.retrieval.citing import Cited
from agent.retrieval.embedding import as_text, embed
from agent.retrieval.passages import chunks, fused, kind_of, status_of, title_of
from authz.change import change
from authz.permissions import Permission
from tenants.actor import Actor

MAXIMUM_FILES = 2000  # of one repository
CANDIDATES = 40  # of each ranking, before they are brought together
# How much words and meaning count, as measured: python -m tests.bench.recommender_retrieval.
WEIGHTS = (1.0, 3.0)


@dataclass(frozen=True, slots=True)
class Found:
    """A passage that answers a question. score: only to compare within one answer."""

    passage: Passage
    score: float


@dataclass(frozen=True, slots=True)
class Indexed:
    """What indexing did: files read anew, files that are gone, passages there are now."""

    read: int
    gone: int
    passages: int


def index_repository(repository: Repository, *, by: Actor) -> Indexed:
    """Read what changed on the default branch since the last time. Safe to run twice.

    Raises Denied, ForgeRefused, ForgeUnavailable.
    """
    forge, address = forge_of(repository), forge_address(repository)
    commit = forge.head(address, repository.default_branch)
    paths = [path for path in forge.list_files(address, commit) if kind_of(path)]
    paths = sorted(path for path in paths if len(path) <= 500)[:MAXIMUM_FILES]
    files = forge.read_files(address, commit, paths)
    kept = dict(Passage.objects.filter(repository=repository).values_list("path", "content_sha256"))
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
    anew = [path for path in files if kept.get(path) != digests[path]]
    gone = [path for path in kept if path not in files]
    made = [
        row for path in anew for row in passages_of(repository, path, files[path], digests[path])
    ]
    if anew or gone:
        vectors = embed([f"{row.title}\n{row.text}" for row in made]) if made else ()
        for row, vector in zip(made, vectors, strict=True):
            row.vector = as_text(vector)
        with change(by, Permission.TASK_RUN, on=repository) as facts:
            Passage.objects.filter(repository=repository, path__in=[*anew, *gone]).delete()
            Passage.objects.bulk_create(made, batch_size=200)
            facts.update(commit=commit, read=len(anew), gone=len(gone), passages=len(made))
    count = Passage.objects.filter(repository=repository).count()
    return Indexed(len(anew), len(gone), count)


def search(
    question: str,
    repositories: Iterable[UUID],
    *,
    words: str | None = None,
    kinds: Sequence[str] = (),
    most: int = 5,
    weights: Sequence[float] = WEIGHTS,
) -> list[Found]:
    """The passages nearest to `question` by words and by meaning, best first.

    Only those of `repositories`: the caller has asked whether they may be read. words: what to
    look for literally, the question itself when None. weights: of words and of meaning. The same
    question on the same passages always gets the same answer.
    """
    rows = Passage.objects.filter(repository__in=list(repositories))
    if kinds:
        rows = rows.filter(kind__in=kinds)
    order = fused(
        [_by_words(rows, question if words is None else words), _by_meaning(rows, question)],
        weights,
    )
    best = list(order)[:most]
    passages = Passage.objects.select_related("repository").defer("vector", "words").in_bulk(best)
    return [Found(passages[key], order[key]) for key in best if key in passages]


def records(repositories: Iterable[UUID]) -> list[Cited]:
    """Every decision record of the repositories, one row each, titled with its first heading."""
    rows = Passage.objects.filter(repository__in=list(repositories), kind=Passage.Kind.ADR)
    firsts = rows.order_by("repository", "path", "line").distinct("repository", "path")
    return [
        replace(cited(row), title=row.document)
        for row in firsts.select_related("repository").defer("vector", "words")
    ]


def cited(passage: Passage) -> Cited:
    """A passage as evidence keeps it."""
    return Cited(
        path=f"{passage.repository.name}/{passage.path}",
        line=passage.line,
        title=passage.title,
        kind=passage.kind,
        status=passage.status,
        text=passage.text,
    )


def _by_words(rows: QuerySet[Passage], question: str) -> list[UUID]:
    # Any of the words: a question is longer than the sentence that answers it.
    words = [word for word in question.split() if word.isalnum()]
    if not words:
        return []
    query = SearchQuery(" or ".join(words), search_type="websearch", config="english")
    # By F, or the words would be read again out of their own text.
    ranked = rows.filter(words=query).annotate(rank=SearchRank(F("words"), query, normalization=2))
    return list(ranked.order_by("-rank", "path", "line").values_list("pk", flat=True)[:CANDIDATES])


def _by_meaning(rows: QuerySet[Passage], question: str) -> list[UUID]:
    distance = RawSQL(
        '"agent_passage"."vector" OPERATOR(public.<=>) %s::public.vector',
        [as_text(embed([question])[0])],
        output_field=FloatField(),
    )
    near = rows.annotate(distance=distance).order_by("distance", "path", "line")
    return list(near.values_list("pk", flat=True)[:CANDIDATES])


def passages_of(repository: Repository, path: str, content: bytes, digest: str) -> list[Passage]:
    """The rows of one document, not stored yet and without their vectors."""
    found = chunks(path, content)
    return [
        Passage(
            repository=repository,
            path=path,
            content_sha256=digest,
            kind=chunk.kind,
            status=status_of(content)[:20] if chunk.kind == "adr" else "",
            document=title_of(path, content)[:300],
            title=chunk.title,
            line=chunk.line,
            text=chunk.text.replace("\0", ""),
        )
        for chunk in found
    ]
