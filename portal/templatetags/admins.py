"""Names the people who can help on an error page."""

from django import template

from portal.directory import tenant_admins
from tenants.models import User

register = template.Library()


@register.simple_tag(name="tenant_admins")
def named() -> list[User]:
    """Tenant admins by name; asked for only by the page that refuses somebody."""
    return list(tenant_admins())
