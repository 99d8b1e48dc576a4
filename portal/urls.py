"""Every address of the portal."""

from django.urls import include, path

from portal.pages import health
from portal.signin import demo

handler404 = "portal.errors.not_found"
handler500 = "portal.errors.broken"

urlpatterns = [
    path("healthz", health.alive, name="alive"),
    path("readyz", health.ready, name="ready"),
    path("signin/", demo.signin, name="signin"),
    path("signout/", demo.signout, name="signout"),
]
