"""How roles, their sources, devices, ways of signing in are shown to people."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from django import template

from authz.models import Grant
from tenants.models import Project

register = template.Library()

# Membership.source: by which way somebody came.
CAME_BY = {
    "admin": "added by an admin",
    "operator": "opened the tenant",
    "demo": "demo data",
    "scim": "the directory (SCIM)",
    "sso": "their first sign-in",
    "emergency": "emergency access",
    "system": "created with the project",
}

# Grant.source: who says that somebody holds a role. All that is not listed was done by hand.
GIVEN_BY = {
    "directory": "directory",
    "sso": "groups at sign-in",
    "system": "with the project",
    "emergency": "emergency access",
}

# Session.way: how somebody proved who they are.
SIGNED_IN_BY = {
    "oidc": "single sign-on",
    "saml": "single sign-on",
    "invitation": "invitation link",
    "emergency": "emergency access",
    "demo": "demo list",
}

# What a browser calls itself in its User-Agent. First match wins: most of them name others too.
BROWSERS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
)
SYSTEMS = (
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


@dataclass
class RoleHeld:
    """A role at one place, with everything that gives it."""

    title: str
    project: Project | None
    sources: list[str] = field(default_factory=list)


@register.filter
def held(grants: Iterable[Grant]) -> list[RoleHeld]:
    """Roles in the order of `grants`, each once however many sources give it."""
    rows: dict[tuple[str, str], RoleHeld] = {}
    for grant in grants:
        place = (grant.role, str(grant.project_id))
        row = rows.setdefault(place, RoleHeld(grant.get_role_display(), grant.project))
        row.sources.append(given_by(grant.source))
    return list(rows.values())


@register.filter
def given_by(source: str) -> str:
    """Who gives a role, in a word or two."""
    return GIVEN_BY.get(source, "by hand")


@register.filter
def came_by(source: str) -> str:
    """By which way a member came."""
    return CAME_BY.get(source, source)


@register.filter
def signed_in_by(way: str) -> str:
    """How a session was opened."""
    return SIGNED_IN_BY.get(way, "")


@register.filter
def device(user_agent: str) -> str:
    """A browser and its system as their owner would call them."""
    browser = next((name for mark, name in BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in SYSTEMS if mark in user_agent), "")
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or "Unknown device"
