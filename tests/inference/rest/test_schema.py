from __future__ import annotations

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver
from drf_spectacular.validation import validate_schema

from tests.factories.inference import make_hive, make_model
from tests.factories.tenants import make_key, make_project
from tests.inference.conftest import Api


def test_schema_is_valid_and_says_how_to_authenticate(home: Api) -> None:
    schema = home.get("schema/").json()

    validate_schema(schema)
    assert schema["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for operations in schema["paths"].values():
        for operation in operations.values():
            assert {"bearer": []} in operation["security"]


def test_schema_has_every_management_endpoint(home: Api) -> None:
    paths = {
        path.removeprefix("/api/v1/")
        for path in home.get("schema/").json()["paths"]
        if path.startswith("/api/v1/")
    }

    assert paths == {
        "account",
        "account/memberships/{slug}",
        "account/tenants",
        "alerts",
        "alerts/{alert}/close",
        "audit",
        "audit/{entry}",
        "breaches",
        "breaches/{breach}",
        "breaches/{breach}/close",
        "breaches/{breach}/facts",
        "breaches/{breach}/notice",
        "billing/balance",
        "billing/account",
        "billing/credits",
        "billing/payments",
        "billing/seller",
        "billing/auto-recharge",
        "billing/cards",
        "billing/checkout",
        "billing/disputes/{reversal}/close",
        "billing/payments/{payment}",
        "billing/payments/{payment}/refunds",
        "billing/portal",
        "billing/connect",
        "billing/connect/buyer",
        "billing/connect/onboarding",
        "billing/stripe",
        "billing/stripe/meters",
        "billing/stripe/meters/{name}",
        "billing/stripe/plans/{slug}",
        "billing/subscription",
        "billing/differences/{difference}",
        "billing/reconciliation",
        "billing/reconciliation/{report}",
        "billing/tasks/{task}",
        "costs/compare",
        "costs/gpus",
        "costs/list-prices",
        "costs/report",
        "costs/utilisation",
        "hives",
        "hives/join-tokens",
        "hives/{name}",
        "hives/{name}/attestation",
        "impersonations",
        "impersonations/{visit}",
        "invitations",
        "invitations/accept",
        "invitations/{invitation}",
        "invoices",
        "invoices/upcoming",
        "invoices/{number}",
        "invoices/{number}/credit",
        "invoices/{number}/pdf",
        "invoices/{number}/void",
        "invoices/{number}/write-off",
        "keys",
        "keys/report-leak",
        "keys/{key}",
        "keys/{key}/rotate",
        "limits",
        "limits/{kind}/{name}",
        "members",
        "members/{member}",
        "models",
        "models/{name}",
        "operators",
        "plans",
        "plans/{slug}",
        "policies",
        "policies/dry-run",
        "policies/log",
        "policies/rollback",
        "policies/settings",
        "policies/{version_id}",
        "policies/{version_id}/activate",
        "policies/{version_id}/diff",
        "policies/{version_id}/dry-run",
        "policies/{version_id}/log",
        "price-cards",
        "price-cards/{slug}",
        "price-cards/{slug}/export",
        "price-cards/{slug}/import",
        "price-cards/{slug}/prices",
        "price-cards/{slug}/prices/{version}",
        "price-cards/{slug}/terms",
        "price-cards/{slug}/terms/{version}",
        "prices",
        "prices/what-if",
        "projects",
        "projects/{project}",
        "status",
        "tasks",
        "tasks/content",
        "tasks/{task}/content",
        "tasks/{task}/decision",
        "tenants",
        "tenants/{slug}",
        "tenants/{slug}/discounts",
        "tenants/{slug}/impersonations",
        "tenants/{slug}/restore",
        "tenants/{slug}/resume",
        "tenants/{slug}/sso",
        "tenants/{slug}/suspend",
        "tenants/{slug}/transfer",
        "usage",
        "usage/summary",
        "webhooks",
        "webhooks/events",
        "webhooks/{webhook}",
        "webhooks/{webhook}/deliveries",
        "webhooks/{webhook}/deliveries/{delivery}",
        "webhooks/{webhook}/deliveries/{delivery}/replay",
        "webhooks/{webhook}/pause",
        "webhooks/{webhook}/replay",
        "webhooks/{webhook}/resume",
        "webhooks/{webhook}/rotate",
        "webhooks/{webhook}/test",
    }
    assert get_resolver().resolve("/api/v1/schema") is not None


def test_unknown_urls_and_methods_are_in_the_envelope(home: Api) -> None:
    for answer, status in [
        (home.get("nothing"), 404),
        (home.get("keys/a b"), 404),
        (home.client.put("/api/v1/keys"), 405),
        (home.client.patch("/api/v1/status"), 405),
        (home.client.get("/api/v1/policies/not-a-uuid"), 404),
        (home.client.get("/api/v1/keys", headers={"accept": "text/html"}), 200),
    ]:
        assert answer.status_code == status
        if status != 200:
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_lists_ask_the_database_no_more_for_more_rows(home: Api) -> None:
    paths = (
        "alerts",
        "tasks",
        "keys",
        "models",
        "hives",
        "tenants",
        "projects",
        "policies",
        "status",
        "webhooks",
    )
    counts: list[dict[str, int]] = []
    for _ in range(2):
        for _ in range(2):
            hive, _ = make_hive()
            make_model(hives=[hive.name])
            make_key(make_project())
            home.post("webhooks", {"url": "https://example.com/hook"})
            home.post("policies", {"source": "fn route_task(task, workers) { workers.first() }"})
        counts.append({path: queries_of(home, path) for path in paths})

    assert counts[0] == counts[1]


def queries_of(api: Api, path: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert api.get(path).status_code == 200
    return len(queries)
