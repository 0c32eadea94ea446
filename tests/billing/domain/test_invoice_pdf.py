"""What is printed, read back by another library."""

from __future__ import annotations

from datetime import UTC, date, datetime
from io import BytesIO
from uuid import UUID

import pytest
from pypdf import PdfReader

from billing.domain.invoice_pdf import pdf_of
from billing.models import Invoice, InvoiceLine, Payment

SELLER = {
    "legal_name": "GPU Farm B.V.", "address": "Keizersgracht 1\n1015 CC Amsterdam", "country": "NL",
    "vat_id": "NL123456782B90", "registration_number": "KvK 12345678", "iban": "NL91ABNA0417164300", "bic": "ABNANL2A",
    "email": "billing@example.org",
}  # fmt: skip
BUYER = {
    "legal_name": "Lumon GmbH",
    "address": "Straße 1\n10115 Berlin",
    "country": "DE",
    "vat_id": "DE136695976",
}


def make(lines: int = 2, **fields: object) -> tuple[Invoice, list[InvoiceLine]]:
    shipped = {
        "id": UUID(int=1), "kind": "invoice", "status": "open", "number": "INV-2027-000042", "currency": "EUR",
        "first_day": date(2027, 1, 1), "next_day": date(2027, 2, 1), "seller": SELLER, "buyer": BUYER,
        "net_minor": 10_000, "tax_minor": 2_100, "gross_minor": 12_100, "asked_micros": 121_000_000,
        "tax_category": "standard", "tax_rate_bp": 2100, "tax_country": "NL", "tax_note": "",
        "issued_at": datetime(2027, 2, 1, 4, 7, tzinfo=UTC), "due_at": datetime(2027, 2, 15, 4, 7, tzinfo=UTC),
    }  # fmt: skip
    invoice = Invoice(**{**shipped, **fields})
    return invoice, [
        InvoiceLine(
            invoice=invoice, position=place, description=f"Chat: rbee-mini, input tokens {place}", quantity=40_000_000,
            unit="prompt_tokens", price_micros=1_250_000, per=1_000_000, amount_minor=5_000,
        )
        for place in range(1, lines + 1)
    ]  # fmt: skip


def text(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages)


def test_says_all_that_the_law_asks_for() -> None:
    """Directive 2006/112/EC, article 226, point by point."""
    said = text(pdf_of(*make()))

    for needed in (
        "2027-02-01",  # 1 the date of issue
        "INV-2027-000042",  # 2 a sequential number
        "NL123456782B90",  # 3 the VAT id of the seller
        "DE136695976",  # 4 and of the buyer
        "GPU Farm B.V.", "Keizersgracht 1", "1015 CC Amsterdam", "Lumon GmbH", "Straße 1", "10115 Berlin",  # 5
        "rbee-mini, input tokens", "40,000,000",  # 6 extent and nature of the services
        "2027-01-01 to 2027-01-31",  # 7 when they were supplied
        "100.00 EUR", "1.25 EUR per 1M tokens",  # 8 the taxable amount per rate, the unit price
        "VAT NL 21% on 100.00",  # 9 the rate
        "21.00 EUR",  # 10 the VAT payable
        "121.00 EUR", "KvK 12345678",
        "Please pay 121.00 EUR by 2027-02-15 to IBAN NL91ABNA0417164300, BIC ABNANL2A",
        "page 1 of 1",
    ):  # fmt: skip
        assert needed in said, needed


@pytest.mark.parametrize(
    ("fields", "needed"),
    [
        ({"tax_category": "reverse_charge", "tax_rate_bp": 0, "tax_minor": 0, "gross_minor": 10_000,
          "tax_note": "Reverse charge: VAT is owed by the recipient"}, ["Reverse charge", "VAT NL 0% on 100.00"]),
        ({"paid_micros": 21_000_000}, ["Left to pay", "100.00 EUR", "Please pay 100.00 EUR"]),
        ({"status": "paid", "paid_micros": 121_000_000}, ["Left to pay", "0.00 EUR"]),
        ({"status": "void"}, ["Invoice (void)"]),
        ({"kind": "statement", "tax_category": "none", "tax_note": "VAT was part of the payments",
          "status": "paid"}, ["Statement of usage", "VAT was part of the payments"]),
        ({"currency": "JPY", "net_minor": 100, "tax_minor": 21, "gross_minor": 121}, ["121 JPY"]),
        ({"seller": {**SELLER, "iban": ""}}, ["Please pay 121.00 EUR by 2027-02-15, with the reference"]),
    ],
)  # fmt: skip
def test_says_how_it_is_taxed_and_paid(fields: dict[str, object], needed: list[str]) -> None:
    said = text(pdf_of(*make(**fields)))

    assert [each for each in needed if each not in said] == []


def test_credit_note_names_what_it_corrects_and_receipt_its_payment() -> None:
    original, _ = make()
    note, lines = make(kind="credit_note", number="INV-CN-2027-000001", credits=original, reason="an outage",
                       status="paid", gross_minor=-12_100, net_minor=-10_000, tax_minor=-2_100, due_at=None)  # fmt: skip
    said = text(pdf_of(note, lines))
    assert "Credit note" in said
    assert "INV-2027-000042 of 2027-02-01" in said
    assert "an outage" in said
    assert "-121.00 EUR" in said
    assert "Please pay" not in said

    payment = Payment(method="bank", reference="NL91 17", paid_at=datetime(2027, 1, 3, tzinfo=UTC))
    receipt = text(pdf_of(*make(kind="receipt", payment=payment, status="paid", due_at=None)))
    assert "Invoice for a payment in advance" in receipt
    assert "2027-01-03" in receipt
    assert "Bank, NL91 17" in receipt


def test_same_invoice_makes_the_same_bytes() -> None:
    assert pdf_of(*make(80)) == pdf_of(*make(80))
    assert pdf_of(*make()) != pdf_of(*make(number="INV-2027-000043"))


def test_many_lines_make_many_pages_with_their_heading_on_each() -> None:
    pages = PdfReader(BytesIO(pdf_of(*make(200)))).pages

    assert len(pages) > 4
    for number, page in enumerate(pages, 1):
        assert f"page {number} of {len(pages)}" in page.extract_text()
    assert sum(page.extract_text().count("input tokens") for page in pages) == 200
    assert all("Description" in page.extract_text() for page in pages[:-1])


@pytest.mark.parametrize(
    "name",
    ["Łódź Spółka z o.o.", "Ελληνική Εταιρεία", "ООО «Ромашка»", "შპს თბილისი", "चाय कंपनी", "株式会社ルーモン", "北京科技有限公司",
     "주식회사 루몬", "A & B <script>alert(1)</script>", "x" * 200, "Rocket 🚀 GmbH", "a\tb\x07c\u202e"],
)  # fmt: skip
def test_names_are_printed_whatever_they_are(name: str) -> None:
    pdf = pdf_of(*make(buyer={**BUYER, "legal_name": name}))

    said = text(pdf).replace("\n", "").replace(" ", "")
    expected = (
        "".join(char if char.isprintable() else "" for char in name)
        .replace("🚀", "\N{WHITE SQUARE}")
        .replace(" ", "")
    )
    if name.isascii() or name[0] in "ŁΕО":
        assert expected in said
    else:
        assert sum(char in said for char in set(expected)) >= len(set(expected)) * 0.6
