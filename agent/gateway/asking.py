"""Puts a question to the models of the pinned tenant, one after the other, until one answers."""

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import rfc8785
import structlog
from django.utils import timezone

from agent.errors import ModelUnavailable
from agent.gateway import health, limits
from agent.gateway.guard import (
    Material,
    Suspicious,
    Unusable,
    checked,
    fenced,
    instructions,
    marks_for,
    plain,
)
from agent.gateway.protocols import (
    NotUnderstood,
    Prompt,
    Said,
    answer_of,
    fault_in,
    request_of,
)
from agent.gateway.redaction import Redacted, redact
from agent.models import ModelAnswer, ModelCall, ModelProvider, ModelRules, OfferedModel
from authz.change import answered, change
from authz.decisions import Thing
from authz.errors import Denied
from authz.permissions import Permission
from tenants.actor import Actor
from tenants.models import User
from tenants.outbound import NotFetched, NotReached, post_json
from tenants.secrets import SecretsUnavailable, unseal

log = structlog.get_logger(__name__)

KEY_PURPOSE = "model key"  # of the secret
PROMPTS = Path(__file__).resolve().parent.parent / "prompts"
TRIES = 3  # of one question to one model, when the other side is only busy
TURNS = 2  # answers of one model to one question: the first, and one more after its mistake
FIRST_WAIT = 0.5  # seconds, doubled each time; what is really waited is anything up to it
LONGEST_WAIT = 10.0  # seconds that a server may ask us to wait
BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
# Our own fault, or the model's: the provider is not worse for it.
NOT_ITS_FAULT = frozenset({400, 404, 413, 422})
CLASSES = [str(one) for one in ModelProvider.DataClass]
Purpose = ModelCall.Purpose
State = ModelCall.State


@dataclass(frozen=True)
class Question:
    """What is to be found out.

    prompt: name of a file in agent/prompts. schema: JSON Schema 2020-12 of the answer, an object.
    check: says what is wrong with an answer that keeps to the schema, or an empty text; it sees
    the answer with everything put back. seconds: for all of it.
    """

    purpose: str
    prompt: str
    material: tuple[Material, ...]
    schema: Mapping[str, Any]
    most_out: int = 2_000
    seconds: float = 60.0
    check: Callable[["Answer"], str] = field(default=lambda answer: "")


@dataclass(frozen=True)
class Asker:
    """Who asks, by which right, about what, for whom it counts."""

    by: Actor
    on: Thing
    person_id: UUID
    project_id: UUID | None = None
    task_id: UUID | None = None
    permission: Permission = Permission.MODEL_ASK
    cancelled: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Answer:
    """What a model answered, checked against the schema.

    document: with placeholders for what was redacted; `redacted` puts it back. usd: US dollars of
    every try that led here. is_kept: it was there already.
    """

    document: Mapping[str, Any]
    redacted: Redacted
    provider: str
    model: str
    tokens: int
    usd: Decimal
    is_kept: bool = False


def is_offered(purpose: str) -> bool:
    """Whether some model may be asked for this."""
    return bool(routes(purpose, limits.rules()))


def routes(purpose: str, rules: ModelRules) -> list[OfferedModel]:
    """Models that may be asked, in the order in which they are: small ones first.

    Those of providers where a text of this class may go, in a region that the rules name.
    """
    if purpose == Purpose.REPAIR:
        wanted, text_class = rules.for_repairs, rules.code_class
    else:
        wanted, text_class = rules.for_briefs, rules.brief_class
    if not wanted:
        return []
    allowed = CLASSES[CLASSES.index(text_class) :]
    found = OfferedModel.objects.filter(provider__is_on=True, provider__data_class__in=allowed)
    if rules.regions:
        found = found.filter(provider__region__in=rules.regions)
    rows = found.select_related("provider").order_by(
        "provider__position", "provider__created_at", "name"
    )
    return sorted(rows, key=lambda model: model.size != OfferedModel.Size.SMALL)


