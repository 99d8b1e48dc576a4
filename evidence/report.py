"""Renders what people read in an evidence pack: the PDF report, the reading guide, the limits."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

from django.template import Context, Engine
from weasyprint import CSS, HTML, Attachment
from weasyprint.text.fonts import FontConfiguration

from evidence.signing import VerifierKey

TEMPLATES = Path(__file__).resolve().parent.parent / "templates" / "evidence"

_ENGINE = Engine(dirs=[str(TEMPLATES)], autoescape=True)
_PLAIN_ENGINE = Engine(dirs=[str(TEMPLATES)], autoescape=False)


def render_report(report: Mapping[str, Any], report_json: bytes) -> bytes:
    """The report as PDF/A-3u, with report.json attached byte for byte.

    Prints nothing that `report` does not hold. Identifier and dates come from the report, so that
    the same report gives the same bytes on a machine with the same fonts.
    """
    digest = sha256(report_json).hexdigest()
    html = _rendered(_ENGINE, "report.html", {**report, "report_sha256": digest})
    moment = datetime.fromisoformat(report["created_at"])
    attachment = Attachment(
        string=report_json,
        name="report.json",
        description="The figures of this report",
        relationship="Source",
        created=moment,
        modified=moment,
    )
    fonts = FontConfiguration()
    # Titles and goals are other people's words: nothing in them may reach for a file or a host.
    document = HTML(string=html, url_fetcher=_refuse)
    with _clock_of_fonts_at(moment), warnings.catch_warnings():
        # WeasyPrint 70 leaves its colour profile to the garbage collector to close.
        warnings.simplefilter("ignore", ResourceWarning)
        pdf: bytes = document.write_pdf(
            stylesheets=[CSS(filename=TEMPLATES / "report.css", font_config=fonts)],
            font_config=fonts,
            pdf_variant="pdf/a-3u",
            pdf_identifier=digest[:16].encode(),
            attachments=[attachment],
        )
    return pdf


def render_readme(tenant_name: str, key: VerifierKey) -> bytes:
    """How to verify the pack, in plain words (Markdown)."""
    fields = {"tenant_name": tenant_name, "key": key, "vkey": str(key)}
    return _rendered(_PLAIN_ENGINE, "pack-readme.md", fields).encode()


def render_limits() -> bytes:
    """What the pack cannot show (Markdown)."""
    return _rendered(_PLAIN_ENGINE, "known-limits.md", {}).encode()


def _rendered(engine: Engine, template: str, fields: Mapping[str, Any]) -> str:
    # Localised numbers would differ from those in report.json.
    return engine.get_template(template).render(Context(dict(fields), use_l10n=False))


@contextmanager
def _clock_of_fonts_at(moment: datetime) -> Iterator[None]:
    """Embedded fonts carry the time they were cut; this is the variable that their cutter reads."""
    before = os.environ.get("SOURCE_DATE_EPOCH")
    os.environ["SOURCE_DATE_EPOCH"] = str(int(moment.timestamp()))
    try:
        yield
    finally:
        if before is None:
            del os.environ["SOURCE_DATE_EPOCH"]
        else:
            os.environ["SOURCE_DATE_EPOCH"] = before


def _refuse(url: str) -> NoReturn:
    raise ValueError(f"the report fetches nothing, not even {url}")
