"""The way of a text task through one process of the queen: who asks, what, may they, where, and the answer."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final, get_args

import rhai_py

from billing.domain.price_book import PricesDown
from billing.domain.prices import NoPrice
from billing.domain.pricing import PriceVersion, most_micros
from billing.domain.units import COMPLETION, ENGINE, PROMPT
from gdpr.domain.consent_book import ConsentsDown
from gdpr.ids import uuid7
from hive_agent.protocol import Endpoint
from inference.api import errors, once
from inference.api.delivery import deliver
from inference.api.exchange import Exchange
from inference.api.keeping import keep
from inference.api.wire import Priority, Reader, TextRequest
from inference.domain.admission import admit, in_force
from inference.domain.choice import Choice, may_use
from inference.domain.colony import WorkerView
from inference.domain.dispatch import TaskStream
from inference.domain.envelope import Envelope
from inference.domain.idempotency import Run
from inference.domain.offer import OfferedModel
from inference.domain.policy_source import Policy
from inference.domain.records import (
    NOTHING_USED,
    customer_record,
    session_pseudonym,
    subject_pseudonym,
    task_record,
)
from inference.domain.refusals import PolicyFailed
from inference.domain.reserve import Used
from inference.domain.task import Task
from inference.domain.trace import Trace
from inference.domain.treasury import Funding, FundingDown
from inference.enums import Capability
from rbee_policy.functions import Facts
from tenants.domain.authentication import Caller

if TYPE_CHECKING:
    from inference.api.queen import Queen

DEFAULT_ANSWER_TOKENS: Final = 1024  # reserved for an answer that the client does not limit
TEMPLATE_TOKENS: Final = 256  # what a model's template may add to a prompt
PRIORITIES: Final = frozenset(get_args(Priority))

_SECONDS = re.compile(r"[0-9]{1,6}")
_MINUTES = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")


async def answer(
    queen: Queen, exchange: Exchange, *, reader: Reader, endpoint: Endpoint, id_prefix: str
) -> None:
    """Raises Refused and TaskFailed while no byte of the answer has left."""
    caller = await queen.authentication.caller_of(exchange)
    if caller.missing_consents:
        raise errors.consent_required(caller.missing_consents)
    request: TextRequest = reader.read(body := await exchange.read_body())

    async def run_task(run: Run | None) -> None:
        await _run_task(
            queen, exchange, caller, request, body=body, endpoint=endpoint, id_prefix=id_prefix, run=run
        )

    if once.HEADER in exchange.headers:
        await once.answer_once(
            queen.idempotency,
            queen.deliveries,
            exchange,
            caller,
            endpoint=endpoint,
            body=body,
            longest_s=queen.env.task_timeout_s,
            run_task=run_task,
        )
    else:
        await run_task(None)


async def _run_task(
    queen: Queen,
    exchange: Exchange,
    caller: Caller,
    request: TextRequest,
    *,
    body: bytes,
    endpoint: Endpoint,
    id_prefix: str,
    run: Run | None,
) -> None:
    """`run`: the request has an Idempotency-Key, and is the first under it."""
    priority = _priority(exchange)
    model = _text_model(queen, request.model, caller)
    if not may_use(caller.key_models, model.name):
        raise errors.model_not_allowed(model.name)
    funding = await _funding(queen, caller)
    caller = funding.narrowed(caller)
    price = await _price(queen, model, caller)
    task_id = uuid7().hex
    exchange.task_id = task_id
    if run is not None:
        run.task = task_id
    now_ms = time.time_ns() // 1_000_000
    subject = subject_pseudonym(caller.tenant_id, request.subject)
    if subject in caller.frozen_subjects:
        raise errors.subject_frozen()
    if caller.subject_consents:
        await _require_consents(queen, caller, subject)
    session = session_pseudonym(caller.tenant_id, request.session) or subject

    def make_envelope(attempt: int, worker: WorkerView) -> Envelope:
        return Envelope(
            task=task_id,
            attempt=attempt,
            tenant=caller.tenant_id,
            project=caller.project_id,
            key=caller.key_id,
            subject=subject,
            model=model.name,
            endpoint=endpoint,
            hive=worker.hive_id,
            worker=worker.id,
            price=price.id,
            tier=caller.tier,
            region=worker.region,
            request_id=exchange.request_id,
            admitted_at_ms=now_ms,
            policies=choice.policies(),
            decision=choice.facts() | ({"idempotency_key_sha256": run.scope.key} if run else {}),
            slice=task.slice_id,
            hold_micros=task.hold_micros if task.slice_id else 0,
        )

    task = Task(
        id=task_id,
        request_id=exchange.request_id,
        caller=caller,
        model=model.name,
        endpoint=endpoint,
        stream=bool(request.stream),
        include_usage=request.includes_usage,
        body=body,
        prompt_tokens_estimate=request.prompt_tokens_estimate,
        max_tokens=_answer_tokens(request, model),
        answer_id=id_prefix + task_id,
        created_s=now_ms // 1000,
        deadline_ms=now_ms + queen.env.task_timeout_s * 1000,
        make_envelope=make_envelope,
        subject=subject,
        session=session,
        estimated_minutes=_estimated_minutes(exchange),
        price=price,
        hold_micros=_most_micros(queen, request, body, model, price) if funding.is_limited else 0,
        priority=priority,
        wait_for_model_s=_wait_for_model_s(exchange, queen.env.task_timeout_s),
    )
    trace = Trace(task_id, exchange.request_id, caller)
    try:
        record, facts = await _admit(queen, task, trace, kind=model.capability)
    except BaseException as error:
        _end(queen, exchange, trace, error)
        raise
    await queen.colony.look_for(model.name)
    choice = Choice(
        queen.colony,
        queen.policies,
        caller,
        model=model.name,
        endpoint=endpoint,
        record=record,
        trace=trace,
        facts=facts,
    )
    starting = _start(queen, exchange, task, choice, trace)
    delivery = deliver(starting, exchange, queen.deliveries, is_stream=task.stream)
    await (keep(delivery, queen.contents, exchange, task) if caller.keeps_content else delivery)


async def _admit(queen: Queen, task: Task, trace: Trace, *, kind: str) -> tuple[rhai_py.Record, Facts]:
    """What scripts see of the task. Raises Refused and TaskFailed."""
    caller = task.caller
    try:
        deciders = in_force(queen.policies, caller.tenant_id)
    except PolicyFailed:
        trace.record = task_record(task, kind=kind, priority=task.priority)
        raise
    trace.note(deciders)
    task.is_subject_counted = any(policy.needs_subject for policy in deciders)
    trace.used = used = await _used(queen, task, deciders)
    trace.record = record = task_record(task, kind=kind, priority=task.priority, used=used)
    facts = Facts(knows_model=queen.offer.knows)
    if any(policy.needs_customer for policy in deciders):
        trace.customer = customer = customer_record(caller, tokens_used_today=used.tokens_today)
        facts = Facts(customer, queen.offer.knows)
        began_ns = time.perf_counter_ns()
        try:
            admit(queen.policies, caller.tenant_id, record, customer, facts=facts)
        finally:
            trace.script_micros = (time.perf_counter_ns() - began_ns) // 1000
    return record, facts


async def _start(queen: Queen, exchange: Exchange, task: Task, choice: Choice, trace: Trace) -> TaskStream:
    try:
        stream = await queen.dispatcher.start(task, choice)
    except BaseException as error:
        _end(queen, exchange, trace, error)
        raise
    _end(queen, exchange, trace, None)
    return stream


def _end(queen: Queen, exchange: Exchange, trace: Trace, error: BaseException | None) -> None:
    queen.decisions.end(trace, error)
    if queen.env.decision_headers:
        exchange.answer_headers += trace.headers


async def _used(queen: Queen, task: Task, deciders: list[Policy]) -> Used:
    """What the scripts in force may look at; Redis is asked for no more."""
    tenant_id = task.caller.tenant_id
    if task.subject and task.is_subject_counted:
        return await queen.reserver.used(tenant_id, task.subject)
    if any(policy.needs_customer for policy in deciders):
        return Used(await queen.reserver.used_today(tenant_id))
    return NOTHING_USED


def _estimated_minutes(exchange: Exchange) -> float:
    text = exchange.header(b"x-estimated-duration-minutes")
    if not text:
        return 0
    if not _MINUTES.fullmatch(text):
        raise errors.invalid(
            "X-Estimated-Duration-Minutes is a number of minutes, such as 5 or 0.5.",
            "X-Estimated-Duration-Minutes",
        )
    return float(text)


def _wait_for_model_s(exchange: Exchange, longest_s: int) -> int:
    text = exchange.header(b"x-wait-for-model")
    if not text:
        return 0
    if not _SECONDS.fullmatch(text):
        raise errors.invalid("X-Wait-For-Model is a number of seconds, such as 60.", "X-Wait-For-Model")
    return min(longest_s, int(text))


def _priority(exchange: Exchange) -> str:
    priority = exchange.header(b"x-priority").lower() or "normal"
    if priority not in PRIORITIES:
        raise errors.invalid("X-Priority is one of high, normal, low.", "X-Priority")
    return priority


def _text_model(queen: Queen, name: str, caller: Caller) -> OfferedModel:
    """One that is not for this tenant is as absent as one that is not there: its name may be that of a customer."""
    model = queen.offer.find(name)
    if model is None or not may_use(caller.allowed_models, model.name):
        raise errors.model_not_found(name)
    if model.capability != Capability.TEXT_GEN:
        raise errors.invalid(
            f"The model '{model.name}' makes {model.type}, not text.", "model", "model_not_supported"
        )
    return model


async def _price(queen: Queen, model: OfferedModel, caller: Caller) -> PriceVersion:
    price = queen.prices.get(model.name, caller.plan_slug)
    if price is None:
        try:
            price = await queen.prices.current_price(model.name, caller.plan_slug)
        except PricesDown:
            raise errors.unavailable("Prices cannot be read at the moment; try again.") from None
        except NoPrice:
            raise errors.unavailable(f"The model '{model.name}' has no price yet.", "no_price") from None
    return price


async def _require_consents(queen: Queen, caller: Caller, subject: str) -> None:
    """Of the end user. Raises Refused."""
    try:
        missing = await queen.consents.missing(caller.tenant_id, subject, caller.subject_consents)
    except ConsentsDown:
        raise errors.unavailable("Consents cannot be read at the moment; try again.") from None
    if missing:
        raise errors.subject_consent_required(missing, is_named=bool(subject))


async def _funding(queen: Queen, caller: Caller) -> Funding:
    """Raises Refused."""
    funding = queen.treasury.get(caller.tenant_id)
    if funding is None:
        try:
            funding = await queen.treasury.load(caller.tenant_id)
        except FundingDown:
            raise errors.unavailable("Accounts cannot be read at the moment; try again.") from None
    if funding.is_suspended:
        raise errors.account_suspended()
    return funding


def _most_micros(
    queen: Queen, request: TextRequest, body: bytes, model: OfferedModel, price: PriceVersion
) -> int:
    """No token is shorter than a byte. An answer that the client does not limit may fill the model's context, and no
    engine is at a task for longer than tasks may take."""
    prompt = len(body) + TEMPLATE_TOKENS
    answer = request.token_limit or model.context_tokens or DEFAULT_ANSWER_TOKENS
    if model.context_tokens:
        prompt = min(prompt, model.context_tokens * request.prompts)
        answer = min(answer, model.context_tokens)
    most = {
        PROMPT: prompt,
        COMPLETION: answer * request.answers,
        ENGINE: queen.env.task_timeout_s * 1000,
    }
    return most_micros(price, most)


def _answer_tokens(request: TextRequest, model: OfferedModel) -> int:
    limit = request.token_limit
    if limit is None:
        limit = min(model.context_tokens or DEFAULT_ANSWER_TOKENS, DEFAULT_ANSWER_TOKENS)
    return limit * (request.n or 1)
