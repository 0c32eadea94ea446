from __future__ import annotations

from typing import Any

from django.db import models

from gdpr.ids import uuid7
from gdpr.scope import TenantManager


class AppendOnly(models.Model):
    """Rows are written once. The application role is granted SELECT and INSERT only, and triggers refuse the rest."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError(f"{self._meta.label} is append-only")
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise TypeError(f"{self._meta.label} is append-only")


class AuditEntry(AppendOnly):
    """One thing that was done or refused, written by `gdpr.domain.audit.record` in the transaction that did it.

    `tenant_id` is a plain UUID: no cascade reaches a record that must live seven years. No personal data in any column:
    people are named by pseudonyms. `leaf` is SHA-256 of 0x00 and the canonical bytes of the entry; `seq` is its place
    in the log, given later by one sequencer.
    """

    pk = models.CompositePrimaryKey("month", "id")
    month = models.DateField()  # of `id`: the partition
    id = models.UUIDField(default=uuid7)
    tenant_id = models.UUIDField(null=True)  # null: of the colony itself
    event = models.TextField()  # noun.verb: key.revoked
    actor = models.TextField()  # kind:pseudonym
    object_ref = models.TextField(default="")
    outcome = models.TextField(default="ok")
    details = models.JSONField(default=dict)
    request_id = models.TextField(default="")
    at = models.DateTimeField()
    schema_version = models.SmallIntegerField(default=1)
    leaf = models.BinaryField()
    seq = models.BigIntegerField(null=True)

    objects = TenantManager["AuditEntry"]()

    class Meta:
        ordering = ["-id"]

    class Privacy:
        none = ("month", "event", "outcome", "details", "at", "schema_version", "leaf", "seq")
        pseudonym = ("id", "tenant_id", "actor", "object_ref", "request_id")

    def __str__(self) -> str:
        return f"{self.event} by {self.actor}"


# Django finds models by this module, and these need those above.
from gdpr import access_models as access_models  # noqa: E402, PLC0414
