"""Amounts of money as people write them, and the commands where there is no Stripe."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbee_cli.errors import UsageError
from rbee_cli.money import micros_text, read_micros
from tests.rbee_cli.conftest import SecureSystem


@given(st.integers(1, 10**12))
def test_amount_is_exact(micros: int) -> None:
    assert read_micros(f"{micros // 1_000_000}.{micros % 1_000_000:06}") == micros


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "x", "1,5", "NaN", "inf", "1e99", "0.0000001", "٣", "1" * 40]
)
def test_what_is_no_amount_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"121\.00"):
        read_micros(text)


def test_money_is_shown_with_its_currency() -> None:
    assert micros_text(25_500_000, "EUR") == "25.50 EUR"


def test_without_stripe_the_commands_say_so(secure: SecureSystem) -> None:
    for arguments in (("topup", "25"), ("portal",), ("auto-recharge", "--off")):
        done = secure.run("billing", *arguments, check=False)
        assert (done.returncode, len(done.stderr.splitlines())) == (6, 1)
        assert "RBEE_STRIPE_SECRET_KEY" in done.stderr
    assert secure.run_json("billing", "payments") == []
    assert "no payment yet" in secure.run("billing", "payments").stdout
    assert secure.run_json("billing", "auto-recharge")["on"] is False  # type: ignore[call-overload, index]
    missing = secure.run("billing", "refund", "01936f1e-5d3a-7c41-9a55-2f0d6c1e8b7a", "--yes", check=False)
    assert missing.returncode == 5
