"""Consents (Art. 7 GDPR) and the texts that they were given to. Both are appended to only: `tenants.domain.consents`."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from gdpr.holding import KEEP_EVIDENCE, Held, by_actor
from gdpr.ids import uuid7
from gdpr.models import AppendOnly
from gdpr.scope import TenantManager


class ConsentText(AppendOnly):
    """What somebody is asked to agree to, in one version. The operator's, for all tenants, when its tenant is null."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant_id = models.UUIDField(null=True)
    purpose = models.CharField(max_length=64)
    locale = models.CharField(max_length=35)
    number = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)  # of the text in UTF-8
    text = models.TextField()
    added_by = models.TextField()  # as audit entries name it
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantManager["ConsentText"]()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "purpose", "locale", "number"],
                nulls_distinct=False,
                name="gdpr_consenttext_number",
            )
        ]

    class Privacy:
        held = Held(
            "compliance",
            "with the tenant",
            tenant="tenant_id",
            person=by_actor("added_by"),
            on_tenant=KEEP_EVIDENCE,
            on_person=KEEP_EVIDENCE,
        )
        none = ("purpose", "locale", "number", "sha256", "created_at")
        pseudonym = ("id", "tenant_id", "added_by")
        content = ("text",)

    def __str__(self) -> str:
        return f"{self.purpose} {self.locale} {self.number}"


class Consent(AppendOnly):
    """One answer: given, or withdrawn. Of several for the same purpose the one with the highest number holds; clocks of
    several machines decide nothing."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant_id = models.UUIDField()
    subject = models.CharField(
        max_length=32, blank=True
    )  # pseudonym of an end user; empty: the tenant's account
    purpose = models.CharField(max_length=64)
    number = models.PositiveIntegerField()
    is_given = models.BooleanField()
    text_sha256 = models.CharField(max_length=64)
    locale = models.CharField(max_length=35)
    actor = models.TextField()  # who said so, as audit entries name it: user:ID, key:KID
    request_id = models.TextField(blank=True)
    at = models.DateTimeField(default=timezone.now)

    objects = TenantManager["Consent"]()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "subject", "purpose", "number"], name="gdpr_consent_number"
            )
        ]
        indexes = [models.Index(fields=["at"], name="gdpr_consent_at")]

    class Privacy:
        held = Held(
            "compliance",
            "with the tenant",
            tenant="tenant_id",
            person=by_actor("actor"),
            subject="subject",
            on_tenant=KEEP_EVIDENCE,
            on_person=KEEP_EVIDENCE,
            on_subject=KEEP_EVIDENCE,
        )
        none = ("purpose", "number", "is_given", "text_sha256", "locale", "at")
        pseudonym = ("id", "tenant_id", "subject", "actor", "request_id")

    def __str__(self) -> str:
        return f"{self.purpose} {self.number}"
