"""Keeps sessions in the tenant's own table, with whose they are and how they came about."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.contrib.auth import SESSION_KEY, login
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from authz import sessions
from tenants import asked
from tenants.actor import SignedIn
from tenants.models import Identity, Membership, Session, User

ABOUT = "about"  # where a session keeps what its row's columns show
TOUCHED_EVERY = timedelta(minutes=1)


class SessionStore(DatabaseStore):
    """Django's database sessions behind the tenant wall: a cookie is worth nothing elsewhere.

    The table holds digests of keys. A session ends when it was not used for a while, and some
    hours after sign-in however much it is used (settings).
    """

    row: Session | None = None

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        now = timezone.now()
        about = data.setdefault(
            ABOUT, {"handle": str(uuid4()), "opened_at": now.isoformat(), "way": ""}
        )
        opened_at = datetime.fromisoformat(about["opened_at"])
        ends_at = opened_at + timedelta(seconds=settings.SESSION_COOKIE_AGE)
        if until := about.get("until"):
            ends_at = min(ends_at, datetime.fromisoformat(until))
        # Django's own, though its published types leave it out.
        key = self._get_or_create_session_key()  # type: ignore[attr-defined]
        return Session(
            session_key=digest_of(key),
            session_data=self.encode(data),
            expire_date=ends_at,
            user_id=data.get(SESSION_KEY),
            handle=about["handle"],
            way=about["way"],
            identity_id=about.get("identity"),
            provider_session=about.get("provider_session", ""),
            device=about.get("device", ""),
            address=about.get("address"),
            opened_at=opened_at,
            seen_at=now,
        )

    @asked.without_asking(asked.Purpose.SIGN_IN)
    def _get_session_from_db(self) -> Session | None:
        now = timezone.now()
        self.row = (
            Session.objects.filter(
                session_key=digest_of(self.session_key),
                expire_date__gt=now,
                seen_at__gt=now - timedelta(seconds=settings.SESSION_IDLE_SECONDS),
            ).first()
            if self.session_key
            else None
        )
        if self.row is None:
            self._session_key = None
        return self.row

    @asked.without_asking(asked.Purpose.SIGN_IN)
    def save(self, must_create: bool = False) -> None:
        super().save(must_create)

    @asked.without_asking(asked.Purpose.SIGN_IN)
    def exists(self, session_key: str) -> bool:
        return Session.objects.filter(session_key=digest_of(session_key)).exists()

    @asked.without_asking(asked.Purpose.SIGN_IN)
    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key is not None:
            Session.objects.filter(session_key=digest_of(key)).delete()


def digest_of(key: str) -> str:
    """What the table knows a session by: 40 characters of the SHA-256 of its cookie."""
    return salted_hmac("countersign.session", key, algorithm="sha256").hexdigest()[:40]


def open_session(
    request: HttpRequest,
    user: User,
    way: str,
    *,
    identity: Identity | None = None,
    provider_session: str = "",
    methods: Sequence[str] = (),
    until: datetime | None = None,
) -> None:
    """Sign `user` in with a new session key, and put it on record first.

    way: demo, oidc, saml, invitation or emergency. provider_session: what the provider calls its
    own session, so that it can end ours. methods: how the provider made sure who it is. until:
    ends no later than this. Raises Denied.
    """
    sessions.record_opening(user, way, issuer=identity.issuer if identity else None)
    login(request, user, backend="portal.signin.backend.MemberBackend")
    request.session[ABOUT] = {
        "handle": str(uuid4()),
        "opened_at": timezone.now().isoformat(),
        "way": way,
        "identity": str(identity.pk) if identity else None,
        "provider_session": provider_session[:255],
        "methods": list(methods),
        "until": until.isoformat() if until else None,
        "device": request.headers.get("User-Agent", "")[:200],
        "address": request.META.get("REMOTE_ADDR") or None,
    }


def session_of(request: HttpRequest) -> Session | None:
    """The row of the session that this request came with."""
    row: Session | None = getattr(request.session, "row", None)
    return row


def signed_in(request: HttpRequest) -> SignedIn | None:
    """When and how the person of this request signed in; None without a session."""
    row = session_of(request)
    if row is None:
        return None
    methods = request.session.get(ABOUT, {}).get("methods", [])
    return SignedIn(row.opened_at, row.way, tuple(methods))


@asked.without_asking(asked.Purpose.SIGN_IN)
def touch(request: HttpRequest, user: User) -> None:
    """Remember, to the minute, that the session is in use."""
    row, now = session_of(request), timezone.now()
    if row is not None and row.seen_at < now - TOUCHED_EVERY:
        Session.objects.filter(pk=row.pk).update(seen_at=now)
        Membership.objects.filter(user=user).update(seen_at=now)
