"""Structured logs: every line says for which tenant, by whom, for which task."""

import logging
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from tenants.scope import pinned


def tenant_of_line(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Adds the pinned tenant, so that no caller has to remember it."""
    if scope := pinned():
        line.setdefault("tenant_id", str(scope.tenant_id))
    return line


def configure(options: dict[str, Any]) -> None:
    """Send the logs of Django, Celery and ourselves through one chain to standard error.

    options: `format` (json or console) and `level` (a name that logging knows).
    """
    chain: list[Any] = [
        structlog.contextvars.merge_contextvars,
        tenant_of_line,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if options["format"] == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[*chain, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=chain,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(options["level"])
    # One line a request is ours (portal.middleware); these would say it again, without the tenant.
    for noisy in ("uvicorn.access", "django.server"):
        logging.getLogger(noisy).disabled = True
    # Reports every style sheet of every PDF.
    logging.getLogger("weasyprint.progress").setLevel(logging.WARNING)
