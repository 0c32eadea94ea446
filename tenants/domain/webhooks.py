"""Endpoints of webhooks: made, changed and asked for a replay by their owner, a tenant or the operator (None)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from uuid import UUID

from django.utils import timezone

from gdpr.chores import hint_after_commit
from gdpr.domain.audit import Actor, record
from gdpr.fetcher import Rules, UrlRefused, check_url
from gdpr.ids import uuid7
from gdpr.scope import colony_tx, tenant_tx
from tenants.domain import webhook_signatures as signatures
from tenants.domain.outbox import DELIVER, make_event
from tenants.domain.webhook_events import EVERY, PATTERNS, wants
from tenants.enums import DeliveryState, EndpointStatus
from tenants.models import WebhookDelivery, WebhookEndpoint, WebhookEvent

LIFETIME = timedelta(hours=72)  # from when a delivery is queued to its last attempt
OVERLAP_DEFAULT = timedelta(hours=24)
OVERLAP_MAX = timedelta(days=7)
ENDPOINTS_MAX = 50  # of one owner
IN_FLIGHT_MAX = 32
REPLAYED_MAX = 10_000  # by one call


class WebhookRefused(ValueError):
    """The request makes no sense; `field` is the one at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class WrongState(Exception):
    """Not while the endpoint or the delivery is as it is; the message says how it is."""


def create_endpoint(
    tenant_id: UUID | None,
    *,
    url: str,
    actor: Actor,
    events: Sequence[str] = (EVERY,),
    description: str = "",
    max_in_flight: int = 4,
    keeps_responses: bool = False,
) -> tuple[WebhookEndpoint, str]:
    """The endpoint and its secret, which is shown this once. Raises WebhookRefused."""
    checked_url = _checked_url(url)
    wanted = _checked_events(events)
    if not 1 <= max_in_flight <= IN_FLIGHT_MAX:
        raise WebhookRefused("max_in_flight", f"An endpoint takes 1 to {IN_FLIGHT_MAX} at once.")
    endpoint_id, secret = uuid7(), signatures.make_secret()
    with scope_of_owner(tenant_id):
        if WebhookEndpoint.objects.filter(tenant=tenant_id).count() >= ENDPOINTS_MAX:
            raise WebhookRefused("url", f"There are {ENDPOINTS_MAX} endpoints already: delete one first.")
        endpoint = WebhookEndpoint.objects.create(
            id=endpoint_id,
            tenant_id=tenant_id,
            url=checked_url,
            description=description,
            events=wanted,
            max_in_flight=max_in_flight,
            keeps_responses=keeps_responses,
            secret_sealed=signatures.seal(secret, endpoint_id),
        )
        _record("webhook.created", endpoint, actor, events=wanted)
    return endpoint, signatures.shown(secret)


def rotate_secret(
    endpoint: WebhookEndpoint, *, actor: Actor, overlap: timedelta = OVERLAP_DEFAULT
) -> tuple[WebhookEndpoint, str]:
    """Both secrets sign until `overlap` is over; 0 ends the old one at once. Raises WebhookRefused."""
    if not timedelta() <= overlap <= OVERLAP_MAX:
        raise WebhookRefused(
            "overlap_hours", f"The old secret goes on for 0 to {OVERLAP_MAX.days * 24} hours."
        )
    secret = signatures.make_secret()
    with scope_of_owner(endpoint.tenant_id):
        endpoint = _locked(endpoint)
        endpoint.old_secret_sealed = endpoint.secret_sealed if overlap else None
        endpoint.old_secret_until = timezone.now() + overlap if overlap else None
        endpoint.secret_sealed = signatures.seal(secret, endpoint.id)
        endpoint.save(update_fields=["secret_sealed", "old_secret_sealed", "old_secret_until"])
        _record("webhook.rotated", endpoint, actor, overlap_s=int(overlap.total_seconds()))
    return endpoint, signatures.shown(secret)


def pause_endpoint(endpoint: WebhookEndpoint, *, actor: Actor) -> WebhookEndpoint:
    """Its deliveries wait, each until its deadline. Raises WrongState."""
    with scope_of_owner(endpoint.tenant_id):
        endpoint = _locked(endpoint)
        if endpoint.status == EndpointStatus.DISABLED:
            raise WrongState("This endpoint is disabled: resume it first.")
        if endpoint.status != EndpointStatus.PAUSED:
            endpoint.status = EndpointStatus.PAUSED
            endpoint.save(update_fields=["status"])
            _record("webhook.paused", endpoint, actor)
    return endpoint


def resume_endpoint(endpoint: WebhookEndpoint, *, actor: Actor) -> WebhookEndpoint:
    """One that was disabled too; what happened while it was comes by `replay_events`."""
    with scope_of_owner(endpoint.tenant_id):
        endpoint = _locked(endpoint)
        if endpoint.status != EndpointStatus.ACTIVE:
            endpoint.status, endpoint.disabled_reason, endpoint.failing_since = (
                EndpointStatus.ACTIVE,
                "",
                None,
            )
            endpoint.save(update_fields=["status", "disabled_reason", "failing_since"])
            _record("webhook.resumed", endpoint, actor)
            hint_after_commit(DELIVER)
    return endpoint


