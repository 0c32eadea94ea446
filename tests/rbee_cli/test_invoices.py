"""Accounts, payments and invoices at the prompt, against a running colony."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from pypdf import PdfReader

from tests.rbee_cli.conftest import SecureSystem

SELLER = ("--legal-name", "GPU Farm B.V.", "--address", "Keizersgracht 1, Amsterdam", "--country", "NL", "--vat-id",
          "NL123456782B90", "--iban", "NL91ABNA0417164300")  # fmt: skip


@pytest.fixture(scope="module")
def tenant(secure: SecureSystem) -> str:
    secure.run("tenant", "create", "payer", "--plan", "pro")
    secure.run(
        "billing", "set", "payer", "--mode", "prepaid", "--country", "NL", "--legal-name", "Payer B.V."
    )
    return "payer"


def test_from_seller_to_refund(secure: SecureSystem, tenant: str) -> None:
    pay = ("billing", "pay", tenant, "--amount", "242", "--reference", "NL91 17")
    early = secure.run(*pay, check=False)
    assert (early.returncode, len(early.stderr.splitlines())) == (6, 1)
    assert "`rbee billing seller set --legal-name …" in early.stderr
    assert "has changed: legal_name" in secure.run("billing", "seller", "set", *SELLER).stdout
    secure.run("billing", "seller", "set", "--tax-rate", "CH=8.1", "--tax-rate", "NL=9", "--oss")
    secure.run("billing", "seller", "set", "--tax-rate", "NL=none")
    seller = secure.run_json("billing", "seller", "show")
    assert (seller["tax_rates"], seller["charges_oss"]) == ({"CH": 810}, True)
    assert seller["address"] == "Keizersgracht 1\nAmsterdam"

    assert secure.run(*pay).stdout == "242.00 EUR of payer is booked\n"
    assert secure.run_json(*pay)["tax_micros"] == 42_000_000
    shown = secure.run("billing", "show", tenant).stdout
    assert "balance EUR" in shown
    assert "200.00" in shown
    secure.run("billing", "credit", tenant, "--amount", "5.50", "--reason", "an outage")
    assert secure.run_json("billing", "show", tenant)["balances"][0]["balance_micros"] == 205_500_000

    (receipt,) = secure.run_json("invoice", "list", "--tenant", tenant)
    assert (receipt["kind"], receipt["gross"]) == ("receipt", "242.00")
    assert "242.00 EUR" in secure.run("invoice", "list", "--kind", "receipt").stdout
    assert "Payment in advance" in secure.run("invoice", "show", receipt["number"]).stdout
    assert secure.run_json("invoice", "show", receipt["number"])["buyer"]["legal_name"] == "Payer B.V."
    secure.run("invoice", "pdf", receipt["number"], "--output", "receipt.pdf")
    assert (secure.home / "receipt.pdf").read_bytes().startswith(b"%PDF-")
    said = secure.run(
        "invoice", "credit", receipt["number"], "--amount", "12.10", "--reason", "too much"
    ).stdout
    assert f"-12.10 EUR of {receipt['number']} is credited" in said
    assert secure.run_json("billing", "show", tenant)["balances"][0]["balance_micros"] == 195_500_000
    assert secure.run("invoice", "issue", tenant).stdout == "there is nothing of payer to invoice\n"
    assert (
        secure.run("invoice", "show", "upcoming", "--tenant", tenant).stdout
        == "everything is on an invoice already\n"
    )


def test_what_cannot_be_is_one_line(secure: SecureSystem, tenant: str) -> None:
    for arguments, code, said in [
        (["billing", "set", tenant], 2, "nothing to change"),
        (["billing", "set", tenant, "--vat-id", "NL1"], 2, "no VAT id of NL"),
        (["billing", "set", tenant, "--credit-limit", "lots"], 2, "no amount"),
        (["billing", "set", "no-such", "--mode", "prepaid"], 5, "no such tenant"),
        (["billing", "pay", tenant, "--amount", "-5", "--reference", "x"], 2, "no amount"),
        (["billing", "pay", tenant, "--amount", "0.001", "--reference", "x"], 2, "coin"),
        (["billing", "credit", tenant, "--amount", "1e99", "--reason", "x"], 2, "no amount"),
        (["billing", "seller", "set", "--tax-rate", "NL"], 2, "COUNTRY=PERCENT"),
        (["billing", "seller", "set", "--iban", "NL00"], 2, "IBAN"),
        (["billing", "seller", "set"], 2, "nothing to change"),
        (["invoice", "show", "INV-1999-000001"], 5, "no such invoice"),
        (["invoice", "pdf", "INV-1999-000001"], 5, "no such invoice"),
        (["invoice", "issue", tenant, "--month", "2099-01"], 6, "not over"),
        (["invoice", "issue", tenant, "--month", "soon"], 2, "month"),
        (["invoice", "credit", "x", "--amount", "1", "--line", "1", "--reason", "x"], 2, "contradict"),
        (["invoice", "void", "INV-1999-000001", "--reason", "x"], 5, "no such invoice"),
        (["invoice", "write-off", "INV-1999-000001", "--reason", "x"], 5, "no such invoice"),
        (["invoice", "list", "--status", "lost"], 2, "status"),
    ]:  # fmt: skip
        done = secure.run(*arguments, check=False)
        assert (done.returncode, done.stdout) == (code, ""), (arguments, done.stderr)
        assert said in done.stderr.splitlines()[0], done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_members_of_a_tenant_see_their_own(secure: SecureSystem, tenant: str) -> None:
    key = secure.run_json("key", "create", "--tenant", tenant, "--name", "books", "--scope", "manage")["key"]

    assert secure.run_as(key, "billing", "show").stdout.startswith("tenant")
    assert secure.run_as(key, "billing", "set", "--email", "books@example.org").returncode == 0
    assert secure.run_as(key, "billing", "set", "--mode", "postpaid", check=False).returncode == 4
    assert secure.run_as(key, "invoice", "issue", tenant, check=False).returncode == 4


def test_terms_of_a_plan_are_lines_of_the_printed_invoice(secure: SecureSystem) -> None:
    month = (datetime.now(UTC).replace(day=1) - timedelta(days=1)).strftime("%Y-%m")
    secure.run("billing", "seller", "set", *SELLER)
    secure.run("plan", "create", "agreed", "--tier", "pro")
    secure.run("price", "create", "agreed-eur", "--plan", "agreed", "--currency", "EUR")
    secure.run(
        "price", "set", "llama", "prompt_tokens=1.00", "completion_tokens=2.00", "--card", "agreed-eur"
    )
    secure.run("price", "terms", "agreed-eur", "--subscription", "49.00", "--minimum", "100.00", "--discount", "10%",
               "--graduated", "llama:prompt_tokens=1.00 up to 10000000, 0.50")  # fmt: skip
    secure.run("tenant", "create", "agreed", "--plan", "agreed", "--name", "Agreed B.V.")
    secure.run("billing", "set", "agreed", "--country", "NL", "--legal-name", "Agreed B.V.")
    worked_last_month(secure, "agreed", 32_000_000)

    issued = secure.run("invoice", "issue", "agreed", "--month", month, "--json").stdout
    (invoice,) = secure.run_json("invoice", "list", "--tenant", "agreed")
    assert invoice["number"] in issued
    secure.run("invoice", "pdf", invoice["number"], "--output", "agreed.pdf")

    printed = "\n".join(page.extract_text() for page in PdfReader(secure.home / "agreed.pdf").pages)
    said = " ".join(printed.split())
    for line in (
        "llama, input tokens 32,000,000 1.00 EUR per 1M tokens 32.00",
        "llama, input tokens: by its tiers, in place of the price above 32,000,000 -11.00",
        "discount of 10% -2.10",
        "subscription 49.00",
        "up to the agreed minimum 32.10",
        "Net amount 100.00 EUR",
        "Total 121.00 EUR",
    ):
        assert line in said, said
    shown = secure.run("invoice", "show", invoice["number"]).stdout
    assert "1.00 EUR per 1M tokens" in shown
    assert secure.run_json("billing", "show", "agreed")["balances"][0]["balance_micros"] == -121_000_000
    secure.run("invoice", "void", invoice["number"], "--reason", "the buyer moved")
    assert secure.run_json("billing", "show", "agreed")["balances"][0]["balance_micros"] == -32_000_000


def worked_last_month(secure: SecureSystem, tenant: str, prompt_tokens: int) -> None:
    """What nobody can do at the prompt: that the tenant, its terms and a task of it are a month old."""
    colony = secure.children("uvicorn")[0].environ()
    command = [sys.executable, "-m", "tests.rbee_cli.last_month", tenant, str(prompt_tokens)]
    done = subprocess.run(
        command, env=os.environ | colony, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
