"""The SCIM protocol as the library does it, with three of its steps done our way."""

from http import HTTPStatus
from typing import Any

from scim2_models import (
    Context,
    ListResponse,
    Resource,
    ResourceType,
    ResponseParameters,
    SearchRequest,
)
from scim2_server.responses import ScimResponse
from scim2_server.service import ScimService
from scim2_server.storage import SearchPage

from portal.scim.protocol import PROVIDER, User


class QuickService(ScimService):
    """Publishes what our storage made for this request, in place and once.

    The library copies every resource, walks all its references, and validates each page again as
    a whole, which is half the time of a page. Our resources are nobody else's and carry full
    addresses already; most lists come as finished JSON (DirectoryStorage).
    """

    def publish(self, base_url: str, resource: Resource[Any]) -> Resource[Any]:
        assert resource.meta is not None
        assert resource.id is not None
        resource.meta.location = self.resource_location(
            base_url, self.get_resource_type_of(resource), resource.id
        )
        return resource

    def patch_response(
        self,
        base_url: str,
        resource: Resource[Any],
        response_parameters: ResponseParameters[Any],
    ) -> ScimResponse:
        """The whole person, as Entra's and others' documentation has it, and no group.

        A group of thousands would be read for an answer that nobody looks at.
        """
        if isinstance(resource, User):
            return self.replacement_response(base_url, resource, response_parameters)
        return super().patch_response(base_url, resource, response_parameters)

    def search_response(
        self,
        base_url: str,
        resource_types: list[ResourceType],
        page: SearchPage,
        search_request: SearchRequest[Any],
    ) -> ScimResponse:
        resources: list[Any] = page.resources
        found = [
            resource
            if isinstance(resource, dict)  # finished already
            else self.publish(base_url, resource).model_dump(
                scim_ctx=Context.RESOURCE_QUERY_RESPONSE, response_parameters=search_request
            )
            for resource in resources
        ]
        return ScimResponse(
            HTTPStatus.OK,
            {
                "schemas": [str(ListResponse.__schema__)],
                "totalResults": page.total,
                "startIndex": search_request.start_index,
                "itemsPerPage": len(found),
                "Resources": found,
            },
        )


SERVICE = QuickService(PROVIDER)
