from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from billing.domain.money import minor_text, share, without_tax
from billing.domain.tax import BuyerOfTax, RateUnknown, SellerOfTax, eu_rates, tax_of

NL = SellerOfTax("NL")


@pytest.mark.parametrize(
    ("seller", "buyer", "expected"),
    [
        (NL, BuyerOfTax("NL"), ("standard", 2100, "NL")),
        (NL, BuyerOfTax("NL", is_business=True), ("standard", 2100, "NL")),
        (NL, BuyerOfTax(""), ("standard", 2100, "NL")),
        (NL, BuyerOfTax("DE", is_business=True), ("reverse_charge", 0, "")),
        (NL, BuyerOfTax("DE"), ("standard", 2100, "NL")),
        (SellerOfTax("NL", charges_oss=True), BuyerOfTax("DE"), ("standard", 1900, "DE")),
        (SellerOfTax("NL", charges_oss=True), BuyerOfTax("FI"), ("standard", 2550, "FI")),
        (
            SellerOfTax("NL", charges_oss=True, rates_bp={"FI": 2400}),
            BuyerOfTax("FI"),
            ("standard", 2400, "FI"),
        ),
        (SellerOfTax("NL", charges_oss=True), BuyerOfTax("DE", is_business=True), ("reverse_charge", 0, "")),
        (NL, BuyerOfTax("US"), ("outside", 0, "")),
        (NL, BuyerOfTax("GB", is_business=True), ("outside", 0, "")),
        (SellerOfTax("DE", exemption="§ 19 UStG"), BuyerOfTax("DE"), ("exempt", 0, "")),
        (SellerOfTax("CH", rates_bp={"CH": 810}), BuyerOfTax("CH"), ("standard", 810, "CH")),
        (SellerOfTax("CH"), BuyerOfTax("DE"), ("outside", 0, "")),
        (SellerOfTax("CH"), BuyerOfTax("DE", is_business=True), ("reverse_charge", 0, "")),
        (SellerOfTax("CH", charges_oss=True), BuyerOfTax("DE"), ("standard", 1900, "DE")),
    ],
)
def test_who_pays_which_tax(seller: SellerOfTax, buyer: BuyerOfTax, expected: tuple[str, int, str]) -> None:
    tax = tax_of(seller, buyer)

    assert (tax.category, tax.rate_bp, tax.country) == expected
    assert bool(tax.note) is (tax.category != "standard")


def test_rate_that_nobody_said_is_not_guessed() -> None:
    with pytest.raises(RateUnknown, match="CH"):
        tax_of(SellerOfTax("CH"), BuyerOfTax("CH"))


def test_rates_of_all_members_are_shipped_with_their_day() -> None:
    import json

    from billing.domain.tax import RATES_FILE

    assert len(eu_rates()) == 27
    assert all(1700 <= rate <= 2700 for rate in eu_rates().values())
    assert (
        date(2026, 1, 1)
        <= date.fromisoformat(json.loads(RATES_FILE.read_text())["as_of"])
        <= datetime.now(UTC).date()
    )


def test_tax_is_in_what_was_paid() -> None:
    for gross in (1, 99, 12_100, 999_999):
        for rate in (0, 810, 2100, 2550):
            net = without_tax(gross, rate)
            assert abs(share(net, rate) - (gross - net)) <= 1


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (12_100, "EUR", "121.00"),
        (-5, "EUR", "-0.05"),
        (7, "JPY", "7"),
        (1_234, "KWD", "1.234"),
        (0, "EUR", "0.00"),
    ],
)
def test_amounts_are_written_out(minor: int, currency: str, text: str) -> None:
    assert minor_text(minor, currency) == text
