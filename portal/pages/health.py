"""Whether this process lives, whether it can work."""

import structlog
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.cache import cache
from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from redis.exceptions import RedisError

from agent import sandbox_health, tidying

log = structlog.get_logger(__name__)


@login_not_required
def alive(request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers."""
    return JsonResponse({"status": "alive"})


@login_not_required
def ready(request: HttpRequest) -> JsonResponse:
    """200 when database, queue and store can be used; 503 names what cannot.

    What only some workers cannot do is a warning: this process can serve all the same.
    """
    problems, warnings = {}, {}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM public.tenant_of_host('readiness.invalid')")
    except Error as error:
        log.error("the database cannot be used", error=str(error))
        problems["database"] = "cannot be used; see the log"
    try:
        cache.get("readiness")
        if refused := sandbox_health.refusals():
            log.error("workers refuse jobs that need a sandbox", workers=refused)
            warnings["sandbox"] = f"refused by {len(refused)} workers; see their logs"
        if over := tidying.over_budget():
            log.error("what is kept for reuse takes more than REUSE_MB", mb_over=over)
            warnings["space"] = f"{over} MiB above REUSE_MB are in use; see the log"
    except RedisError as error:
        log.error("the queue cannot be used", error=str(error))
        problems["queue"] = "cannot be used; see the log"
    if not settings.DATA_DIR.is_dir():
        problems["store"] = "the data folder is missing"
    status = "not ready" if problems else "ready"
    said = {"status": status, "problems": problems} | ({"warnings": warnings} if warnings else {})
    return JsonResponse(said, status=503 if problems else 200)
