"""From request to tenant to actor; from refusal to page; one log line a request."""

import time
from collections.abc import Callable
from uuid import uuid4

import structlog
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port

from authz import onrecord
from authz.errors import NotRecorded
from portal.errors import problem, suspended, unknown_host
from portal.signin.sessions import signed_in, touch
from tenants.asked import watched
from tenants.scope import scope_of_host, tenant_scope
from tenants.trace import tracing

log = structlog.get_logger(__name__)

Handler = Callable[[HttpRequest], HttpResponse]

# Answered without a tenant: the orchestrator asks by address, browsers share static files.
TENANTLESS = ("/healthz", "/readyz", "/static/")


class RequestLogMiddleware:
    """Gives every request an id, then one line in the log with its outcome."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.id = uuid4().hex[:12]  # type: ignore[attr-defined]
        started = time.perf_counter()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request.id)  # type: ignore[attr-defined]
        with tracing(request.headers.get("traceparent")) as trace:
            structlog.contextvars.bind_contextvars(trace=trace)
            response = self.get_response(request)
        took = (time.perf_counter() - started) * 1000
        response["X-Request-Id"] = request.id  # type: ignore[attr-defined]
        response["Server-Timing"] = f"app;dur={took:.1f}"
        if not request.path.startswith(TENANTLESS):
            log.info(
                "request",
                method=request.method,
                path=_path_without_secrets(request),
                status=response.status_code,
                duration_ms=round(took, 1),
            )
        return response


def _path_without_secrets(request: HttpRequest) -> str:
    match = request.resolver_match
    secret = match.kwargs.get("secret") if match else None
    return request.path.replace(secret, "...") if secret else request.path


class TenantMiddleware:
    """Pins the tenant that the host belongs to for the whole request."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(TENANTLESS):
            return self.get_response(request)
        host, _ = split_domain_port(request.get_host())
        scope = scope_of_host(host)
        if scope is None:
            return unknown_host(request)
        if scope.suspended:
            return suspended(request, scope)
        request.tenant = scope  # type: ignore[attr-defined]
        structlog.contextvars.bind_contextvars(tenant_id=str(scope.tenant_id))
        with tenant_scope(scope), watched():
            return self.get_response(request)


class RecordMiddleware:
    """Has what was read and refused on disk before the answer goes out; else gives none."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with onrecord.collected() as decisions:
            response = self.get_response(request)
            try:
                decisions.settle()
            except NotRecorded as fault:
                return problem(request, fault) or response
            return response


class ActorMiddleware:
    """Names who acts, through which door."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user = getattr(request, "user", None)
        if user is not None and user.is_authenticated:
            door = "api" if request.path.startswith("/api/") else "page"
            request.actor = user.actor(door, signed_in=signed_in(request))  # type: ignore[attr-defined]
            touch(request, user)
            structlog.contextvars.bind_contextvars(actor_type=user.kind, actor_id=str(user.pk))
        return self.get_response(request)


class RefusalMiddleware:
    """Turns domain errors of views into answers. Innermost, so that the tenant is still pinned."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Django asks this about every error that leaves a view; None means: not ours."""
        return problem(request, error)
