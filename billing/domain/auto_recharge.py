"""Charging the saved card when a balance runs low: one charge at a time, and no more in a month than was agreed to."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.utils import timezone

from billing.domain.accounts import find_account
from billing.domain.connect import share_of
from billing.domain.payments import PaymentRefused
from billing.domain.stripe_customers import check_amount
from billing.domain.stripe_money import to_minor
from billing.domain.stripe_outbox import STRIPE, ask_later
from billing.enums import BillingMode, SendState
from billing.stripe_models import AutoRecharge, StripeCustomer, StripeRequest
from billing.stripe_types import Paid
from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx, tenant_tx
from tenants.domain.alerts import raise_alert
from tenants.domain.outbox import publish

CHARGE: Final = "charge"
UNDECIDED: Final = frozenset({"processing", "requires_capture"})

# Whose balance, with what lies in slices, is below what they named. Those who are charged already wait.
_LOW: Final = """
    SELECT r.tenant_id
    FROM billing_autorecharge r
    JOIN billing_stripecustomer c ON c.tenant_id = r.tenant_id AND c.payment_method_id <> ''
    JOIN billing_billingaccount a ON a.tenant_id = r.tenant_id AND a.state <> 'suspended'
    LEFT JOIN billing_balance b ON b.tenant_id = r.tenant_id AND b.currency = a.currency
    WHERE r.is_on AND NOT r.is_charging AND r.paused_for = ''
      AND coalesce(b.balance_micros + b.reserved_micros, 0) < r.threshold_micros
"""


def set_auto_recharge(
    tenant_id: UUID, fields: dict[str, Any], *, currency: str, actor: Actor
) -> AutoRecharge:
    """Some of its fields; what is left out stays. Takes it out of a pause. Raises PaymentRefused."""
    with tenant_tx(tenant_id):
        known = AutoRecharge.objects.select_for_update().filter(tenant_id=tenant_id).first()
        if known is None:
            wanted = ("threshold_micros", "amount_micros", "month_max_micros")
            if missing := [name for name in wanted if name not in fields]:
                raise PaymentRefused(f"The first time it takes {', '.join(missing)} too.")
            known = AutoRecharge(tenant_id=tenant_id)
        for name, value in fields.items():
            setattr(known, name, value)
        check_amount(known.amount_micros, currency)
        if known.month_max_micros < known.amount_micros:
            raise PaymentRefused("The most of a month is less than one charge.")
        if known.is_on and not StripeCustomer.objects.filter(tenant_id=tenant_id).exclude(
            payment_method_id=""
        ):
            raise PaymentRefused("There is no saved card: top up once with save_card, then turn this on.")
        known.paused_for, known.changed_at = "", timezone.now()
        known.save()
        record(
            "auto_recharge.changed",
            actor=actor,
            object_ref=f"tenant:{tenant_id.hex}",
            details={name: str(value) for name, value in sorted(fields.items())},
        )
        return known


def charge_low_balances() -> int:
    """Returns how many charges began."""
    with colony_tx("balances that run low"), connection.cursor() as cursor:
        cursor.execute(_LOW)
        low = [row[0] for row in cursor.fetchall()]
    return sum(_begin(tenant_id) for tenant_id in low)


def _begin(tenant_id: UUID) -> bool:
    with tenant_tx(tenant_id):
        recharge = AutoRecharge.objects.select_for_update().get(tenant_id=tenant_id)
        customer = StripeCustomer.objects.filter(tenant_id=tenant_id).first()
        if recharge.is_charging or recharge.paused_for or not recharge.is_on or customer is None:
            return False  # somebody was faster
        account = find_account(tenant_id)
        currency = account.currency
        if _charged_this_month(tenant_id) + recharge.amount_micros > recharge.month_max_micros:
            raise_alert(
                tenant_id=tenant_id,
                kind="auto_recharge_limit",
                object_ref=f"tenant:{tenant_id.hex}:{timezone.now():%Y-%m}",
                message="The balance runs low, and the most that may be charged in a month is reached.",
            )
            return False
        recharge.number += 1
        recharge.is_charging = True
        recharge.save(update_fields=["number", "is_charging"])
        body = {
            "customer": customer.customer_id,
            "card": customer.payment_method_id,
            "amount": to_minor(recharge.amount_micros, currency),
            "micros": recharge.amount_micros,
            "currency": currency,
            "number": recharge.number,
            "is_taxed": account.mode == BillingMode.PREPAID,
            "share": share_of(customer),  # as it is: the same key is for the same request only
        }
        return ask_later(tenant_id, CHARGE, f"recharge:{tenant_id.hex}:{recharge.number}", body)


def note_outcome(tenant_id: UUID, paid: Paid) -> None:
    """Of a charge, by whoever hears of it first. In the scope of the tenant."""
    if paid.metadata.get("rbee_kind") != "recharge" or paid.status in UNDECIDED:
        return
    succeeded = paid.status == "succeeded"
    end_charge(tenant_id, int(paid.metadata["rbee_number"]), "" if succeeded else paid.failure or paid.status)


def end_charge(tenant_id: UUID, number: int, failure: str) -> None:
    """Nothing happens for one that is over: of several that tell of it the first counts."""
    recharge = AutoRecharge.objects.select_for_update().filter(
        tenant_id=tenant_id, number=number, is_charging=True
    ).first()  # fmt: skip
    if recharge is None:
        return
    recharge.is_charging, recharge.paused_for = False, failure[:50]
    recharge.save(update_fields=["is_charging", "paused_for"])
    if not failure:
        return
    record(
        "auto_recharge.failed",
        actor=STRIPE,
        object_ref=f"tenant:{tenant_id.hex}",
        details={"code": failure[:50]},
    )
    publish("billing.recharge_failed", tenant_id, {"code": failure[:50]})
    raise_alert(
        tenant_id=tenant_id,
        kind="auto_recharge_failed",
        object_ref=f"tenant:{tenant_id.hex}",
        message="The saved card was refused. Auto-recharge pauses until it is turned on again.",
    )


def _charged_this_month(tenant_id: UUID) -> int:
    first = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    asked = StripeRequest.objects.filter(
        tenant_id=tenant_id, operation=CHARGE, created_at__gte=first
    ).exclude(state=SendState.FAILED)  # fmt: skip
    return sum(int(body["micros"]) for body in asked.values_list("body", flat=True))
