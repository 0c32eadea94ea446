"""Accounts, seller, payments and invoices as the operator and a tenant's people meet them."""

from __future__ import annotations

from io import BytesIO

import pytest
from pypdf import PdfReader

from tenants.models import Project
from tests.factories.billing import last_month, make_price, make_seller, make_usage
from tests.factories.tenants import make_project, make_tenant, unique
from tests.inference.conftest import Api, audit_events
from tests.tenants.api.people import Someone, member_of


@pytest.fixture
def project(operator: Api) -> Project:
    return make_project(make_tenant(name="Lumon"), name="Chat")


@pytest.fixture
def treasurer(project: Project) -> Someone:
    return member_of(project.tenant, "billing")[1]


def use(project: Project, millions: int = 100) -> None:
    make_usage(project, make_price(prices={"prompt_tokens": 1_000_000}), {"prompt_tokens": millions * 10**6})


def issued(operator: Api, project: Project) -> dict[str, object]:
    answer = operator.post("invoices", {"tenant": project.tenant.slug, "month": f"{last_month():%Y-%m}"})
    assert answer.status_code == 201, answer.content
    (invoice,) = answer.json()["data"]
    return invoice


def test_from_usage_to_a_paid_invoice(operator: Api, project: Project, treasurer: Someone) -> None:
    tenant = project.tenant.slug
    use(project)
    early = operator.post("invoices", {"tenant": tenant})
    assert (early.status_code, early.json()["error"]["code"]) == (409, "seller_incomplete")
    assert "rbee billing seller set --legal-name" in early.json()["error"]["message"]
    assert operator.patch("billing/seller", {
        "legal_name": "GPU Farm B.V.", "address": "Keizersgracht 1", "country": "NL", "vat_id": "NL123456782B90",
        "iban": "NL91ABNA0417164300",
    }).status_code == 200  # fmt: skip
    details = {"legal_name": "Lumon B.V.", "address": "Dam 1\nAmsterdam", "country": "NL"}
    assert treasurer.patch("billing/account", details).json()["legal_name"] == "Lumon B.V."

    (draft,) = treasurer.get("invoices/upcoming").json()["data"]
    invoice = issued(operator, project)

    assert (draft["status"], draft["gross"], draft["number"]) == ("draft", "121.00", "")
    assert issued(operator, project)["number"] == invoice["number"]
    seen = treasurer.get(f"invoices/{invoice['number']}").json()
    assert (seen["gross"], seen["status"], seen["tenant"], seen["lines"][0]["amount_minor"]) == (
        "121.00", "open", tenant, 10_000
    )  # fmt: skip
    assert [row["number"] for row in treasurer.get("invoices", status="open").json()["data"]] == [
        invoice["number"]
    ]
    payment = {"tenant": tenant, "amount_micros": 121_000_000, "reference": unique("NL91")}
    assert operator.post("billing/payments", payment).status_code == 201
    assert operator.post("billing/payments", payment).status_code == 200
    other_amount = operator.post("billing/payments", payment | {"amount_micros": 1_000_000})
    assert (other_amount.status_code, other_amount.json()["error"]["type"]) == (400, "invalid_request_error")
    assert treasurer.get(f"invoices/{invoice['number']}").json()["status"] == "paid"
    assert treasurer.get("billing/account").json()["balances"][0]["balance_micros"] == 0
    assert [row["amount_micros"] for row in treasurer.get("billing/payments").json()["data"]] == [121_000_000]
    assert audit_events("invoice.") == ["invoice.issued", "invoice.paid"]


def test_pdf_is_downloaded_and_anothers_is_absent(
    operator: Api, project: Project, treasurer: Someone
) -> None:
    make_seller()
    use(project)
    number = issued(operator, project)["number"]
    stranger = member_of(make_tenant(), "owner")[1]

    answer = treasurer.get(f"invoices/{number}/pdf")

    assert (answer.status_code, answer["content-type"]) == (200, "application/pdf")
    assert answer["content-disposition"] == f'attachment; filename="{number}.pdf"'
    assert "121.00 EUR" in PdfReader(BytesIO(answer.content)).pages[0].extract_text()
    for path in (f"invoices/{number}", f"invoices/{number}/pdf"):
        assert stranger.get(path).json() == stranger.get(path.replace(str(number), "INV-1999-000001")).json()
        assert stranger.get(path).status_code == 404
    assert stranger.get("invoices").json()["data"] == []
    assert stranger.get("invoices", tenant=project.tenant.slug).status_code == 404


def test_corrections(operator: Api, project: Project, treasurer: Someone) -> None:
    make_seller()
    use(project)
    invoice = issued(operator, project)
    path = f"invoices/{invoice['number']}"

    note = operator.post(f"{path}/credit", {"reason": "slow", "amount_minor": 1_210}).json()
    assert (note["kind"], note["gross"], note["credits"]) == ("credit_note", "-12.10", invoice["number"])
    refused = operator.post(f"{path}/credit", {"reason": "slow", "amount_minor": 99_999})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "state_conflict")
    assert operator.post(f"{path}/void", {"reason": "x"}).status_code == 409
    assert operator.post(f"{path}/write-off", {"reason": "bankrupt"}).json()["status"] == "uncollectible"
    assert operator.post(f"{path}/credit", {}).status_code == 400
    assert treasurer.post(f"{path}/credit", {"reason": "mine"}).status_code == 403

    use(project, 50)
    second = operator.post("invoices", {"tenant": project.tenant.slug}).json()["data"][0]
    voided = operator.post(f"invoices/{second['number']}/void", {"reason": "wrong buyer"}).json()
    assert (voided["gross_minor"], voided["reason"]) == (-second["gross_minor"], "wrong buyer")
    assert (
        operator.post("invoices", {"tenant": project.tenant.slug}).json()["data"][0]["gross"]
        == second["gross"]
    )


