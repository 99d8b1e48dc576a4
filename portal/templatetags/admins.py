"""Names the people who can help on an error page."""

from django import template

from portal.directory import tenant_admins
from tenants import asked
from tenants.models import User

register = template.Library()


@register.simple_tag(name="tenant_admins")
def named() -> list[User]:
    """Tenant admins by name; asked for only by the page that refuses somebody."""
    with asked.without_asking(asked.Purpose.DECIDE):
        return list(tenant_admins())
