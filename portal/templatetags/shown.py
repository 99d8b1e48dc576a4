"""How times, sizes, digests, states are shown to people."""

from datetime import datetime, timedelta
from typing import Any

from django import template
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()

SHORT = 12  # characters of a digest that people compare by eye

# State -> word, icon, colour: never colour alone.
STATES = {
    "queued": ("Queued", "clock", "secondary"),
    "in_progress": ("Running", "progress", "blue"),
    "running": ("Running", "progress", "blue"),
    "building": ("Building", "progress", "blue"),
    "waiting_for_user": ("Waiting for a person", "user-question", "yellow"),
    "completed": ("Completed", "circle-check", "green"),
    "done": ("Done", "circle-check", "green"),
    "ready": ("Ready", "circle-check", "green"),
    "failed": ("Failed", "alert-triangle", "red"),
    "timed_out": ("Timed out", "hourglass-off", "orange"),
    "cancelled": ("Cancelled", "ban", "secondary"),
    "stopped": ("Stopped", "ban", "secondary"),
    "open": ("Open", "git-pull-request", "blue"),
    "waiting": ("Waiting", "clock", "yellow"),
    "confirmed": ("Confirmed", "circle-check", "green"),
    "reported": ("Directory has to end it", "message-report", "orange"),
    "gone": ("Ended by itself", "circle-off", "secondary"),
    "closed": ("Closed", "circle-check", "green"),
    "countersigned": ("Countersigned", "writing-sign", "green"),
    "merged": ("Merged", "git-merge", "green"),
    "rejected": ("Rejected", "circle-x", "red"),
    "active": ("Active", "circle-check", "green"),
    "suspended": ("Suspended", "player-pause", "yellow"),
    "removed": ("Removed", "user-x", "secondary"),
    "revoked": ("Revoked", "ban", "secondary"),
    "accepted": ("Accepted", "circle-check", "green"),
    "refused": ("Refused", "circle-x", "red"),
    "replaced": ("Replaced", "replace", "secondary"),
    "withdrawn": ("Withdrawn", "arrow-back-up", "secondary"),
    "holds": ("Holds", "shield-check", "green"),
    "broken": ("Does not hold", "alert-octagon", "red"),
    "expired": ("Expired", "hourglass-off", "orange"),
    "on": ("On", "circle-check", "green"),
    "off": ("Off", "circle-off", "secondary"),
    "resting": ("Left alone for a while", "player-pause", "orange"),
    "draft": ("Draft", "pencil", "secondary"),
    "passed": ("Passed", "circle-check", "green"),
    "failing": ("Failing", "circle-x", "red"),
    "ok": ("OK", "circle-check", "green"),
    "denied": ("Denied", "ban", "red"),
}


@register.filter
def leads_to(address: str, path: str) -> bool:
    """Whether the page at `path` belongs to the menu item with that address."""
    return path == address if address == "/" else path.startswith(address)


@register.filter
def ago(moment: datetime | None) -> str:
    """A time as people say it, with the exact UTC in the title."""
    if moment is None:
        return ""
    exact = moment.astimezone(timezone.get_default_timezone())
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        exact.isoformat(),
        exact.strftime("%Y-%m-%d %H:%M:%S"),
        naturaltime(moment),
    )


@register.filter
def clock(moment: datetime) -> str:
    """A time of day in UTC, with the day in the title."""
    exact = moment.astimezone(timezone.get_default_timezone())
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        exact.isoformat(),
        exact.strftime("%Y-%m-%d %H:%M:%S"),
        exact.strftime("%H:%M:%S"),
    )


@register.filter
def duration(milliseconds: float | None) -> str:
    """A length of time with its unit."""
    if milliseconds is None:
        return ""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


@register.filter
def span(length: timedelta | None) -> str:
    """duration() of a timedelta."""
    return "" if length is None else duration(length.total_seconds() * 1000)


@register.filter
def footnotes(marks: list[dict[str, Any]]) -> SafeString:
    """Links to the facts that a figure rests on. marks: [{"number", "id"}]."""
    return format_html_join(
        "",
        '<sup><a href="#fact-{}" title="{}">{}</a></sup>',
        ((mark["number"], mark["id"], mark["number"]) for mark in marks),
    )


@register.simple_tag
def state(value: str) -> SafeString:
    """A state as word, icon, colour."""
    word, icon, colour = STATES.get(
        value, (value.replace("_", " ").capitalize(), "point", "secondary")
    )
    return format_html(
        '<span class="state"><i class="ti ti-{} text-{}" aria-hidden="true"></i> {}</span>',
        icon,
        colour,
        word,
    )


TOOLS = {
    "code_search": "Search the code",
    "write_test": "Add the failing test",
    "run_tests": "Run the tests",
    "propose_repair": "Search for a repair",
    "code_patch": "Apply the change",
    "sast_scan": "Scan the code for weaknesses",
    "secret_scan": "Scan for secrets",
    "license_check": "Check the licences",
    "sbom_generate": "Write the bill of materials",
    "write_proof": "Judge the runs, write the proof",
    "characterise": "Write down what it does now",
    "refactor_code": "Change it everywhere",
    "fetch_packages": "Fetch packages",
    "bump_dependency": "Ask for the new version",
    "write_change": "Judge the runs, write the description",
    "open_pr": "Open the pull request",
    "verify_pull_request": "Verify the pull request",
}


@register.filter
def words_of(tool: str) -> str:
    """What a tool does, in words; its name where there are none."""
    return TOOLS.get(tool, tool.replace("_", " ").capitalize())


@register.simple_tag
def digest(value: str, what: str = "digest") -> SafeString:
    """A digest or commit in short, whole in the title, with a button to copy it."""
    if not value:
        return SafeString("")
    return format_html(
        '<span class="digest"><code title="{}">{}</code><button type="button" class="copy"'
        ' data-copy="{}" hidden aria-label="Copy {}"><i class="ti ti-copy" aria-hidden="true">'
        "</i></button></span>",
        value,
        value[:SHORT],
        value,
        what,
    )
