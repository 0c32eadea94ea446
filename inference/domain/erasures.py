"""The holders of Redis and of the hives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from uuid import UUID

import redis
from django.utils import timezone

from gdpr.domain.holders import Away, Erased, Hold
from gdpr.holding import Identity, Whose
from gdpr.places import keys_of
from gdpr.scope import colony_tx
from hive_agent import protocol
from inference.domain.notices import redis_client, tell_hives
from inference.models import Hive, HiveErasure

AT_ONCE: Final = 1000


class RedisKeys:
    """By the names of the data map. Counters of a subject are found by the tenant and the pseudonym."""

    name = "redis"

    def erase(self, identity: Identity, hold: Hold) -> Erased:
        deleted = 0
        try:
            for keys in _batches(identity):
                deleted += int(redis_client().unlink(*keys))
                hold.renew()
        except redis.RedisError:
            raise Away(["redis"]) from None
        return Erased({"keys": deleted} if deleted else {})

    def remains(self, identity: Identity, needles: Sequence[str]) -> list[str]:
        try:
            return ["keys in Redis"] if any(True for _ in _batches(identity)) else []
        except redis.RedisError:
            return []  # it keeps nothing: where it is gone, so is all that was in it


class Hives:
    """They are told with their placements, and say when nothing is left. One that was removed is not asked; what is on its
    disk is for whoever removed it."""

    name = "hives"

    def erase(self, identity: Identity, hold: Hold) -> Erased:
        whose = _named(identity)
        if not whose:
            return Erased()
        with colony_tx("hives that are to forget"):
            hives = list(Hive.objects.filter(removed_at=None))
            HiveErasure.objects.bulk_create(
                [HiveErasure(hive=hive, request_id=hold.request.id, whose=whose) for hive in hives],
                ignore_conflicts=True,
            )
            waiting = HiveErasure.objects.filter(
                request_id=hold.request.id, done_at=None, hive__removed_at=None
            ).select_related("hive")
            names = [erasure.hive.name for erasure in waiting]
            tell_hives([erasure.hive for erasure in waiting], protocol.ControlKind.PLACEMENTS)
        if names:
            raise Away(sorted(names))
        return Erased({"hives": len(hives)} if hives else {})

    def remains(self, identity: Identity, needles: Sequence[str]) -> list[str]:
        """A hive is believed: it erases its own disk, and its receipts are signed."""
        return []


def erasures_of(hive: Hive) -> list[protocol.Forgetting]:
    with colony_tx("what a hive is to forget"):
        asked = list(HiveErasure.objects.filter(hive=hive, done_at=None).order_by("id"))
    return [protocol.Forgetting(id=each.id.hex, whose=each.whose) for each in asked]


def note_forgotten(hive: Hive, ids: Sequence[UUID]) -> list[UUID]:
    """The requests that this hive has been waited for."""
    with colony_tx("a hive forgot"):
        done = HiveErasure.objects.filter(hive=hive, id__in=ids, done_at=None)
        requests = list(done.values_list("request_id", flat=True))
        done.update(done_at=timezone.now())
    return requests


def _named(identity: Identity) -> str:
    if identity.whose is Whose.SUBJECT:
        return identity.subject
    return identity.tenant_id.hex if identity.whose is Whose.TENANT and identity.tenant_id else ""


def _batches(identity: Identity) -> Iterator[list[bytes]]:
    client = redis_client()
    for pattern in keys_of(identity):
        batch: list[bytes] = []
        for key in client.scan_iter(pattern, count=AT_ONCE):
            batch.append(key)
            if len(batch) == AT_ONCE:
                yield batch
                batch = []
        if batch:
            yield batch
