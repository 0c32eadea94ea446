"""What the outbox can ask of Stripe."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.utils import timezone

from billing import stripe_gateway as gateway
from billing.domain import auto_recharge, reversals
from billing.domain.accounts import lock_account
from billing.domain.stripe_outbox import Operation
from billing.domain.stripe_payments import book_payment
from billing.enums import SendState
from billing.stripe_models import Reversal, StripeRequest
from billing.stripe_types import Paid, Refunded, StripeFailure, StripeRefused
from gdpr.scope import colony_tx, tenant_tx
from tenants.domain.alerts import raise_alert

OLDEST: Final = timedelta(days=34)  # of usage that a meter takes, less a day


class Charge:
    def send(self, request: StripeRequest) -> Paid:
        body = request.body
        shared: dict[str, Any] = {}
        metadata = {
            "rbee_tenant": request.tenant_id.hex,
            "rbee_kind": "recharge",
            "rbee_number": str(body["number"]),
        }
        if body["share"]:
            destination, basis_points = body["share"]
            shared = {"destination": destination, "fee_basis_points": basis_points}
            metadata["rbee_shared"] = str(basis_points)
        return gateway.charge(
            customer_id=body["customer"],
            payment_method_id=body["card"],
            amount=body["amount"],
            currency=body["currency"],
            metadata=metadata,
            key=request.key,
            is_taxed=body["is_taxed"],
            **shared,
        )

    def find(self, request: StripeRequest) -> Paid | None:
        return gateway.find_charge(
            customer_id=request.body["customer"],
            key=request.key,
            since=request.created_at - timedelta(hours=1),
        )

    def ended(self, request: StripeRequest, answer: Paid) -> None:
        book_payment(answer)

    def refused(self, request: StripeRequest, error: StripeFailure) -> None:
        auto_recharge.end_charge(request.tenant_id, request.body["number"], error.code or "refused")


class Refund:
    def send(self, request: StripeRequest) -> Refunded:
        return gateway.refund(
            payment_reference=request.body["payment"],
            amount=request.body["amount"],
            is_shared=request.body["is_shared"],
            metadata={"rbee_reversal": request.body["reversal"]},
            key=request.key,
        )

    def find(self, request: StripeRequest) -> Refunded | None:
        for refunded in gateway.list_refunds(request.body["payment"]):
            if refunded.metadata.get("rbee_reversal") == request.body["reversal"]:
                return refunded
        return None

    def ended(self, request: StripeRequest, answer: Refunded) -> None:
        account = lock_account(request.tenant_id)
        reversal = Reversal.objects.select_for_update().get(id=UUID(request.body["reversal"]))
        reversals.settle_refund(account, reversal, answer)

    def refused(self, request: StripeRequest, error: StripeFailure) -> None:
        reversals.fail_refund(UUID(request.body["reversal"]))
        _alert_operator(
            kind="refund_refused",
            object_ref=f"reversal:{request.body['reversal']}",
            message="Stripe refused a refund; the money is in the tenant's balance again.",
        )


class Meter:
    def send(self, request: StripeRequest) -> bool:
        minute = self._minute(request)
        if timezone.now() - minute > OLDEST:
            raise StripeRefused("This usage is too old for a meter.", "too_old")
        gateway.report_usage(
            event_name=request.body["event_name"],
            customer_id=request.body["customer"],
            value=request.body["value"],
            at=minute,
            identifier=request.key,
        )
        return True

    def find(self, request: StripeRequest) -> bool | None:
        """Whether the minute has all that we told of it, and this too."""
        counted = gateway.reported_usage(
            meter_id=request.body["meter"], customer_id=request.body["customer"], minute=self._minute(request)
        )
        with tenant_tx(request.tenant_id):
            told = StripeRequest.objects.filter(
                operation="meter", key__startswith=request.key[: request.key.rindex(":")], state=SendState.SENT
            ).values_list("body", flat=True)  # fmt: skip
            before = sum(body["value"] for body in told)
        return True if counted >= before + request.body["value"] else None

    def ended(self, request: StripeRequest, answer: bool) -> None:
        pass

    def refused(self, request: StripeRequest, error: StripeFailure) -> None:
        _alert_operator(
            kind="meter_refused",
            object_ref=f"stripe_meter:{request.body['event_name']}",
            message=f"Stripe did not take usage: {error.code or 'refused'}.",
        )

    @staticmethod
    def _minute(request: StripeRequest) -> datetime:
        return datetime.fromtimestamp(request.body["minute"], UTC)


class EndSubscription:
    def send(self, request: StripeRequest) -> bool:
        gateway.end_subscription(request.body["subscription"], key=request.key)
        return True

    def find(self, request: StripeRequest) -> bool | None:
        return True if gateway.read_subscription(request.body["subscription"]).ends_at_period else None

    def ended(self, request: StripeRequest, answer: bool) -> None:
        """The event that follows tells what it came to."""

    def refused(self, request: StripeRequest, error: StripeFailure) -> None:
        raise_alert(
            tenant_id=request.tenant_id,
            kind="subscription_not_ended",
            object_ref=f"subscription:{request.body['subscription']}",
            message="Stripe did not end the subscription; end it by the portal.",
        )


def _alert_operator(*, kind: str, object_ref: str, message: str) -> None:
    """From the scope of a tenant, which sees none of the operator's."""
    with colony_tx("an alert of the operator"):
        raise_alert(tenant_id=None, kind=kind, object_ref=object_ref, message=message)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "charge": Charge(),
    "refund": Refund(),
    "meter": Meter(),
    "end_subscription": EndSubscription(),
}
