"""Prompts and outputs of tenants that asked for it. Nothing else keeps any."""

from __future__ import annotations

from django.db import models

from gdpr.holding import Column, Held
from gdpr.models import SubjectKey
from gdpr.scope import TenantManager
from tenants.models import Tenant


class KeptContent(models.Model):
    """What one task was asked and answered, encrypted by the key of its end user in the vault, or by its tenant's own where
    it names none. Written by `inference.domain.kept_content` only."""

    id = models.UUIDField(primary_key=True)  # of the task
    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="+")
    key = models.ForeignKey(SubjectKey, models.CASCADE, related_name="+")
    subject = models.CharField(max_length=64, blank=True)  # pseudonym of the end user
    request_id = models.CharField(max_length=64)
    endpoint = models.CharField(max_length=32)
    model = models.CharField(max_length=128)
    at = models.DateTimeField()  # when it was admitted
    expires_at = models.DateTimeField()
    request_bytes = models.PositiveIntegerField()  # as they were sent, also of one that is cut short
    answer_bytes = models.PositiveIntegerField()
    is_truncated = models.BooleanField()
    ciphertext = models.BinaryField()  # AES-256-GCM: nonce, text, tag

    objects = TenantManager["KeptContent"]()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["expires_at"], name="inference_kept_expires"),
            models.Index(fields=["at"], name="inference_kept_at"),
            models.Index(fields=["tenant", "subject", "-id"], name="inference_kept_subject"),
        ]

    class Privacy:
        held = Held(
            "content",
            "1 hours after expires_at",
            tenant="tenant",
            subject="subject",
            columns={"ciphertext": Column(export=False)},  # an export has what it says, as a file
            applied_by="inference.sweep_content",
        )
        none = ("endpoint", "model", "at", "expires_at", "request_bytes", "answer_bytes", "is_truncated")
        pseudonym = ("id", "tenant", "key", "subject", "request_id")
        content = ("ciphertext",)

    def __str__(self) -> str:
        return str(self.id)
