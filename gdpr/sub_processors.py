"""Tables of sub-processors: whom the operator lets work on personal data for it (Art. 28(2) and (4) GDPR), and what tenants
have against one."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from gdpr.holding import KEEP_EVIDENCE, Held
from gdpr.ids import uuid7
from gdpr.scope import TenantManager


class SubProcessor(models.Model):
    """Written by `tenants.domain.sub_processors` only. Every tenant may read it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200)
    purpose = models.CharField(max_length=500)
    country = models.CharField(max_length=2)  # ISO 3166-1: where it processes
    data = models.CharField(max_length=500)  # which categories it gets
    url = models.CharField(max_length=500, blank=True)
    announced_at = models.DateTimeField(default=timezone.now)
    in_force_at = models.DateTimeField()
    ending_announced_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]

    class Privacy:
        held = Held("compliance", "with the colony", of_operator=True)
        none = ("id", "country", "announced_at", "in_force_at", "ending_announced_at", "ends_at")
        content = ("name", "purpose", "data", "url")

    def __str__(self) -> str:
        return self.name


class SubProcessorObjection(models.Model):
    """One of a tenant for a sub-processor, at most."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant_id = models.UUIDField()
    sub_processor = models.ForeignKey(SubProcessor, on_delete=models.PROTECT, related_name="objections")
    reason = models.CharField(max_length=1000)
    made_at = models.DateTimeField(default=timezone.now)

    objects = TenantManager["SubProcessorObjection"]()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "sub_processor"], name="gdpr_subprocessorobjection_one"
            )
        ]

    class Privacy:
        held = Held(
            "compliance",
            "7 calendar years after made_at",
            tenant="tenant_id",
            on_tenant=KEEP_EVIDENCE,
        )
        none = ("made_at",)
        pseudonym = ("id", "tenant_id", "sub_processor")
        content = ("reason",)

    def __str__(self) -> str:
        return str(self.id)
