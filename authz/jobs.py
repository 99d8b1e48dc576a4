"""Celery's entry points of this floor: what ends by itself, what comes round again."""

from celery import shared_task
from django.utils import timezone

from authz import access_reviews, emergency, retention
from tenants.actor import system_actor
from tenants.jobs import TenantlessJob, for_each_tenant
from tenants.models import Replay, Session
from tenants.scope import tenants_with_evidence_work, tenants_with_review_due


@shared_task(base=TenantlessJob)
def tidy() -> None:
    """End emergencies whose time is over; forget sessions and assertions that have expired.

    Those count for nothing already, so forgetting them is no change that anybody could notice.
    """
    for_each_tenant("untidy", _tidy)


@shared_task(base=TenantlessJob)
def apply_retention() -> None:
    """Delete what tenants no longer keep. Runs every hour."""
    by = system_actor("retention", "job")
    for_each_tenant("expired", lambda: retention.apply(by=by), find=tenants_with_evidence_work)


def _tidy() -> None:
    emergency.end_what_is_over()
    Session.objects.filter(expire_date__lt=timezone.now()).delete()
    Replay.objects.filter(expires_at__lt=timezone.now()).delete()


@shared_task(base=TenantlessJob)
def remind_of_reviews() -> None:
    """Note for every tenant that an access review is due, a quarter after the last one."""
    for_each_tenant("review", access_reviews.remind, find=lambda _: tenants_with_review_due())
