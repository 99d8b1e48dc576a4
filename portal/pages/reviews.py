"""Access reviews: starting one, answering its items, how far it is, what it leaves behind."""

import csv
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from agent.log_search import cell
from authz import access_reviews
from authz.decisions import may, require
from authz.errors import BadRequest, Conflict, OwnAccess
from authz.models import AccessReview, AccessReviewItem
from authz.people import AsTenant
from authz.permissions import Permission
from portal.directory import member_by_email
from portal.http import PortalRequest
from portal.pages import lists
from tenants.actor import Actor
from tenants.scope import current_tenant_id

DAYS = 21  # offered for a new review
COLUMNS = {"what": "what", "who": "user__name", "given": "given_at", "answer": "answer"}
_SAID = ("kind", "what", "whose", "project", "source", "given_at", "expires_at")
_ANSWERED = ("reviewer", "answer", "reason", "answered_by", "answered_at")
CSV_COLUMNS = (*_SAID, *_ANSWERED)
Answer = AccessReviewItem.Answer


@require_http_methods(["GET", "POST"])
def listing(request: PortalRequest) -> HttpResponse:
    """Every review. Posting starts one."""
    if request.method == "GET":
        return _list(request, str(DAYS), {})
    typed = request.POST.get("days", "").strip()
    try:
        days = int(typed) if typed.isdecimal() and len(typed) < 4 else 0
        review = access_reviews.start(days, by=request.actor)
    except BadRequest as refusal:
        return _list(request, typed, refusal.errors, 422)
    messages.success(request, f"Review {review.number} is open: {review.items.count()} items.")
    return redirect("review", review.pk)


@require_GET
def detail(request: PortalRequest, review_id: UUID) -> HttpResponse:
    """One review: its progress, its items as far as the one who asks may see them."""
    return _page(request, _found(request, review_id))


@require_POST
def answer(request: PortalRequest, review_id: UUID) -> HttpResponse:
    """Confirm the items that were ticked, or keep or end one of them."""
    review = _found(request, review_id)
    items = _items(request.actor, review)
    ending = request.POST.get("end", "")
    ids = [ending] if ending else [request.POST.get("keep", "")] if "keep" in request.POST else None
    chosen = _chosen(items, request.POST.getlist("items") if ids is None else ids)
    reason = request.POST.get(f"reason-{ending}" if ending else "reason", "").replace("\0", "")
    done = 0
    for item in chosen:
        try:
            access_reviews.answer(item, not ending, reason, by=request.actor)
        except (BadRequest, Conflict, OwnAccess) as refusal:
            errors = getattr(refusal, "errors", {"reason": str(refusal)})
            said = f"{item.what}: {'; '.join(errors.values())}"
            status = 422 if isinstance(refusal, BadRequest) else 409
            return _page(request, review, said, done, status=status)
        done += 1
    if not chosen:
        return _page(request, review, "tick at least one item that waits", status=422)
    messages.success(request, f"Answered: {done}.")
    where = reverse("review", args=[review.pk])
    query = request.GET.urlencode()
    return redirect(f"{where}?{query}" if query else where)


@require_POST
def assign(request: PortalRequest, review_id: UUID, item_id: UUID) -> HttpResponse:
    """Give one item to another reviewer, by e-mail."""
    review = _found(request, review_id)
    item = get_object_or_404(_items(request.actor, review), pk=item_id)
    try:
        reviewer = member_by_email(request.POST.get(f"reviewer-{item_id}", "").replace("\0", ""))
        access_reviews.assign(item, reviewer, by=request.actor)
    except BadRequest as refusal:
        return _page(request, review, "; ".join(refusal.errors.values()), status=422)
    except Conflict as refusal:
        return _page(request, review, str(refusal), status=409)
    messages.success(request, f"{reviewer.name} reviews it now: {item.what}.")
    return redirect("review", review.pk)


@require_POST
def close(request: PortalRequest, review_id: UUID) -> HttpResponse:
    """End the review."""
    review = _found(request, review_id)
    note = request.POST.get("note", "").replace("\0", "")[:500]
    try:
        access_reviews.close(review, note, by=request.actor)
    except BadRequest as refusal:
        return _page(request, review, refusal.errors["note"], status=422)
    messages.success(request, f"Review {review.number} is closed.")
    return redirect("review", review.pk)


@require_GET
def as_csv(request: PortalRequest, review_id: UUID) -> HttpResponse:
    """Every item of the review, for a spreadsheet."""
    review = _whole(request, review_id)
    return HttpResponse(
        "".join(_csv_lines(access_reviews.evidence_of(review)["items"])),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="review-{review.number}.csv"'},
    )


@require_GET
def evidence(request: PortalRequest, review_id: UUID) -> HttpResponse:
    """The review as JSON, as evidence packs carry it."""
    review = _whole(request, review_id)
    return HttpResponse(
        json.dumps(access_reviews.evidence_of(review), indent=2, ensure_ascii=False),
        content_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="review-{review.number}.json"'},
    )


