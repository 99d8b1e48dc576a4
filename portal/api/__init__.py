"""The JSON API: the same calls as behind the pages, for programs."""

import json
from collections.abc import Callable
from typing import Any, cast

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, path
from ninja import NinjaAPI
from ninja.operation import Operation

from portal.api import (
    access,
    catalogue,
    code,
    controls,
    decisions,
    directories,
    exports,
    frameworks,
    log,
    me,
    members,
    models,
    packs,
    projects,
    proposals,
    recommendations,
    repair_rules,
    repositories,
    sessions,
    sign_in,
    tasks,
    tokens,
)
from portal.api.problems import answer_problems
from portal.api.signed_in import ApiToken, SessionCookie

DESCRIPTION = """Ask for recommendations, follow them, countersign proposals, take evidence away.

Answers are for the tenant whose host is asked. Programs send a token, made on the page *Your
account* or for a service account: `Authorization: Bearer cst_...`. A browser that is signed in may
send its session cookie instead; requests that change something then also need the value of the
`csrftoken` cookie in the header `X-CSRFToken`. Times are UTC. Errors are problem documents (RFC
9457). What you may not know about answers 404, the same as what does not exist.
"""


class PortalAPI(NinjaAPI):
    """Ninja with its habits fitted to the portal: who is asked to sign in, names, problems."""

    def _get_urls(self) -> list[URLResolver | URLPattern]:
        urls = [*super()._get_urls(), path("<path:anything>", _nothing_here)]
        for url in urls:
            # The API answers 401 by itself; a redirect to the sign-in page would help no program.
            login_not_required(cast(Callable[..., HttpResponse], url.callback))
        return urls

    def get_openapi_operation_id(self, operation: Operation) -> str:
        return operation.view_func.__name__

    def get_openapi_schema(self, **options: Any) -> Any:
        schema = super().get_openapi_schema(**options)
        for operations in schema["paths"].values():
            for described in operations.values():
                for status, response in described["responses"].items():
                    if int(status) >= 400:
                        content = response["content"]
                        content["application/problem+json"] = content.pop("application/json")
        # Ninja lists the classes that group query parameters; nothing refers to them.
        used = json.dumps(schema)
        named = schema["components"]["schemas"]
        for name in [name for name in named if f'"#/components/schemas/{name}"' not in used]:
            del named[name]
        return schema


def _nothing_here(request: HttpRequest, anything: str) -> HttpResponse:
    raise Http404(anything)


api = PortalAPI(
    title="Countersign",
    version="1",
    description=DESCRIPTION,
    urls_namespace="api",
    docs_url=None,
    auth=[ApiToken(), SessionCookie()],
    servers=[{"url": "/", "description": "The host of your tenant."}],
    openapi_extra={
        "info": {"license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
    },
)
answer_problems(api)
api.add_router("/me", me.router)
api.add_router("/access", access.router)
api.add_router("/projects", projects.router)
api.add_router("/repositories", repositories.router)
api.add_router("/code", code.router)
api.add_router("/catalogue", catalogue.router)
api.add_router("/recommendations", recommendations.router)
api.add_router("/tasks", tasks.router)
api.add_router("/repair-rules", repair_rules.router)
api.add_router("/flaky-tests", repair_rules.flaky)
api.add_router("/proposals", proposals.router)
api.add_router("/packs", packs.router)
api.add_router("/exports", exports.router)
api.add_router("/controls", controls.router)
api.add_router("/frameworks", frameworks.router)
api.add_router("/control-rules", frameworks.rules_router)
api.add_router("/documents", controls.documents)
api.add_router("/log", log.router)
api.add_router("/members", members.router)
api.add_router("/members", sessions.of_members)
api.add_router("/sessions", sessions.router)
api.add_router("/tokens", tokens.router)
api.add_router("/services", tokens.services)
api.add_router("/sign-in", sign_in.router)
api.add_router("/directory", directories.router)
api.add_router("/models", models.router)
api.add_router("/decisions", decisions.router)
