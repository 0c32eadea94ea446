from django.db import models


class TenantStatus(models.TextChoices):
    ACTIVE = "active"
    SUSPENDED = "suspended"  # keys are refused, members read, nothing is deleted
    DELETING = "deleting"  # as suspended, until its time of grace is over; can be restored
    CLOSED = "closed"  # nobody enters; its rows wait for erasure


class Role(models.TextChoices):
    """Of a member; `tenants.rules` says what each may do."""

    OWNER = "owner"
    ADMIN = "admin"
    DEVELOPER = "developer"
    BILLING = "billing"
    VIEWER = "viewer"
    DPO = "dpo"  # data-protection officer
    AUDITOR = "auditor"  # looks, for a time that has an end


class ProviderKind(models.TextChoices):
    """How an identity provider talks."""

    OIDC = "oidc"
    SAML = "saml"


class KeyScope(models.TextChoices):
    INFERENCE = "inference"  # /v1
    MANAGE = "manage"  # /api/v1
    READ = "read"  # the same, and changes nothing
    GDPR = "gdpr"  # /gdpr: consents, exports, erasures


class RevokedFor(models.TextChoices):
    ASKED = "asked"
    LEAKED = "leaked"  # reported by somebody who has it


class EndpointStatus(models.TextChoices):
    ACTIVE = "active"
    PAUSED = "paused"  # by its owner: what happens meanwhile waits
    DISABLED = "disabled"  # by rbee: it said 410, or failed for days; nothing is kept for it


class DeliveryState(models.TextChoices):
    QUEUED = "queued"
    DELIVERED = "delivered"
    FAILED = "failed"  # for good: refused by 410, or not accepted before its deadline
