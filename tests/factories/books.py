"""Tasks as they are in the books: what a hive signed, what the queen sealed, the event and its transfer, in agreement."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection

from billing.domain.ledger import REVENUE_USAGE
from billing.domain.pricing import amount_micros
from billing.models import LedgerTransfer, Price, UsageEvent
from billing.reconciliation_models import ReceiptKey
from gdpr.ids import month_of, uuid7
from gdpr.scope import colony_tx
from hive_agent import protocol
from inference.domain.envelope import Envelope, seal
from tenants.models import Project
from tests.factories.billing import make_price, version_of
from tests.factories.tenants import make_project, unique

USAGE = {"prompt_tokens": 1001, "completion_tokens": 203, "engine_ms": 700}


@dataclass
class SigningHive:
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    id: UUID = field(default_factory=uuid7)
    worker: str = field(default_factory=lambda: uuid7().hex)

    def __post_init__(self) -> None:
        public = base64.b64encode(self.key.public_key().public_bytes_raw()).decode()
        ReceiptKey.objects.create(hive_id=self.id, public_key=public)


class Bookkeeper:
    """Books tasks at `at`, each with facts of its own. `receipt`, `sealed`, `event` and `transfer` of `book` are what is to
    be wrong with one of them."""

    def __init__(self, at: datetime, project: Project | None = None, price: Price | None = None) -> None:
        self.at = at
        self.project = project or make_project()
        self.price = price or make_price()
        self.hive = SigningHive()
        for month in {(at + timedelta(days=days)).date().replace(day=1) for days in (-1, 0, 1)}:
            with connection.cursor() as cursor:
                cursor.execute("SELECT rbee_make_partitions(%s, %s)", [month, month])

    def book(
        self,
        *,
        outcome: str = "completed",
        usage: dict[str, int] | None = None,
        began_at: datetime | None = None,
        ms: int = 1500,
        receipt: dict[str, Any] | None = None,
        sealed: dict[str, Any] | None = None,
        event: dict[str, Any] | None = None,
        transfer: dict[str, Any] | None = None,
        hive: SigningHive | None = None,
        task_id: UUID | None = None,
    ) -> UUID:
        usage = USAGE if usage is None else usage
        hive = hive or self.hive
        began_at = began_at or self.at
        ended_at = began_at + timedelta(milliseconds=ms)
        admitted_at = began_at - timedelta(milliseconds=20)
        task_id = task_id or uuid7(round(admitted_at.timestamp() * 1000) * 1_000_000)
        tenant_id = self.project.tenant_id
        amount = amount_micros(version_of(self.price), usage, outcome)
        envelope = Envelope(
            **{
                "task": task_id.hex, "attempt": 1, "tenant": tenant_id.hex, "project": self.project.id.hex, "key": "",
                "subject": "", "model": self.price.model, "endpoint": "chat.completions", "hive": hive.id.hex,
                "worker": hive.worker, "price": self.price.id.hex, "tier": "pro", "region": "EU",
                "request_id": unique("req"), "admitted_at_ms": ms_of(admitted_at), **(sealed or {}),
            }
        )  # fmt: skip
        payload = protocol.encode(
            protocol.Receipt(
                **{
                    "version": protocol.VERSION, "hive": hive.id.hex, "task": task_id.hex, "attempt": 1,
                    "worker": hive.worker, "model": self.price.model, "engine": "llama_cpp", "outcome": outcome,
                    "usage": usage, "began_at_ms": ms_of(began_at), "first_token_at_ms": 0,
                    "ended_at_ms": ms_of(ended_at), "frames": 3, "envelope": seal(envelope), **(receipt or {}),
                }
            )
        )  # fmt: skip
        facts = {
            "month": month_of(task_id), "task_id": task_id, "tenant": self.project.tenant, "project": self.project,
            "key": None, "price": self.price, "attempt": 1, "request_id": envelope.request_id, "subject": "",
            "endpoint": "chat.completions", "model": self.price.model, "hive_id": hive.id, "worker": hive.worker,
            "region": "EU", "outcome": outcome, "usage": usage, "amount_micros": amount,
            "currency": self.price.currency, "decision": {}, "admitted_at": admitted_at, "began_at": began_at,
            "ended_at": ended_at, "settled_at": self.at, "receipt": payload, "signature": hive.key.sign(payload),
        }  # fmt: skip
        booked = {
            "month": month_of(task_id), "id": task_id, "transaction_id": task_id, "tenant": self.project.tenant,
            "kind": "task", "debit_account": f"tenant:{tenant_id.hex}", "credit_account": REVENUE_USAGE,
            "amount_micros": amount, "currency": self.price.currency, "booked_at": self.at,
        }  # fmt: skip
        with colony_tx("tests"):
            if event is None or event:
                UsageEvent(**{**facts, **(event or {})}).save()
            if transfer is None or transfer:
                LedgerTransfer(**{**booked, **(transfer or {})}).save()
        return task_id


def ms_of(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
