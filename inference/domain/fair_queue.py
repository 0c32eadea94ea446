"""Who is next, among tenants that wait for the same thing: weighted fair queueing by start times in virtual time.

A tenant's virtual time goes on by the tokens that it is served, divided by its weight, and the tenant that is furthest
behind is next. So each gets its share whatever the others ask for, and one that comes seldom goes before one that stands
in line all the time. Who comes anew begins where the line is, behind by what it is being served already.

Within a tenant the priority decides, then the time of arrival. There are no clocks here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final, Generic, TypeVar

TENANT_TOKENS: Final = 500_000  # that may wait in one line
ALL_TOKENS: Final = 5_000_000
PRIORITIES: Final = ("high", "normal", "low")

T = TypeVar("T")


class LineFull(Exception):
    """`is_tenants`: by what this tenant has in it; else all have more than their part and nobody has more than it."""

    def __init__(self, *, is_tenants: bool) -> None:
        super().__init__("the line is full")
        self.is_tenants = is_tenants


class Waiting(Generic[T]):
    __slots__ = ("item", "number", "rank", "tenant", "tokens", "weight")

    def __init__(self, item: T, *, tenant: str, weight: int, tokens: int, priority: str) -> None:
        self.item = item
        self.tenant = tenant
        self.weight = max(1, weight)
        self.tokens = max(1, tokens)
        self.rank = PRIORITIES.index(priority)
        self.number = 0


class _Tenant(Generic[T]):
    __slots__ = ("by_rank", "tokens", "virtual", "weight")

    def __init__(self, virtual: float) -> None:
        self.virtual = virtual
        self.tokens = 0
        self.weight = 1
        # Dictionaries keep their order, and whoever leaves is gone at once.
        self.by_rank: tuple[dict[Waiting[T], None], ...] = tuple({} for _ in PRIORITIES)

    @property
    def first(self) -> Waiting[T]:
        return next(waiting for line in self.by_rank for waiting in line)

    @property
    def last(self) -> Waiting[T]:
        return next(waiting for line in reversed(self.by_rank) for waiting in reversed(line))


class FairQueue(Generic[T]):
    def __init__(self, *, tenant_tokens: int = TENANT_TOKENS, all_tokens: int = ALL_TOKENS) -> None:
        self.tokens = 0
        self._tenant_tokens = tenant_tokens
        self._all_tokens = all_tokens
        self._virtual = 0.0  # the start time of who was served last
        self._tenants: dict[str, _Tenant[T]] = {}  # that wait
        self._ahead: dict[str, float] = {}  # of tenants that left the line with more than their part
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return sum(len(line) for tenant in self._tenants.values() for line in tenant.by_rank)

    def __bool__(self) -> bool:
        return bool(self._tenants)

    def has(self, tenant: str) -> bool:
        return tenant in self._tenants

    def add(self, waiting: Waiting[T], *, tokens_held: int = 0) -> list[Waiting[T]]:
        """Who has to leave for it: the last of whoever has most in the line. `tokens_held`: what the tenant is being
        served at the moment. Raises LineFull."""
        known = self._tenants.get(waiting.tenant)
        if (known.tokens if known else 0) + waiting.tokens > self._tenant_tokens:
            raise LineFull(is_tenants=True)
        leaving = self._make_room(waiting, known)
        tenant = self._tenants.get(waiting.tenant)  # it may have left altogether
        if tenant is None:
            begins = self._virtual + tokens_held / waiting.weight
            tenant = _Tenant(max(begins, self._ahead.pop(waiting.tenant, 0.0)))
            self._tenants[waiting.tenant] = tenant
        waiting.number = next(self._numbers)
        tenant.weight = waiting.weight
        tenant.by_rank[waiting.rank][waiting] = None
        tenant.tokens += waiting.tokens
        self.tokens += waiting.tokens
        return leaving

    def remove(self, waiting: Waiting[T]) -> bool:
        """False: it had left before."""
        tenant = self._tenants.get(waiting.tenant)
        if tenant is None or waiting not in tenant.by_rank[waiting.rank]:
            return False
        del tenant.by_rank[waiting.rank][waiting]
        tenant.tokens -= waiting.tokens
        self.tokens -= waiting.tokens
        if not any(tenant.by_rank):
            del self._tenants[waiting.tenant]
            self._remember(waiting.tenant, tenant.virtual)
        return True

    def serve(self, waiting: Waiting[T]) -> None:
        """It leaves the line because it is its turn."""
        tenant = self._tenants[waiting.tenant]
        self._virtual = max(self._virtual, tenant.virtual)
        tenant.virtual += waiting.tokens / waiting.weight
        self.remove(waiting)

    def in_turn(self) -> Iterator[Waiting[T]]:
        """The first of each tenant, who is next first."""
        tenants = self._tenants.values()
        order = sorted((tenant.virtual, tenant.first.number, tenant.first) for tenant in tenants)
        return (waiting for _, _, waiting in order)

    def ahead_of(self, tenant: str) -> int:
        """About how many are served before one more of this tenant: its own, and as many of each other's."""
        own = sum(map(len, self._tenants[tenant].by_rank)) if tenant in self._tenants else 0
        others = (other for name, other in self._tenants.items() if name != tenant)
        return own + sum(min(own + 1, sum(map(len, other.by_rank))) for other in others)

    def _make_room(self, waiting: Waiting[T], known: _Tenant[T] | None) -> list[Waiting[T]]:
        leaving: list[Waiting[T]] = []
        needed = self.tokens + waiting.tokens - self._all_tokens
        if needed <= 0:
            return leaving
        mine = ((known.tokens if known else 0) + waiting.tokens) / waiting.weight
        others = [tenant for tenant in self._tenants.values() if tenant is not known]
        if sum(max(0.0, other.tokens - mine * other.weight) for other in others) < needed:
            raise LineFull(is_tenants=False)
        while needed > 0:
            last = max(others, key=lambda tenant: tenant.tokens / tenant.weight).last
            leaving.append(last)
            needed -= last.tokens
            self.remove(last)
        return leaving

    def _remember(self, tenant: str, virtual: float) -> None:
        """Only while it matters: when the line is over, all begin anew."""
        if not self._tenants:
            self._ahead.clear()
            return
        if virtual > self._virtual:
            self._ahead[tenant] = virtual
        if len(self._ahead) > 2 * len(self._tenants) + 1000:
            self._ahead = {name: at for name, at in self._ahead.items() if at > self._virtual}
