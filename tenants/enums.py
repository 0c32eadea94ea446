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
