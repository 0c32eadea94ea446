from __future__ import annotations

import hmac
import ipaddress
import time
from collections import Counter
from typing import Any, ClassVar

import redis
from django.core.cache import cache
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from gdpr.secrets import derive
from tenants.api.addresses import address_of

MINUTE_S = 60


class AddressThrottle(BaseThrottle):
    """So many calls a minute from one address, or one customer's part of IPv6, over all queen processes; by each process
    for itself while Redis is down. For what needs no credential. A view says `calls_per_minute`."""

    _alone: ClassVar[Counter[str]] = Counter()

    def allow_request(self, request: Request, view: Any) -> bool:
        minute = int(time.time()) // MINUTE_S
        key = f"calls:{view.__class__.__name__}:{_who(request)}:{minute}"
        try:
            cache.add(key, 0, 2 * MINUTE_S)
            calls = cache.incr(key)
        except (redis.RedisError, ValueError):  # it is away, or came back empty in between
            calls = self._count_alone(key, f":{minute}")
        return bool(calls <= view.calls_per_minute)

    def wait(self) -> float:
        return MINUTE_S - time.time() % MINUTE_S

    def _count_alone(self, key: str, minute: str) -> int:
        for old in [known for known in self._alone if not known.endswith(minute)]:
            del self._alone[old]
        self._alone[key] += 1
        return self._alone[key]


def _who(request: Request) -> str:
    """An address is somebody's: what is counted by is not."""
    address = address_of(request._request)
    if isinstance(address, ipaddress.IPv6Address):
        text = str(ipaddress.ip_network((address, 64), strict=False))
    else:
        text = str(address)
    return hmac.new(derive("throttle"), text.encode(), "sha256").hexdigest()[:32]
