"""A tenant with a row in every table of tenants and a marker in every field, so that whatever of it is seen where it
should not be is recognized.

A table or a column that a world knows nothing of is named by `unmarked`, and fails the build.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from allauth.account.models import EmailAddress
from django.apps import apps
from django.db import models
from django.utils import timezone

from billing.models import (
    AttemptFence,
    Balance,
    BillingAccount,
    BudgetSlice,
    Invoice,
    InvoiceLine,
    LedgerTransfer,
    Payment,
    Price,
    TenantDiscount,
    UsageEvent,
)
from billing.reconciliation_models import Difference, Reconciliation
from billing.stripe_models import (
    AutoRecharge,
    ConnectedAccount,
    Reversal,
    StripeCustomer,
    StripeRequest,
    StripeSubscription,
)
from gdpr.consent_models import Consent, ConsentText
from gdpr.domain import vault
from gdpr.ids import month_of, uuid7
from gdpr.models import AuditEntry
from gdpr.pseudonyms import subject_pseudonym
from gdpr.request_models import DataRequest
from gdpr.scope import colony_tx, tenant_tx
from gdpr.secrets import seal
from gdpr.sub_processors import SubProcessor, SubProcessorObjection
from inference.domain.kept_content import Gathered, write_content
from inference.models import Decision, Policy, PolicyVersion
from inference.rest.organization.base import (
    ENTRY,
    INVITE,
    KEY,
    PROJECT,
    SERVICE_ACCOUNT,
    USER,
    shown_id,
)
from tenants.domain.impersonation import begin_impersonation
from tenants.domain.keys import rotate_api_key
from tenants.enums import Role
from tenants.models import (
    Alert,
    ApiKey,
    CheckpointMail,
    IdentityProvider,
    Impersonation,
    Invitation,
    KeptAnswer,
    Member,
    Project,
    Tenant,
    User,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
)
from tests.factories.billing import make_price
from tests.factories.tenants import (
    TESTER,
    make_key,
    make_member,
    make_plan,
    make_project,
    make_tenant,
    make_user,
)

# What has no room for a marker, or holds one of a few values that the program itself chooses.
TOO_SMALL: Final = {
    "ApiKey": {"last4", "old_last4", "scopes", "mac_root", "old_mac_root"},
    "AttemptFence": {"lowest_valid_attempt"},
    "AuditEntry": {"schema_version", "seq"},
    "DataRequest": {"format", "attempts", "fence"},
    "Balance": {"currency"},
    "BillingAccount": {"currency", "country", "vat_id"},
    "BudgetSlice": {"currency"},
    "Impersonation": {"requests"},
    "Invoice": {"currency", "tax_country"},
    "LedgerTransfer": {"kind", "currency"},
    "Reversal": {"currency"},
    "StripeRequest": {"operation"},
    "Policy": {"on_error"},
    "KeptAnswer": {"status"},
    "Payment": {"currency", "tax_country"},
    "PolicyVersion": {"number", "origin"},
    "SubjectKey": {"wrapped_by"},
    "Tenant": {"content_days"},
    "TenantDiscount": {"discount_bp"},
    "UsageEvent": {"attempt", "currency"},
    "VaultItem": {"kind"},
    "WebhookDelivery": {"attempt", "fence"},
    "WebhookEndpoint": {"events", "max_in_flight", "disabled_reason"},
    "WebhookEvent": {"version"},
}
MARKABLE = (
    models.TextField, models.CharField, models.JSONField, models.BinaryField, models.IntegerField,
)  # fmt: skip


@dataclass
class World:
    """`names` fills the placeholders of the matrix: where an object is found, by each of its names."""

    mark: str
    tenant: Tenant
    project: Project
    people: dict[str, User]
    names: dict[str, str]
    secrets: dict[str, str] = field(default_factory=dict)  # of its keys and visits, by what they are
    markers: frozenset[bytes] = frozenset()


def make_world(*, people: bool = True) -> World:
    mark = f"mk{secrets.token_hex(8)}"
    tenant = make_tenant(
        slug=f"{mark}t", name=f"{mark} name", region=f"{mark}-region", industry=f"{mark} industry", plan=make_plan(),
        requests_per_minute=number(31), tokens_per_minute=number(31), tokens_per_day=number(53),
        concurrent_tasks=number(31), limits=limits(), subject_limits=limits(), allowed_models=[f"{mark}*"],
        gpu_classes=[mark], content_days=30,
    )  # fmt: skip
    project = make_project(tenant, slug=f"{mark}p", name=f"{mark} project", limits=limits())
    make_project(tenant)  # so that the other one is not the last
    world = World(mark, tenant, project, {}, {})
    if people:
        for role in Role.values:
            user = make_user(email=f"{mark}.{role}@example.org", name=f"{mark} {role}", password=PASSWORD)
            make_member(tenant, role, user=user)
            world.people[role] = user
    with colony_tx("a world of the tests"):
        world.names = {
            **_keys(world),
            **_people(world),
            **_webhooks(world),
            **_policies(world),
            **_books(world),
            **_invoices(world),
            **_stripe(world),
            **_data_requests(world),
        }
        vault.keep(tenant.id, mark, "reason", mark.encode())
        alert = Alert.objects.create(
            tenant=tenant, kind=mark, object_ref=f"policy:{mark}", message=f"{mark} broke", count=number(53)
        )
        firm = SubProcessor.objects.create(
            name="a firm",
            purpose="x",
            country="DE",
            categories="x",
            in_force_at=timezone.now() + timedelta(days=30),
        )
        SubProcessorObjection.objects.create(
            tenant_id=tenant.id, sub_processor=firm, reason=f"{mark} objects"
        )
        KeptAnswer.objects.create(
            tenant=tenant, request_sha256=secrets.token_bytes(32), body_sha256=secrets.token_bytes(32),
            answer_sealed=seal(f'"{mark}"', "kept-answer"), status=201,
        )  # fmt: skip
        _consents(world)
    _content(world)
    world.names |= {
        "sub_processor": str(firm.id),
        "tenant": tenant.slug, "tenant_id": str(tenant.id), "project": project.slug, "project_id": str(project.id),
        "alert": str(alert.id), "purpose": mark, "subject": f"{mark} end user",
        "pseudonym": subject_pseudonym(tenant.id.hex, f"{mark} end user"), **_organization(world),
    }  # fmt: skip
    world.markers = frozenset(_markers(world))
    return world


PASSWORD = "correct horse battery"


def number(bits: int) -> int:
    """That nobody guesses, or counts to by chance."""
    return secrets.randbelow(2 ** (bits - 1)) + 2 ** (bits - 1) - 1


def limits() -> dict[str, Any]:
    return {"requests_per_minute": number(31), "quantities": {"tokens": {"day": number(53)}}}


def absent_names(like: World) -> dict[str, str]:
    """As long and of the same shape, and of nothing."""
    made: dict[str, str] = {}
    for name, value in like.names.items():
        if name in ("kid", "pseudonym"):
            made[name] = secrets.token_hex(len(value))[: len(value)]
        elif re.fullmatch("[a-z_-]+[_-][0-9a-f]{32}", value):
            # Of the same version and variant, and between the same rows of others.
            made[name] = f"{value[:-19]}{secrets.token_hex(2)[1:]}8{secrets.token_hex(8)[1:]}"
        elif name == "cursor":
            made[name] = value[:11] + secrets.token_hex(6)[:11]  # between the same rows of others
        elif like.mark in value:
            made[name] = value.replace(like.mark, f"mk{secrets.token_hex(8)}")
        elif name == "invitation_token":
            made[name] = value.replace(value.split("_")[2], uuid7().hex)
        else:
            made[name] = str(uuid7())
    return made


def unmarked(world: World) -> list[str]:
    """Tables without a row, and columns without a marker."""
    missing = []
    for model in tenant_models():
        rows = list(rows_of(model, world.tenant))
        if not rows:
            missing.append(f"{model._meta.label}: no row")
            continue
        for column in model._meta.concrete_fields:
            if (
                not isinstance(column, MARKABLE)
                or column.choices
                or column.name in TOO_SMALL.get(model.__name__, ())
            ):
                continue
            if not any(_has_marker(row[column.attname], world) for row in rows):
                missing.append(f"{model._meta.label}.{column.name}: no marker")
    return missing


def tenant_models() -> list[type[models.Model]]:
    """All that have a column tenant_id, and the tenant itself."""
    return [
        model
        for model in apps.get_models(include_auto_created=True)
        if model is Tenant or any(column.column == "tenant_id" for column in model._meta.concrete_fields)
    ]


def rows_of(model: type[models.Model], tenant: Tenant) -> Iterator[dict[str, Any]]:
    column = "id" if model is Tenant else "tenant_id"
    with colony_tx("rows of a world"):
        yield from model._base_manager.filter(**{column: tenant.id}).values()


def cursor_of(row_id: UUID) -> str:
    return base64.urlsafe_b64encode(row_id.bytes).decode().rstrip("=")


def _keys(world: World) -> dict[str, str]:
    yesterday = timezone.now() - timedelta(days=1)
    made = {}
    for kind, scopes in {
        "manage": ["manage"],
        "inference": ["inference"],
        "both": ["inference", "manage"],
        "gdpr": ["gdpr"],
    }.items():
        made[kind], world.secrets[kind] = make_key(world.project, name=f"{world.mark} {kind}", scopes=scopes)
    brought, world.secrets["brought"] = make_key(
        world.project, name=f"{world.mark} brought", value=f"{world.mark}-brought-along", scopes=["manage"]
    )
    for kind in ("revoked", "expired"):
        made[kind], world.secrets[kind] = make_key(
            world.project, name=f"{world.mark} {kind}", scopes=["inference", "manage"]
        )
    ApiKey.objects.filter(id=made["manage"].id).update(limits=limits())
    made["both"], world.secrets["both"] = rotate_api_key(made["both"], actor=TESTER)
    ApiKey.objects.filter(id=made["revoked"].id).update(revoked_at=yesterday)
    ApiKey.objects.filter(id=made["expired"].id).update(expires_at=yesterday)
    for kind, writes in {"reading": False, "writing": True, "ended": False, "overdue": False}.items():
        visit, world.secrets[f"visit {kind}"] = begin_impersonation(
            world.tenant.id, reason=f"{world.mark} {kind}", minutes=15, writes=writes, actor=TESTER
        )
        made[kind] = visit
    Impersonation.objects.filter(tenant=world.tenant).update(operator=f"user:{world.mark}")
    Impersonation.objects.filter(id=made["ended"].id).update(ended_at=yesterday)
    Impersonation.objects.filter(id=made["overdue"].id).update(expires_at=yesterday)
    key = made["inference"]
    return {
        "key_id": str(key.id), "kid": key.kid, "brought_key_id": str(brought.id), "visit": str(made["reading"].id),
        "brought": world.secrets["brought"],
        "cursor": cursor_of(key.id),
    }  # fmt: skip


def _people(world: World) -> dict[str, str]:
    mark, tenant = world.mark, world.tenant
    invitation = Invitation.objects.create(
        tenant=tenant, email=f"{mark}.guest@example.org", role=Role.VIEWER, salt=mark.encode()[:16],
        invited_by=f"user:{mark}", expires_at=timezone.now() + timedelta(days=1),
    )  # fmt: skip
    IdentityProvider.objects.create(
        tenant=tenant, issuer=f"https://{mark}.example.org", client_id=f"{mark}-client",
        secret_sealed=seal(f"{mark} secret", "identity-provider"), domains=[f"{mark}.example.com"],
        sso_url=f"https://{mark}.example.org/sso", certificate=mark,
    )  # fmt: skip
    member = Member.objects.select_related("user").filter(tenant=tenant, role=Role.DEVELOPER).first()
    if member:
        CheckpointMail.objects.create(tenant=tenant, member=member)
    return {
        "invitation": str(invitation.id),
        "invitation_token": f"rbee_inv_{invitation.id.hex}_{'x' * 32}",  # whoever had the right one was invited
        "guest": invitation.email,
        "email": member.user.email if member else f"{mark}.nobody@example.org",
        "member": str(member.id) if member else str(uuid7()),
        "user": str(member.user_id) if member else str(uuid7()),
    }


def _webhooks(world: World) -> dict[str, str]:
    mark, tenant = world.mark, world.tenant
    endpoint = WebhookEndpoint.objects.create(
        tenant=tenant, url=f"https://{mark}.example.org/hook", description=f"{mark} hook", events=["key.*"],
        secret_sealed=seal(f"{mark} hook", "webhook"), old_secret_sealed=seal(f"{mark} old", "webhook"),
    )  # fmt: skip
    event = WebhookEvent.objects.create(tenant=tenant, type=f"{mark}.x", version=1, data={"key": mark})
    delivery = WebhookDelivery.objects.create(
        tenant=tenant, endpoint=endpoint, event=event, deadline_at=timezone.now() + timedelta(days=1),
        log=[{"at": "2026-01-01T00:00:00Z", "status": 500, "latency_ms": 1, "error": mark}], response=f"{mark} said",
        state="failed",
    )  # fmt: skip
    return {"webhook": str(endpoint.id), "event": str(event.id), "delivery": str(delivery.id)}


def _policies(world: World) -> dict[str, str]:
    mark, tenant = world.mark, world.tenant
    policy = Policy.objects.create(tenant=tenant)
    versions = [
        PolicyVersion.objects.create(
            tenant=tenant, policy=policy, number=place, source=f"// {mark}\nfn should_admit(task, customer) {{ admit() }}",
            rules=f"# {mark}", sha256=f"{mark}{place}", comment=mark, author=f"user:{mark}", origin="api", status=status,
            activated_at=timezone.now(), disabled_reason=f"{mark} crashed" if status == "draft" else "",
        )
        for place, status in enumerate(("retired", "active", "draft"), 1)
    ]  # fmt: skip
    return {"policy": str(versions[0].id)}


def _books(world: World) -> dict[str, str]:
    mark, tenant, task_id, request = world.mark, world.tenant, uuid7(), f"req_{secrets.token_hex(16)}"
    month = month_of(task_id)
    price: Price = make_price()
    key = ApiKey.objects.filter(tenant=tenant).first()
    times = {"admitted_at": timezone.now(), "settled_at": timezone.now()}
    UsageEvent(
        month=month, task_id=task_id, tenant=tenant, project=world.project, key=key, price=price, attempt=1,
        request_id=f"{mark}-request", subject=f"{mark}-subject", endpoint=f"{mark}.completions", model=f"{mark}-model",
        worker=f"{mark}-worker", region=f"{mark}-region", outcome=mark, usage={"prompt_tokens": number(53)},
        amount_micros=number(53), currency="EUR", decision={"policy": mark}, receipt=mark.encode(),
        signature=mark.encode(), **times,
    ).save()  # fmt: skip
    LedgerTransfer(
        month=month, id=task_id, transaction_id=task_id, tenant=tenant, kind="task", debit_account=f"tenant:{mark}",
        credit_account=f"revenue:{mark}", amount_micros=number(53), currency="EUR", booked_at=timezone.now(),
    ).save()  # fmt: skip
    TenantDiscount(tenant=tenant, discount_bp=1, reason=f"{mark} reason", valid_from=month).save()
    report = Reconciliation(
        day=month, began_at=timezone.now(), ended_at=timezone.now(), differences=1, figures={}, waiting={}
    )
    report.save()
    difference = Difference(
        reconciliation=report, kind="event_amount", tenant_id=tenant.id, task_id=task_id, object_ref=f"task:{mark}",
        expected=f"{mark} expected", found=f"{mark} found",
    )  # fmt: skip
    difference.save()
    AttemptFence.objects.create(task_id=task_id, tenant=tenant, lowest_valid_attempt=2)
    BudgetSlice.objects.create(
        tenant=tenant, currency="EUR", epoch=mark, granted_micros=number(53), returned_micros=number(51),
        settled_micros=number(51),
    )  # fmt: skip
    AuditEntry(
        month=month, id=task_id, tenant_id=tenant.id, event=f"{mark}.happened", actor=f"user:{mark}",
        object_ref=f"key:{mark}", outcome=mark, details={"name": mark}, request_id=mark, at=timezone.now(),
        leaf=mark.encode().ljust(32),
    ).save()  # fmt: skip
    Decision(
        month=month, task_id=task_id, tenant=tenant, request_id=request, at=timezone.now(), outcome="routed",
        code=mark, task={"model": f"{mark}-model"}, customer={"name": mark}, operator_sha256=mark, tenant_sha256=mark,
        attempts=[{"worker": mark}], worker=f"{mark}-worker", micros=number(31),
    ).save()  # fmt: skip
    return {
        "actor": f"user:{mark}", "task": str(task_id), "answer": f"chatcmpl-{task_id.hex}", "request": request, "model": f"{mark}-model",
        "worker": f"{mark}-worker", "reconciliation": str(report.id), "difference": str(difference.id),
    }  # fmt: skip


def _stripe(world: World) -> dict[str, str]:
    """Of payments: at Stripe, and what is kept of them here."""
    mark, tenant = world.mark, world.tenant
    payment = Payment.objects.filter(tenant=tenant).first() or Payment.objects.create(
        tenant=tenant, method="stripe", status="succeeded", amount_micros=number(53), tax_micros=number(31),
        refunded_micros=number(31), currency="EUR", reference=f"pi_{mark}", note=mark,
    )  # fmt: skip
    StripeCustomer.objects.create(tenant=tenant, customer_id=f"cus_{mark}", payment_method_id=f"pm_{mark}")
    ConnectedAccount.objects.create(tenant=tenant, account_id=f"acct_{mark}", fee_basis_points=number(31))
    StripeSubscription.objects.create(subscription_id=f"sub_{mark}", tenant=tenant, status=mark)
    StripeRequest.objects.create(
        tenant=tenant, key=mark, operation="meter", body={"customer": mark}, answer_id=mark, error=mark,
        attempts=number(31),
    )  # fmt: skip
    reversal = Reversal.objects.create(
        tenant=tenant, payment=payment, kind="dispute", state="succeeded", reference=f"dp_{mark}", reason=mark,
        amount_micros=number(53) * 2, tax_micros=number(31), lost_micros=number(31), currency="EUR",
    )  # fmt: skip
    AutoRecharge.objects.create(
        tenant=tenant, threshold_micros=number(53), amount_micros=number(53), month_max_micros=number(53),
        number=number(31), paused_for=mark,
    )  # fmt: skip
    return {"payment": str(payment.id), "reversal": str(reversal.id)}


def _invoices(world: World) -> dict[str, str]:
    mark, tenant, now = world.mark, world.tenant, timezone.now()
    BillingAccount.objects.create(
        tenant=tenant, mode="postpaid", currency="EUR", credit_limit_micros=number(53), legal_name=f"{mark} B.V.",
        address=f"{mark} street 1", vat_id=mark, email=f"{mark}.treasurer@example.org",
        invoice_threshold_micros=number(53),
    )  # fmt: skip
    Balance.objects.filter(tenant=tenant).update(
        balance_micros=number(53), reserved_micros=number(53), floor_micros=number(31)
    )
    payment = Payment.objects.create(
        tenant=tenant, method="bank", status="succeeded", amount_micros=2**54 + number(53), tax_micros=number(53),
        refunded_micros=number(53), currency="EUR", reference=f"{mark} payment", note=f"{mark} note", paid_at=now,
    )  # fmt: skip
    net, tax = number(40), number(40)
    made: list[Invoice] = []
    for kind, status in (("invoice", "open"), ("credit_note", "paid")):
        made.append(
            Invoice.objects.create(
                tenant=tenant, kind=kind, status=status, series=f"{mark}-{kind[:2]}", sequence=number(31),
                number=f"{mark}-{kind[:2]}-1", currency="EUR", seller=_party(mark), buyer=_party(mark), net_minor=net,
                tax_minor=tax, gross_minor=net + tax, asked_micros=number(53), rating_micros=number(53),
                rounding_micros=number(53), tax_category="standard", tax_rate_bp=number(31), tax_note=f"{mark} tax",
                covers=[{"month": "2000-01-01", "tasks": number(31), "booked_micros": number(53),
                         "waived_micros": number(53)}],
                credits=made[0] if made else None, payment=payment, reason=f"{mark} reason", issued_at=now, due_at=now,
                credited_minor=number(40), paid_micros=number(53),
            )
        )  # fmt: skip
    InvoiceLine(
        tenant=tenant, invoice=made[0], position=number(31), kind=mark, project_id=world.project.id,
        description=f"{mark} line", model=f"{mark}-model", unit=f"{mark}-unit", quantity=number(53),
        price_micros=number(53), per=number(31), amount_picos=number(53), amount_minor=number(53),
    ).save()  # fmt: skip
    invoice, note = made
    return {"invoice": invoice.number, "credit_note": note.number, "payment_reference": payment.reference}


def _content(world: World) -> None:
    mark, tenant_id = world.mark, world.tenant.id.hex
    whose = {
        UUID(world.names["task"]).hex: subject_pseudonym(tenant_id, f"{mark} end user"),
        uuid7().hex: mark,
    }
    kept = [
        Gathered(
            tenant_id, task, subject, f"{mark}-request", f"{mark}-endpoint", f"{mark}-model", round(time.time() * 1000),
            f"{mark} asked".encode(), f"{mark} answered".encode(), number(31), number(31),
        )
        for task, subject in whose.items()
    ]  # fmt: skip
    assert write_content(kept) == len(kept)


def _consents(world: World) -> None:
    mark, tenant_id = world.mark, world.tenant.id
    ConsentText(
        tenant_id=tenant_id, purpose=mark, locale=mark, number=number(31), sha256=mark, text=f"{mark} text",
        added_by=f"key:{mark}",
    ).save()  # fmt: skip
    for subject in ("", mark, subject_pseudonym(tenant_id.hex, f"{mark} end user")):
        Consent(
            tenant_id=tenant_id, subject=subject, purpose=mark, number=number(31), is_given=True, text_sha256=mark,
            locale=mark, actor=f"key:{mark}", request_id=f"req_{mark}",
        ).save()  # fmt: skip


def _party(mark: str) -> dict[str, str]:
    names = ("legal_name", "address", "country", "vat_id", "registration_number", "iban", "bic", "email")
    return {name: f"{mark} {name}" for name in names}


def _data_requests(world: World) -> dict[str, str]:
    mark, made = world.mark, {}
    for name, kind, state in (
        ("export", "export", "expired"),
        ("erasure", "erasure", "cancelled"),
        ("import", "import", "done"),
    ):
        request = DataRequest.objects.create(
            kind=kind, whose="tenant", tenant_id=world.tenant.id, state=state, step=mark, subject=mark,
            progress={"note": mark}, result={"note": mark}, needles_sealed=seal(mark, "erasure-needles"),
            requested_by=f"user:{mark}", error=mark,
        )  # fmt: skip
        made[name] = str(request.id)
    return made


def _organization(world: World) -> dict[str, str]:
    """What is there already, by the names that OpenAI's administration gives it."""
    with colony_tx("names of a world"):
        keys = ApiKey.objects.filter(
            tenant=world.tenant, revoked_at=None, expires_at=None, brought_along=False
        )
        key, admin_key = keys.filter(scopes=["inference"]).get(), keys.filter(scopes=["manage"]).get()
        entry = AuditEntry.objects.filter(tenant_id=world.tenant.id).first()
    assert entry is not None
    return {
        "org_project": shown_id(PROJECT, world.project.id),
        "org_key": shown_id(KEY, key.id),
        "org_account": shown_id(SERVICE_ACCOUNT, key.id),
        "org_admin_key": shown_id(KEY, admin_key.id),
        "org_user": shown_id(USER, UUID(world.names["user"])),
        "org_invite": shown_id(INVITE, UUID(world.names["invitation"])),
        "org_entry": shown_id(ENTRY, entry.id),
    }


