from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.crypto import salted_hmac

from gdpr.activities import EVIDENCE, UNNAMED
from gdpr.holding import KEEP_EVIDENCE, Column, Held, by_actor, by_email, clear, pseudonymise
from gdpr.ids import uuid7
from gdpr.scope import TenantManager
from tenants.enums import (
    DeliveryState,
    EndpointStatus,
    KeyScope,
    ProviderKind,
    RevokedFor,
    Role,
    TenantStatus,
)


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, **{"is_staff": True, "is_superuser": True, **fields})

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=(username or "").strip().lower())


class User(AbstractBaseUser, PermissionsMixin):
    """A person with an account. Belongs to no tenant: `Member` says where they may do what."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(max_length=254, unique=True)  # in lower case
    name = models.CharField(max_length=200, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = []

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(email=Lower("email")), name="tenants_user_email_lower")
        ]

    class Privacy:
        held = Held(
            "accounts", "with the person", person="id", columns={"last_login": Column(activity="security")}
        )
        none = ("is_active", "is_staff", "is_superuser", "created_at")
        pseudonym = ("id",)
        personal = ("email", "name", "last_login")
        secret = ("password",)

    def __str__(self) -> str:
        return str(self.id)

    def get_session_auth_hash(self) -> str:
        """Of the password alone. Were it made by the root secret too, Django would give a session another name when that
        is replaced, and log out whoever is not a browser. It lies beside the password, so a key would protect nothing."""
        return salted_hmac("rbee.sessions", self.password, secret="", algorithm="sha256").hexdigest()


class Plan(models.Model):
    """What a tenant may use. A limit that is null is no limit."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    tier = models.CharField(max_length=50)  # what scripts compare: free, pro, enterprise
    requests_per_minute = models.PositiveIntegerField(null=True)
    tokens_per_minute = models.PositiveIntegerField(null=True)
    tokens_per_day = models.PositiveBigIntegerField(null=True)
    concurrent_tasks = models.PositiveIntegerField(null=True)
    limits = models.JSONField(default=dict)  # the others, as a tenant's
    allowed_models = ArrayField(models.CharField(max_length=128), default=list)  # globs; empty: all
    gpu_classes = ArrayField(models.CharField(max_length=50), default=list)  # gpu_type; empty: all
    region = models.CharField(max_length=50, blank=True)  # where a tenant names none itself
    required_consents = ArrayField(models.CharField(max_length=64), default=list)  # purposes

    class Privacy:
        held = Held("operations", "with the colony")
        none = ("id", "slug", "name", "tier", "requests_per_minute", "tokens_per_minute", "tokens_per_day",
                "concurrent_tasks", "limits", "allowed_models", "gpu_classes", "region", "required_consents")  # fmt: skip

    def __str__(self) -> str:
        return self.slug


