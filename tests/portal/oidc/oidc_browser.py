"""What a browser does at a sign-in, and what the company finds afterwards."""

import json

from evil_provider import asked_of

from evidence.models import StagedEntry
from tenants.models import Session
from tenants.scope import tenant_scope


def begin(browser, evil):
    """Off to the provider: the answer, and what the provider was asked."""
    answer = browser.get("/signin/start/")
    if answer.status_code == 302:
        evil.asked = asked_of(answer["Location"])
    return answer


def come_back(browser, evil, **changed):
    """The provider's answer, by the browser; `changed` parameters, ... takes one away."""
    sent = {"code": "a code", "state": evil.asked.get("state"), **changed}
    return browser.get("/signin/oidc/callback/", {n: v for n, v in sent.items() if v is not ...})


def last_entry(company):
    """Action, outcome and facts of the newest entry."""
    with tenant_scope(company.scope):
        staged = StagedEntry.objects.order_by("id").last()
        leaf, facts = json.loads(bytes(staged.leaf)), json.loads(bytes(staged.payload))
    return leaf["action"], leaf["outcome"], facts


def sessions_of(company):
    """How many browsers are signed in."""
    with tenant_scope(company.scope):
        return Session.objects.filter(user__isnull=False).count()
