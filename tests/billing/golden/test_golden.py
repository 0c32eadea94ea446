"""Priced cases to the cent: `cases.json`, whose amounts do not come from what is tested."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from billing.domain.currencies import minor_digits, to_minor
from billing.domain.price_terms import check_terms
from billing.domain.price_text import read_terms
from billing.domain.pricing import PriceVersion
from billing.domain.rating import UsedQuantity, rate, total_picos
from billing.domain.units import parse_price
from tests.billing.golden.generate import CASES, all_cases

GOLDEN: list[dict[str, Any]] = json.loads(CASES.read_text())


def rated(case: dict[str, Any]) -> str:
    currency = case["currency"]
    terms = read_terms(case["terms"], currency)
    check_terms(terms)
    used = [
        UsedQuantity(
            f"project {place}",
            each["model"],
            each["unit"],
            PriceVersion(
                id=f"{place}",
                model=each["model"],
                currency=currency,
                prices={each["unit"]: parse_price(each["unit"], each["price"], currency)},
            ),
            each["quantity"],
        )
        for place, each in enumerate(case["used"])
    ]
    minor = to_minor(total_picos(rate(terms, used, Fraction(*case["months"]))), currency)
    digits = minor_digits(currency)
    return f"{Decimal(minor).scaleb(-digits):.{digits}f}"


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_case_comes_to_its_amount(case: dict[str, Any]) -> None:
    assert rated(case) == case["amount"]


def test_the_file_is_large_and_is_what_the_calculator_says() -> None:
    assert len(GOLDEN) >= 200
    assert len({case["name"] for case in GOLDEN}) == len(GOLDEN)
    assert all_cases() == GOLDEN
