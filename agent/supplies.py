"""What the tests of a repository are run with: its packages, as far as wheels are at hand."""

from collections.abc import Mapping

from django.conf import settings

from agent import sandbox
from agent.errors import NothingLeftToTry
from agent.packages import CannotResolve, Shelf, resolved
from agent.registry import Registry, RegistryFault
from agent.sandbox import Environment, SandboxUnavailable, preparing
from agent.sandbox.bubblewrap import Bubblewrap
from agent.sandbox.gvisor import GVisor


def environment_of(files: Mapping[str, bytes], shelf: Shelf) -> Environment | None:
    """What a tree declares, installed in a sandbox and kept; None when nothing of it is at hand.

    Packages without a wheel are left out: tests that need them fail, before and after alike.
    Raises NothingLeftToTry with what does not fit, SandboxUnavailable.
    """
    try:
        found = resolved(files, shelf)
    except CannotResolve as conflict:
        raise NothingLeftToTry(f"the packages do not fit together: {conflict}") from conflict
    if not found.wheels:
        return None
    engine = sandbox.engine()
    if not isinstance(engine, GVisor | Bubblewrap):
        raise SandboxUnavailable("packages cannot be installed in this kind of sandbox yet")
    try:
        wheels = {wheel.file: wheel.read() for wheel in found.wheels.values()}
        return preparing.from_wheels(wheels, engine=engine)
    except (preparing.CannotPrepare, RegistryFault) as refusal:
        raise NothingLeftToTry(f"the packages cannot be installed: {refusal}") from refusal


def registry_here() -> Registry | None:
    """The registry that the operator lets packages be fetched from; None, and nothing is."""
    if not settings.PACKAGE_REGISTRY:
        return None
    return Registry(
        settings.PACKAGE_REGISTRY,
        tuple(settings.PACKAGE_REGISTRY_HOSTS),
        settings.PACKAGE_REGISTRY_ADDRESSES,
        settings.PACKAGE_REGISTRY_CERTIFICATES,
    )
