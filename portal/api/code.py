"""Searching code: by exact name, by words, by meaning."""

from uuid import UUID

from ninja import Query, Router, Schema
from pydantic import Field

from agent import code_index
from agent.code_index import Hit
from agent.models import CodePiece, Repository
from authz.decisions import visible
from authz.permissions import Permission
from portal.api.fields import Text, one_of
from portal.api.problems import READ_MANY
from portal.http import PortalRequest

router = Router(tags=["Code"])


class CodeQuestion(Schema):
    """What to look for, and where."""

    q: Text = Field(min_length=1, max_length=400, description="Names, or your own words.")
    repository: UUID | None = Field(None, description="One repository; all, when left out.")
    most: int = Field(20, ge=1, le=50, description="Pieces in the answer.")


class CodeFound(Schema):
    """A piece of code, best first."""

    repository_id: UUID
    repository: str
    path: str
    kind: str = one_of(CodePiece.Kind.values)
    name: str = Field(description="Qualified; the path for a file.")
    line: int = Field(description="Where it begins, from 1.")
    end_line: int
    text: str = Field(description="How it begins.")
    score: float = Field(description="Only to compare within one answer.")

    @staticmethod
    def of(hit: Hit) -> "CodeFound":
        """As the API shows a hit."""
        piece = hit.piece
        return CodeFound(
            repository_id=piece.repository_id,
            repository=piece.repository.name,
            path=piece.path,
            kind=piece.kind,
            name=piece.name,
            line=piece.line,
            end_line=piece.end_line,
            text=piece.text,
            score=hit.score,
        )


@router.get("", response={200: list[CodeFound], **READ_MANY})
def search_code(request: PortalRequest, asked: Query[CodeQuestion]) -> list[CodeFound]:
    """Code of the repositories that the caller may see. What is not read yet is not found."""
    rows = visible(request.actor, Permission.REPOSITORY_VIEW, Repository.objects.all())
    if asked.repository is not None:
        rows = rows.filter(pk=asked.repository)
    keys = list(rows.values_list("pk", flat=True))
    return [CodeFound.of(hit) for hit in code_index.search(asked.q, keys, most=asked.most)]