def _markers(world: World) -> Iterator[bytes]:
    yield world.mark.encode()
    for value in (*world.secrets.values(), world.names["kid"], world.names["request"]):
        yield value.encode()
    for user in world.people.values():
        yield from _shapes(user.id)
    for model in tenant_models():
        shared = {
            column.attname
            for column in model._meta.concrete_fields
            if isinstance(column, models.ForeignKey) and column.related_model not in [*tenant_models(), User]
        }
        for row in rows_of(model, world.tenant):
            for name, value in row.items():
                if name not in shared:
                    yield from _shapes(value)


def _shapes(value: object) -> Iterator[bytes]:
    """Every way in which an answer may write what nobody guesses."""
    if isinstance(value, UUID):
        yield from (str(value).encode(), value.hex.encode(), cursor_of(value).encode())
    elif isinstance(value, bytes | memoryview):
        raw = bytes(value)
        yield from (raw.hex().encode(), base64.b64encode(raw), base64.urlsafe_b64encode(raw))
    elif isinstance(value, bool):
        return
    elif isinstance(value, int):
        if value > 10**8:
            yield str(value).encode()
    elif isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        for one in inner:
            yield from _shapes(one)


def _has_marker(value: Any, world: World) -> bool:
    if isinstance(value, int):
        return value > 10**8
    if isinstance(value, bytes | memoryview):
        return len(bytes(value)) >= 16
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return world.mark in text or any(shape.isdigit() for shape in _shapes(value)) or _is_unguessable(text)


