"""Keeps the code of a tenant's repositories ready to be searched, and searches it."""

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from django.contrib.postgres.search import SearchQuery, SearchRank
from django.db import connection
from django.db.models import F, FloatField, QuerySet
from django.db.models.expressions import RawSQL
from django.utils import timezone

from agent.errors import Busy
from agent.forge import ForgeRefused
from agent.models import CodeIndex, CodePiece, Repository
from agent.places import forge_address, forge_of
from agent.retrieval.code import COMMON, Piece, is_source, is_text, names_in, pieces, words_of
from agent.retrieval.embedding import as_text, embed
from agent.retrieval.passages import fused
from authz.change import change
from authz.permissions import Permission
from tenants.actor import Actor

MAXIMUM_FILES = 20_000  # of one repository
AT_ONCE = 200  # pieces that are written in one go, each with a line of progress
SECONDS = 20.0  # that one call works, before others get their turn
CANDIDATES = 60  # of each ranking, before they are brought together
WORDS = 40  # of a question
# How much exact names, words and meaning count: python -m tests.bench.code_index.
WEIGHTS = (1.0, 0.5, 3.0)


@dataclass(frozen=True, slots=True)
class Hit:
    """A piece of code that answers a question. score: only to compare within one answer."""

    piece: CodePiece
    score: float


def head_of(repository: Repository) -> str:
    """The newest commit of the branch that is searched. Raises ForgeRefused, ForgeUnavailable."""
    return forge_of(repository).head(forge_address(repository), repository.default_branch)


def read_on(repository: Repository, *, by: Actor, seconds: float = SECONDS) -> bool:
    """Read what changed on the default branch for a while; says whether more is left.

    Files whose content is known are left alone, so being killed costs one batch at most. Only
    pieces whose beginning changed are embedded anew. Raises Busy while another worker reads this
    repository, Denied, ForgeUnavailable; what the forge refuses ends it, and is shown.
    """
    until = time.monotonic() + seconds
    with _alone(repository.pk):
        forge, address = forge_of(repository), forge_address(repository)
        commit = ""
        try:
            commit = head_of(repository)
            if _stands(repository, commit):
                return False
            paths = [path for path in forge.list_files(address, commit) if is_source(path)]
            if len(paths) > MAXIMUM_FILES:
                raise ForgeRefused(f"{len(paths):,} files; up to {MAXIMUM_FILES:,} are searched")
            files = forge.read_files(address, commit, paths)
        except ForgeRefused as refusal:
            reason = str(refusal)[:300]
            _note(repository, by, state=CodeIndex.State.FAILED, target=commit, reason=reason)
            return False
        files = {path: content for path, content in files.items() if is_text(content)}
        kept = dict(
            CodePiece.objects.filter(repository=repository, kind=CodePiece.Kind.FILE).values_list(
                "path", "content_sha256"
            )
        )
        digests = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
        anew = [path for path in files if kept.get(path) != digests[path]]
        gone = [path for path in kept if path not in files]
        _begin(repository, by, commit, len(anew), gone)
        # Cut as they are written: what another turn will do is not cut in this one.
        for batch in _batches((path, pieces(path, files[path])) for path in anew):
            _write(repository, by, batch, digests)
            if time.monotonic() > until and anew[-1] not in batch:
                return True
        _finish(repository, by, commit)
    return False


def search(question: str, repositories: Iterable[UUID], *, most: int = 20) -> list[Hit]:
    """Code that has to do with `question`: by exact names, by words, by meaning; best first.

    Only of `repositories`: the caller has asked whether they may be read. The same question on
    the same code always gets the same answer.
    """
    question = question.strip()
    if not question:
        return []
    rows = CodePiece.objects.filter(repository__in=list(repositories))
    order = fused(
        [_by_name(rows, question), _by_words(rows, question), _near(rows, question)], WEIGHTS
    )
    best = list(order)[:most]
    found = CodePiece.objects.select_related("repository").defer("vector", "words").in_bulk(best)
    return [Hit(found[key], order[key]) for key in best if key in found]


def _by_name(rows: QuerySet[CodePiece], question: str) -> list[UUID]:
    names = names_in(question)[:WORDS]
    found = rows.filter(symbol__in=names).values_list("pk", "symbol", "kind", "path", "line")
    place = {name: number for number, name in enumerate(names)}
    ranked = sorted(found[: CANDIDATES * 4], key=lambda row: (place[row[1]], row[3], row[4]))
    return [row[0] for row in ranked[:CANDIDATES]]


def _by_words(rows: QuerySet[CodePiece], question: str) -> list[UUID]:
    names = [name for name in names_in(question) if name not in COMMON]
    words = list(dict.fromkeys([*words_of(question), *names]))[:WORDS]
    plain = [word for word in words if word.isalnum()]
    if not plain:
        return []
    query = SearchQuery(" or ".join(plain), search_type="websearch", config="simple")
    # Normalised by length: a long file has every word somewhere. By F, or the words would be read
    # anew from their own text.
    ranked = rows.filter(words=query).annotate(rank=SearchRank(F("words"), query, normalization=1))
    return list(ranked.order_by("-rank", "path", "line").values_list("pk", flat=True)[:CANDIDATES])


