"""What we say of ourselves over SCIM, and what we forgive: schemas, capabilities, tolerance."""

from typing import Any

from scim2_models import (
    AuthenticationScheme,
    Bulk,
    ChangePassword,
    ETag,
    Filter,
    Patch,
    Resource,
    ResourceType,
    Schema,
    ScimPolicy,
    ScimProvider,
    ServiceProviderConfig,
    Sort,
)
from scim2_server.utils import load_default_resource_types, load_json_resource

CORE_USER = "urn:ietf:params:scim:schemas:core:2.0:User"
CORE_GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PAGE = 200  # resources in one answer at most

CONFIG = ServiceProviderConfig(
    patch=Patch(supported=True),
    bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
    filter=Filter(supported=True, max_results=PAGE),
    change_password=ChangePassword(supported=False),
    sort=Sort(supported=True),
    etag=ETag(supported=True),
    authentication_schemes=[
        AuthenticationScheme(
            type=AuthenticationScheme.Type.oauthbearertoken,
            name="Bearer token",
            description="The token that an admin of the workspace was shown, or an access token"
            " from /scim/oauth/token (client credentials)",
            primary=True,
        )
    ],
)
# As Microsoft Entra and Okta need it; ADR 0014 has what each of the three is for.
POLICY = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
)


def _schemas() -> list[Schema]:
    """Those of RFC 7643, less what we do not do: keep passwords, put groups into groups.

    Nor do we say a member's name in the group: it is the person's, who is one request away.
    """
    described = load_json_resource("default-schemas.json")
    for schema in described:
        schema["attributes"] = [a for a in schema["attributes"] if a["name"] != "password"]
        if schema["id"] == CORE_GROUP:
            members = next(a for a in schema["attributes"] if a["name"] == "members")
            parts = {part["name"]: part for part in members["subAttributes"]}
            parts["$ref"]["referenceTypes"] = parts["type"]["canonicalValues"] = ["User"]
            members["subAttributes"] = [parts["value"], parts["$ref"], parts["type"]]
    return [Schema.model_validate(schema) for schema in described]


PROVIDER = ScimProvider.from_discovery(
    _schemas(), load_default_resource_types().values(), config=CONFIG, policy=POLICY
)


def _type_named(name: str) -> tuple[ResourceType, type[Resource[Any]]]:
    resource_type = next(each for each in PROVIDER.resource_types if each.name == name)
    model = PROVIDER.model_for(resource_type)
    assert isinstance(model, type)
    assert issubclass(model, Resource)
    return resource_type, model


USER_TYPE, User = _type_named("User")
GROUP_TYPE, Group = _type_named("Group")
