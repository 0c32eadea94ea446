from __future__ import annotations

from django.urls import get_resolver
from drf_spectacular.validation import validate_schema

from tests.inference.conftest import Api


def test_schema_is_valid_and_says_how_to_authenticate(home: Api) -> None:
    schema = home.get("schema/").json()

    validate_schema(schema)
    assert schema["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for operations in schema["paths"].values():
        for operation in operations.values():
            assert {"bearer": []} in operation["security"]


def test_schema_has_every_management_endpoint(home: Api) -> None:
    paths = {path.removeprefix("/api/v1/") for path in home.get("schema/").json()["paths"]}

    assert paths == {
        "status", "models", "models/{name}", "hives", "hives/join-tokens", "hives/{name}", "policies",
        "policies/rollback", "policies/{version_id}", "policies/{version_id}/activate", "usage", "keys", "keys/{key}",
        "tenants", "tenants/{slug}", "projects",
    }  # fmt: skip
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
