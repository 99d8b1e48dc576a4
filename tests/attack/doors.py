"""Finds every door of the product by itself: addresses, SCIM endpoints, jobs, commands."""

import re
from dataclasses import dataclass
from typing import Any

from django.core.management import get_commands, load_command_class
from django.urls import URLPattern, URLResolver, get_resolver
from scim2_server.routing import ROUTES

from portal.celery import app
from portal.scim.service import SERVICE

EVERY_METHOD = ("GET", "POST", "PUT", "PATCH", "DELETE")
PACKAGES = ("portal", "agent", "authz", "evidence", "tenants")
PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")

# One view answers everything below this; what is there stands in SCIM's own description.
SCIM = "scim/v2/<path:path>"


@dataclass(frozen=True, order=True)
class Door:
    """One way in over HTTP: a method and an address with its parameters."""

    method: str
    route: str

    def __str__(self) -> str:
        return f"{self.method} /{self.route}"

    @property
    def parameters(self) -> list[str]:
        return PARAMETER.findall(self.route)


def addresses() -> list[Door]:
    """Every method of every address of the URL conf."""
    found = {
        Door(method, route)
        for route, view in _patterns(get_resolver().url_patterns)
        for method in _methods(view)
    }
    return sorted({door for door in found if door.route != SCIM} | _scim())


def jobs() -> list[str]:
    """Every job of ours that a worker would run."""
    app.loader.import_default_modules()
    return sorted(name for name in app.tasks if name.split(".")[0] in PACKAGES)


def commands() -> list[str]:
    """Every management command of ours."""
    return sorted(
        name for name, where in get_commands().items() if str(where).split(".")[0] in PACKAGES
    )


def command(name: str) -> Any:
    """The command itself."""
    return load_command_class(get_commands()[name], name)


def _patterns(patterns: list[Any], before: str = "") -> list[tuple[str, Any]]:
    found = []
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += _patterns(pattern.url_patterns, route)
        else:
            assert isinstance(pattern, URLPattern)
            found.append((route, pattern.callback))
    return found


def _methods(view: Any) -> tuple[str, ...]:
    """The methods that a view lets through; all of them where it does not say.

    Django's decorators keep them in a closure, Ninja on the object that the view is a method of.
    """
    while view is not None:
        names = getattr(getattr(view, "__code__", None), "co_freevars", ())
        cells = getattr(view, "__closure__", None) or ()
        kept = {name: cell.cell_contents for name, cell in zip(names, cells, strict=True)}
        if "request_method_list" in kept:
            return tuple(method for method in kept["request_method_list"] if method != "HEAD")
        ninja = kept.get("self") or getattr(view, "__self__", None)
        if operations := getattr(ninja, "operations", None):
            return tuple(method for operation in operations for method in operation.methods)
        view = getattr(view, "__wrapped__", None)
    return EVERY_METHOD


def _scim() -> set[Door]:
    found = set()
    for kind in SERVICE.provider.resource_types:
        for route in ROUTES:
            path = route.pattern.replace("{endpoint}", kind.endpoint.strip("/"))
            # An id of a kind of its own: <User>, <Group>; of a schema it is no row's.
            named = kind.id if "{endpoint}" in route.pattern else "path"
            path = path.replace("{resource_id}", f"<{named}>").removeprefix("/")
            found.add(Door(route.method, f"scim/v2/{path}"))
    return found
