"""Where things are: the catalogue, the artifact store, the forges."""

from collections.abc import Mapping
from functools import cache, lru_cache
from time import monotonic
from typing import Any
from uuid import UUID

from django.conf import settings

from agent.forge import Forge, Merging
from agent.forge import Repository as ForgeRepository
from agent.forge.local import LocalForge
from agent.models import CatalogueEntry, CatalogueRefresh, Repository
from agent.recommender import Catalogue, reading
from agent.recommender.additions import Own, with_dates
from evidence.store import Store
from tenants import asked
from tenants.scope import current_tenant_id, pinned

# How long another process may go on with a tenant's catalogue as it was, in seconds.
_LASTS_S = 5.0
_seen: dict[UUID, tuple[float, Own]] = {}


def catalogue() -> Catalogue:
    """The technology catalogue as the pinned tenant sees it; outside of a scope, the shared one.

    The shared files are read once a process. What the tenant adds is looked up again after five
    seconds at the latest, so a change reaches every process by then.
    """
    scope = pinned()
    if scope is None:
        return shared_catalogue()
    own = _own(scope.tenant_id)
    files = catalogue_files()
    digest = own.digest_with(files.digest)
    return shared_catalogue() if digest == files.digest else _with_own(digest, Held(own))


def forget_own_catalogue() -> None:
    """Look up what the pinned tenant adds at the next call, for it has just changed."""
    _seen.pop(current_tenant_id(), None)


@cache
def catalogue_files() -> reading.Files:
    """The parsed files of the shared catalogue."""
    return reading.read_files(settings.CATALOGUE_DIR)


@cache
def shared_catalogue() -> Catalogue:
    """The catalogue that every tenant has, read once a process."""
    return reading.build(catalogue_files())


def own_of_tenant() -> Own:
    """What the pinned tenant adds: technologies, facts, standards, accepted refreshes."""
    technologies: list[Mapping[str, Any]] = []
    facts: dict[str, dict[str, Any]] = {}
    standards: dict[str, Any] = {}
    for entry in CatalogueEntry.objects.order_by("technology", "attribute"):
        content = with_dates(entry.content)
        match entry.kind:
            case CatalogueEntry.Kind.TECHNOLOGY:
                technologies.append(content)
            case CatalogueEntry.Kind.FACT:
                facts.setdefault(entry.technology, {})[entry.attribute] = content
            case CatalogueEntry.Kind.STANDARD:
                standards[entry.technology] = content
    accepted = CatalogueRefresh.objects.filter(state=CatalogueRefresh.State.ACCEPTED)
    snapshots = {
        row.connector: with_dates(row.document)
        for row in accepted.order_by("decided_at").only("connector", "document")
    }
    return Own(technologies, facts, snapshots, standards)


def _own(tenant_id: UUID) -> Own:
    # Whether it is looked up or remembered: who may not read it must not see it either way.
    asked.check_table(CatalogueEntry._meta.db_table)
    now = monotonic()
    if (known := _seen.get(tenant_id)) is not None and now - known[0] < _LASTS_S:
        return known[1]
    own = own_of_tenant()
    _seen[tenant_id] = (now, own)
    return own


class Held[T]:
    """Carries something past a cache that goes by its digest alone."""

    def __init__(self, value: T) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Held)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=8)
def _with_own(digest: str, held: Held[Own]) -> Catalogue:
    return reading.build(catalogue_files(), held.value)


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


def merging_of(repository: Repository) -> Merging:
    """The same code host, as far as it merges for people. For agent.merging and nobody else."""
    match repository.forge:
        case Repository.Forge.LOCAL:
            return local_forge()
        case unknown:
            raise ValueError(f"no forge called {unknown!r}")


def forge_address(repository: Repository) -> ForgeRepository:
    """The repository as the forge knows it."""
    return ForgeRepository(tenant_id=current_tenant_id(), name=repository.name)
