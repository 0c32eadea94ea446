"""What is below /gdpr of the data map, through the front door."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gdpr.data_map import holdings
from gdpr.domain.documents import Document
from gdpr.domain.processing_record import CSV_COLUMNS
from gdpr.export_schema import schemas
from gdpr.holding import Whose
from gdpr.places import places
from gdpr.registry import columns_of
from tests.factories.tenants import make_key, make_project
from tests.inference.conftest import Api, audit_events
from tests.tenants.api.people import member_of

FIRM = {"name": "Hosting AG", "country": "DE", "purpose": "runs the machines", "categories": "all"}


def get(api: Api, path: str, **query: Any) -> Any:
    answer = api.client.get(f"/gdpr/{path}", query)
    assert answer.status_code == 200, answer.content
    return answer


def post(api: Api, path: str, body: Any = None) -> Any:
    return api.client.post(f"/gdpr/{path}", body or {}, "application/json")


def tenant_api() -> Api:
    return Api(make_key(make_project(), scopes=["manage", "gdpr"])[1])


def test_operator_gets_the_record_of_everything(operator: Api) -> None:
    record = get(operator, "record", operator_name="Acme GmbH", contact="privacy@acme.example").json()

    assert record["operator"] == record["controller"] == "Acme GmbH"
    places_in_record = {each["place"] for one in record["activities"] for each in one["places"]}
    assert places_in_record == {each.table for each in holdings()} | {each.name for each in places()}
    for activity in record["activities"]:
        assert activity["purpose"]
        assert activity["legal_basis"].startswith(("Art. 6", "Art. 28"))
    assert {
        "name": "Redis writes nothing to a disk",
        "state": 'save "", appendonly "no"',
        "is_met": True,
    } in record["measures"]


def test_tenant_gets_what_is_done_on_its_instructions(operator: Api) -> None:
    record = get(tenant_api(), "record").json()

    assert {one["role"] for one in record["activities"]} == {"processor"}
    assert record["controller"].startswith("tenant-")
    assert "tenants_user" not in str(record)


def test_record_as_csv_has_a_row_for_each_column_and_place(operator: Api) -> None:
    rows = list(csv.DictReader(io.StringIO(get(operator, "record", format="csv").content.decode())))

    assert tuple(rows[0]) == CSV_COLUMNS
    of_tables = [(row["place"], row["part"]) for row in rows if row["kind"] == "table"]
    assert sorted(of_tables) == sorted(
        (each.table, column) for each in holdings() for column in columns_of(each.model)
    )
    assert all(row["purpose"] and row["legal_basis"] and row["retention"] and row["class"] for row in rows)


def test_record_as_markdown_can_be_read(operator: Api) -> None:
    text = get(operator, "record", format="markdown").content.decode()

    assert text.startswith("# Record of processing activities (Art. 30 GDPR)")
    assert "no legal advice" in text
    assert (
        "| table `billing_invoice` | seller, buyer | personal | 10 calendar years after issued_at |" in text
    )


@pytest.mark.parametrize("whose", list(Whose))
def test_export_schema_is_valid_and_has_no_secret(operator: Api, whose: Whose) -> None:
    tables = get(operator, "schema", whose=whose).json()["tables"]

    assert tables == schemas(whose) or tables.keys() == schemas(whose).keys()
    assert tables
    for schema in tables.values():
        Draft202012Validator.check_schema(schema)
        assert "secret" not in {column["x-privacy"] for column in schema["properties"].values()}


def test_plan_says_what_goes_and_what_stays(operator: Api) -> None:
    rows = {row["place"]: row for row in get(operator, "plan", whose="tenant").json()["data"]}

    assert rows["tenants_member"]["action"] == "delete"
    assert rows["billing_invoice"]["kept_calendar_years"] == 10
    assert "tax law" in rows["billing_invoice"]["kept_under"]
    assert rows["rbee:idem:{tenant}:{key}:answer"]["kind"] == "key"
    assert operator.client.get("/gdpr/plan", {"whose": "cat"}).status_code == 400


def test_retention_is_the_operators(operator: Api) -> None:
    assert {row["rows"] for row in get(operator, "retention").json()["data"]} == {0}
    assert post(operator, "retention").status_code == 200
    assert tenant_api().client.get("/gdpr/retention").status_code == 403


@pytest.mark.parametrize("kind", list(Document))
def test_documents_are_filled_in(operator: Api, kind: Document) -> None:
    post(operator, "subprocessors", {**FIRM, "notice_days": 0})

    text = get(
        operator, f"documents/{kind}", operator_name="Acme GmbH", contact="privacy@acme.example"
    ).json()["text"]

    assert "$" not in text
    assert "Acme GmbH" in text
    assert "privacy@acme.example" in text
    assert "Template version " in text
    assert "legal advice" in text or kind is Document.SUB_PROCESSORS
    assert ("Hosting AG" in text) == (kind is not Document.BREACH_RUNBOOK)


def test_tenant_gets_its_own_documents_only(operator: Api) -> None:
    tenant = tenant_api()

    assert "annex 1" in get(tenant, "documents/dpa").json()["text"].lower()
    for kind in ("dpia", "breach-runbook", "nonsense"):
        assert tenant.client.get(f"/gdpr/documents/{kind}").status_code == 404
    assert tenant.client.get("/gdpr/documents/dpa", {"lang": "xx"}).status_code == 400


def test_sub_processor_from_announcement_to_objection(operator: Api) -> None:
    project = make_project()
    tenant, other = Api(make_key(project, scopes=["manage", "gdpr"])[1]), tenant_api()

    made = post(operator, "subprocessors", FIRM)
    firm = made.json()
    objected = post(tenant, f"subprocessors/{firm['id']}/objection", {"reason": "not in the EU"})

    assert (made.status_code, firm["state"]) == (201, "announced")
    assert objected.status_code == 201
    assert [one["reason"] for one in objected.json()["objections"]] == ["not in the EU"]
    assert post(tenant, f"subprocessors/{firm['id']}/objection", {"reason": "x"}).status_code == 409
    shown = {api: get(api, f"subprocessors/{firm['id']}").json()["objections"] for api in (operator, other)}
    assert [one["tenant"] for one in shown[operator]] == [project.tenant.slug]
    assert shown[other] == []
    assert audit_events("subprocessor.") == ["subprocessor.announced", "subprocessor.objected"]


def test_sub_processors_are_the_operators_to_change(operator: Api) -> None:
    firm = post(operator, "subprocessors", FIRM).json()
    tenant = tenant_api()

    assert [one["name"] for one in get(tenant, "subprocessors").json()["data"]] == ["Hosting AG"]
    assert post(tenant, "subprocessors", FIRM).status_code == 403
    assert tenant.client.delete(f"/gdpr/subprocessors/{firm['id']}").status_code == 403
    ended = operator.client.delete(f"/gdpr/subprocessors/{firm['id']}", {}, "application/json")
    assert (ended.status_code, ended.json()["state"]) == (200, "ended")
    assert (
        operator.client.delete(f"/gdpr/subprocessors/{firm['id']}", {}, "application/json").status_code == 409
    )
    assert operator.client.get("/gdpr/subprocessors/01936f1e-5d3a-7c41-9a55-2f0d6c1e8b7a").status_code == 404


@pytest.mark.parametrize(
    "change", [{"country": "Germany"}, {"notice_days": -1}, {"name": ""}, {"url": "x"}, {"nonsense": 1}]
)
def test_sub_processor_that_makes_no_sense_is_refused(operator: Api, change: dict[str, Any]) -> None:
    answer = post(operator, "subprocessors", {**FIRM, **change})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == next(iter(change))


@pytest.mark.parametrize(
    ("role", "status"), [("owner", 200), ("dpo", 200), ("viewer", 403), ("billing", 403)]
)
def test_record_is_for_owner_and_data_protection_officer(operator: Api, role: str, status: int) -> None:
    assert member_of(make_project().tenant, role)[1].client.get("/gdpr/record").status_code == status
