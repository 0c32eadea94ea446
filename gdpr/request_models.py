"""Exports, erasures and imports of personal data: work that outlives a connection. The row is the truth, a Celery message
only a hint."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from gdpr.holding import KEEP_EVIDENCE, Held, Identity, Whose, by_actor
from gdpr.ids import uuid7
from gdpr.scope import TenantManager


class RequestKind(models.TextChoices):
    EXPORT = "export"
    ERASURE = "erasure"
    IMPORT = "import"


class RequestState(models.TextChoices):
    """An export and an import: queued, running, ready (done, for an import), expired. An erasure: grace, frozen, erasing,
    verifying, erased; or cancelled, while in grace. Either: failed, after three attempts, until somebody retries it."""

    QUEUED = "queued"
    RUNNING = "running"
    READY = "ready"
    EXPIRED = "expired"
    GRACE = "grace"  # can be cancelled
    FROZEN = "frozen"  # Art. 18: nothing of it is processed any more
    ERASING = "erasing"
    VERIFYING = "verifying"
    ERASED = "erased"
    CANCELLED = "cancelled"
    FAILED = "failed"


STANDING = (RequestState.QUEUED, RequestState.GRACE)  # not begun
WORKED = (RequestState.RUNNING, RequestState.FROZEN, RequestState.ERASING, RequestState.VERIFYING)
OPEN = (*STANDING, *WORKED)
# Of an erasure: what it is about is not processed any more, and not yet gone. One that failed is frozen if it was then.
FROZEN = (RequestState.FROZEN, RequestState.ERASING, RequestState.VERIFYING)
OVER = (
    RequestState.READY,
    RequestState.EXPIRED,
    RequestState.ERASED,
    RequestState.CANCELLED,
    RequestState.FAILED,
)


class DataRequest(models.Model):
    """Written by `gdpr.domain.requests` and what it calls, and by nobody else. Whoever works on it holds `lease_until`,
    and writes under its `fence`: a lease that ran out is anybody's, and the write of who held it before is refused.

    Names nobody but by pseudonym: what a verification has to look for is in `needles_sealed`, and only until it is over.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=8, choices=RequestKind)
    whose = models.CharField(max_length=8, choices=[(each.value, each.value) for each in Whose])
    tenant_id = models.UUIDField(null=True)  # null: of a person
    person_id = models.UUIDField(null=True)
    subject = models.CharField(max_length=64, blank=True)  # pseudonym
    state = models.CharField(max_length=10, choices=RequestState)
    step = models.CharField(max_length=40, blank=True)  # what is worked on, or was when it failed
    format = models.CharField(max_length=4, blank=True)  # of an export: json, csv, both when empty
    progress = models.JSONField(default=dict)  # where the next attempt goes on, and what is done
    result = models.JSONField(default=dict)  # of an export its file, of an erasure the certificate
    needles_sealed = models.BinaryField(default=bytes)
    requested_by = models.TextField()  # as audit entries name them
    requested_at = models.DateTimeField(default=timezone.now)
    grace_until = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)  # of an export: when its file goes
    next_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveSmallIntegerField(default=0)  # at this step
    fence = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    error = models.CharField(max_length=200, blank=True)  # the type of what went wrong, never its words

    objects = TenantManager["DataRequest"]()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["whose", "tenant_id", "person_id", "subject"],
                condition=models.Q(kind=RequestKind.ERASURE, state__in=[*OPEN, RequestState.FAILED]),
                nulls_distinct=False,
                name="gdpr_datarequest_erasure",  # one at a time of the same
            )
        ]
        indexes = [
            models.Index(fields=["next_at"], condition=models.Q(state__in=OPEN), name="gdpr_datarequest_due")
        ]

    class Privacy:
        none = ("kind", "whose", "state", "step", "format", "progress", "requested_at", "grace_until", "ended_at",
                "expires_at", "next_at", "attempts", "fence", "lease_until", "error")  # fmt: skip
        pseudonym = ("id", "tenant_id", "person_id", "subject", "result", "requested_by")
        secret = ("needles_sealed",)
        held = Held(
            "compliance",
            "7 calendar years after requested_at",
            tenant="tenant_id",
            person=("person_id", by_actor("requested_by")),
            subject="subject",
            on_tenant=KEEP_EVIDENCE,
            on_person=KEEP_EVIDENCE,
            on_subject=KEEP_EVIDENCE,
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    @property
    def identity(self) -> Identity:
        """Without a person's addresses: `gdpr.domain.erasure` finds those while they are there."""
        return Identity(Whose(self.whose), id=self.person_id, tenant_id=self.tenant_id, subject=self.subject)