def _near(rows: QuerySet[CodePiece], question: str) -> list[UUID]:
    distance = RawSQL(
        '"agent_codepiece"."vector" OPERATOR(public.<=>) %s::public.vector',
        [_meaning_of(question)],
        output_field=FloatField(),
    )
    near = rows.annotate(distance=distance).order_by("distance", "path", "line")
    return list(near.values_list("pk", flat=True)[:CANDIDATES])


@lru_cache(maxsize=256)
def _meaning_of(question: str) -> str:
    # A page asks again when people filter, and half of a question's time is this.
    return as_text(embed([question])[0])


@contextmanager
def _alone(repository_id: UUID) -> Iterator[None]:
    # A session lock: PostgreSQL frees it when the worker's connection goes, however it dies.
    number = int.from_bytes(repository_id.bytes[:8], signed=True) ^ 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [number])
        if not cursor.fetchone()[0]:
            raise Busy(f"repository {repository_id} is being read by another worker")
    try:
        yield
    finally:
        if connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [number])


def _stands(repository: Repository, commit: str) -> bool:
    ready = CodeIndex.State.READY
    rows = CodeIndex.objects.filter(repository=repository, commit=commit, state=ready)
    return bool(rows.exists())


def _begin(repository: Repository, by: Actor, commit: str, files: int, gone: list[str]) -> None:
    """Note what there is to do. Going on with the same commit keeps what is done already."""
    with change(by, Permission.TASK_RUN, on=repository) as facts:
        index: CodeIndex
        index, created = CodeIndex.objects.get_or_create(
            repository=repository, defaults={"target": commit, "files": files}
        )
        goes_on = index.target == commit and index.state == CodeIndex.State.READING
        if not created and not goes_on:
            index.target, index.files, index.files_done = commit, files, 0
            index.started_at = timezone.now()
        index.state, index.reason, index.finished_at = CodeIndex.State.READING, "", None
        index.save()
        CodePiece.objects.filter(repository=repository, path__in=gone).delete()
        facts.update(code=commit, files=files, gone=len(gone))


def _batches(made: Iterable[tuple[str, list[Piece]]]) -> Iterator[dict[str, list[Piece]]]:
    batch: dict[str, list[Piece]] = {}
    size = 0
    for path, found in made:
        batch[path] = found
        size += len(found)
        if size >= AT_ONCE:
            yield batch
            batch, size = {}, 0
    if batch:
        yield batch


def _write(
    repository: Repository,
    by: Actor,
    made: Mapping[str, list[Piece]],
    digests: Mapping[str, str],
) -> None:
    rows = [_row(repository, path, digests[path], piece) for path in made for piece in made[path]]
    meant = {row.meant_sha256: piece.meant for row, piece in _paired(rows, made)}
    # What means the same costs nothing: left as it was, a copy, another repository.
    alike = CodePiece.objects.filter(meant_sha256__in=list(meant))
    known = dict(alike.values_list("meant_sha256", "vector"))
    strange = {digest: text for digest, text in meant.items() if digest not in known}
    if strange:
        vectors = embed(list(strange.values()))
        known |= {d: as_text(v) for d, v in zip(strange, vectors, strict=True)}
    for row in rows:
        row.vector = known[row.meant_sha256]
    with change(by, Permission.TASK_RUN, on=repository) as facts:
        CodePiece.objects.filter(repository=repository, path__in=made).delete()
        CodePiece.objects.bulk_create(rows, batch_size=100)
        index = CodeIndex.objects.select_for_update().get(repository=repository)
        index.files_done = min(index.files, index.files_done + len(made))
        index.save(update_fields=["files_done"])
        facts.update(files=len(made), pieces=len(rows), embedded=len(strange))


def _paired(
    rows: list[CodePiece], made: Mapping[str, list[Piece]]
) -> Iterable[tuple[CodePiece, Piece]]:
    return zip(rows, (piece for path in made for piece in made[path]), strict=True)


def _row(repository: Repository, path: str, digest: str, piece: Piece) -> CodePiece:
    return CodePiece(
        repository=repository,
        path=path,
        content_sha256=digest,
        kind=piece.kind,
        name=piece.name,
        symbol=piece.name.rpartition(".")[2].lower()[:200] if piece.kind != "file" else "",
        line=piece.line,
        end_line=piece.end_line,
        text=piece.text,
        terms=piece.words,
        meant_sha256=hashlib.sha256(piece.meant.encode()).hexdigest(),
    )


def _finish(repository: Repository, by: Actor, commit: str) -> None:
    count = CodePiece.objects.filter(repository=repository).count()
    _note(
        repository,
        by,
        state=CodeIndex.State.READY,
        commit=commit,
        pieces=count,
        finished_at=timezone.now(),
    )


def _note(repository: Repository, by: Actor, **columns: object) -> None:
    with change(by, Permission.TASK_RUN, on=repository) as facts:
        CodeIndex.objects.update_or_create(repository=repository, defaults=columns)
        facts.update(**{name: str(value) for name, value in columns.items()})
