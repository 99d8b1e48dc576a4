"""What every page shows around its content."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from authz.decisions import held_by
from authz.emergency import open_emergencies
from authz.permissions import Permission
from authz.roles import ROLES
from tenants import asked

# Menu: address name, label, icon, the permission that makes it useful.
MENU = (
    ("home", "Home", "home", None),
    ("recommendations", "Recommendations", "compass", Permission.TASK_VIEW),
    ("tasks", "Tasks", "tools", Permission.TASK_VIEW),
    ("proposals", "Proposals", "git-pull-request", Permission.PROPOSAL_VIEW),
    ("code", "Code", "code", Permission.REPOSITORY_VIEW),
    ("catalogue", "Catalogue", "books", Permission.CATALOGUE_VIEW),
    ("ledger", "Audit", "shield-check", Permission.LEDGER_VIEW),
    ("spend", "Model costs", "coins", Permission.SPEND_VIEW),
    ("people", "People", "users", Permission.MEMBER_VIEW),
    ("settings", "Settings", "settings", Permission.PROVIDER_CHANGE),
    ("account", "Your account", "user-circle", None),
)


def page_frame(request: HttpRequest) -> dict[str, Any]:
    """Tenant, menu, person."""
    frame: dict[str, Any] = {
        "scope": getattr(request, "tenant", None),
        "demo": settings.DEMO,
        "request_id": getattr(request, "id", ""),
    }
    actor = getattr(request, "actor", None)
    if actor is not None:
        roles = sorted({role for role, _ in held_by(actor)})
        allowed = {permission for role in roles for permission in ROLES[role]}
        # Everybody sees that a stranger is in the house; whoever can decide sees that one asks.
        decides = bool(allowed & {Permission.EMERGENCY_APPROVE, Permission.EMERGENCY_END})
        with asked.without_asking(asked.Purpose.TELL):
            frame["emergencies"] = [
                one for one in open_emergencies() if decides or one.state == one.State.APPROVED
            ]
        frame["decides_emergencies"] = decides
        frame["roles"] = [role.title for role in roles]
        frame["menu"] = [
            (name, label, icon)
            for name, label, icon, needs in MENU
            if needs is None or needs in allowed
        ]
    return frame