class Tenant(models.Model):
    """A customer organisation; scripts call it `customer`. A limit that is null is the plan's."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT)
    status = models.CharField(max_length=20, choices=TenantStatus, default=TenantStatus.ACTIVE)
    region = models.CharField(max_length=50, blank=True)  # tasks run in this region only; empty: in any
    industry = models.CharField(max_length=100, blank=True)
    # Purposes without consent to which nothing runs: of the tenant (null: the plan's), and of each of its end users.
    required_consents = ArrayField(models.CharField(max_length=64), null=True)
    subject_consents = ArrayField(models.CharField(max_length=64), default=list)
    requests_per_minute = models.PositiveIntegerField(null=True)
    tokens_per_minute = models.PositiveIntegerField(null=True)
    tokens_per_day = models.PositiveBigIntegerField(null=True)
    concurrent_tasks = models.PositiveIntegerField(null=True)
    limits = models.JSONField(default=dict)  # the others: `tenants.domain.limits` has the shape
    subject_limits = models.JSONField(default=dict)  # of each of its end users
    allowed_models = ArrayField(models.CharField(max_length=128), null=True)  # null: the plan's
    gpu_classes = ArrayField(models.CharField(max_length=50), null=True)
    # For how long prompts and outputs are kept: `inference.domain.content_retention`. 0: they are not.
    content_days = models.PositiveSmallIntegerField(default=0)
    suspended_at = models.DateTimeField(null=True)  # kept through a deletion that is taken back
    deletes_at = models.DateTimeField(null=True)  # while deleting: until when it can be restored
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantManager["Tenant"](tenant_field="id")

    class Privacy:
        held = Held(
            "tenancy", "with the tenant", tenant="id", on_tenant=pseudonymise("slug", "name", law=UNNAMED)
        )
        none = ("plan", "status", "region", "industry", "required_consents", "subject_consents", "requests_per_minute",
                "tokens_per_minute", "tokens_per_day", "concurrent_tasks", "limits", "subject_limits",
                "allowed_models", "gpu_classes", "content_days", "suspended_at", "deletes_at", "created_at")  # fmt: skip
        pseudonym = ("id",)
        personal = ("slug", "name")

    def __str__(self) -> str:
        return self.slug


class Project(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    slug = models.SlugField()
    name = models.CharField(max_length=200)
    limits = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)
    archived_at = models.DateTimeField(null=True)

    objects = TenantManager["Project"]()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "slug"], name="tenants_project_slug")]

    class Privacy:
        held = Held(
            "tenancy", "with the tenant", tenant="tenant", on_tenant=pseudonymise("slug", "name", law=UNNAMED)
        )
        none = ("limits", "created_at", "archived_at")
        pseudonym = ("id", "tenant")
        content = ("slug", "name")

    def __str__(self) -> str:
        return self.slug


class Member(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    user = models.ForeignKey(User, on_delete=models.CASCADE)
    role = models.CharField(max_length=20, choices=Role, default=Role.VIEWER)
    created_at = models.DateTimeField(default=timezone.now)
    ends_at = models.DateTimeField(null=True)  # of an auditor: let in no more from then on

    objects = TenantManager["Member"]()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "user"], name="tenants_member_user"),
            models.UniqueConstraint(
                fields=["tenant"], condition=models.Q(role=Role.OWNER), name="tenants_member_owner"
            ),
            models.CheckConstraint(
                condition=models.Q(role=Role.AUDITOR, ends_at__isnull=False)
                | (~models.Q(role=Role.AUDITOR) & models.Q(ends_at=None)),
                name="tenants_member_auditor_ends",
            ),
        ]

    class Privacy:
        held = Held("tenancy", "with the tenant", tenant="tenant", person="user")
        none = ("role", "created_at", "ends_at")
        pseudonym = ("id", "tenant", "user")

    def __str__(self) -> str:
        return f"{self.role} {self.user_id}"


class CheckpointMail(models.Model):
    """Who is mailed the audit log's checkpoint of the day."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    member = models.OneToOneField(
        Member, on_delete=models.CASCADE, db_constraint=False
    )  # composite, by migration
    created_at = models.DateTimeField(default=timezone.now)
    mailed_at = models.DateTimeField(null=True)  # today
    mailing_until = models.DateTimeField(null=True)  # whoever sends it may take so long

    objects = TenantManager["CheckpointMail"]()

    class Meta:
        ordering = ["-id"]

    class Privacy:
        held = Held("audit", "with its member", tenant="tenant", person="member__user")
        none = ("created_at", "mailed_at", "mailing_until")
        pseudonym = ("id", "tenant", "member")

    def __str__(self) -> str:
        return str(self.member_id)


