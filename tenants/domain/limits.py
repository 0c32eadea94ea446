"""Setting limits: of a tenant, each of its end users, a project or a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gdpr.domain.audit import Actor, record
from gdpr.scope import tenant_tx
from tenants.domain.invalidation import announce_after_commit
from tenants.domain.limit_shape import RATES, LevelLimits, PerPeriod, changed, joined, read_limits
from tenants.models import ApiKey, Plan, Project, Tenant


def set_limits(
    target: Tenant | Project | ApiKey, change: Mapping[str, Any], *, actor: Actor, of_subjects: bool = False
) -> LevelLimits:
    """What holds now. `of_subjects`: of each end user of the tenant. Raises LimitsRefused."""
    kind, tenant_id = kind_of(target), target.id if isinstance(target, Tenant) else target.tenant_id
    with tenant_tx(tenant_id):
        locked: Any = type(target)._default_manager.select_for_update().get(id=target.id)
        before = _of_subjects(locked) if of_subjects else limits_of_target(locked)
        after = changed(before, change)
        if of_subjects:
            locked.subject_limits = msgspec.to_builtins(after)
            names = ["subject_limits"]
        else:
            names = store_limits(locked, after)
        locked.save(update_fields=names)
        record(
            "limits.changed",
            actor=actor,
            tenant_id=tenant_id,
            object_ref=f"{kind}:{target.id.hex}",
            details={"of_subjects": of_subjects, "before": _text(before), "after": _text(after)},
        )
        announce_after_commit("keys")
    return after


def limits_of_target(target: Plan | Tenant | Project | ApiKey) -> LevelLimits:
    """What is set there; a tenant's without what its plan gives."""
    limits = read_limits(target.limits)
    if not isinstance(target, Tenant | Plan):
        return limits
    tokens = limits.quantities.get("tokens", PerPeriod())
    quantities = {**limits.quantities, "tokens": msgspec.structs.replace(tokens, day=target.tokens_per_day)}
    return msgspec.structs.replace(
        limits,
        **{name: getattr(target, name) for name in RATES},
        quantities={unit: limit for unit, limit in quantities.items() if limit != PerPeriod()},
    )


def limits_in_force(tenant: Tenant) -> LevelLimits:
    """Of a tenant with its plan: each limit is its own, or else the plan's."""
    plan, own = limits_of_target(tenant.plan), limits_of_target(tenant)
    rates = {name: getattr(plan if getattr(own, name) is None else own, name) for name in RATES}
    return msgspec.structs.replace(joined(plan, own), **rates)


def kind_of(target: Tenant | Project | ApiKey) -> str:
    return {Tenant: "tenant", Project: "project", ApiKey: "key"}[type(target)]


def _of_subjects(tenant: Tenant) -> LevelLimits:
    return read_limits(tenant.subject_limits)


def store_limits(target: Any, limits: LevelLimits) -> list[str]:
    """The fields to save. What a tenant and a plan have columns for goes there: scripts and lists know them."""
    if not isinstance(target, Tenant | Plan):
        target.limits = msgspec.to_builtins(limits)
        return ["limits"]
    for name in RATES:
        setattr(target, name, getattr(limits, name))
    tokens = limits.quantities.get("tokens", PerPeriod())
    target.tokens_per_day = tokens.day
    quantities = {**limits.quantities, "tokens": msgspec.structs.replace(tokens, day=None)}
    rest = msgspec.structs.replace(
        limits,
        **dict.fromkeys(RATES),
        quantities={unit: limit for unit, limit in quantities.items() if limit != PerPeriod()},
    )
    target.limits = msgspec.to_builtins(rest)
    return ["limits", "tokens_per_day", *RATES]


def shown_limits(limits: LevelLimits) -> dict[str, Any]:
    """As the management API has them: each field, with what it stands for where nothing is set."""
    shown = {
        **dict.fromkeys(RATES), "quantities": {}, "spend_micros": {}, "soft": False, **msgspec.to_builtins(limits),
    }  # fmt: skip
    shown.pop("version", None)
    return shown


def _text(limits: LevelLimits) -> str:
    return msgspec.json.encode(limits).decode()
