"""`/openapi.json`: what `/v1` takes and answers, made from the structs that do the checking."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from inference.api.answers import ChatCompletion, TextCompletion
from inference.api.errors import ErrorEnvelope
from inference.api.exchange import Exchange
from inference.api.models import ModelList, ModelObject
from inference.api.wire import ChatRequest, CompletionRequest

if TYPE_CHECKING:
    from inference.api.queen import Queen

REFERENCE: Final = "#/components/schemas/{name}"
ERRORS: Final = {
    "400": "The request makes no sense; `param` names the field.",
    "401": "No key, or one that is unknown, expired or revoked.",
    "403": "The key lacks the scope, a policy said no, a consent is missing, or the end user is being erased.",
    "404": "There is no such model or URL.",
    "408": "The body did not arrive in time.",
    "409": "The first request with the Idempotency-Key still runs, or its answer is no longer kept.",
    "413": "The body is too large.",
    "415": "The body is encoded.",
    "422": "The Idempotency-Key was used for another body.",
    "429": "A limit or quota is used up.",
    "500": "Something broke.",
    "503": "No worker, or a part of the service is away; Retry-After says when to try again.",
    "504": "The task reached its deadline.",
}


async def show_openapi(queen: Queen, exchange: Exchange) -> None:
    await exchange.respond(_document(queen.env.is_business))


@lru_cache(maxsize=2)
def _document(is_business: bool) -> bytes:
    kinds = (
        ChatRequest,
        CompletionRequest,
        ChatCompletion,
        TextCompletion,
        ModelList,
        ModelObject,
        ErrorEnvelope,
    )
    references, components = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    schema = dict(zip(kinds, references, strict=True))
    bearer: list[dict[str, list[str]]] = [{"bearer": []}]
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "rbee",
                "version": "1",
                "description": "The OpenAI-compatible API of a colony.",
            },
            "servers": [{"url": "/"}, {"url": "/openai"}],
            "security": bearer if is_business else [{}, *bearer],
            "paths": {
                "/v1/models": {"get": _read("list_models", "The models on offer", schema[ModelList])},
                "/v1/models/{model}": {
                    "parameters": [
                        {
                            "name": "model",
                            "in": "path",
                            "required": True,
                            "schema": {"type": "string", "minLength": 1},
                        }
                    ],
                    "get": _read("show_model", "One model", schema[ModelObject]),
                },
                "/v1/chat/completions": {
                    "post": _write(
                        "create_chat_completion",
                        "Answer a conversation",
                        schema[ChatRequest],
                        schema[ChatCompletion],
                    )
                },
                "/v1/completions": {
                    "post": _write(
                        "create_completion",
                        "Continue a text",
                        schema[CompletionRequest],
                        schema[TextCompletion],
                    )
                },
            },
            "components": {
                "schemas": components,
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            },
        }
    )


def _read(operation: str, summary: str, answer: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": answer}}
    return {"operationId": operation, "summary": summary, "responses": _responses(content)}


def _write(operation: str, summary: str, request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    content = {
        "application/json": {"schema": answer},
        "text/event-stream": {
            "schema": {"type": "string", "description": "When `stream` is true; ends with [DONE]."}
        },
    }
    return {
        "operationId": operation,
        "summary": summary,
        "parameters": [
            _header(
                "X-Priority",
                {"type": "string", "enum": ["high", "normal", "low"]},
                "Among the requests of a tenant that wait, and what scripts see as priority",
            ),
            _header(
                "X-Wait-For-Model",
                {"type": "integer", "minimum": 0},
                "How many seconds to wait for a model that is being loaded",
            ),
            _header(
                "X-Estimated-Duration-Minutes",
                {"type": "number", "minimum": 0},
                "What scripts see as estimated_duration_minutes",
            ),
            _header(
                "Idempotency-Key",
                {"type": "string", "minLength": 1, "maxLength": 255},
                "Requests with the same key and body are answered by one task",
            ),
            _header(
                "Prefer",
                {"type": "string"},
                "wait=SECONDS: how long to wait for the answer of the first request with the key",
            ),
            _header(
                "X-Client-Request-Id", {"type": "string", "maxLength": 128}, "Logged beside x-request-id"
            ),
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": request}}},
        "responses": _responses(content),
    }


def _header(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": description}


def _responses(content: dict[str, Any]) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": REFERENCE.format(name="ErrorEnvelope")}}}
    failures = {status: {"description": why, "content": error} for status, why in ERRORS.items()}
    return {"200": {"description": "Done", "content": content}, **failures}
