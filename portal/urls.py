"""Every address of the portal."""

from django.urls import path

from portal.api import api
from portal.pages import (
    emergencies,
    health,
    home,
    ledger,
    packs,
    people,
    proposals,
    recommendations,
)
from portal.signin import doors

handler404 = "portal.errors.not_found"
handler500 = "portal.errors.broken"

urlpatterns = [
    path("api/v1/", api.urls),
    path("healthz", health.alive, name="alive"),
    path("readyz", health.ready, name="ready"),
    path("signin/", doors.signin, name="signin"),
    path("signin/start/", doors.start, name="signin-start"),
    path("signin/invitation/<str:secret>/", doors.invitation, name="invitation"),
    path("signout/", doors.signout, name="signout"),
    path("settings/emergency/", emergencies.listing, name="emergencies"),
    path("settings/emergency/<uuid:emergency_id>/", emergencies.decide, name="emergency-decide"),
    path("settings/sign-in/<uuid:provider_id>/test/", doors.test, name="signin-test"),
    path("", home.home, name="home"),
    path("audit/", ledger.listing, name="ledger"),
    path("audit/entries.csv", ledger.export, name="ledger-csv"),
    path("audit/<int:index>/", ledger.entry, name="entry"),
    path("proposals/<uuid:proposal_id>/packs/", packs.create, name="pack-create"),
    path("packs/", packs.listing, name="packs"),
    path("packs/<uuid:pack_id>/", packs.detail, name="pack"),
    path("packs/<uuid:pack_id>/download/", packs.download, name="pack-download"),
    path("people/", people.listing, name="people"),
    path("people/<uuid:user_id>/roles/", people.roles, name="person-roles"),
    path("people/<uuid:user_id>/remove/", people.remove, name="person-remove"),
    path("recommendations/", recommendations.listing, name="recommendations"),
    path("recommendations/new/", recommendations.new, name="recommendation-new"),
    path("recommendations/new/draft/", recommendations.draft, name="recommendation-draft"),
    path("recommendations/<uuid:task_id>/", recommendations.detail, name="recommendation"),
    path(
        "recommendations/<uuid:task_id>/cancel/",
        recommendations.cancel,
        name="recommendation-cancel",
    ),
    path(
        "recommendations/<uuid:task_id>/resume/",
        recommendations.resume,
        name="recommendation-resume",
    ),
    path("proposals/", proposals.listing, name="proposals"),
    path("proposals/<uuid:proposal_id>/", proposals.detail, name="proposal"),
    path(
        "proposals/<uuid:proposal_id>/countersign/",
        proposals.countersign,
        name="proposal-countersign",
    ),
    path("proposals/<uuid:proposal_id>/reject/", proposals.reject, name="proposal-reject"),
    path(
        "proposals/<uuid:proposal_id>/files/<path:path>", proposals.download, name="proposal-file"
    ),
]
