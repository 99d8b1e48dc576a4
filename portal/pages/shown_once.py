"""Shows a secret in the answer to the request that made it, and nowhere ever again."""

from dataclasses import dataclass

from django.http import HttpResponse
from django.shortcuts import render

from portal.http import PortalRequest


@dataclass(frozen=True)
class Secret:
    """Something to copy now. hint: where it goes."""

    label: str
    text: str
    hint: str = ""


def show_secrets(
    request: PortalRequest,
    heading: str,
    secrets: list[Secret],
    *,
    back: tuple[str, str],
    advice: str = "",
) -> HttpResponse:
    """The page with `secrets`, which no cache keeps. back: address and name of the page before."""
    address, name = back
    context = {
        "headline": heading,
        "secrets": secrets,
        "back": address,
        "back_name": name,
        "advice": advice,
    }
    response = render(request, "settings/shown_once.html", context)
    response["Cache-Control"] = "no-store"
    return response
