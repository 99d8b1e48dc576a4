"""Code: searching the repositories one may see, and how far each has been read."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from agent import code_index
from agent.models import CodeIndex, Repository
from authz.decisions import visible
from authz.permissions import Permission
from portal.http import PortalRequest

LONGEST = 400  # characters of a question
MOST = 20  # pieces shown
LINES = 10  # of each


@require_GET
def search(request: PortalRequest) -> HttpResponse:
    """The question, what answers it, and the state of each repository's index."""
    rows = Repository.objects.order_by("name").select_related("code_index")
    repositories = list(visible(request.actor, Permission.REPOSITORY_VIEW, rows))
    question = request.GET.get("q", "").replace("\0", "").strip()[:LONGEST]
    wanted = request.GET.get("repository", "")
    chosen = [one for one in repositories if not wanted or str(one.pk) == wanted]
    hits = code_index.search(question, [one.pk for one in chosen], most=MOST)
    indexes = [(one, getattr(one, "code_index", None)) for one in repositories]
    context = {
        "q": question,
        "wanted": wanted,
        "repositories": repositories,
        "indexes": indexes,
        "reading": any(
            index is None or index.state == CodeIndex.State.READING for _, index in indexes
        ),
        "hits": [(hit.piece, "\n".join(hit.piece.text.split("\n")[:LINES])) for hit in hits],
    }
    name = "code/search.html#indexes" if request.htmx else "code/search.html"
    return render(request, name, context)
