"""How people of the tests sit at a browser: signed in a moment ago."""

from datetime import UTC, datetime

from tenants.actor import SignedIn

JUST_NOW = SignedIn(datetime.now(UTC), "demo")
