from django.db import models


class TenantStatus(models.TextChoices):
    ACTIVE = "active"
    SUSPENDED = "suspended"  # keys are refused, nothing is deleted


class Role(models.TextChoices):
    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


class KeyScope(models.TextChoices):
    INFERENCE = "inference"  # /v1
    MANAGE = "manage"  # /api/v1


class EndpointStatus(models.TextChoices):
    ACTIVE = "active"
    PAUSED = "paused"  # by its owner: what happens meanwhile waits
    DISABLED = "disabled"  # by rbee: it said 410, or failed for days; nothing is kept for it


class DeliveryState(models.TextChoices):
    QUEUED = "queued"
    DELIVERED = "delivered"
    FAILED = "failed"  # for good: refused by 410, or not accepted before its deadline
