"""What the comparison of the books has to know of hives: their keys, our envelopes, and what is still in their spools."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from billing.domain.receipt_check import Outside
from billing.domain.receipt_keys import KeyRing
from billing.domain.reconciliation import missed_nights, reconcile
from billing.reconciliation_models import Reconciliation
from gdpr.domain.audit import Actor
from inference.domain.envelope import BadEnvelope, open_envelope
from inference.domain.errors import RedisUnreachable
from inference.domain.heartbeats import read_heartbeats
from inference.domain.hives import joined_hives
from inference.models import Hive


def reconcile_day(day: date, *, actor: Actor) -> Reconciliation:
    """Raises billing.domain.reconciliation.NotYet."""
    return reconcile(day, outside(), waiting=receipts_waiting(), actor=actor)


def reconcile_missed_nights() -> list[Reconciliation]:
    """Last night, and those before it on which nobody did."""
    nights = missed_nights(datetime.now(UTC).date())
    return [reconcile_day(night, actor=Actor.system("reconciliation")) for night in nights]


def outside() -> Outside:
    """Hives that were removed are among them: their tasks are in the books."""
    return Outside(KeyRing(Hive.objects.values_list("id", "public_key")), _sealed)


def receipts_waiting() -> dict[str, dict[str, int]]:
    """By the hive's name, of those that have any. What one that is away has, nobody knows: it says so."""
    hives = joined_hives()
    try:
        seen = read_heartbeats(hives)
    except RedisUnreachable:
        return {}
    beats = {hive.name: seen[hive.id].heartbeat for hive in hives if hive.id in seen}
    away = {hive.name: {"away": 1} for hive in hives if hive.id not in seen}
    return away | {
        name: {"waiting": beat.receipts_waiting, "refused": beat.receipts_refused}
        for name, beat in beats.items()
        if beat.receipts_waiting or beat.receipts_refused
    }


def _sealed(envelope: bytes) -> Mapping[str, Any] | None:
    try:
        said = open_envelope(envelope)
    except BadEnvelope:
        return None
    return {
        "task_id": said.task,
        "attempt": said.attempt,
        "tenant_id": said.tenant,
        "project_id": said.project,
        "key_id": said.key,
        "price_id": said.price,
        "request_id": said.request_id,
        "subject": said.subject,
        "endpoint": said.endpoint,
        "model": said.model,
        "hive_id": said.hive,
        "worker": said.worker,
        "region": said.region,
        "admitted_at": said.admitted_at_ms,
    }
