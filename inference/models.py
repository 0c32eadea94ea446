"""The colony's machines, what runs on them, and the scripts that decide. Hives, models and workers belong to the
operator and carry no tenant; a policy belongs to a tenant, or to the operator when its tenant is null.

Rows of hives and models outlive their removal (`removed_at`): usage events and audit entries name them.
"""

from __future__ import annotations

from django.db import models
from django.utils.timezone import now

from gdpr.ids import uuid7
from gdpr.scope import TenantManager
from inference.enums import Capability, Engine, VersionStatus
from tenants.models import Tenant


class Hive(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7)
    name = models.CharField(max_length=63)
    region = models.CharField(max_length=64, blank=True)
    labels = models.JSONField(default=dict)
    public_key = models.CharField(max_length=64)  # Ed25519 in base64; receipts are checked against it
    credential_mac = models.CharField(max_length=64, unique=True)
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
        none = ("id", "region", "public_key", "software", "devices", "joined_at", "removed_at")
        secret = ("credential_mac", "redis_username", "redis_password_sealed")
        content = ("name", "labels")

    def __str__(self) -> str:
        return self.name

    @property
    def prefix(self) -> str:
        """Of every Redis key that this hive may touch."""
        return f"h:{self.id.hex}:"


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
        none = ("id", "hive", "model", "slot", "created_at")

    def __str__(self) -> str:
        return str(self.id)


class Policy(models.Model):
    """One for the operator, at most one for each tenant."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    tenant = models.ForeignKey(Tenant, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(default=now)

    objects = TenantManager["Policy"]()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant"], nulls_distinct=False, name="inference_policy_tenant")
        ]

    class Privacy:
        none = ("created_at",)
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
    sha256 = models.CharField(max_length=64)
    origin = models.CharField(max_length=8)  # api, file
    status = models.CharField(max_length=8, choices=VersionStatus.choices, default=VersionStatus.DRAFT)
    created_at = models.DateTimeField(default=now)
    activated_at = models.DateTimeField(null=True)

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
        none = ("number", "sha256", "origin", "status", "created_at", "activated_at")
        pseudonym = ("id", "tenant", "policy")
        content = ("source",)

    def __str__(self) -> str:
        return f"version {self.number}"