def ask(
    question: Question,
    asker: Asker,
    *,
    models: Sequence[OfferedModel] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Answer:
    """The first answer that can be used, of the tenant's models in their order.

    models: those to ask instead, whatever the rules say (a test of one). A model that makes a
    mistake is told so once; after that a larger one is asked. A provider that does not answer is
    passed over. Holds no transaction. Raises ModelUnavailable, with nothing done but what the
    ledger says.
    """
    rules = limits.rules()
    candidates = list(models) if models is not None else routes(question.purpose, rules)
    if not candidates:
        raise ModelUnavailable("no language model is set up for this")
    asking = _Asking(question, asker, rules, sleep, probing=models is not None)
    reasons: list[str] = []
    mistaken = False
    for model in candidates:
        if mistaken and model.size == OfferedModel.Size.SMALL:
            continue
        try:
            return asking.of(model)
        except Unusable as wrong:
            mistaken = True
            reasons.append(f"{model}: {wrong}")
        except _NoAnswer as fault:
            reasons.append(f"{model.provider}: {fault}")
        except Suspicious as found:
            # Another model might believe the same text, and say so less clearly.
            raise ModelUnavailable(f"{model}: {found}; no other model was asked") from found
        except (limits.LimitReached, Denied) as refusal:
            raise ModelUnavailable(str(refusal)) from refusal
    raise ModelUnavailable("; ".join(reasons)[:1_000])


class _NoAnswer(Exception):
    """This provider gave none; the message says why."""


class _Asking:
    """One question on its way through the models."""

    def __init__(
        self,
        question: Question,
        asker: Asker,
        rules: ModelRules,
        sleep: Callable[[float], None],
        *,
        probing: bool,
    ) -> None:
        self._question = question
        self._asker = asker
        self._rules = rules
        self._sleep = sleep
        self._probing = probing
        self._until = time.monotonic() + question.seconds
        self._usd = Decimal(0)
        self._tokens = 0
        shown = [plain(one) for one in question.material]
        people = User.objects.filter(kind=User.Kind.HUMAN).values_list("name", flat=True)
        self._redacted = redact(shown, people)
        self._marks = marks_for(self._redacted.texts)
        titles = [one.title for one in question.material]
        self._asked = fenced(titles, self._redacted.texts, self._marks)
        prompt = (PROMPTS / f"{question.prompt}.txt").read_text()
        self._system = instructions(prompt, self._marks, question.schema)

    def of(self, model: OfferedModel) -> Answer:
        """One model's answer, after at most one correction. Raises Unusable, Suspicious,
        _NoAnswer, LimitReached, Denied."""
        if not self._probing and not health.admits(model.provider):
            raise _NoAnswer("it failed before and is left alone for a while")
        turns: tuple[str, ...] = (self._asked,)
        wrong = Unusable("no answer")
        for _ in range(TURNS):
            most_out = min(self._question.most_out, model.most_out)
            prompt = Prompt(self._system, turns, self._question.schema, most_out)
            said, call, kept = self._said(model, prompt)
            try:
                answer = self._read(said, model, kept)
            except (Unusable, Suspicious) as error:
                self._refused(call, error)
                if isinstance(error, Suspicious):
                    raise
                wrong = error
                told = f"That cannot be used: {error}. Answer once more, with JSON alone."
                turns = (*turns, said.text[:8_000] or "{}", told)
                continue
            if not kept:
                self._keep(prompt, model, said)
            return answer
        raise wrong

    def _read(self, said: Said, model: OfferedModel, kept: bool) -> Answer:
        document = checked(said, self._question.schema, self._marks)
        answer = Answer(
            document, self._redacted, model.provider.name, model.name, self._tokens, self._usd, kept
        )
        if wrong := self._question.check(answer):
            raise Unusable(wrong)
        return answer

    def _said(self, model: OfferedModel, prompt: Prompt) -> tuple[Said, ModelCall, bool]:
        """What the model says: kept from before, or asked now, again while it is only busy."""
        if known := self._kept(prompt, model):
            said = Said(known.text, known.tokens_in, known.tokens_out)
            return said, self._note_kept(prompt, model, known), True
        for attempt in range(1, TRIES + 1):
            wait: float
            try:
                said, call = self._exchange(model, prompt, attempt)
                return said, call, False
            except _Busy as busy:
                wait = busy.wait_for(attempt)
                if attempt == TRIES or wait > min(LONGEST_WAIT, self._left()):
                    raise _NoAnswer(str(busy)) from busy
            self._sleep(wait)
        raise _NoAnswer("it was busy all the time")

    def _exchange(
        self, model: OfferedModel, prompt: Prompt, attempt: int
    ) -> tuple[Said, ModelCall]:
        """Send it once: reserved and on record before, settled and on record after."""
        if self._asker.cancelled() or self._left() <= 0:
            raise _NoAnswer("there was no time left to ask it")
        provider = model.provider
        try:
            key = unseal(provider.key, KEY_PURPOSE) if provider.key else ""
        except SecretsUnavailable as fault:
            raise _NoAnswer(str(fault)) from fault
        address, headers, body = request_of(
            provider.protocol, provider.address, key, model.name, prompt
        )
        call = self._call(model, prompt)
        tokens_in, tokens_out = limits.most_tokens(prompt.size, prompt.most_out)
        if tokens_in > model.most_in:
            raise _NoAnswer(f"the question is too long for {model}")
        call.reserved_tokens = tokens_in + tokens_out
        call.reserved_usd = limits.price(model, tokens_in, tokens_out)
        asker = self._asker
        with change(asker.by, asker.permission, on=asker.on) as facts:
            limits.reserve(call)
            facts.phase = "intent"
            facts.update(
                self._told(call),
                attempt=attempt,
                turn=len(prompt.turns) // 2 + 1,
                address=address,
                redacted=self._redacted.counts,
                reserved_tokens=call.reserved_tokens,
                reserved_usd=str(call.reserved_usd),
            )
        started = time.monotonic()
        with answered(facts.intent, asker.by, asker.permission, on=asker.on):
            came = _send(address, headers, body, provider, self._left())
            if key:
                # Some quote what they were sent.
                came = replace(came, problem=came.problem.replace(key, "(the key)"))
        call.duration_ms = round((time.monotonic() - started) * 1000)
        with change(asker.by, asker.permission, on=asker.on) as result:
            result.answers = facts.intent
            self._settle(call, model, came)
            result.outcome = "ok" if came.said else "failed"
            result.update(
                self._told(call),
                state=call.state,
                tokens_in=call.tokens_in,
                tokens_out=call.tokens_out,
                tokens=call.tokens,
                usd=str(call.usd),
                duration_ms=call.duration_ms,
            )
            if call.said:
                result["reasons"] = [call.said]
        self._tokens += call.tokens
        self._usd += call.usd
        if came.said is not None:
            health.succeeded(provider)
            return came.said, call
        if came.is_its_fault:
            health.failed(provider, came.problem)
        if came.may_pass:
            raise _Busy(came.problem, came.retry_after)
        raise _NoAnswer(came.problem)

    def _settle(self, call: ModelCall, model: OfferedModel, came: "_Came") -> None:
        if came.said is not None:
            digest = sha256(came.said.text.encode(errors="surrogatepass")).hexdigest()
            limits.settle(
                call, model, came.said.tokens_in, came.said.tokens_out,
                state=State.ANSWERED, answer_sha256=digest,
            )  # fmt: skip
        elif came.was_sent:
            limits.settle(call, model, None, None, state=State.FAILED, said=came.problem[:500])
        else:
            limits.release(call, state=State.UNSENT, said=came.problem[:500])

    def _call(self, model: OfferedModel, prompt: Prompt) -> ModelCall:
        return ModelCall(
            purpose=self._question.purpose,
            person_id=self._asker.person_id,
            project_id=self._asker.project_id,
            task_id=self._asker.task_id,
            provider=model.provider.name,
            model=model.name,
            question_sha256=_digest(prompt),
        )

    def _told(self, call: ModelCall) -> dict[str, Any]:
        told = {
            "purpose": call.purpose,
            "provider": call.provider,
            "model": call.model,
            "call": str(call.pk),
            "question_sha256": call.question_sha256,
        }
        return told | ({"answer_sha256": call.answer_sha256} if call.answer_sha256 else {})

    def _refused(self, call: ModelCall, why: Exception) -> None:
        """The answer is thrown away, and the record says why."""
        asker = self._asker
        with change(asker.by, asker.permission, on=asker.on) as facts:
            call.state, call.said = State.REFUSED, str(why)[:500]
            call.save(update_fields=["state", "said"])
            facts.outcome = "denied"
            facts.update(self._told(call), state=call.state, reasons=[call.said])
            facts["suspicious"] = isinstance(why, Suspicious)

    def _kept(self, prompt: Prompt, model: OfferedModel) -> ModelAnswer | None:
        if self._probing or not self._rules.keep_hours:
            return None
        found: ModelAnswer | None = ModelAnswer.objects.filter(
            question_sha256=_digest(prompt), model=_name(model), good_until__gt=timezone.now()
        ).first()
        return found

    def _note_kept(self, prompt: Prompt, model: OfferedModel, known: ModelAnswer) -> ModelCall:
        asker = self._asker
        call = self._call(model, prompt)
        call.state = State.KEPT
        call.answer_sha256 = sha256(known.text.encode()).hexdigest()
        with change(asker.by, asker.permission, on=asker.on) as facts:
            call.save(force_insert=True)
            facts.update(self._told(call), state=call.state, tokens=0, usd="0")
        return call

    def _keep(self, prompt: Prompt, model: OfferedModel, said: Said) -> None:
        """Only what was found good, and no longer than the rules say."""
        if self._probing or not self._rules.keep_hours:
            return
        now = timezone.now()
        ModelAnswer.objects.filter(good_until__lte=now).delete()
        ModelAnswer.objects.update_or_create(
            question_sha256=_digest(prompt),
            model=_name(model),
            defaults={
                "text": said.text,
                "tokens_in": said.tokens_in or 0,
                "tokens_out": said.tokens_out or 0,
                "created_at": now,
                "good_until": now + timedelta(hours=self._rules.keep_hours),
            },
        )

    def _left(self) -> float:
        return self._until - time.monotonic()


@dataclass(frozen=True)
class _Came:
    """What came of one exchange. was_sent: it may have been worked on, and may be billed."""

    said: Said | None = None
    problem: str = ""
    was_sent: bool = True
    may_pass: bool = False
    is_its_fault: bool = True
    retry_after: str = ""


class _Busy(Exception):
    """It may answer a little later."""

    def __init__(self, problem: str, retry_after: str) -> None:
        super().__init__(problem)
        self._retry_after = retry_after

    def wait_for(self, attempt: int) -> float:
        """Seconds to wait: what the server asks for, or some time up to a growing limit."""
        if self._retry_after.isdecimal():
            return float(self._retry_after)
        # By chance, so that those who were turned away together do not come back together.
        return random.uniform(0, FIRST_WAIT * 2 ** (attempt - 1))  # noqa: S311


def _send(
    address: str,
    headers: Mapping[str, str],
    body: Mapping[str, Any],
    provider: ModelProvider,
    seconds: float,
) -> _Came:
    try:
        answer = post_json(
            address,
            json.dumps(body).encode(),
            headers=headers,
            trusted=provider.trusted,
            seconds=seconds,
        )
    except NotReached as fault:
        return _Came(problem=str(fault), was_sent=False, may_pass=True)
    except NotFetched as fault:
        # It may be at work still: to ask again could cost twice.
        return _Came(problem=str(fault))
    if answer.status >= 400:
        said = fault_in(answer.document)
        problem = f"it answers with status {answer.status}" + (f": {said}" if said else "")
        return _Came(
            problem=problem,
            # Whoever turns a question away has not worked on it.
            was_sent=answer.status in BUSY and answer.status not in {409, 425, 429, 503, 529},
            may_pass=answer.status in BUSY,
            is_its_fault=answer.status not in NOT_ITS_FAULT,
            retry_after=answer.retry_after,
        )
    try:
        return _Came(answer_of(provider.protocol, answer.document))
    except NotUnderstood as strange:
        return _Came(problem=str(strange))


def _digest(prompt: Prompt) -> str:
    """SHA-256 (hex) of all that is asked, as it leaves."""
    asked: dict[str, Any] = {
        "system": prompt.system,
        "turns": list(prompt.turns),
        "schema": prompt.schema,
        "most_out": prompt.most_out,
    }
    return sha256(rfc8785.dumps(asked)).hexdigest()


def _name(model: OfferedModel) -> str:
    return f"{model.provider_id}/{model.name}"
