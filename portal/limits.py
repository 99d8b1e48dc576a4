"""How often somebody may try to get in."""

import time

import structlog
from django.conf import settings
from django.http import HttpRequest
from limits import parse
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter

from tenants.errors import Refused
from tenants.scope import current_tenant_id

log = structlog.get_logger(__name__)

# Kind of attempt -> how often one address may make it at one tenant.
ALLOWED = {kind: parse(rate) for kind, rate in settings.RATE_LIMITS.items()}

_limiter = MovingWindowRateLimiter(storage_from_string(settings.REDIS_URL, wrap_exceptions=True))


class TooMany(Refused):
    """Too many attempts. seconds: until the next one may work."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many attempts from here; try again in {seconds} seconds")
        self.seconds = seconds


def check(kind: str, request: HttpRequest) -> None:
    """Count one attempt from the address of `request` at the pinned tenant. Raises TooMany.

    When the store cannot be asked, attempts pass: what is guessed here has 256 random bits or is
    for an identity provider to judge, and nobody should be locked out by our own outage.
    """
    try:
        _count(kind, f"{current_tenant_id()}/{request.META.get('REMOTE_ADDR', '')}")
    except StorageError as error:
        log.warning("rate limits are not counted", kind=kind, error=str(error))


def _count(kind: str, who: str) -> None:
    if not _limiter.hit(ALLOWED[kind], kind, who):
        window = _limiter.get_window_stats(ALLOWED[kind], kind, who)
        raise TooMany(max(1, round(window.reset_time - time.time())))
