"""The settings: one card for each subject, with its state."""

from datetime import timedelta

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from agent import model_setup
from authz import groups, log_export, retention
from authz.admins import has_admin
from authz.decisions import require
from authz.in_force import active_version
from authz.models import ApiToken, GroupRole
from authz.people import AsTenant
from authz.permissions import Permission
from authz.providers import provider_in_use
from authz.tokens import good_tokens
from portal.http import PortalRequest
from portal.pages.tokens import SOON
from tenants.models import DirectoryClient, DirectoryRequest, IdentityProvider, User
from tenants.scope import current_tenant_id

LATELY = timedelta(days=1)


@require_GET
def overview(request: PortalRequest) -> HttpResponse:
    """Sign-in, directory, groups, programs: where each stands, where to go."""
    require(request.actor, Permission.PROVIDER_CHANGE, AsTenant(current_tenant_id()))
    now = timezone.now()
    requests = DirectoryRequest.objects.all()
    expiring = ApiToken.objects.filter(good_tokens(), expires_at__lt=now + SOON)
    expiring = expiring.exclude(user__kind=User.Kind.HUMAN)
    context = {
        "provider": provider_in_use(),
        "drafts": IdentityProvider.objects.filter(state=IdentityProvider.State.DRAFT).count(),
        "clients": DirectoryClient.objects.filter(revoked_at=None).count(),
        "last_request": requests.order_by("-at").first(),
        "problems": requests.filter(at__gte=now - LATELY).exclude(problem="").count(),
        "known_groups": len(groups.known_groups()),
        "mapped_groups": GroupRole.objects.values("group").distinct().order_by().count(),
        "services": User.objects.filter(kind=User.Kind.SERVICE, membership__state="active").count(),
        "expiring": expiring.count(),
        "has_admin": has_admin(),
        "policies": active_version(),
        "models": [one for one in model_setup.providers() if one.is_on],
        "days_kept": retention.days_kept(),
        "copies": list(log_export.destinations()),
    }
    return render(request, "settings/overview.html", context)
