"""Whom invoices come from. Without what the law asks of them (Directive 2006/112/EC, article 226) nothing is issued."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from stdnum import bic as bic_number
from stdnum import iban as iban_number
from stdnum.eu import vat

from billing.domain.tax import BuyerOfTax, RateUnknown, SellerOfTax, Tax, eu_rates, tax_of
from billing.models import Seller
from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx
from tenants.domain.alerts import raise_alert

FIELDS: Final = frozenset({
    "legal_name", "address", "country", "vat_id", "registration_number", "iban", "bic", "email", "series_prefix",
    "payment_term_days", "tax_rates", "charges_oss", "exemption", "checks_vat_ids",
})  # fmt: skip
REQUIRED: Final = ("legal_name", "address", "country")
TERM_DAYS_MAX: Final = 180
COMMAND: Final = "rbee billing seller set"


class SellerRefused(ValueError):
    """The change makes no sense; `field` is the one at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class SellerIncomplete(Exception):
    """Nothing can be issued yet. The message names the command that helps."""


def find_seller() -> Seller:
    return Seller.objects.filter(id=1).first() or Seller()


def require_seller() -> Seller:
    """Raises SellerIncomplete."""
    seller = find_seller()
    missing = [name for name in REQUIRED if not getattr(seller, name)]
    if not (seller.vat_id or seller.exemption) and (not seller.country or seller.country in eu_rates()):
        missing.append("vat_id")
    if missing:
        options = " ".join(f"--{name.replace('_', '-')} …" for name in missing)
        raise SellerIncomplete(f"Invoices need to say whom they come from: `{COMMAND} {options}`.")
    return seller


def tell_incomplete(incomplete: SellerIncomplete) -> None:
    """The operator, where nobody waits for an answer."""
    with colony_tx("alert of the seller"):
        raise_alert(tenant_id=None, kind="seller_incomplete", object_ref="seller", message=str(incomplete))


def tax_for(seller: Seller, buyer: BuyerOfTax) -> Tax:
    """Raises SellerIncomplete."""
    terms = SellerOfTax(seller.country, seller.charges_oss, seller.exemption, seller.tax_rates)
    try:
        return tax_of(terms, buyer)
    except RateUnknown as error:
        raise SellerIncomplete(f"Say the tax rate of {error}: `{COMMAND} --tax-rate {error}=…`.") from None


def change_seller(changes: Mapping[str, Any], *, actor: Actor) -> Seller:
    """Some of FIELDS. Raises SellerRefused. Of invoices that were issued nothing changes."""
    with colony_tx("seller"):
        Seller.objects.bulk_create([Seller()], ignore_conflicts=True)
        seller = Seller.objects.select_for_update().get(id=1)
        changed = {name: value for name, value in changes.items() if getattr(seller, name) != value}
        for name, value in changed.items():
            setattr(seller, name, value)
        _check(seller)
        if changed:
            seller.save()
            record("seller.changed", actor=actor, object_ref="seller", details={"fields": sorted(changed)})
        return seller


def _check(seller: Seller) -> None:
    if seller.country and not re.fullmatch("[A-Z]{2}", seller.country):
        raise SellerRefused("country", f"a country is two capitals such as NL, not {seller.country!r}")
    if seller.country in eu_rates() and seller.vat_id and not vat.is_valid(seller.vat_id):
        raise SellerRefused("vat_id", f"{seller.vat_id} is no VAT id: a digit is wrong or missing")
    if seller.iban and not iban_number.is_valid(seller.iban):
        raise SellerRefused("iban", f"{seller.iban} is no IBAN: a digit is wrong or missing")
    if seller.bic and not bic_number.is_valid(seller.bic):
        raise SellerRefused("bic", f"{seller.bic} is no BIC, which has 8 or 11 characters")
    if not re.fullmatch("[A-Z0-9]{1,10}", seller.series_prefix):
        raise SellerRefused("series_prefix", "a series has 1 to 10 capitals and digits, such as INV")
    if not 0 <= seller.payment_term_days <= TERM_DAYS_MAX:
        raise SellerRefused("payment_term_days", f"an invoice is paid within 0 to {TERM_DAYS_MAX} days")
    for country, rate_bp in seller.tax_rates.items():
        if not re.fullmatch("[A-Z]{2}", country) or not isinstance(rate_bp, int) or not 0 <= rate_bp <= 5000:
            raise SellerRefused(
                "tax_rates", f"{country}={rate_bp} is no tax rate: NL=2100 is 21 percent there"
            )