def test_terms_are_the_operators_and_details_the_tenants(
    operator: Api, project: Project, treasurer: Someone
) -> None:
    tenant = project.tenant.slug
    of = f"billing/account?tenant={tenant}"

    assert treasurer.patch("billing/account", {"mode": "prepaid"}).status_code == 403
    assert treasurer.patch("billing/account", {"credit_limit_micros": None}).status_code == 403
    for body, field in (
        ({"vat_id": "NL123456782B90"}, "country"),
        ({"country": "NL", "vat_id": "NL123456783B90"}, "vat_id"),
        ({"country": "BE", "vat_id": "NL123456782B90"}, "vat_id"),
        ({"country": "Holland"}, "country"),
        ({"email": "nobody"}, "email"),
        ({"shoe_size": 43}, "shoe_size"),
    ):
        answer = treasurer.patch("billing/account", body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, field), answer.content
    spaced = treasurer.patch("billing/account", {"country": "NL", "vat_id": "nl 1234.56.782 b90"}).json()
    assert (spaced["vat_id"], spaced["vat_is_valid"]) == ("NL123456782B90", None)

    changed = operator.patch(of, {"mode": "prepaid", "invoice_threshold_micros": 5_000_000}).json()
    assert (changed["mode"], changed["invoice_threshold_micros"]) == ("prepaid", 5_000_000)
    assert operator.patch(of, {"credit_limit_micros": 1}).json()["error"]["param"] == "credit_limit_micros"
    assert operator.get("billing/account", tenant="no-such").status_code == 404


def test_change_of_what_somebody_else_changed_is_refused(operator: Api, treasurer: Someone) -> None:
    tag = treasurer.get("billing/account")["etag"]
    treasurer.client.headers = {}

    treasurer.patch("billing/account", {"legal_name": "First"})
    answer = treasurer.client.patch(
        "/api/v1/billing/account", {"legal_name": "Second"}, "application/json", headers={"If-Match": tag}
    )
    assert answer.status_code == 412
    assert treasurer.get("billing/account").json()["legal_name"] == "First"
    seller_tag = operator.get("billing/seller")["etag"]
    operator.patch("billing/seller", {"legal_name": "First"})
    answer = operator.client.patch(
        "/api/v1/billing/seller",
        {"legal_name": "Second"},
        "application/json",
        headers={"If-Match": seller_tag},
    )
    assert answer.status_code == 412


def test_who_changes_to_paying_before_is_first_invoiced_for_what_was_used(
    operator: Api, project: Project
) -> None:
    make_seller()
    tenant = project.tenant.slug
    use(project)

    refused = operator.patch(f"billing/account?tenant={tenant}", {"mode": "prepaid"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "mode")
    assert operator.get("invoices", tenant=tenant).json()["data"] == []
    operator.post("billing/credits", {"tenant": tenant, "amount_micros": 221_000_000, "reason": "welcome"})
    assert operator.patch(f"billing/account?tenant={tenant}", {"mode": "prepaid"}).status_code == 200

    (invoice,) = operator.get("invoices", tenant=tenant).json()["data"]
    assert (invoice["kind"], invoice["status"], invoice["gross"]) == ("invoice", "paid", "121.00")
    account = operator.get("billing/account", tenant=tenant).json()
    assert account["balances"][0]["balance_micros"] == 100_000_000


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"iban": "NL91ABNA0417164301"}, "iban"),
        ({"bic": "nonsense"}, "bic"),
        ({"country": "Netherlands"}, "country"),
        ({"series_prefix": "in voice"}, "series_prefix"),
        ({"payment_term_days": 181}, "payment_term_days"),
        ({"tax_rates": {"Holland": 2100}}, "tax_rates"),
        ({"tax_rates": {"NL": 21.5}}, "tax_rates.NL"),
        ({"tax_rates": {"NL": 9000}}, "tax_rates.NL"),
        ({"country": "NL", "vat_id": "NL1"}, "vat_id"),
    ],
)
def test_seller_that_makes_no_sense_is_refused(operator: Api, change: dict[str, object], field: str) -> None:
    answer = operator.patch("billing/seller", change)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)


def test_month_and_number_that_make_no_sense(operator: Api, project: Project) -> None:
    make_seller()
    tenant = project.tenant.slug
    for month in ("2026-13", "yesterday", "2026-1"):
        assert operator.post("invoices", {"tenant": tenant, "month": month}).status_code == 400
    assert operator.post("invoices", {"tenant": tenant, "month": "2099-01"}).status_code == 409
    assert operator.post("invoices", {"tenant": tenant, "month": "2001-01"}).json()["data"] == []
    assert operator.get("invoices/no such").status_code == 404
