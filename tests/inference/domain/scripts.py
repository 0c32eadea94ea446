"""Scripts in force without a database, and workers without a hive."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Any

import rhai_py

from inference.domain import policies
from inference.domain.policy_source import Policy, PolicyUnavailable
from rbee_policy.asking import ScriptBroke

TENANT = "a" * 32

_ids = count(1)


class Scripts:
    """What `Policies` is to those that decide. Without an operator's script nothing was ever understood."""

    def __init__(
        self, operator: str | None, tenant: str | None = None, *, fall_back: tuple[str, ...] = ()
    ) -> None:
        self.failed: list[tuple[str, str]] = []  # owner, what broke
        self._fall_back = fall_back
        self._operator = operator and Policy(policies.compile_policy(operator), "operator")
        self._tenant = tenant and Policy(policies.compile_policy(tenant), TENANT)

    def operator(self) -> Policy:
        if not self._operator:
            raise PolicyUnavailable
        return self._operator

    def falls_back(self, policy: Policy) -> bool:
        return policy.owner in self._fall_back

    def tell_failed(self, policy: Policy | None, broke: ScriptBroke | None) -> None:
        self.failed.append((policy.owner if policy else "", broke.function if broke else ""))

    def of_tenant(self, tenant_id: str) -> Policy | None:
        return self._tenant or None if tenant_id == TENANT else None


@dataclass(eq=False)
class Worker:
    hive: str = "gpu-1"
    gpu_type: str = "A100"
    capability: str = "text-gen"
    region: str = "EU"
    in_flight: int = 0
    capacity: int = 4
    id: str = field(default_factory=lambda: f"w{next(_ids)}")
    record: rhai_py.Record = field(init=False)

    def __post_init__(self) -> None:
        names = ("id", "hive", "gpu_type", "capability", "region", "in_flight", "capacity")
        fields: dict[str, Any] = {name: getattr(self, name) for name in names}
        self.record = rhai_py.Record(
            "worker", {**fields, "load": self.in_flight / self.capacity, "model": "m"}
        )


def task(**fields: Any) -> rhai_py.Record:
    return rhai_py.Record(
        "task", {"type": "text-gen", "model": "m", "customer_tier": "pro", "customer_id": "acme", **fields}
    )


def customer(**fields: Any) -> rhai_py.Record:
    return rhai_py.Record("customer", {"tokens_used_today": 0, "daily_limit": 100, "tier": "pro", **fields})
