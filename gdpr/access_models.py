"""Who was shown the audit log, what of it is kept where, and breaches. Of the colony: no tenant sees these rows."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from gdpr.holding import KEEP_EVIDENCE, Held, by_actor
from gdpr.ids import uuid7
from gdpr.models import AppendOnly


class LogForward(models.Model):
    """How far the log was forwarded to a receiver, as that confirmed it. Written by `gdpr.domain.siem` only."""

    receiver = models.CharField(primary_key=True, max_length=100)  # a keyed hash of its URL
    next_seq = models.BigIntegerField(default=0)
    forwarded_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)  # since when it does not take them

    class Privacy:
        held = Held("audit", "with the colony")
        none = ("receiver", "next_seq", "forwarded_at", "failed_at")

    def __str__(self) -> str:
        return f"{self.receiver} from {self.next_seq}"


class ArchivedMonth(models.Model):
    """A month of the audit log that was written once to files. Written by `gdpr.domain.audit_archive` only."""

    month = models.DateField(primary_key=True)
    entries = models.PositiveBigIntegerField()
    first_seq = models.BigIntegerField(null=True)  # null: it has none
    last_seq = models.BigIntegerField(null=True)
    manifest_sha256 = models.BinaryField(max_length=32)
    archived_at = models.DateTimeField(default=timezone.now)
    dropped_at = models.DateTimeField(null=True)
    minimum_index = models.BigIntegerField(
        null=True
    )  # of the log, since it was dropped: below it nothing is left

    class Meta:
        ordering = ["-month"]

    class Privacy:
        held = Held("audit", "with the colony")
        none = (
            "month", "entries", "first_seq", "last_seq", "manifest_sha256", "archived_at", "dropped_at",
            "minimum_index",
        )  # fmt: skip

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}"


class Breach(models.Model):
    """A breach of personal data (Art. 33): from when the operator knows of it the clock runs. Written by
    `inference.domain.breaches` only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    title = models.CharField(max_length=200)
    aware_at = models.DateTimeField()
    window_begins_at = models.DateTimeField()  # when data was exposed, as far as is known
    window_ends_at = models.DateTimeField()
    opened_by = models.TextField()  # as audit entries name it
    opened_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True)
    notified_at = models.DateTimeField(null=True)  # the authority; null: not, for the reason in `conclusion`
    conclusion = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]

    class Privacy:
        held = Held("compliance", "with the colony", person=by_actor("opened_by"), on_person=KEEP_EVIDENCE)
        none = ("aware_at", "window_begins_at", "window_ends_at", "opened_at", "closed_at", "notified_at")
        pseudonym = ("id", "opened_by")
        content = ("title", "conclusion")

    def __str__(self) -> str:
        return str(self.id)


class BreachFact(AppendOnly):
    """What was known of a breach, and when: gathered by rbee in `data`, or told by somebody in `text`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    breach = models.ForeignKey(Breach, on_delete=models.PROTECT)
    at = models.DateTimeField(default=timezone.now)
    actor = models.TextField()  # as audit entries name it
    text = models.TextField(blank=True)
    data = models.JSONField(default=dict)  # identifiers and quantities

    class Meta:
        ordering = ["id"]

    class Privacy:
        held = Held("compliance", "with the colony", person=by_actor("actor"), on_person=KEEP_EVIDENCE)
        none = ("at",)
        pseudonym = ("id", "breach", "actor", "data")
        content = ("text",)

    def __str__(self) -> str:
        return str(self.id)
