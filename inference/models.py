"""The colony's machines, what runs on them, and the scripts that decide. Hives, models and workers belong to the
operator and carry no tenant; a policy belongs to a tenant, or to the operator when its tenant is null.

Rows of hives and models outlive their removal (`removed_at`): usage events and audit entries name them.
"""

from __future__ import annotations

from django.db import models
from django.utils.timezone import now

from gdpr.holding import Held, by_actor, clear
from gdpr.ids import uuid7
from gdpr.scope import TenantManager
from inference.enums import Capability, DecisionOutcome, Engine, OnError, VersionStatus
from tenants.models import Tenant


class Hive(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7)
    name = models.CharField(max_length=63)
    region = models.CharField(max_length=64, blank=True)
    # What the operator vouches for: `inference.domain.attestations`. Without a good signature the region counts for nothing.
    region_until = models.DateTimeField(null=True)
    region_signature = models.BinaryField(default=bytes)
    labels = models.JSONField(default=dict)
    public_key = models.CharField(max_length=64)  # Ed25519 in base64; receipts are checked against it
    credential_mac = models.CharField(max_length=64, unique=True)
    credential_root = models.CharField(max_length=8, blank=True)  # under which root secret; empty: the oldest
    redis_username = models.CharField(max_length=64)
    redis_password_sealed = models.BinaryField()
    software = models.CharField(max_length=64, blank=True)
    devices = models.JSONField(
        default=list
    )  # as reported when it joined; live figures come with its heartbeat
    joined_at = models.DateTimeField(default=now)
    removed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["name"], condition=models.Q(removed_at=None), name="inference_hive_name"
            )
        ]

    class Privacy:
        held = Held("operations", "with the colony", of_operator=True)
        none = ("id", "region", "region_until", "region_signature", "public_key", "software", "devices", "joined_at",
                "removed_at", "credential_root")  # fmt: skip
        secret = ("credential_mac", "redis_username", "redis_password_sealed")
        content = ("name", "labels")

    def __str__(self) -> str:
        return self.name

    @property
    def prefix(self) -> str:
        """Of every Redis key that this hive may touch."""
        return f"h:{self.id.hex}:"


class HiveErasure(models.Model):
    """What a hive is to forget, until it says that it has. `whose`: what of a receipt tells it, in hex."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    hive = models.ForeignKey(Hive, models.CASCADE)
    request_id = models.UUIDField()  # of gdpr.DataRequest
    whose = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=now)
    done_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["hive", "request_id"], name="inference_hiveerasure_once")
        ]

    class Privacy:
        none = ("id", "hive", "created_at", "done_at")
        pseudonym = ("request_id", "whose")
        held = Held("compliance", "90 days after created_at")

    def __str__(self) -> str:
        return str(self.id)


class JoinToken(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7)
    mac = models.CharField(max_length=64, unique=True)
    region = models.CharField(max_length=64, blank=True)
    labels = models.JSONField(default=dict)
    model_names = models.JSONField(default=list)  # names of models that the hive runs from the start
    created_at = models.DateTimeField(default=now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Privacy:
        held = Held(
            "operations",
            "1 hours after expires_at",
            of_operator=True,
            applied_by="inference.sweep_join_tokens",
        )
        none = ("id", "region", "created_at", "expires_at", "used_at")
        secret = ("mac",)
        content = ("labels", "model_names")

    def __str__(self) -> str:
        return str(self.id)


class Model(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7)
    name = models.CharField(max_length=128)
    source = models.CharField(max_length=1024)
    engine = models.CharField(max_length=32, choices=Engine.choices)
    capability = models.CharField(max_length=16, choices=Capability.choices)
    context_tokens = models.PositiveIntegerField(null=True)
    options = models.JSONField(default=dict)
    published = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=now)
    removed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["name"], condition=models.Q(removed_at=None), name="inference_model_name"
            )
        ]

    class Privacy:
        held = Held("operations", "with the colony", of_operator=True)
        none = ("id", "engine", "capability", "context_tokens", "published", "created_at", "removed_at")
        content = ("name", "source", "options")

    def __str__(self) -> str:
        return self.name


class Worker(models.Model):
    """A placement: this hive is to run this model. Whether it does is in the hive's heartbeat."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    hive = models.ForeignKey(Hive, models.PROTECT, related_name="workers")
    model = models.ForeignKey(Model, models.PROTECT, related_name="workers")
    slot = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["hive", "model", "slot"], name="inference_worker_slot")
        ]

    class Privacy:
        held = Held("operations", "with the colony")
        none = ("id", "hive", "model", "slot", "created_at")

    def __str__(self) -> str:
        return str(self.id)