def _items(actor: Actor, review: AccessReview) -> QuerySet[AccessReviewItem]:
    return access_reviews.items_seen_by(actor).filter(review=review)


def _found(request: PortalRequest, review_id: UUID) -> AccessReview:
    access_reviews.items_seen_by(request.actor)
    review: AccessReview = get_object_or_404(access_reviews.started(), pk=review_id)
    return review


def _whole(request: PortalRequest, review_id: UUID) -> AccessReview:
    """A review for those who may have all of it."""
    tenant = AsTenant(current_tenant_id())
    if not may(request.actor, Permission.LEDGER_VIEW, tenant):
        require(request.actor, Permission.ACCESS_REVIEW_RUN, tenant)
    return _found(request, review_id)


def _chosen(items: QuerySet[AccessReviewItem], ids: list[str]) -> list[AccessReviewItem]:
    try:
        wanted = [UUID(one) for one in ids]
    except ValueError as malformed:
        raise BadRequest({"items": "expected ids of items"}) from malformed
    rows = items.select_related("user", "project", "review").filter(pk__in=wanted)
    return list(rows.order_by("pk"))


def _list(
    request: PortalRequest, typed: str, errors: dict[str, str], status: int = 200
) -> HttpResponse:
    items = access_reviews.items_seen_by(request.actor)
    started = access_reviews.started()
    page = lists.page_of(request, started, {"number": "number"}, first="-number")
    mine = items.filter(
        reviewer=request.actor.user_id,
        answer=Answer.WAITING,
        review__state=AccessReview.State.OPEN,
    )
    context = {
        **page,
        "rows": [(review, access_reviews.progress(review)) for review in page["page"]],
        "mine": mine.count(),
        "open": started.filter(state=AccessReview.State.OPEN).first(),
        "due": access_reviews.is_waiting_for_start(),
        "may_run": may(request.actor, Permission.ACCESS_REVIEW_RUN, AsTenant(current_tenant_id())),
        "typed": typed,
        "errors": errors,
    }
    return render(request, "reviews/list.html", context, status=status)


def _page(
    request: PortalRequest,
    review: AccessReview,
    refusal: str = "",
    done: int = 0,
    status: int = 200,
) -> HttpResponse:
    wanted = {name: request.GET.get(name, "").replace("\0", "") for name in ("q", "answer", "kind")}
    wanted["mine"] = "1" if "mine" in request.GET else ""
    seen = _items(request.actor, review)
    rows = seen.select_related("user", "project", "reviewer", "review")
    if wanted["q"]:
        named = Q(user__name__icontains=wanted["q"]) | Q(holder__icontains=wanted["q"])
        rows = rows.filter(named | Q(what__icontains=wanted["q"]))
    if wanted["answer"] in Answer.values:
        rows = rows.filter(answer=wanted["answer"])
    if wanted["kind"] in AccessReviewItem.Kind.values:
        rows = rows.filter(kind=wanted["kind"])
    if wanted["mine"]:
        rows = rows.filter(reviewer=request.actor.user_id)
    page = lists.page_of(request, rows, COLUMNS, first="what")
    review.refresh_from_db()
    counts = access_reviews.progress(review)
    context: dict[str, Any] = {
        **page,
        "review": review,
        "rows": [_row(request.actor, item) for item in page["page"]],
        "counts": counts,
        "answered": counts["items"] - counts[Answer.WAITING],
        "late": access_reviews.overdue(review.items.all()).count(),
        "wanted": wanted,
        "filtered": any(wanted.values()),
        "answers": Answer,
        "kinds": AccessReviewItem.Kind,
        "refusal": refusal,
        "done": done,
        "may_run": may(request.actor, Permission.ACCESS_REVIEW_RUN, AsTenant(current_tenant_id())),
        "whole": access_reviews.sees_all(request.actor),
    }
    return render(request, "reviews/review.html", context, status=status)


def _row(actor: Actor, item: AccessReviewItem) -> dict[str, Any]:
    waiting = item.answer == Answer.WAITING and item.review.state == AccessReview.State.OPEN
    own = access_reviews.is_own(item, actor)
    return {
        "item": item,
        "own": own,
        "told": access_reviews.is_told(item),
        "may_answer": waiting and not own and may(actor, access_reviews.permission_for(item), item),
        "waiting": waiting,
    }


def _csv_lines(items: list[dict[str, Any]]) -> Iterator[str]:
    class Line:
        """What csv writes to; gives the line back."""

        @staticmethod
        def write(line: str) -> str:
            return line

    writer = csv.writer(Line())
    yield writer.writerow(CSV_COLUMNS)
    for item in items:
        names = {name: item[name]["name"] if item[name] else "" for name in ("reviewer",)}
        names["answered_by"] = item["answered_by"]["name"]
        row = {**item, **names}
        yield writer.writerow([cell("" if row[n] is None else row[n]) for n in CSV_COLUMNS])
