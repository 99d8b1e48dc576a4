"""Tables that stand in every cell: people, how they sign in, what their directory says."""

from tenants.models.directory import (
    DirectoryClient,
    DirectoryGroup,
    DirectoryMember,
    DirectoryPerson,
    DirectoryRequest,
)
from tenants.models.identity import Identity, IdentityProvider, Invitation, Replay, Session
from tenants.models.people import Membership, Project, User
from tenants.models.walled import BoundTenant, TenantScoped, TenantScopedManager

__all__ = [
    "BoundTenant",
    "DirectoryClient",
    "DirectoryGroup",
    "DirectoryMember",
    "DirectoryPerson",
    "DirectoryRequest",
    "Identity",
    "IdentityProvider",
    "Invitation",
    "Membership",
    "Project",
    "Replay",
    "Session",
    "TenantScoped",
    "TenantScopedManager",
    "User",
]
