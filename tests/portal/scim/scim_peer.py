"""A directory that talks SCIM to acme, as Entra or Okta would."""

import json
from typing import Any

from django.http import HttpResponse
from django.test import Client

from authz import directory
from tenants.models import DirectoryClient
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


class Directory:
    """One client of one workspace, with its secrets and a browser-less connection."""

    def __init__(self, company, client: DirectoryClient, token: str, secret: str) -> None:
        self.company, self.client, self.token, self.secret = company, client, token, secret
        self.http = Client(headers={"host": company.host}, raise_request_exception=True)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        sent = body if isinstance(body, bytes | str) or body is None else json.dumps(body)
        return self.http.generic(
            method,
            f"/scim/v2{path}",
            sent or "",
            content_type="application/scim+json",
            headers={"Authorization": f"Bearer {self.token}", **headers},
        )

    def add(self, user_name: str, **also: Any) -> dict[str, Any]:
        answer = self.ask("POST", "/Users", {"schemas": [USER], "userName": user_name, **also})
        assert answer.status_code == 201, answer.content
        return answer.json()

    def add_group(self, name: str, *people: dict[str, Any]) -> dict[str, Any]:
        members = [{"value": person["id"]} for person in people]
        answer = self.ask(
            "POST", "/Groups", {"schemas": [GROUP], "displayName": name, "members": members}
        )
        assert answer.status_code == 201, answer.content
        return answer.json()

    def patch(self, path: str, *operations: dict[str, Any], **headers: str) -> HttpResponse:
        return self.ask(
            "PATCH", path, {"schemas": [PATCH], "Operations": list(operations)}, **headers
        )

    def read(self, path: str) -> dict[str, Any]:
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.content
        return answer.json()


def let_in(company, name: str = "Entra ID") -> Directory:
    with tenant_scope(company.scope):
        made = directory.add_client(
            name, by=company.people["tomas"].actor("page", signed_in=JUST_NOW)
        )
    return Directory(company, *made)