def _is_unguessable(text: str) -> bool:
    """A name that the program drew itself: a kid, or that of a request."""
    return re.fullmatch("[0-9A-Za-z]{12}|req_[0-9a-f]{32}", text) is not None


def close(world: World, status: str) -> None:
    with colony_tx("a tenant that is not active"):
        Tenant.objects.filter(id=world.tenant.id).update(status=status)
    world.tenant.status = status


def fingerprint(world: World, *, without: frozenset[str] = frozenset()) -> str:
    """Of all rows: another one when any of them was changed, added or taken away."""
    from django.db import connection

    parts = [
        f"SELECT '{model._meta.db_table}' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '')"
        f" FROM {model._meta.db_table} t WHERE {'id' if model is Tenant else 'tenant_id'} = %(tenant)s"
        for model in tenant_models()
        if model._meta.db_table not in without
    ]
    with colony_tx("fingerprint of a world"), connection.cursor() as cursor:
        cursor.execute(
            f"SELECT md5(string_agg(part, '|' ORDER BY part)) FROM ({' UNION ALL '.join(parts)}) AS parts (part)",
            {"tenant": world.tenant.id},
        )
        return str(cursor.fetchone()[0])


def free(world: World, **fields: Any) -> None:
    """Of what would keep its tasks from any worker."""
    with colony_tx("a tenant that may be served"):
        Tenant.objects.filter(id=world.tenant.id).update(**{"region": "", "gpu_classes": [], **fields})


def drop(world: World) -> None:
    """What was committed, as far as the application role may take it away."""
    tenant = world.tenant
    with tenant_tx(tenant.id):
        WebhookDelivery.objects.all().delete()
        WebhookEvent.objects.all().delete()
        WebhookEndpoint.objects.all().delete()
        PolicyVersion.objects.all().delete()
        Policy.objects.all().delete()
        IdentityProvider.objects.all().delete()
        Alert.objects.all().delete()
        SubProcessorObjection.objects.all().delete()
        KeptAnswer.objects.all().delete()
        Invitation.objects.all().delete()
        Member.objects.all().delete()
    EmailAddress.objects.filter(user__in=[user.id for user in world.people.values()]).delete()
