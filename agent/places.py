"""Where things are: the catalogue, the artifact store, the forges."""

from functools import cache

from django.conf import settings

from agent import recommender
from agent.forge import Forge
from agent.forge import Repository as ForgeRepository
from agent.forge.local import LocalForge
from agent.models import Repository
from agent.recommender import Catalogue
from evidence.store import Store
from tenants.scope import current_tenant_id


@cache
def catalogue() -> Catalogue:
    """The technology catalogue, read once a process."""
    return recommender.load(settings.CATALOGUE_DIR)


@cache
def artifact_store() -> Store:
    """Where artifacts lie."""
    return Store(settings.DATA_DIR / "artifacts")


def local_forge() -> LocalForge:
    """The forge that comes with the product: bare repositories below the data folder."""
    return LocalForge(settings.DATA_DIR / "forge")


def forge_of(repository: Repository) -> Forge:
    """The code host that a repository lives on."""
    match repository.forge:
        case Repository.Forge.LOCAL:
            return local_forge()
        case unknown:
            raise ValueError(f"no forge called {unknown!r}")


def forge_address(repository: Repository) -> ForgeRepository:
    """The repository as the forge knows it."""
    return ForgeRepository(tenant_id=current_tenant_id(), name=repository.name)
