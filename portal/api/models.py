"""Language models: providers, their models and prices, rules and limits, what they cost."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from pydantic import Field

from agent import model_setup
from agent.gateway import limits
from agent.models import ModelProvider, ModelRules, OfferedModel
from agent.spending import Spending, spending
from authz.decisions import require
from authz.people import AsTenant
from authz.permissions import Permission
from portal.api.fields import Text, one_of
from portal.api.problems import CHANGE, READ, READ_MANY, READ_ONE
from portal.http import PortalRequest
from tenants.scope import current_tenant_id

router = Router(tags=["Language models"])

Protocol = ModelProvider.Protocol.values
Region = ModelProvider.Region.values
DataClass = ModelProvider.DataClass.values
SHOWN = ("project", "task", "person", "model")
Days = Annotated[int, Query(30, ge=1, le=366, description="How many, up to today.")]
PER_MILLION = "US dollars for a million tokens."


class ModelOut(Schema):
    """A model that may be asked, with its prices."""

    id: UUID
    name: str
    size: str = one_of(OfferedModel.Size.values, "Small ones are asked first.")
    usd_in: Decimal = Field(description=PER_MILLION)
    usd_out: Decimal = Field(description=PER_MILLION)
    price_on: date = Field(description="When the prices were looked up.")
    price_source: str = Field(description="Where they stand.")
    most_in: int = Field(description="Tokens of a question.")
    most_out: int = Field(description="Tokens of an answer.")


class ProviderOut(Schema):
    """A provider of models. Its key is never shown."""

    id: UUID
    name: str
    protocol: str = one_of(Protocol)
    address: str
    has_key: bool
    region: str = one_of(Region)
    data_class: str = one_of(DataClass, "The most sensitive texts that may go there.")
    position: int = Field(description="The lowest is asked first.")
    is_on: bool
    problem: str = Field(description="Of the last tries, empty when it answers.")
    open_until: datetime | None = Field(description="Nobody asks it before.")
    tested_at: datetime | None
    test_ok: bool
    test_said: str
    models: list[ModelOut]

    @staticmethod
    def resolve_has_key(provider: ModelProvider) -> bool:
        return bool(provider.key)

    @staticmethod
    def resolve_models(provider: ModelProvider) -> list[OfferedModel]:
        return list(provider.offered.all())


class ProviderIn(Schema):
    """A provider to add. key: stored encrypted, never shown again."""

    name: Text = Field(max_length=100)
    protocol: str = one_of(Protocol)
    address: Text = Field(max_length=500, examples=["https://api.openai.com/v1"])
    key: Text = Field("", max_length=1_000)
    trusted: Text = Field("", description="Certificates in PEM to trust besides the machine's.")
    region: str = one_of(Region)
    data_class: str = one_of(DataClass, default="internal")
    position: int = 1
    is_on: bool = False


class ProviderChange(Schema):
    """What to change of a provider; what is left out stays."""

    name: Text | None = Field(None, max_length=100)
    protocol: str | None = one_of(Protocol, default=None)
    address: Text | None = Field(None, max_length=500)
    key: Text | None = Field(None, max_length=1_000)
    trusted: Text | None = None
    region: str | None = one_of(Region, default=None)
    data_class: str | None = one_of(DataClass, default=None)
    position: int | None = None
    is_on: bool | None = None


class ModelIn(Schema):
    """A model to offer."""

    name: Text = Field(max_length=200, description="As the provider calls it.")
    size: str = one_of(OfferedModel.Size.values)
    usd_in: Decimal = Field(ge=0, description=PER_MILLION)
    usd_out: Decimal = Field(ge=0, description=PER_MILLION)
    price_on: date
    price_source: Text = Field(max_length=300)
    most_in: int = 32_000
    most_out: int = 4_000


class RulesOut(Schema):
    """What may be sent where for, and how much may be spent."""

    code_class: str = one_of(DataClass, "Of programs and their tests.")
    brief_class: str = one_of(DataClass, "Of briefs that are pasted.")
    regions: list[str] = Field(description="Where texts may go; empty: anywhere.")
    for_repairs: bool
    for_briefs: bool
    keep_hours: int = Field(description="How long an answer is given again; 0: never.")
    tenant_month_usd: Decimal
    tenant_month_tokens: int
    person_day_usd: Decimal
    person_day_tokens: int
    task_usd: Decimal
    task_tokens: int


class RulesChange(Schema):
    """What to change of the rules; what is left out stays."""

    code_class: str | None = one_of(DataClass, default=None)
    brief_class: str | None = one_of(DataClass, default=None)
    regions: list[Text] | None = None
    for_repairs: bool | None = None
    for_briefs: bool | None = None
    keep_hours: int | None = None
    tenant_month_usd: Decimal | None = None
    tenant_month_tokens: int | None = None
    person_day_usd: Decimal | None = None
    person_day_tokens: int | None = None
    task_usd: Decimal | None = None
    task_tokens: int | None = None


class SpentOut(Schema):
    """What something cost."""

    id: str = Field(description="Of the project, task or person; empty where there is none.")
    name: str
    calls: int = Field(description="Questions, also those answered from memory.")
    kept: int = Field(description="Those answered from memory.")
    tokens: int
    usd: Decimal


class DayOut(Schema):
    """What one day (UTC) cost."""

    day: date
    usd: Decimal


class SpendOut(Schema):
    """What language models cost in the last days."""

    first: date
    last: date
    whole: bool = Field(description="Of the whole tenant; otherwise of your projects.")
    total: SpentOut
    days: list[DayOut]
    by_project: list[SpentOut]
    by_task: list[SpentOut]
    by_person: list[SpentOut]
    by_model: list[SpentOut]


@router.get("/providers", response={200: list[ProviderOut], **READ})
def list_model_providers(request: PortalRequest) -> list[ModelProvider]:
    """Providers in the order in which they are asked, with their models."""
    _require(request)
    return list(model_setup.providers())


@router.post("/providers", response={201: ProviderOut, **CHANGE})
def add_model_provider(request: PortalRequest, provider: ProviderIn) -> Status[ModelProvider]:
    """Add a provider."""
    return Status(201, model_setup.add_provider(provider.dict(), by=request.actor))


@router.patch("/providers/{model_provider_id}", response={200: ProviderOut, **CHANGE})
def change_model_provider(
    request: PortalRequest, model_provider_id: UUID, changes: ProviderChange
) -> ModelProvider:
    """Change a provider. With another address the key has to be given again."""
    known = _found(request, model_provider_id)
    model_setup.alter_provider(known, _given(changes), by=request.actor)
    return _found(request, model_provider_id)


@router.delete("/providers/{model_provider_id}", response={204: None, **CHANGE})
def remove_model_provider(request: PortalRequest, model_provider_id: UUID) -> Status[None]:
    """Ask it no more; forget its key. What it cost stays on record."""
    model_setup.remove_provider(_found(request, model_provider_id), by=request.actor)
    return Status(204, None)


@router.post("/providers/{model_provider_id}/test", response={202: ProviderOut, **CHANGE})
def test_model_provider(request: PortalRequest, model_provider_id: UUID) -> Status[ModelProvider]:
    """Have each of its models asked for a word; `tested_at` changes when that is done."""
    known = _found(request, model_provider_id)
    model_setup.ask_for_test(known, by=request.actor)
    return Status(202, _found(request, model_provider_id))


@router.post("/providers/{model_provider_id}/models", response={201: ModelOut, **CHANGE})
def add_model(
    request: PortalRequest, model_provider_id: UUID, model: ModelIn
) -> Status[OfferedModel]:
    """Offer a model of the provider."""
    known = _found(request, model_provider_id)
    return Status(201, model_setup.put_model(known, model.dict(), by=request.actor))


@router.put("/providers/{model_provider_id}/models/{model_id}", response={200: ModelOut, **CHANGE})
def change_model(
    request: PortalRequest, model_provider_id: UUID, model_id: UUID, model: ModelIn
) -> OfferedModel:
    """Replace what is known of a model, such as its prices."""
    known = _found(request, model_provider_id)
    row = get_object_or_404(OfferedModel, pk=model_id, provider=known)
    return model_setup.put_model(known, model.dict(), by=request.actor, model_id=row.pk)


@router.delete("/providers/{model_provider_id}/models/{model_id}", response={204: None, **CHANGE})
def remove_model(request: PortalRequest, model_provider_id: UUID, model_id: UUID) -> Status[None]:
    """Ask this model no more."""
    known = _found(request, model_provider_id)
    row = get_object_or_404(OfferedModel, pk=model_id, provider=known)
    model_setup.remove_model(known, row.pk, by=request.actor)
    return Status(204, None)


@router.get("/rules", response={200: RulesOut, **READ_ONE})
def read_model_rules(request: PortalRequest) -> ModelRules:
    """What may be sent where for, and how much may be spent."""
    _require(request)
    return limits.rules()


@router.patch("/rules", response={200: RulesOut, **CHANGE})
def change_model_rules(request: PortalRequest, changes: RulesChange) -> ModelRules:
    """Change the rules; they hold for the next question."""
    return model_setup.change_rules(_given(changes), by=request.actor)


@router.get("/spending", response={200: SpendOut, **READ_MANY})
def read_spending(request: PortalRequest, days: Days = 30) -> dict[str, Any]:
    """What models cost in the last days, today (UTC) included, as far as you may see it."""
    found: Spending = spending(request.actor, days=days)
    return {
        "first": found.first,
        "last": found.last,
        "whole": found.whole,
        "total": found.total,
        "days": [{"day": day, "usd": usd} for day, usd in found.days],
        **{
            f"by_{name}": list(found.groups[name])
            for name in ("project", "task", "person", "model")
        },
    }


def _given(changes: Schema) -> dict[str, Any]:
    return {name: value for name, value in changes.dict().items() if value is not None}


def _require(request: PortalRequest) -> None:
    require(request.actor, Permission.MODELS_CHANGE, AsTenant(current_tenant_id()))


def _found(request: PortalRequest, provider_id: UUID) -> ModelProvider:
    _require(request)
    found: ModelProvider = get_object_or_404(model_setup.providers(), pk=provider_id)
    return found
