"""Refusals of the books, in the words of the API."""

from __future__ import annotations

from rest_framework.exceptions import APIException, ValidationError
from rest_framework.response import Response

from billing.domain.accounts import AccountRefused
from billing.domain.issuing import InvoiceRefused
from billing.domain.payments import PaymentRefused
from billing.domain.sellers import SellerIncomplete, SellerRefused
from tenants.api.base import ManagementView


class _Conflict(APIException):
    status_code = 409
    default_code = "state_conflict"


class _Incomplete(_Conflict):
    default_code = "seller_incomplete"


class BillingView(ManagementView):
    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, AccountRefused | SellerRefused):
            exc = ValidationError({exc.field: [_sentence(exc)]})
        elif isinstance(exc, PaymentRefused):
            exc = ValidationError(_sentence(exc))
        elif isinstance(exc, InvoiceRefused):
            exc = _Conflict(str(exc))
        elif isinstance(exc, SellerIncomplete):
            exc = _Incomplete(str(exc))
        return super().handle_exception(exc)


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[0].upper()}{text[1:]}."
