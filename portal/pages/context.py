"""What every page shows around its content."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from authz.decisions import held_by
from authz.permissions import Permission
from authz.roles import ROLES

# Menu: address name, label, icon, the permission that makes it useful.
MENU = (
    ("home", "Home", "home", None),
    ("recommendations", "Recommendations", "compass", Permission.TASK_VIEW),
    ("proposals", "Proposals", "git-pull-request", Permission.PROPOSAL_VIEW),
    ("ledger", "Audit", "shield-check", Permission.LEDGER_VIEW),
    ("people", "People", "users", Permission.MEMBER_VIEW),
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
        frame["roles"] = [role.title for role in roles]
        frame["menu"] = [
            (name, label, icon)
            for name, label, icon, needs in MENU
            if needs is None or needs in allowed
        ]
    return frame
