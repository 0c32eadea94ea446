"""Whose rows the current transaction may see.

`tenant_tx` names one tenant, `colony_tx` takes the role that sees all. Both hold for one transaction, in the database by
row-level security and in Python by managers that refuse to query outside of them. Both are synchronous: Django has no
asynchronous transactions, so asynchronous code calls a function that uses them through `gdpr.threads.in_thread`.

    OutsideScope            a query on a tenant's table outside of both
    ScopeError              tenant_tx of another tenant inside a tenant_tx
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection, models, transaction

COLONY_ROLE = "rbee_colony"


class OutsideScope(RuntimeError):
    """A query on a tenant's table needs `tenant_tx(tenant_id)` or `colony_tx("why")` around it."""


class ScopeError(RuntimeError):
    """One transaction belongs to one tenant."""


@dataclass(frozen=True, slots=True)
class Scope:
    tenant_id: UUID | None  # None: all tenants
    reason: str = ""


_scope: ContextVar[Scope | None] = ContextVar("rbee_scope", default=None)


def current_scope() -> Scope | None:
    return _scope.get()


@contextmanager
def tenant_tx(tenant_id: UUID | str) -> Iterator[None]:
    """A transaction that sees and writes the rows of one tenant."""
    tenant_id = tenant_id if isinstance(tenant_id, UUID) else UUID(tenant_id)
    outer = _scope.get()
    if outer is not None and outer.tenant_id is not None and outer.tenant_id != tenant_id:
        raise ScopeError("tenant_tx inside the tenant_tx of another tenant: end that one first")
    with _transaction(Scope(tenant_id), role="none", tenant=str(tenant_id), reason=""):
        yield


@contextmanager
def colony_tx(reason: str) -> Iterator[None]:
    """A transaction that sees and writes the rows of all tenants. `reason` names the work and is found in
    `current_setting('app.reason')`; it holds nothing about a person."""
    if not reason:
        raise ScopeError("colony_tx needs a reason")
    with _transaction(Scope(None, reason), role=COLONY_ROLE, tenant="", reason=reason):
        yield


@contextmanager
def _transaction(scope: Scope, *, role: str, tenant: str, reason: str) -> Iterator[None]:
    # A setting that is local to a transaction outlives a savepoint that is kept, so an inner scope puts back the outer.
    before = _settings() if connection.in_atomic_block else None
    with transaction.atomic():
        _set(role, tenant, reason)
        token = _scope.set(scope)
        try:
            yield
        finally:
            _scope.reset(token)
        if before is not None and not connection.needs_rollback:
            _set(*before)


def _set(role: str, tenant: str, reason: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('role', %s, true), set_config('app.tenant', %s, true),"
            " set_config('app.reason', %s, true)",
            [role, tenant, reason],
        )


def _settings() -> tuple[str, str, str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('role'), coalesce(current_setting('app.tenant', true), ''),"
            " coalesce(current_setting('app.reason', true), '')"
        )
        role, tenant, reason = cursor.fetchone()
        return role, tenant, reason


M = TypeVar("M", bound=models.Model)


class TenantManager(models.Manager[M]):
    """Refuses to query outside of a scope, and narrows to its tenant inside of one. `tenant_field` names the
    column that holds the tenant's id."""

    def __init__(self, tenant_field: str = "tenant_id") -> None:
        super().__init__()
        self.tenant_field = tenant_field

    def get_queryset(self) -> models.QuerySet[M]:
        scope = _scope.get()
        if scope is None:
            raise OutsideScope(
                f"{self.model._meta.label}: put tenant_tx(tenant_id) or colony_tx('why') around this query"
            )
        queryset: models.QuerySet[M] = super().get_queryset()
        if scope.tenant_id is None:
            return queryset
        narrowed: dict[str, Any] = {self.tenant_field: scope.tenant_id}
        return queryset.filter(**narrowed)