class Invitation(models.Model):
    """Its token is not kept: it is an HMAC of the identifier and the salt, see `tenants.domain.invitations`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    email = models.EmailField(max_length=254)  # in lower case
    role = models.CharField(max_length=20, choices=Role)
    salt = models.BinaryField(max_length=16)
    invited_by = models.TextField()  # as audit entries name it
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    mailed_at = models.DateTimeField(null=True)
    mailing_until = models.DateTimeField(null=True)  # whoever sends it may take so long
    accepted_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True)  # of the member that it makes

    objects = TenantManager["Invitation"]()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "email"],
                condition=models.Q(accepted_at=None, revoked_at=None),
                name="tenants_invitation_open",
            )
        ]

    class Privacy:
        held = Held(
            "tenancy",
            "30 days after expires_at",
            tenant="tenant",
            person=by_email("email"),
        )
        none = (
            "role", "created_at", "expires_at", "mailed_at", "mailing_until", "accepted_at", "revoked_at", "ends_at"
        )  # fmt: skip
        pseudonym = ("id", "tenant", "invited_by")
        personal = ("email",)
        secret = ("salt",)

    def __str__(self) -> str:
        return str(self.id)


class Impersonation(models.Model):
    """The operator in a tenant's place: for a while, with a reason, seen by the tenant."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    operator = models.TextField()  # as audit entries name it
    reason = models.TextField()
    writes = models.BooleanField(default=False)
    mac = models.BinaryField(max_length=32)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    requests = models.PositiveIntegerField(default=0)

    objects = TenantManager["Impersonation"]()

    class Meta:
        ordering = ["-id"]

    class Privacy:
        held = Held(
            "security",
            "7 calendar years after created_at",
            tenant="tenant",
            person=by_actor("operator"),
            on_tenant=clear("reason", law=EVIDENCE),
            on_person=KEEP_EVIDENCE,
        )
        none = ("writes", "created_at", "expires_at", "ended_at", "requests")
        pseudonym = ("id", "tenant", "operator")
        secret = ("mac",)
        content = ("reason",)

    def __str__(self) -> str:
        return str(self.id)


class IdentityProvider(models.Model):
    """Where the people of a tenant log in. Set by the operator, who vouches for the domains: an address in one of them is
    the provider's to speak for."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.OneToOneField(Tenant, on_delete=models.PROTECT)
    kind = models.CharField(max_length=8, choices=ProviderKind, default=ProviderKind.OIDC)
    issuer = models.CharField(max_length=500)  # its URL, or its entity id
    client_id = models.CharField(max_length=191, blank=True)  # of OpenID Connect
    secret_sealed = models.BinaryField(default=bytes)
    sso_url = models.CharField(max_length=500, blank=True)  # of SAML
    certificate = models.TextField(blank=True)  # of SAML: what its assertions are checked by
    domains = ArrayField(models.CharField(max_length=253))
    default_role = models.CharField(max_length=20, choices=Role, default=Role.VIEWER)  # of whom it brings
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantManager["IdentityProvider"]()

    class Privacy:
        held = Held("accounts", "with the tenant", tenant="tenant")
        none = ("kind", "default_role", "created_at")
        pseudonym = ("id", "tenant")
        secret = ("secret_sealed",)
        content = ("issuer", "client_id", "sso_url", "certificate", "domains")

    def __str__(self) -> str:
        return self.issuer


class ApiKey(models.Model):
    """A credential of a project. Written by `tenants.domain.keys` only; its secret is not in here.

    `mac` is HMAC-SHA256 of the whole value under a derived pepper, and what a key is found by: by its `kid` it would be
    found faster or slower depending on whether there is one of that name. `old_*` are of the value that was rotated out,
    which is good until `old_until`; `old_kid` is empty when it was ended before.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    project = models.ForeignKey(
        Project, on_delete=models.PROTECT, db_constraint=False
    )  # composite, by migration
    kid = models.CharField(max_length=16, unique=True)
    mac = models.BinaryField(max_length=32, unique=True)
    mac_root = models.CharField(max_length=8, blank=True)  # under which root secret; empty: under the oldest
    last4 = models.CharField(max_length=4)
    name = models.CharField(max_length=200)
    scopes = ArrayField(models.CharField(max_length=20, choices=KeyScope))
    brought_along = models.BooleanField(default=False)
    allowed_models = ArrayField(models.CharField(max_length=128), default=list)  # globs; empty: the tenant's
    allowed_ips = ArrayField(models.CharField(max_length=43), default=list)  # networks; empty: any
    limits = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(null=True)  # to the minute: `tenants.domain.key_use`
    expires_at = models.DateTimeField(null=True)
    expiry_told_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    revoked_for = models.CharField(max_length=16, choices=RevokedFor, blank=True)
    rotated_at = models.DateTimeField(null=True)
    old_kid = models.CharField(max_length=16, null=True, unique=True)  # noqa: DJ001 -- many have none
    old_mac = models.BinaryField(max_length=32, null=True, unique=True)
    old_mac_root = models.CharField(max_length=8, blank=True)
    old_last4 = models.CharField(max_length=4, blank=True)
    old_until = models.DateTimeField(null=True)
    old_last_used_at = models.DateTimeField(null=True)

    objects = TenantManager["ApiKey"]()

    class Meta:
        ordering = ["-id"]

    class Privacy:
        held = Held(
            "security",
            "with the tenant",
            tenant="tenant",
            on_tenant=clear("name", "allowed_ips", law=UNNAMED),
        )
        none = ("scopes", "brought_along", "allowed_models", "limits", "created_at", "last_used_at", "expires_at",
                "expiry_told_at", "revoked_at", "revoked_for", "rotated_at", "old_until", "old_last_used_at", "mac_root",
                "old_mac_root")  # fmt: skip
        pseudonym = ("id", "tenant", "project", "kid", "old_kid")
        personal = ("allowed_ips",)
        secret = ("mac", "last4", "old_mac", "old_last4")
        content = ("name",)

    def __str__(self) -> str:
        return self.kid

    def is_usable(self, at: datetime | None = None) -> bool:
        at = at or timezone.now()
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > at)