class Policy(models.Model):
    """One for the operator, at most one for each tenant."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    tenant = models.ForeignKey(Tenant, models.PROTECT, null=True, related_name="+")
    on_error = models.CharField(  # what a broken route_task means; only an operator sets it
        max_length=16, choices=OnError.choices, default=OnError.REFUSE
    )
    created_at = models.DateTimeField(default=now)

    objects = TenantManager["Policy"]()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant"], nulls_distinct=False, name="inference_policy_tenant")
        ]

    class Privacy:
        held = Held("policies", "with the tenant", tenant="tenant")
        none = ("on_error", "created_at")
        pseudonym = ("id", "tenant")

    def __str__(self) -> str:
        return str(self.id)


class PolicyVersion(models.Model):
    """Its source never changes. Do not set `status` directly; call `activate_version`."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    tenant = models.ForeignKey(Tenant, models.PROTECT, null=True, related_name="+")
    policy = models.ForeignKey(Policy, models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    source = models.TextField()
    rules = models.TextField(
        blank=True
    )  # the YAML that `source` was made from; empty: it was written as Rhai
    sha256 = models.CharField(max_length=64)
    comment = models.CharField(max_length=200, blank=True)
    author = models.TextField(blank=True)  # an audit actor: kind:pseudonym
    origin = models.CharField(max_length=8)  # api, file
    status = models.CharField(max_length=8, choices=VersionStatus.choices, default=VersionStatus.DRAFT)
    created_at = models.DateTimeField(default=now)
    activated_at = models.DateTimeField(null=True)
    vetted_at = models.DateTimeField(null=True)  # when it passed in a process of its own
    disabled_at = models.DateTimeField(null=True)  # when it crashed one; it is never in force again
    disabled_reason = models.CharField(max_length=200, blank=True)

    objects = TenantManager["PolicyVersion"]()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["policy", "number"], name="inference_policy_version_number"),
            models.UniqueConstraint(
                fields=["policy"],
                condition=models.Q(status=VersionStatus.ACTIVE),
                name="inference_policy_version_active",
            ),
        ]

    class Privacy:
        held = Held(
            "policies",
            "with the tenant",
            tenant="tenant",
            person=by_actor("author"),
            on_person=clear("author"),
        )
        none = ("number", "sha256", "origin", "status", "created_at", "activated_at", "vetted_at", "disabled_at",
                "disabled_reason")  # fmt: skip
        pseudonym = ("id", "tenant", "policy", "author")
        content = ("source", "rules", "comment")

    def __str__(self) -> str:
        return f"version {self.number}"


class ColonySnapshot(models.Model):
    """The workers as scripts saw them, at most some seconds before the decisions that refer to it."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    at = models.DateTimeField(default=now)
    workers = models.JSONField()  # the fields of each

    class Privacy:
        held = Held(
            "operations",
            "RBEE_DECISION_DAYS days after at",
            of_operator=True,
            applied_by="inference.sweep_decisions",
        )
        none = ("id", "at")
        content = ("workers",)

    def __str__(self) -> str:
        return str(self.id)


class Decision(models.Model):
    """Why a task went where it went, or was refused: what its scripts saw, never what was asked. Written in batches by
    `inference.domain.decision_log`, kept for a limited time, and nothing about money depends on it."""

    pk = models.CompositePrimaryKey("month", "task_id")
    month = models.DateField()  # of `task_id`: the partition
    task_id = models.UUIDField()
    tenant = models.ForeignKey(Tenant, models.DO_NOTHING, db_constraint=False, related_name="+")
    request_id = models.TextField()
    at = models.DateTimeField()
    outcome = models.TextField(choices=DecisionOutcome.choices)
    code = models.TextField()  # of the refusal; empty when it was routed
    task = models.JSONField()  # the fields that scripts saw
    customer = models.JSONField()
    operator_sha256 = models.TextField()
    tenant_sha256 = models.TextField()  # empty: the tenant has no script
    snapshot_id = models.UUIDField(null=True)
    attempts = models.JSONField()  # for each: who was offered, who left the list and why
    worker = models.TextField()  # the chosen one; empty when refused
    micros = models.IntegerField()  # that the scripts took, all attempts together

    objects = TenantManager["Decision"]()

    class Meta:
        ordering = ["-task_id"]

    class Privacy:
        held = Held(
            "inference",
            "RBEE_DECISION_DAYS days after at",
            tenant="tenant",
            subject="task__subject",
            applied_by="inference.sweep_decisions",
        )
        none = ("month", "at", "outcome", "code", "operator_sha256", "tenant_sha256", "snapshot_id", "attempts",
                "worker", "micros")  # fmt: skip
        pseudonym = ("task_id", "tenant", "request_id", "task", "customer")

    def __str__(self) -> str:
        return str(self.task_id)


# Django finds models by this module.
from inference import content_models as content_models  # noqa: E402, PLC0414
