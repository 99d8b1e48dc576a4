"""How the effects of a change that nobody has made yet are shown."""

from typing import Any

from authz.access import Effect
from authz.graph import Ref
from authz.permissions import Permission
from portal.pages import words
from portal.things import CALLED
from tenants.models import Project, User

SHOWN = 50  # people


def shown(effects: list[Effect]) -> dict[str, Any]:
    """For the template access/preview.html. Whoever sees it may see everybody's rights here."""
    changed = [one for one in effects if one.changes]
    users = User.objects.in_bulk([one.user_id for one in changed])
    names = {project.pk.int: project.name for project in Project.objects.all()}
    rows = [
        {
            "user": users[one.user_id],
            "gains": _places(one.gains, names),
            "loses": _places(one.loses, names),
            "sees": [
                {"called": CALLED[seen.type], "before": seen.before, "after": seen.after}
                | {"came": seen.came, "went": seen.went}
                for seen in one.sees
            ],
        }
        for one in sorted(changed, key=lambda one: (users[one.user_id].name, str(one.user_id)))
    ]
    return {"rows": rows[:SHOWN], "changed": len(changed), "concerned": len(effects)}


def _places(found: Any, names: dict[int, str]) -> list[tuple[str, list[str]]]:
    def place(ref: Ref) -> str:
        return names.get(ref.id, "a project") if ref.type == "project" else "the whole tenant"

    def said(permissions: list[Permission]) -> list[str]:
        return [words.may_do(permission) for permission in permissions]

    return [(place(ref), said(permissions)) for ref, permissions in found.items()]
