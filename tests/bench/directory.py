"""Fills a tenant's directory with people, so that the bench can measure SCIM against many.

Run by tests.bench: python -m tests.bench.directory HOST COUNT, in the environment of a portal.
"""

import os
import sys

import django

GROUPS = 50


def main() -> None:
    """Print the token of a directory that has COUNT people in groups of 200."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    django.setup()
    from authz import directory
    from authz.roles import Role
    from tenants.models import User
    from tenants.scope import scope_of_host, tenant_scope
    from tests.at_browser import JUST_NOW

    host, count = sys.argv[1], int(sys.argv[2])
    scope = scope_of_host(host)
    assert scope is not None, host
    with tenant_scope(scope):
        _fill(count)
        admin = User.objects.get(grants__role=Role.TENANT_ADMIN).actor("page", signed_in=JUST_NOW)
        print(directory.add_client("Bench", by=admin)[1])


def _fill(count: int) -> None:
    """Straight into the tables: that directories can add people is for other measurements."""
    from authz.provisioning import comparable
    from tenants.models import (
        DirectoryGroup,
        DirectoryMember,
        DirectoryPerson,
        Membership,
        User,
    )

    users = [
        User(email=f"p{number:05}@bench.example", name=f"Person {number}", password="!")
        for number in range(count)
    ]
    User.objects.bulk_create(users, batch_size=1000)
    Membership.objects.bulk_create(
        (Membership(user=user, source="scim") for user in users), batch_size=1000
    )
    people = [
        DirectoryPerson(
            user=user,
            user_name=user.email,
            user_name_key=comparable(user.email),
            external_id=str(user.pk),
            display_name_key=comparable(user.name),
            email_keys=[user.email],
            resource=_resource(user.email, user.name, str(user.pk)),
        )
        for user in users
    ]
    DirectoryPerson.objects.bulk_create(people, batch_size=1000)
    groups = [
        DirectoryGroup(
            display_name=f"Group {number}",
            display_name_key=f"group {number}",
            resource={"displayName": f"Group {number}"},
        )
        for number in range(GROUPS)
    ]
    DirectoryGroup.objects.bulk_create(groups)
    DirectoryMember.objects.bulk_create(
        (
            DirectoryMember(group=groups[number % GROUPS], person=person)
            for number, person in enumerate(people)
        ),
        batch_size=1000,
    )


def _resource(email: str, name: str, external_id: str) -> dict[str, object]:
    first, last = name.split(" ")
    enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
    return {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", enterprise],
        "userName": email,
        "externalId": external_id,
        "displayName": name,
        "name": {"formatted": name, "givenName": first, "familyName": last},
        "emails": [{"value": email, "type": "work", "primary": True}],
        "phoneNumbers": [{"value": "+49 731 1234567", "type": "work"}],
        "title": "Engineer",
        "active": True,
        enterprise: {"department": "R&D", "employeeNumber": last, "costCenter": "4711"},
    }


if __name__ == "__main__":
    main()
