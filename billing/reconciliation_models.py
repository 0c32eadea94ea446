"""What a night's comparison of the books found, and the keys that receipts are checked against."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from billing.enums import DifferenceKind
from gdpr.holding import KEEP_UNNAMED, Held
from gdpr.ids import uuid7
from gdpr.models import AppendOnly
from gdpr.scope import TenantManager


class Reconciliation(AppendOnly):
    """One comparison of what was booked on a day of UTC. A day that is compared again has several; the newest counts."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    day = models.DateField()
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    differences = (
        models.PositiveBigIntegerField()
    )  # all that were found; rows are kept of the first ones only
    figures = models.JSONField()  # how much was compared
    waiting = models.JSONField()  # by hive: receipts that are still in its spool

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["day", "-id"], name="billing_reconciliation_day")]

    class Privacy:
        held = Held("books", "with the colony")
        none = ("id", "day", "began_at", "ended_at", "differences", "figures", "waiting")

    def __str__(self) -> str:
        return str(self.day)


class Difference(AppendOnly):
    """One place where two of the books do not agree. `expected` is what the first one says, `found` the other."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    reconciliation = models.ForeignKey(Reconciliation, on_delete=models.PROTECT)
    kind = models.CharField(max_length=30, choices=DifferenceKind)
    tenant_id = models.UUIDField(null=True)
    task_id = models.UUIDField(null=True)
    object_ref = models.TextField()  # what it is about: task:HEX, balance:EUR, …
    expected = models.TextField()
    found = models.TextField()

    objects = TenantManager["Difference"]()

    class Meta:
        ordering = ["id"]

    class Privacy:
        held = Held("books", "with the tenant", tenant="tenant_id", on_tenant=KEEP_UNNAMED)
        none = ("reconciliation", "kind", "expected", "found")
        pseudonym = ("id", "tenant_id", "task_id", "object_ref")

    def __str__(self) -> str:
        return f"{self.kind} {self.object_ref}"


class ReceiptKey(AppendOnly):
    """A key that a hive signs its receipts with. A hive that joins again has another; what the one before signed is still
    to be verified."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    hive_id = models.UUIDField(db_index=True)
    public_key = models.CharField(max_length=64)  # Ed25519, base64
    since = models.DateTimeField(default=timezone.now)

    class Privacy:
        held = Held("operations", "with the colony")
        none = ("id", "hive_id", "public_key", "since")

    def __str__(self) -> str:
        return str(self.hive_id)
