"""The protocol as the authors of scim2-tester and of the storage contract see it."""

from collections import Counter

import pytest
from django.core.wsgi import get_wsgi_application
from scim2_client.engines.wsgi import WSGISCIMClient
from scim2_server.testing import ScimStorageContract
from scim2_tester import Status, check_server

from tests.at_browser import JUST_NOW


def test_scim2_tester_finds_nothing_wrong(entra, capsys):
    client = WSGISCIMClient(
        get_wsgi_application(),
        base_url=f"http://{entra.company.host}/scim/v2",
        headers={"Authorization": f"Bearer {entra.token}"},
    )

    results = check_server(client)

    counts = Counter(result.status for result in results)
    with capsys.disabled():
        print(f"\nscim2-tester: {counts[Status.SUCCESS]} of {len(results)} checks pass")
    wrong = [
        f"{result.title}: {result.reason}" for result in results if result.status != Status.SUCCESS
    ]
    assert wrong == []
    assert len(results) > 100


class TestStorage(ScimStorageContract):
    """The contract of the library's storages, among it 44 filters and 9 orders."""

    @pytest.fixture
    def provider(self):
        from portal.scim.protocol import PROVIDER

        with PROVIDER:  # as every request has it
            yield PROVIDER

    @pytest.fixture
    def storage(self, in_acme):
        from authz import directory
        from portal.scim.storage import DirectoryStorage

        client, _, _ = directory.add_client(
            "Entra ID", by=in_acme.people["tomas"].actor("page", signed_in=JUST_NOW)
        )
        return DirectoryStorage(
            directory.actor_of(client), f"http://{in_acme.host}/scim/v2", writes=True
        )

    def test_an_update_that_changes_nothing_leaves_no_entry(
        self, storage, in_acme, entries, user_type, group_type, user_model, group_model
    ):
        user = storage.create(user_type, user_model(user_name="ada"))
        group = storage.create(
            group_type,
            group_model.model_validate({"displayName": "g", "members": [{"value": user.id}]}),
        )
        before = entries(in_acme)

        versions = (
            storage.update(user_type, storage.get(user_type, user.id)).meta.version,
            storage.update(group_type, storage.get(group_type, group.id)).meta.version,
        )

        assert versions == (user.meta.version, group.meta.version)
        assert entries(in_acme) == before
