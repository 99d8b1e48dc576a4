"""Opening sessions, ending them: one's own, somebody else's, all of somebody's."""

from typing import Any

from authz.change import change, entry
from authz.permissions import Permission
from tenants.actor import Actor
from tenants.models import Session, User


class AsSession:
    """A session as the object of a decision or entry: named by its handle, never by its key."""

    class _meta:
        model_name = "session"

    def __init__(self, session: Session) -> None:
        self.pk = session.handle
        self.user_id = session.user_id


def record_opening(user: User, way: str, **facts: Any) -> None:
    """Put on record that `user` signs in, before the door opens. way: as Session.way."""
    entry(user.actor("page"), Permission.SESSION_OPEN, on=user, facts={"way": way, **facts})


def end_session(session: Session, *, by: Actor, why: str) -> None:
    """Sign one browser out. Raises Denied for somebody else's without the permission."""
    with change(by, Permission.SESSION_END, on=AsSession(session)) as facts:
        Session.objects.filter(pk=session.pk).delete()
        facts.update(why=why, way=session.way, of=str(session.user_id))


def end_sessions_of(user: User, *, by: Actor, why: str, besides: Session | None = None) -> int:
    """Sign all browsers of `user` out, `besides` one; returns how many there were."""
    with change(by, Permission.SESSION_END, on=user) as facts:
        facts.update(why=why, ended=drop_sessions(user, besides=besides))
        ended: int = facts["ended"]
    return ended


def drop_sessions(user: User, *, besides: Session | None = None) -> int:
    """Delete the sessions of `user`. Only inside of a change() that says why."""
    sessions = Session.objects.filter(user=user)
    if besides is not None:
        sessions = sessions.exclude(pk=besides.pk)
    return sessions.delete()[0]
