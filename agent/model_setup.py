"""Which providers, models, prices and limits a tenant has: added, changed, tried, removed."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from agent import queue
from agent.errors import ModelUnavailable
from agent.gateway import KEY_PURPOSE, Asker, Material, Question, ask, limits
from agent.models import ModelAnswer, ModelCall, ModelProvider, ModelRules, OfferedModel
from authz.change import change
from authz.decisions import may
from authz.errors import BadRequest, Conflict
from authz.people import AsTenant
from authz.permissions import Permission
from tenants.actor import Actor
from tenants.outbound import may_be_named
from tenants.scope import current_tenant_id
from tenants.secrets import seal

MOST_PROVIDERS = 10
MOST_MODELS = 20  # of one provider
LONGEST_PEM = 50_000  # characters
DEAREST = Decimal(10_000)  # US dollars for a million tokens; more is a mistake in the unit
WORD = "countersign"
P = ModelProvider
OF_PROVIDER = ("name", "protocol", "address", "key", "trusted", "region", "data_class", "position",
               "is_on")  # fmt: skip
OF_MODEL = ("name", "size", "usd_in", "usd_out", "price_on", "price_source", "most_in", "most_out")
OF_RULES = (
    "code_class", "brief_class", "regions", "for_repairs", "for_briefs", "keep_hours",
    "tenant_month_usd", "tenant_month_tokens", "person_day_usd", "person_day_tokens", "task_usd",
    "task_tokens",
)  # fmt: skip


def providers() -> QuerySet[ModelProvider]:
    """Of the pinned tenant, in the order in which they are asked."""
    rows: QuerySet[ModelProvider] = ModelProvider.objects.prefetch_related("offered")
    return rows


def add_provider(fields: Mapping[str, Any], *, by: Actor) -> ModelProvider:
    """Add a provider. Raises Denied, Conflict, BadRequest naming the field, SecretsUnavailable.

    fields: see OF_PROVIDER; what is left out has its default.
    """
    with change(by, Permission.MODELS_CHANGE, on=AsTenant(current_tenant_id())) as facts:
        if ModelProvider.objects.count() >= MOST_PROVIDERS:
            raise Conflict(f"{MOST_PROVIDERS} providers are the most; remove one first")
        provider = ModelProvider(data_class=P.DataClass.INTERNAL)
        _take_provider(provider, fields)
        provider.save(force_insert=True)
        facts.about = provider
        facts.update(_told(provider), step="provider added")
    return provider


def alter_provider(provider: ModelProvider, fields: Mapping[str, Any], *, by: Actor) -> None:
    """Change what is named in `fields`; an empty key stays as it is. Raises as add_provider()."""
    with change(by, Permission.MODELS_CHANGE, on=provider) as facts:
        known = _locked(provider)
        address, trusted = known.address, known.trusted
        _take_provider(known, fields)
        moved = (known.address, known.trusted) != (address, trusted)
        if moved and known.key and not fields.get("key"):
            # Or the key for one place could be sent to another by whoever may not read it.
            raise BadRequest({"key": "give it again: the address or what is trusted is another"})
        known.failures, known.open_until, known.probed_until, known.problem = 0, None, None, ""
        known.save()
        facts.update(_told(known), step="provider changed", new_key=bool(fields.get("key")))


def remove_provider(provider: ModelProvider, *, by: Actor) -> None:
    """Forget a provider with its key and models. What was spent there stays. Raises Denied."""
    with change(by, Permission.MODELS_CHANGE, on=provider) as facts:
        known = _locked(provider)
        facts.update(_told(known), step="provider removed")
        ModelAnswer.objects.filter(model__startswith=f"{known.pk}/").delete()
        known.delete()


def put_model(
    provider: ModelProvider, fields: Mapping[str, Any], *, by: Actor, model_id: UUID | None = None
) -> OfferedModel:
    """Offer a model of the provider, or (model_id) change one. Raises Denied, BadRequest, Conflict.

    fields: see OF_MODEL.
    """
    with change(by, Permission.MODELS_CHANGE, on=provider) as facts:
        known = _locked(provider)
        others = OfferedModel.objects.filter(provider=known)
        if model_id is None and others.count() >= MOST_MODELS:
            raise Conflict(f"{MOST_MODELS} models are the most; remove one first")
        model = _model(known, model_id) if model_id else OfferedModel(provider=known)
        _take_model(model, fields)
        if others.filter(name=model.name).exclude(pk=model.pk).exists():
            raise BadRequest({"name": "this provider has a model of that name already"})
        model.save()
        facts.update(
            step="model set",
            provider=known.name,
            model=model.name,
            size=model.size,
            usd_in=str(model.usd_in),
            usd_out=str(model.usd_out),
            price_on=str(model.price_on),
            price_source=model.price_source,
        )
    return model


def remove_model(provider: ModelProvider, model_id: UUID, *, by: Actor) -> None:
    """Offer a model no more. Raises Denied, Conflict when it is gone already."""
    with change(by, Permission.MODELS_CHANGE, on=provider) as facts:
        model = _model(_locked(provider), model_id)
        facts.update(step="model removed", provider=provider.name, model=model.name)
        model.delete()


def change_rules(fields: Mapping[str, Any], *, by: Actor) -> ModelRules:
    """Say what may be sent where for, and how much may be spent. fields: see OF_RULES; what is
    left out stays. A larger limit takes the right to raise budgets as well. Raises Denied,
    BadRequest, or Conflict when somebody else changed a limit meanwhile.
    """
    tenant = AsTenant(current_tenant_id())
    seen: dict[str, Decimal | int] | None = None
    # Whoever may not change rules at all is refused that, below.
    if may(by, Permission.MODELS_CHANGE, tenant):
        wanted = limits.rules()
        seen = _limits_of(wanted)
        _take_rules(wanted, fields)
        tenant.budget_raise = limits.raised(seen, _limits_of(wanted))
    raises = tenant.budget_raise is not None
    permission = Permission.BUDGET_RAISE if raises else Permission.MODELS_CHANGE
    with change(by, permission, on=tenant) as facts:
        ModelRules.objects.get_or_create()
        held: ModelRules = ModelRules.objects.select_for_update().get()
        before = {name: getattr(held, name) for name in OF_RULES}
        if _limits_of(held) != seen:
            raise Conflict("somebody else changed the limits meanwhile; look at them again")
        _take_rules(held, fields)
        held.save()
        facts["step"] = "rules changed"
        for name in OF_RULES:
            if getattr(held, name) != before[name]:
                facts[name] = _plain(getattr(held, name))
    return held


def ask_for_test(provider: ModelProvider, *, by: Actor) -> None:
    """Have each model of the provider asked one harmless question, by a job. Raises Denied."""
    with change(by, Permission.MODELS_CHANGE, on=provider) as facts:
        known = _locked(provider)
        if not OfferedModel.objects.filter(provider=known).exists():
            raise BadRequest({"provider": "name a model of it first; that is what is asked"})
        known.test_asked_at, known.test_asked_by_id = timezone.now(), by.user_id
        known.save(update_fields=["test_asked_at", "test_asked_by"])
        facts.update(step="test asked for", provider=known.name)
        transaction.on_commit(partial(queue.try_provider, known.pk))


@dataclass(frozen=True)
class Tried:
    """What came of a test."""

    ok: bool
    said: str


def try_out(provider_id: UUID) -> Tried | None:
    """Ask each model of a provider for a word; None when nobody waits for that.

    It costs what the prices say, and counts for whoever asked for the test.
    """
    provider: ModelProvider | None = (
        ModelProvider.objects.select_related("test_asked_by").filter(pk=provider_id).first()
    )
    if provider is None or provider.test_asked_at is None or provider.test_asked_by is None:
        return None
    person = provider.test_asked_by
    asker = Asker(person.actor("job"), provider, person.pk, permission=Permission.MODELS_CHANGE)
    asked = provider.test_asked_at
    tried = [_try_one(model, asker) for model in provider.offered.select_related("provider")]
    ok, said = all(one.ok for one in tried), "; ".join(one.said for one in tried)
    ModelProvider.objects.filter(pk=provider.pk).update(
        tested_at=timezone.now(), test_ok=ok, test_said=said[:500]
    )
    # Unless another test was asked for meanwhile.
    ModelProvider.objects.filter(pk=provider.pk, test_asked_at=asked).update(test_asked_at=None)
    return Tried(ok, said)


def _try_one(model: OfferedModel, asker: Asker) -> Tried:
    question = Question(
        ModelCall.Purpose.TEST,
        "test",
        (Material("The word", WORD),),
        {
            "type": "object",
            "properties": {"word": {"type": "string", "maxLength": 40}},
            "required": ["word"],
            "additionalProperties": False,
        },
        most_out=100,
        seconds=60,
    )
    try:
        answer = ask(question, asker, models=[model])
    except ModelUnavailable as fault:
        return Tried(False, str(fault))
    word = str(answer.document["word"])
    how = "as asked" if word == WORD else f"with another word than asked ({word!r})"
    return Tried(True, f"{model} answered {how}: {answer.tokens:,} tokens, {answer.usd:.6f} USD")


def _locked(provider: ModelProvider) -> ModelProvider:
    known: ModelProvider | None = (
        ModelProvider.objects.select_for_update().filter(pk=provider.pk).first()
    )
    if known is None:
        raise Conflict("this provider was removed meanwhile")
    return known


def _model(provider: ModelProvider, model_id: UUID) -> OfferedModel:
    model: OfferedModel | None = OfferedModel.objects.filter(provider=provider, pk=model_id).first()
    if model is None:
        raise Conflict("this model was removed meanwhile")
    return model


def _told(provider: ModelProvider) -> dict[str, Any]:
    return {name: getattr(provider, name) for name in OF_PROVIDER if name not in {"key", "trusted"}}


def _take_provider(provider: ModelProvider, fields: Mapping[str, Any]) -> None:
    errors = _unknown(fields, OF_PROVIDER)
    for name in ("name", "protocol", "address", "trusted", "region", "data_class"):
        if name in fields:
            setattr(provider, name, str(fields[name]).strip())
    if "is_on" in fields:
        provider.is_on = bool(fields["is_on"])
    if "position" in fields:
        provider.position = int(_number(fields, "position", errors, 1, 100, provider.position))
    if not 1 <= len(provider.name) <= 100:
        errors["name"] = "must have 1 to 100 characters, such as “Our own server”"
    elif ModelProvider.objects.filter(name=provider.name).exclude(pk=provider.pk).exists():
        errors["name"] = "another provider has this name"
    _choice(provider, "protocol", P.Protocol.values, errors)
    _choice(provider, "region", P.Region.values, errors)
    _choice(provider, "data_class", P.DataClass.values, errors)
    if len(provider.address) > 500 or not may_be_named(provider.address):
        errors["address"] = (
            "must be an address that begins with https, such as https://api.openai.com/v1"
        )
    if provider.trusted:
        try:
            if len(provider.trusted) > LONGEST_PEM:
                raise ValueError
            ssl.create_default_context(cadata=provider.trusted)
        except (ssl.SSLError, ValueError):
            errors["trusted"] = "must be certificates in PEM, beginning with -----BEGIN CERTIFICATE"
    key = str(fields.get("key") or "").strip()
    if key and not (key.isascii() and key.isprintable() and " " not in key and len(key) <= 1_000):
        errors["key"] = "must be one word of letters, digits and signs, as the provider shows it"
    if not key and not provider.key and provider.region != P.Region.OWN:
        errors["key"] = "must be given; only a server of your own may do without"
    if errors:
        raise BadRequest(errors)
    if key:
        provider.key = seal(key, KEY_PURPOSE)


def _take_model(model: OfferedModel, fields: Mapping[str, Any]) -> None:
    errors = _unknown(fields, OF_MODEL)
    for name in ("name", "size", "price_source"):
        if name in fields:
            setattr(model, name, str(fields[name]).strip())
    if not 1 <= len(model.name) <= 200 or not model.name.isprintable():
        errors["name"] = "must have 1 to 200 characters: what the provider calls the model"
    _choice(model, "size", OfferedModel.Size.values, errors)
    for name in ("usd_in", "usd_out"):
        if name in fields or getattr(model, name) is None:
            said = _number(fields, name, errors, 0, DEAREST, Decimal(0))
            setattr(model, name, said.quantize(Decimal("0.0001")))
    if not 1 <= len(model.price_source) <= 300:
        errors["price_source"] = "must say where the prices stand: an address, a contract"
    if "price_on" in fields or model.price_on is None:
        try:
            said_on = fields.get("price_on")
            model.price_on = (
                said_on if isinstance(said_on, date) else date.fromisoformat(str(said_on))
            )
            if model.price_on > timezone.now().date():
                errors["price_on"] = "must be a day that has been, when the prices were looked up"
        except ValueError:
            errors["price_on"] = "must be a day such as 2026-11-23, when the prices were looked up"
    for name, most in (("most_in", 2_000_000), ("most_out", 200_000)):
        if name in fields:
            number = _number(fields, name, errors, 100, most, Decimal(getattr(model, name)))
            setattr(model, name, int(number))
    if errors:
        raise BadRequest(errors)


def _take_rules(held: ModelRules, fields: Mapping[str, Any]) -> None:
    errors = _unknown(fields, OF_RULES)
    for name in ("code_class", "brief_class"):
        if name in fields:
            setattr(held, name, str(fields[name]))
            _choice(held, name, P.DataClass.values, errors)
    if "regions" in fields:
        held.regions = sorted(set(map(str, fields["regions"])))
        if set(held.regions) - set(P.Region.values):
            errors["regions"] = (
                f"must be some of {', '.join(P.Region.values)}, or none for anywhere"
            )
    for name in ("for_repairs", "for_briefs"):
        if name in fields:
            setattr(held, name, bool(fields[name]))
    if "keep_hours" in fields:
        hours = _number(fields, "keep_hours", errors, 0, 720, Decimal(held.keep_hours))
        held.keep_hours = int(hours)
    for name in ("tenant_month_usd", "person_day_usd", "task_usd"):
        if name in fields:
            usd = _number(fields, name, errors, 0, 1_000_000, getattr(held, name))
            setattr(held, name, usd.quantize(Decimal("0.01")))
    for name in ("tenant_month_tokens", "person_day_tokens", "task_tokens"):
        if name in fields:
            tokens = _number(fields, name, errors, 0, 10**12, Decimal(getattr(held, name)))
            setattr(held, name, int(tokens))
    if errors:
        raise BadRequest(errors)


def _limits_of(rules: ModelRules) -> dict[str, Decimal | int]:
    return {name: getattr(rules, name) for name in limits.NAMES}


def _unknown(fields: Mapping[str, Any], known: tuple[str, ...]) -> dict[str, str]:
    return {name: f"is nothing that can be set; there are {', '.join(known)}"
            for name in fields if name not in known}  # fmt: skip


def _choice(row: Any, name: str, values: list[str], errors: dict[str, str]) -> None:
    if getattr(row, name) not in values:
        errors[name] = f"must be one of {', '.join(values)}"


def _number(
    fields: Mapping[str, Any],
    name: str,
    errors: dict[str, str],
    least: int,
    most: Decimal | int,
    otherwise: Decimal | int,
) -> Decimal:
    try:
        said = Decimal(str(fields.get(name, "")).replace(",", "").strip())
        if said.is_finite() and least <= said <= most:
            return said
    except InvalidOperation:
        pass
    errors[name] = f"must be a number from {least} to {most:,}"
    return Decimal(otherwise)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value
