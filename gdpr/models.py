from __future__ import annotations

from typing import Any

from django.db import models
from django.utils import timezone

from gdpr.holding import KEEP_EVIDENCE, Column, Held, by_actor, by_pseudonym, by_ref
from gdpr.ids import uuid7
from gdpr.log.term import KEPT_YEARS
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


class ReadOnly(models.Model):
    """Rows that another role writes. The application role is granted SELECT only."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError(f"{self._meta.label} is written by another process")

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise TypeError(f"{self._meta.label} is written by another process")


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
        held = Held(
            "audit",
            f"{KEPT_YEARS} calendar years after at",
            tenant="tenant_id",
            person=(by_actor("actor"), by_ref("object_ref")),
            on_tenant=KEEP_EVIDENCE,
            on_person=KEEP_EVIDENCE,
            applied_by="gdpr.keep_audit_months",
        )
        none = ("month", "event", "outcome", "details", "at", "schema_version", "leaf", "seq")
        pseudonym = ("id", "tenant_id", "actor", "object_ref", "request_id")

    def __str__(self) -> str:
        return f"{self.event} by {self.actor}"


class AuditSequence(ReadOnly):
    """How far the sequencer is: one row. `epoch` is of the process that leads; one of before finds it changed, and stops."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    epoch = models.BigIntegerField()
    size = models.BigIntegerField()  # entries that have a place

    class Privacy:
        held = Held("audit", "with the colony")
        none = ("id", "epoch", "size")

    def __str__(self) -> str:
        return f"{self.size} entries"


class SubjectKey(models.Model):
    """The data key of one person in one tenant, wrapped by a key that is in no database. Written by `gdpr.domain.vault`
    and `gdpr.domain.rotation` only. One that is destroyed says when, and holds nothing else."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant_id = models.UUIDField(null=True)  # null: of the colony itself
    subject = models.TextField()  # a pseudonym, in hex
    wrapped = models.BinaryField()
    wrapped_by = models.TextField()  # the identifier of a key
    created_at = models.DateTimeField(default=timezone.now)
    destroyed_at = models.DateTimeField(null=True)

    objects = TenantManager["SubjectKey"]()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "subject"],
                condition=models.Q(destroyed_at=None),
                nulls_distinct=False,
                name="gdpr_subjectkey_living",
            )
        ]
        indexes = [
            models.Index(fields=["wrapped_by", "id"], name="gdpr_subjectkey_wrapped_by"),
            models.Index(fields=["subject"], name="gdpr_subjectkey_subject"),
        ]

    class Privacy:
        held = Held(
            "audit",
            "with the person",
            tenant="tenant_id",
            person=by_pseudonym("subject"),
            subject="subject",
            export=False,
        )
        none = ("wrapped_by", "created_at", "destroyed_at")
        pseudonym = ("id", "tenant_id", "subject")
        secret = ("wrapped",)

    def __str__(self) -> str:
        return str(self.id)


class VaultItem(models.Model):
    """Something personal that an audit entry refers to by its digest. Written by `gdpr.domain.vault` only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant_id = models.UUIDField(null=True)  # null: of the colony itself
    key = models.ForeignKey(SubjectKey, on_delete=models.CASCADE)
    subject = models.TextField()
    kind = models.CharField(max_length=16)
    ciphertext = models.BinaryField()  # AES-256-GCM: nonce, text, tag
    salt = models.BinaryField()
    ends_on = models.DateField()  # the first of a month

    objects = TenantManager["VaultItem"]()

    class Meta:
        indexes = [models.Index(fields=["ends_on"], name="gdpr_vaultitem_ends_on")]

    class Privacy:
        held = Held(
            "audit",
            "1 days after ends_on",
            tenant="tenant_id",
            person=by_pseudonym("subject"),
            subject="subject",
            columns={"key": Column(export=False), "salt": Column(export=False)},
            applied_by="gdpr.sweep_vault",
        )
        none = ("kind", "salt", "ends_on")
        pseudonym = ("id", "tenant_id", "key", "subject")
        personal = ("ciphertext",)

    def __str__(self) -> str:
        return str(self.id)


# Django finds models by this module, and these need those above.
from gdpr import access_models as access_models  # noqa: E402, PLC0414
from gdpr import consent_models as consent_models  # noqa: E402, PLC0414
from gdpr import request_models as request_models  # noqa: E402, PLC0414
from gdpr import sub_processors as sub_processors  # noqa: E402, PLC0414
