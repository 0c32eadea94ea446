"""The same of `/v1`, with a queen that runs: what belongs to others is answered as what is not there."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import httpx
import pytest

from inference.api import models
from inference.domain.idempotency import scope_of
from tests.acceptance.figures import note
from tests.acceptance.tenants.isolation import routes
from tests.acceptance.tenants.isolation.callers import altered, bearer
from tests.acceptance.tenants.isolation.targets import fill
from tests.acceptance.tenants.isolation.world import World, close, drop, free, make_world
from tests.inference.api.conftest import Colony, _business, _database, business, chat

__all__ = ["_business", "_database", "business"]

VOLATILE = {"date", "x-request-id", "openai-processing-ms", "content-length"}
MADE = re.compile(rb'"(id|created)": ?("[^"]*"|[0-9]+)')
TEXT = {"model": "{model}", "prompt": "x"}


class Ask(NamedTuple):
    """`headers` and `body` have placeholders."""

    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = {}


ONCE = {"idempotency-key": "{once}"}
TARGETS: Mapping[str, tuple[Ask, ...]] = {
    "/v1/models": (Ask(),),
    "/v1/models/{model}": (Ask(),),
    "/v1/chat/completions": (Ask(chat("x", model="{model}")), Ask(chat("x"), ONCE)),
    "/v1/completions": (Ask(TEXT), Ask({**TEXT, "model": "m"}, ONCE)),
    "/hive/v1/receipts": (Ask({}),),
    "/openapi.json": (Ask(),),
    "/healthz": (Ask(),),
    "/readyz": (Ask(),),
}
OPEN = {"/openapi.json", "/healthz", "/readyz"}


class Cast(NamedTuple):
    victim: World
    stranger: World
    suspended: World
    names: dict[str, str]
    absent: dict[str, str]


@pytest.fixture
def cast(business: Colony) -> Iterator[Cast]:
    victim, stranger, suspended = (make_world(people=False) for _ in range(3))
    names = {"model": f"{victim.mark}-model"}
    absent = {"model": f"mk{secrets.token_hex(8)}-model"}
    free(victim, allowed_models=["m", names["model"]])
    free(stranger, allowed_models=["m"])
    close(suspended, "suspended")
    business.add_model(names["model"])
    with business.call(victim.secrets["both"]) as client:
        assert client.get(f"/v1/models/{names['model']}").status_code == 200
    yield Cast(victim, stranger, suspended, names, absent)
    for world in (victim, stranger, suspended):
        drop(world)


def test_every_route_of_the_lane_is_in_the_matrix(business: Colony) -> None:
    paths = {route.path.removeprefix("/openai") for route in routes.lane_routes()}

    assert paths == set(TARGETS)
    schema = httpx.get(f"{business.url}/openapi.json").json()["paths"]
    assert {
        (path, method.upper())
        for path, methods in schema.items()
        for method in methods
        if method != "parameters"
    } == {
        (route.path, method)
        for route in routes.lane_routes()
        for method in route.methods
        if route.path.startswith("/v1/")
    }


@pytest.mark.timeout(600)
def test_no_cell_of_the_lane_leaks(business: Colony, cast: Cast) -> None:
    cells, leaks = run(business, cast)

    note("isolation: cells of the lane", cells)
    note("isolation: leaks of the lane", len(leaks))
    assert leaks == []


def test_check_finds_a_model_that_is_shown_to_all(
    business: Colony, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "may_ask_for", lambda caller, name: True)
    assert any("/v1/models" in leak and "other tenant" in leak for leak in run(business, cast)[1])


def test_check_finds_answers_that_are_repeated_to_others(
    business: Colony, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inference.api import once

    monkeypatch.setattr(once, "scope_of", lambda tenant, project, *more: scope_of("a" * 32, "b" * 32, *more))
    assert any("completions" in leak and "other tenant" in leak for leak in run(business, cast)[1])


def run(colony: Colony, cast: Cast) -> tuple[int, list[str]]:
    cells, leaks = 0, []
    for name, headers, is_stranger in callers(cast):
        with httpx.Client(base_url=colony.url, headers=headers, timeout=30) as client:
            for route in routes.lane_routes():
                path = route.path.removeprefix("/openai")
                for ask in TARGETS[path]:
                    cells += 1
                    names, other = (
                        answered_once(colony, cast, route) if ask.headers else (cast.names, cast.absent)
                    )
                    foreign, seen = send(client, route, ask, names)
                    absent, not_there = send(client, route, ask, other)
                    cell = f"{route.methods[0]} {route.path} {dict(ask.body or {})} by {name}"
                    if foreign.status_code >= 500 or absent.status_code >= 500:
                        leaks.append(f"{cell}: broke: {foreign.status_code} {foreign.text[:200]}")
                    if found := next((one for one in cast.victim.markers if one in seen[2]), None):
                        leaks.append(f"{cell}: shows {found!r}")
                    if not is_stranger and path not in OPEN and foreign.status_code < 400:
                        leaks.append(f"{cell}: let in")
                    if seen != not_there:
                        leaks.append(f"{cell}: tells from what is not there: {seen}, not {not_there}")
    return cells, leaks


def answered_once(colony: Colony, cast: Cast, route: routes.Route) -> tuple[dict[str, str], dict[str, str]]:
    """Under a key of the victim's that was answered, and under one that nobody used. Who asked by the same key before
    would get their own answer again."""
    names, other = ({**cast.names, "once": secrets.token_hex(16)} for _ in range(2))
    path, ask = route.path, TARGETS[route.path.removeprefix("/openai")][1]
    with httpx.Client(base_url=colony.url, headers=bearer(cast.victim.secrets["both"]), timeout=30) as client:
        first, again = (
            client.post(path, json=filled(ask.body, names), headers=filled(ask.headers, names)) for _ in "ab"
        )
    assert (first.status_code, again.headers.get("idempotent-replayed")) == (200, "true"), first.text
    return names, other


def callers(cast: Cast) -> Iterator[tuple[str, dict[str, str], bool]]:
    victim, stranger = cast.victim, cast.stranger
    for kind in ("inference", "both"):
        yield f"other tenant's key: {kind}", bearer(stranger.secrets[kind]), True
    for kind in ("manage", "brought", "visit writing"):
        yield f"other tenant's {kind}, no key for inference", bearer(stranger.secrets[kind]), False
    yield "nobody", {}, False
    yield "a key that is none", bearer("sk-nobody-has-this-one"), False
    yield "a key with one letter changed", bearer(altered(victim.secrets["both"])), False
    for kind in ("revoked", "expired", "manage", "brought", "visit reading", "visit writing", "visit ended"):
        yield f"victim's {kind}", bearer(victim.secrets[kind]), False
    yield "key of a suspended tenant", bearer(cast.suspended.secrets["both"]), False


def send(
    client: httpx.Client, route: routes.Route, ask: Ask, names: Mapping[str, str]
) -> tuple[httpx.Response, tuple[int, str, bytes]]:
    """The answer, and what of it must not depend on the names."""
    got = client.request(
        route.methods[0],
        fill(route.path, names),
        json=filled(ask.body, names),
        headers=filled(ask.headers, names),
    )
    headers = sorted(
        (name, value)
        for name, value in got.headers.items()
        if name not in VOLATILE and not name.startswith("x-ratelimit")
    )
    shown, body = repr(headers), MADE.sub(b"*", got.content)
    for value in names.values():
        shown, body = shown.replace(value, "{name}"), body.replace(value.encode(), b"{name}")
    return got, (got.status_code, shown, shown.encode() + body)


def filled(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {name: filled(inner, names) for name, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, names) for inner in value]
    return fill(value, names) if isinstance(value, str) else value