class KeptAnswer(models.Model):
    """What a POST with an Idempotency-Key was answered. Written by `tenants.domain.repeats` only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    request_sha256 = models.BinaryField(max_length=32)  # keyed; of who asked, where, and under which key
    body_sha256 = models.BinaryField(max_length=32)
    status = models.PositiveSmallIntegerField(default=0)
    answer_sealed = models.BinaryField(default=bytes)  # it names people, and has no secret
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantManager["KeptAnswer"]()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "request_sha256"], name="tenants_keptanswer_request")
        ]

    class Privacy:
        held = Held(
            "tenancy",
            "24 hours after created_at",
            tenant="tenant",
            export=False,
            applied_by="tenants.forget_answers",
        )
        none = ("status", "created_at")
        pseudonym = ("id", "tenant", "request_sha256", "body_sha256")
        secret = ("answer_sealed",)

    def __str__(self) -> str:
        return str(self.id)


class Alert(models.Model):
    """Something that its owner has to see to: the tenant's, or the operator's when its tenant is null. What happens
    again while it is open is counted, not repeated. Raised by `tenants.domain.alerts` only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, null=True)
    kind = models.SlugField()  # policy_error
    object_ref = models.TextField()  # what it is about, as audit entries name it
    message = models.TextField()
    count = models.PositiveBigIntegerField(default=1)
    first_at = models.DateTimeField(default=timezone.now)
    last_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True)
    mailed_at = models.DateTimeField(null=True)
    mailing_until = models.DateTimeField(null=True)  # whoever sends it may take so long

    objects = TenantManager["Alert"]()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "kind", "object_ref"],
                condition=models.Q(closed_at=None),
                nulls_distinct=False,
                name="tenants_alert_open",
            )
        ]

    class Privacy:
        held = Held("notices", "90 days after closed_at", tenant="tenant")
        none = ("kind", "count", "first_at", "last_at", "closed_at", "mailed_at", "mailing_until")
        pseudonym = ("id", "tenant", "object_ref")
        content = ("message",)

    def __str__(self) -> str:
        return f"{self.kind} {self.object_ref}"


