"""Servers for relations that an operator may run beside the database: SpiceDB, OpenFGA."""

from collections.abc import Callable

from django.conf import settings

from authz.outside.engine import Api, Engine, EngineFault, Place, Question
from authz.outside.openfga import Openfga
from authz.outside.spicedb import Spicedb

__all__ = ["ENGINES", "Engine", "EngineFault", "Place", "Question", "engine_called"]

ENGINES: dict[str, Callable[[Api], Engine]] = {"spicedb": Spicedb, "openfga": Openfga}


def engine_called(name: str) -> Engine:
    """The engine of that name. Raises EngineFault when its address is not set."""
    address, secret = settings.RELATIONS_SERVERS[name]
    if not address:
        raise EngineFault(f"{name.upper()}_URL is not set: give the address of the server")
    return ENGINES[name](Api(address, secret))
