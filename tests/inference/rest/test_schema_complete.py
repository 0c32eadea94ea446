"""Whoever makes a client from the schema finds everything in it."""

from __future__ import annotations

import inspect
import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.urls import get_resolver
from drf_spectacular.drainage import GENERATOR_STATS

from inference.urls import management
from tests.inference.conftest import Api
from tests.tenants.api.test_capabilities import views_in

METHODS = ("get", "post", "put", "patch", "delete")
Operation = dict[str, Any]
OTHER_KINDS = {
    "/pdf": "application/pdf",
    "/export/{request_id}/content": "application/zip",
    "/audit/checkpoint": "text/plain",
    "/audit/key": "text/plain",
}


@pytest.fixture
def schema(home: Api) -> dict[str, Any]:
    return home.get("schema").json()


def operations(schema: dict[str, Any]) -> list[tuple[str, str, Operation]]:
    return [
        (path, method, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_method_of_every_view_is_an_operation(schema: dict[str, Any]) -> None:
    in_code = [
        (path, method)
        for path, view in views_in(get_resolver().url_patterns)
        for method in METHODS
        if path.startswith(("api/v1/", "v1/", "admin/", "gdpr/"))
        and hasattr(view, method)
        and not path.startswith("api/v1/schema")
    ]

    assert len(operations(schema)) == len(in_code) > 100
    assert not any(path.startswith("/openai/") for path in schema["paths"])


def test_every_operation_is_named_and_summed_up(schema: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(schema)]

    assert sorted(set(names)) == sorted(names)
    for _, _, operation in operations(schema):
        assert operation["summary"][0].isupper()
        assert operation["summary"].replace(" ", "_").lower() == operation["operationId"]


def test_every_operation_says_what_it_takes_and_answers(schema: dict[str, Any]) -> None:
    for path, method, operation in operations(schema):
        for status, response in operation["responses"].items():
            assert response["description"], path
            if status == "204":
                assert "content" not in response, (path, method)
                continue
            assert "content" in response, (path, method, status)
            kind = next(
                (kind for end, kind in OTHER_KINDS.items() if path.endswith(end) and status == "200"),
                "application/json",
            )
            found = response["content"][kind]["schema"]
            if status.startswith("2"):
                assert found.get("type") != "array", f"{path}: lists come in pages"
            else:
                assert found == {"$ref": "#/components/schemas/Error"}
        assert {"401", "403", "503"} < set(operation["responses"])
        assert len([status for status in operation["responses"] if status.startswith("2")]) >= 1
        if method in {"put", "patch"}:
            assert "requestBody" in operation, path
        if "{" in path:
            assert "404" in operation["responses"], path


def test_lists_are_pages_as_they_are_answered(home: Api, schema: dict[str, Any]) -> None:
    for path, url in [
        ("/api/v1/tenants", "/api/v1/tenants"),
        ("/v1/organization/projects", "/v1/organization/projects"),
    ]:
        reference = schema["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"][
            "$ref"
        ]
        page = schema["components"]["schemas"][reference.rpartition("/")[2]]
        answer = home.client.get(url).json()
        item = schema["components"]["schemas"][page["properties"]["data"]["items"]["$ref"].rpartition("/")[2]]

        assert set(page["properties"]) == set(answer) == set(page["required"])
        assert set(item["properties"]) == set(answer["data"][0])


def test_nothing_is_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    GENERATOR_STATS.reset()
    call_command("spectacular", validate=True, stdout=StringIO())

    said = [
        line for line in capsys.readouterr().err.splitlines() if re.search(r"(Warning|Error)(:| \[)", line)
    ]
    assert said == []


def test_every_view_that_looks_at_if_match_says_so() -> None:
    wrong = [
        path
        for path, view in views_in(management)
        if getattr(view, "has_etag", False) is not ("unchanged(" in inspect.getsource(view))
    ]

    assert wrong == []


def test_secrets_that_are_shown_once_are_not_kept_for_repeated_requests(schema: dict[str, Any]) -> None:
    """Each view that shows one says which field it is."""
    components = schema["components"]["schemas"]

    def is_secret(field: dict[str, Any]) -> bool:
        inner = [components[each["$ref"].rpartition("/")[2]] for each in field.get("allOf", [])]
        nested = [each for shape in inner for each in shape.get("properties", {}).values()]
        return any(each.get("description", "").startswith("Shown this once") for each in [field, *nested])

    found = {}
    for path, method, operation in operations(schema):
        for status, response in operation["responses"].items():
            if method != "post" or not status.startswith("2") or "content" not in response:
                continue
            shape = response["content"]["application/json"]["schema"].get("$ref", "").rpartition("/")[2]
            fields = components.get(shape, {}).get("properties", {})
            for name, field in fields.items():
                if is_secret(field):
                    found[path] = name

    said = {
        "/" + re.sub(r"<\w+:(\w+)>", r"{\1}", path): view.shown_once
        for path, view in views_in(get_resolver().url_patterns)
        if getattr(view, "shown_once", "") and not path.startswith("openai/")
    }
    assert len(found) >= 8
    assert found == said


def test_headers_that_make_changes_safe_are_told(schema: dict[str, Any]) -> None:
    told = {
        name: {
            operation["operationId"]
            for _, _, operation in operations(schema)
            for parameter in operation.get("parameters", [])
            if (parameter["in"], parameter["name"]) == ("header", name)
        }
        for name in ("If-Match", "Idempotency-Key")
    }

    assert told["If-Match"] >= {
        "update_tenant", "rename_project", "update_plan", "change_role", "change_limits", "replace_limits",
        "set_single_sign_on",
    }  # fmt: skip
    posts = {operation["operationId"] for _, method, operation in operations(schema) if method == "post"}
    assert {"create_key", "create_service_account", "invite"} <= told["Idempotency-Key"]
    # Whoever is nobody's yet has no place where an answer could be kept.
    assert posts - told["Idempotency-Key"] <= {"accept_invitation", "sign_up_tenant", "report_leaked_key"}
    for _, _, operation in operations(schema):
        name = operation["operationId"]
        assert ("412" in operation["responses"]) is (name in told["If-Match"])
        assert ("422" in operation["responses"]) is (name in told["Idempotency-Key"])
