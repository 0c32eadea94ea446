"""Which VAT an invoice for a service by electronic means carries, by where seller and buyer are and what the buyer is.

    same country                          its rate
    elsewhere in the EU, with a VAT id    none: the buyer owes it (reverse charge)
    elsewhere in the EU, without          the buyer's country's rate under the one stop shop, else the seller's
    outside the EU                        none

Standard rates of the EU are shipped with the day they are of; an operator's own come before them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec

from billing.enums import TaxCategory

RATES_FILE: Final = Path(__file__).parents[1] / "data" / "vat_rates.json"

REVERSE_CHARGE: Final = "Reverse charge: VAT is owed by the recipient (Article 196 of Directive 2006/112/EC)."
OUTSIDE: Final = (
    "No VAT: the place of supply is outside the EU (Articles 44 and 59 of Directive 2006/112/EC)."
)
OUTSIDE_SELLER: Final = "No VAT is charged by this seller, who is established outside the EU."
IN_PAYMENTS: Final = "VAT was part of the payments, each of which has its own receipt."


class RateUnknown(Exception):
    """Neither the operator nor rbee knows the rate of the country."""


class Tax(msgspec.Struct, frozen=True):
    category: TaxCategory
    rate_bp: int = 0
    country: str = ""  # to whom it is owed
    note: str = ""


class SellerOfTax(msgspec.Struct, frozen=True):
    country: str
    charges_oss: bool = False
    exemption: str = ""
    rates_bp: Mapping[str, int] = {}


class BuyerOfTax(msgspec.Struct, frozen=True):
    country: str  # empty: not known
    is_business: bool = False  # with a VAT id of that country


def tax_of(seller: SellerOfTax, buyer: BuyerOfTax) -> Tax:
    """Raises RateUnknown."""
    country, is_european = buyer.country or seller.country, seller.country in eu_rates()
    if seller.exemption:
        return Tax(TaxCategory.EXEMPT, note=seller.exemption)
    if country == seller.country:
        return _standard(seller, country)
    if country not in eu_rates():
        return Tax(TaxCategory.OUTSIDE, note=OUTSIDE if is_european else OUTSIDE_SELLER)
    if buyer.is_business:
        return Tax(TaxCategory.REVERSE_CHARGE, note=REVERSE_CHARGE)
    if seller.charges_oss:
        return _standard(seller, country)
    return _standard(seller, seller.country) if is_european else Tax(TaxCategory.OUTSIDE, note=OUTSIDE_SELLER)


def _standard(seller: SellerOfTax, country: str) -> Tax:
    rate_bp = {**eu_rates(), **seller.rates_bp}.get(country)
    if rate_bp is None:
        raise RateUnknown(country)
    return Tax(TaxCategory.STANDARD, rate_bp, country)


def eu_rates() -> Mapping[str, int]:
    """Basis points by member state."""
    rates: Mapping[str, int] = _shipped()["standard_bp"]
    return rates


@lru_cache(maxsize=1)
def _shipped() -> dict[str, Any]:
    shipped: dict[str, Any] = json.loads(RATES_FILE.read_text())
    return shipped