def delete_endpoint(endpoint: WebhookEndpoint, *, actor: Actor) -> None:
    """With its deliveries. Idempotent."""
    with scope_of_owner(endpoint.tenant_id):
        deleted, _ = WebhookEndpoint.objects.filter(id=endpoint.id).delete()
        if deleted:
            _record("webhook.deleted", endpoint, actor)


def ping_endpoint(endpoint: WebhookEndpoint, *, actor: Actor) -> WebhookDelivery:
    """Told to this endpoint only, whatever it listens to. Raises WrongState."""
    with scope_of_owner(endpoint.tenant_id):
        endpoint = _locked(endpoint)
        if endpoint.status != EndpointStatus.ACTIVE:
            raise WrongState(f"This endpoint is {endpoint.status}: resume it first.")
        event = make_event("webhook.ping", endpoint.tenant_id, {"endpoint": str(endpoint.id)})
        event.spread_at = timezone.now()
        event.save(force_insert=True)
        delivery = make_delivery(endpoint, event)
        delivery.save(force_insert=True)
        _record("webhook.pinged", endpoint, actor)
        hint_after_commit(DELIVER)
    return delivery


def replay_delivery(delivery: WebhookDelivery, *, actor: Actor) -> None:
    """Sent again, under the same id, with another three days to arrive. Raises WrongState."""
    with scope_of_owner(delivery.tenant_id):
        endpoint = _locked(delivery.endpoint)
        if not _requeue(endpoint, event_ids=[delivery.event_id], only_failed=False):
            raise WrongState("This delivery is on its way.")
        _record("webhook.replayed", endpoint, actor, deliveries=1)


def replay_events(
    endpoint: WebhookEndpoint, *, since: datetime, until: datetime, only_failed: bool, actor: Actor
) -> int:
    """How many are sent: those in this time that the endpoint listens to and that failed or were never queued for it, or
    all of them. Raises WebhookRefused."""
    if since >= until:
        raise WebhookRefused("until", "until is later than since.")
    with scope_of_owner(endpoint.tenant_id):
        endpoint = _locked(endpoint)
        # An owner's scope is what its endpoint hears: a tenant's own events, or those of all.
        events = [
            event
            for event in WebhookEvent.objects.filter(created_at__gte=since, created_at__lt=until)
            .exclude(type="webhook.ping")
            .order_by("id")[: REPLAYED_MAX + 1]
            if wants(endpoint.events, event.type)
        ]
        if len(events) > REPLAYED_MAX:
            raise WebhookRefused(
                "since", f"At most {REPLAYED_MAX} are replayed at once: take a shorter time."
            )
        known = set(
            WebhookDelivery.objects.filter(endpoint=endpoint, event__in=events).values_list(
                "event_id", flat=True
            )
        )
        missing = [make_delivery(endpoint, event) for event in events if event.id not in known]
        WebhookDelivery.objects.bulk_create(missing, ignore_conflicts=True)
        count = len(missing) + _requeue(endpoint, event_ids=list(known), only_failed=only_failed)
        _record("webhook.replayed", endpoint, actor, deliveries=count)
        hint_after_commit(DELIVER)
    return count


def make_delivery(endpoint: WebhookEndpoint, event: WebhookEvent) -> WebhookDelivery:
    now = timezone.now()
    return WebhookDelivery(
        tenant_id=endpoint.tenant_id,
        endpoint=endpoint,
        event=event,
        next_at=now,
        deadline_at=now + LIFETIME,
        created_at=now,
    )


def scope_of_owner(tenant_id: UUID | None) -> AbstractContextManager[None]:
    return colony_tx("webhooks of the operator") if tenant_id is None else tenant_tx(tenant_id)


def _requeue(endpoint: WebhookEndpoint, *, event_ids: list[UUID], only_failed: bool) -> int:
    states = [DeliveryState.FAILED] if only_failed else [DeliveryState.FAILED, DeliveryState.DELIVERED]
    now = timezone.now()
    count = WebhookDelivery.objects.filter(endpoint=endpoint, event__in=event_ids, state__in=states).update(
        state=DeliveryState.QUEUED,
        attempt=0,
        next_at=now,
        deadline_at=now + LIFETIME,
        lease_until=None,
        ended_at=None,
    )
    hint_after_commit(DELIVER)
    return count


def _locked(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    return WebhookEndpoint.objects.select_for_update().get(id=endpoint.id)


def _record(event: str, endpoint: WebhookEndpoint, actor: Actor, **details: object) -> None:
    """Without the URL: that may hold what its owner would call a secret."""
    record(
        event, actor=actor, tenant_id=endpoint.tenant_id, object_ref=f"webhook:{endpoint.id}", details=details
    )


def _checked_url(url: str) -> str:
    try:
        return str(check_url(url, Rules.of_settings()))
    except UrlRefused as error:
        raise WebhookRefused("url", f"{str(error).capitalize()}.") from None


def _checked_events(events: Sequence[str]) -> list[str]:
    wanted = sorted(set(events))
    for pattern in wanted:
        if pattern not in PATTERNS:
            raise WebhookRefused("events", f"There is no event {pattern}: `rbee webhook events` lists them.")
    if not wanted:
        raise WebhookRefused("events", "Name at least one event, or * for all.")
    return wanted
