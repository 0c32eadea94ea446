"""Every route that there is, from the URLconf, the lane and the two OpenAPI schemas."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from django.urls import URLPattern, URLResolver, get_resolver

from inference.api import app
from tenants.rules import Capability
from tests.inference.conftest import Api

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
FIELD: Final = re.compile(r"<(?:\w+:)?(\w+)>|\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)")
PLAIN_VIEWS: Final = {"join": ("POST",), "placements": ("GET",), "forgotten": ("POST",)}


class Route(NamedTuple):
    """`path` has its parameters as `{name}`."""

    path: str
    methods: tuple[str, ...]
    wanted: dict[str, frozenset[Capability]]  # by method; empty where views do not say


def django_routes(patterns: Sequence[Any] | None = None) -> list[Route]:
    return list(_walk(get_resolver().url_patterns if patterns is None else patterns, ""))


def lane_routes() -> list[Route]:
    found = [Route(path, (method,), {}) for path, (method, _) in app.routes.items()]
    found.append(Route(f"{app.MODEL_PREFIX}{{model}}", ("GET",), {}))
    found += [Route(app.ALIAS + one.path, one.methods, {}) for one in found if one.path.startswith("/v1/")]
    return found


def operations(api: Api) -> dict[tuple[str, str], dict[str, Any]]:
    """Of the management API's schema, by path and method."""
    schema = api.get("schema").json()
    return {
        (path, method.upper()): {**operation, "body": _properties(schema, operation)}
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }


def _walk(patterns: Sequence[Any], prefix: str) -> Iterator[Route]:
    for pattern in patterns:
        path = prefix + FIELD.sub(lambda found: f"{{{found[1] or found[2]}}}", _plain(str(pattern.pattern)))
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            yield _route("/" + path, pattern)


def _route(path: str, pattern: URLPattern) -> Route:
    view = getattr(pattern.callback, "cls", None) or getattr(pattern.callback, "view_class", None)
    if view is None:
        return Route(path, PLAIN_VIEWS.get(pattern.callback.__name__, ("GET", "POST")), {})
    # One that does all in its `dispatch` has no methods to be seen.
    methods = tuple(method for method in METHODS if hasattr(view, method.lower())) or ("GET", "POST")
    declared = getattr(view, "capabilities", {})
    return Route(
        path, methods, {method: _wanted(declared[method]) for method in methods if method in declared}
    )


def _wanted(declared: Capability | tuple[Capability, ...]) -> frozenset[Capability]:
    return frozenset(declared) if isinstance(declared, tuple) else frozenset({declared})


def _plain(pattern: str) -> str:
    return pattern.removeprefix("^").removesuffix("$").replace(r"\Z", "")


def _properties(schema: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    content = operation.get("requestBody", {}).get("content", {})
    for media in content.values():
        shape = media["schema"]
        if "$ref" in shape:
            shape = schema["components"]["schemas"][shape["$ref"].rpartition("/")[2]]
        return dict(shape.get("properties", {}))
    return {}
