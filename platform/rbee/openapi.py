"""What the schema says of every operation alike: a summary, pages of lists, errors, and the headers that repeat a POST
safely and change a thing only if it is as it was read."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter

from tenants.api.base import IDEMPOTENCY_KEY
from tenants.api.permissions import wanted_by
from tenants.rules import EVERYBODY

Schema = dict[str, Any]

ORGANIZATION: Final = "/v1/organization/"
ALIAS: Final = "/openai/v1/"
METHODS: Final = ("get", "post", "put", "patch", "delete")
IF_MATCH: Final = "If-Match"
ERRORS: Final = {
    "400": "The request makes no sense; `param` names the field.",
    "401": "No key or session, or one that is unknown, expired or revoked.",
    "403": "The key's scopes or the person's role do not allow this.",
    "404": "There is nothing of that name, or it is not yours to see.",
    "409": "The name is taken, or things are not in a state for this.",
    "412": "It has changed since it was read.",
    "422": "The Idempotency-Key was used for another request.",
    "503": "A part of the service is away; Retry-After says when to try again.",
}
ENVELOPE: Final[Schema] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": "string", "nullable": True},
                "code": {"type": "string", "nullable": True},
            },
        }
    },
}
DELETED: Final[Schema] = {
    "type": "object",
    "required": ["id", "object", "deleted"],
    "properties": {
        "id": {"type": "string"},
        "object": {"type": "string"},
        "deleted": {"type": "boolean"},
    },
}


class ManagementSchema(AutoSchema):
    def get_summary(self) -> str:
        return str(self.get_operation_id()).replace("_", " ").capitalize()

    def get_override_parameters(self) -> list[Any]:
        found: list[Any] = []
        if self.method == "POST" and wanted_by(self.view, "POST") - EVERYBODY:
            found.append(
                _header(
                    IDEMPOTENCY_KEY,
                    "The same again is done once, and answered as the first time for a day: but for secrets, in whose"
                    " place there is a `warning`",
                )
            )
        if self.method in {"PUT", "PATCH"} and getattr(self.view, "has_etag", False):
            found.append(_header(IF_MATCH, "The ETag of what was read; left out: change it in any case"))
        if self.path.startswith(ORGANIZATION):
            found.append(
                _header("OpenAI-Organization", "For the operator: the tenant's slug; left out: your own")
            )
        return found


def without_alias(endpoints: list[Any]) -> list[Any]:
    """The same operations twice would have no names of their own."""
    return [each for each in endpoints if not each[0].startswith(ALIAS)]


def complete(result: Schema, generator: Any, request: Any, public: bool) -> Schema:
    schemas = result["components"]["schemas"]
    schemas |= {"Error": ENVELOPE, "Deleted": DELETED}
    for path, operations in result["paths"].items():
        for method in METHODS:
            if operation := operations.get(method):
                _complete(path, method, operation, schemas)
    return result


def _complete(path: str, method: str, operation: Schema, schemas: Schema) -> None:
    responses = operation["responses"]
    done = responses.setdefault("200", {}) if not set(responses) & {"201", "202"} else {}
    if method == "delete" and "content" not in done:
        done["content"] = {"application/json": {"schema": _ref("Deleted")}}
    for response in responses.values():
        response["description"] = response.get("description") or "Done"
        for media in response.get("content", {}).values():
            if media["schema"].get("type") == "array" and "$ref" in media["schema"]["items"]:
                media["schema"] = _page(path, media["schema"]["items"], schemas)
    for status in _errors_of(path, method, operation):
        content = {"application/json": {"schema": _ref("Error")}}
        responses[status] = {"description": ERRORS[status], "content": content}


def _errors_of(path: str, method: str, operation: Schema) -> list[str]:
    headers = {each["name"] for each in operation.get("parameters", []) if each["in"] == "header"}
    found = ["401", "403", "503"]
    if operation.get("parameters") or "requestBody" in operation:
        found.append("400")
    if "{" in path or path.startswith(ORGANIZATION) or _takes(operation, "tenant"):
        found.append("404")
    found += ["409"] if method != "get" else []
    found += ["412"] if IF_MATCH in headers else []
    found += ["422"] if IDEMPOTENCY_KEY in headers else []
    return sorted(found)


def _takes(operation: Schema, name: str) -> bool:
    return any(each["name"] == name for each in operation.get("parameters", []))


def _page(path: str, item: Schema, schemas: Schema) -> Schema:
    """As `list_response` of either surface makes it."""
    name = item["$ref"].rpartition("/")[2] + "Page"
    text = {"type": "string", "nullable": True}
    is_openais = path.startswith(ORGANIZATION)
    cursors = {"first_id": text, "last_id": text} if is_openais else {"next_cursor": text}
    properties = {
        "object": {"type": "string", "enum": ["list"]},
        "data": {"type": "array", "items": item},
        "has_more": {"type": "boolean"},
        **cursors,
    }
    schemas[name] = {"type": "object", "required": list(properties), "properties": properties}
    return _ref(name)


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _header(name: str, description: str) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, description=description)