class WebhookEndpoint(models.Model):
    """A URL that is told of events: the tenant's own, or of all tenants when it is the operator's, whose tenant is null.
    Written by `tenants.domain.webhooks` and `tenants.domain.deliveries` only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, null=True)
    url = models.TextField()
    description = models.CharField(max_length=200, blank=True)
    events = ArrayField(models.CharField(max_length=64))  # names, key.*, or *
    status = models.CharField(max_length=16, choices=EndpointStatus, default=EndpointStatus.ACTIVE)
    disabled_reason = models.CharField(max_length=16, blank=True)  # gone, failing
    failing_since = models.DateTimeField(null=True)  # of the first failure that no success followed
    max_in_flight = models.PositiveSmallIntegerField(default=4)
    keeps_responses = models.BooleanField(default=False)
    secret_sealed = models.BinaryField()
    old_secret_sealed = models.BinaryField(null=True)  # signs too, until `old_secret_until`
    old_secret_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantManager["WebhookEndpoint"]()

    class Meta:
        ordering = ["-id"]

    class Privacy:
        held = Held("notices", "with the tenant", tenant="tenant")
        none = ("events", "status", "disabled_reason", "failing_since", "max_in_flight", "keeps_responses",
                "old_secret_until", "created_at")  # fmt: skip
        pseudonym = ("id", "tenant")
        secret = ("secret_sealed", "old_secret_sealed")
        content = ("url", "description")

    def __str__(self) -> str:
        return str(self.id)


class WebhookEvent(models.Model):
    """The outbox: what happened, written in the transaction in which it did. `data` holds identifiers and quantities."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, null=True)
    type = models.CharField(max_length=64)
    version = models.SmallIntegerField()
    data = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)
    spread_at = models.DateTimeField(null=True)  # when each endpoint that wants it got its delivery

    objects = TenantManager["WebhookEvent"]()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["id"], condition=models.Q(spread_at=None), name="tenants_webhookevent_unspread"
            ),
            models.Index(fields=["tenant", "created_at"], name="tenants_webhookevent_time"),
        ]

    class Privacy:
        held = Held(
            "notices", "30 days after created_at", tenant="tenant", applied_by="tenants.sweep_webhooks"
        )
        none = ("type", "version", "created_at", "spread_at")
        pseudonym = ("id", "tenant", "data")

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


class WebhookDelivery(models.Model):
    """One event on its way to one endpoint. Whoever sends it holds `lease_until`, and writes what came of it under its
    `fence`; a lease that ran out is anybody's. `tenant` is the endpoint's."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, null=True)
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE)
    event = models.ForeignKey(WebhookEvent, on_delete=models.CASCADE)
    state = models.CharField(max_length=16, choices=DeliveryState, default=DeliveryState.QUEUED)
    attempt = models.PositiveSmallIntegerField(default=0)  # how many ended, since it was queued or replayed
    fence = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    deadline_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)
    log = models.JSONField(default=list)  # of each attempt: at, status, latency_ms, error
    response = models.TextField(blank=True)  # the last one's beginning, where the endpoint keeps responses

    objects = TenantManager["WebhookDelivery"]()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "event"], name="tenants_webhookdelivery_once")
        ]
        indexes = [
            models.Index(
                fields=["endpoint", "next_at"],
                condition=models.Q(state=DeliveryState.QUEUED),
                name="tenants_webhookdelivery_due",
            )
        ]

    class Privacy:
        held = Held("notices", "with its event", tenant="tenant", applied_by="tenants.sweep_webhooks")
        none = (
            "state",
            "attempt",
            "fence",
            "next_at",
            "deadline_at",
            "lease_until",
            "created_at",
            "ended_at",
            "log",
        )
        pseudonym = ("id", "tenant", "endpoint", "event")
        content = ("response",)

    def __str__(self) -> str:
        return f"{self.event_id} to {self.endpoint_id}"
