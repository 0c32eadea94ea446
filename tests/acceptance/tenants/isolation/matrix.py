"""Cells of route, method, object and caller; and what a leak is.

A cell leaks when its answer says anything of another tenant, when an object of another tenant is answered differently
from one that is not there (in status, headers, body, or in what the database was asked, which is what its time depends
on), when somebody gets in who may not, or when a row of another tenant changes. Nothing of a cell stays.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

from django.core.cache import cache
from django.db import connection, transaction

from gdpr.ids import uuid7
from tenants.rules import Capability
from tests.acceptance.figures import SEED
from tests.acceptance.tenants.isolation.callers import Caller, Cast, Kind
from tests.acceptance.tenants.isolation.routes import Route
from tests.acceptance.tenants.isolation.targets import Target
from tests.acceptance.tenants.isolation.world import absent_names, fingerprint
from tests.factories.tenants import unique

VOLATILE_HEADERS: Final = {"set-cookie", "date", "expires", "x-request-id", "content-length"}
VOLATILE: Final = re.compile(
    rb'(name="csrfmiddlewaretoken" value="|name="once" value="|"session_token": ?")[^"]*"|"at": ?[0-9.]+'
)
MADE: Final = re.compile(
    rb'"(id|kid|key|value|redacted_value|last4|secret|sha256|created_at|expires_at)": ?("[^"]*"|[0-9]+)'
)
WRITES: Final = re.compile(r"\s*(INSERT|UPDATE|DELETE|WITH)", re.IGNORECASE)
REFERRING: Final = {"tenant", "project", "key", "member", "webhook"}  # fields of these names name an object
LOG_IN: Final = "/accounts/login/?next="
FORMS: Final = ("/accounts/", "/dashboard")
# Around each page it is said who is logged in, and in which of their tenants: also to who may not see the page.
FRAME: Final = re.compile(rb'<header class="bar">.*?<main', re.DOTALL)
SAVEPOINTS: Final = re.compile("SAVEPOINT")
# What a visit leaves behind in the tenant that is visited is meant for it.
OF_VISITS: Final = frozenset({"gdpr_auditentry", "tenants_impersonation"})


class Cell(NamedTuple):
    route: Route
    method: str
    target: Target
    caller: Caller

    def __str__(self) -> str:
        return f"{self.method} {self.route.path} [{self.target.label()}] by {self.caller.name}"

    @property
    def wanted(self) -> frozenset[Capability]:
        return self.route.wanted.get(self.method, frozenset())


class Answer(NamedTuple):
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    asked: tuple[str, ...] = ()  # the database, without parameters
    wrote: bool = False
    after: str = ""  # fingerprint of the world aimed at, when anything was written

    @property
    def is_let_in(self) -> bool:
        """A page that leads to where one logs in has let nobody in."""
        is_led_away = self.status == 302 and any(LOG_IN in value for _, value in self.headers)
        return self.status < 400 and not is_led_away

    def masked(self, values: Iterable[str]) -> Answer:
        """Without what the request itself said, which an answer may repeat."""
        body, headers = VOLATILE.sub(b"*", self.body), repr(self.headers)
        if self.status == 201 or (self.status == 200 and self.wrote):
            body = MADE.sub(b"*", body)
        for value in sorted(set(values), key=len, reverse=True):
            for said in {value, quote(value, safe="")}:
                body, headers = body.replace(said.encode(), b"{name}"), headers.replace(said, "{name}")
        return self._replace(body=body, headers=((headers, ""),))


@dataclass
class Report:
    cells: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)
    leaks: list[str] = field(default_factory=list)


@dataclass
class Matrix:
    """`colony_names` are of objects of the operator."""

    cast: Cast
    colony_names: Mapping[str, str]

    def __post_init__(self) -> None:
        cast = self.cast
        self.callers = cast.callers()
        self.worlds = [cast.victim, cast.stranger, cast.suspended, cast.closed]
        self.absent = {world.mark: absent_names(world) for world in self.worlds}
        self.absent_colony = {
            name: str(uuid7())
            if name.startswith("operator") or name in ("price", "price_terms")
            else unique("none")
            for name in self.colony_names
        }
        self.before = {
            (world.mark, without): fingerprint(world, without=without)
            for world in self.worlds
            for without in (frozenset[str](), OF_VISITS)
        }

    def run(self, cells: Iterable[Cell]) -> Report:
        report = Report()
        for cell in cells:
            report.cells += 1
            report.by_kind[cell.caller.kind] += 1
            if why := self.leak(cell):
                report.leaks.append(f"{cell}: {why}")
        return report

    def leak(self, cell: Cell) -> str:
        """Why it leaks; empty when it does not."""
        caller, target = cell.caller, cell.target
        foreign_names, absent_ones = self.names_for(caller)
        foreign = self.ask(cell, foreign_names)
        said = [foreign_names[name] for name in target.names]
        seen = foreign.masked(said)
        if foreign.status >= 500:
            return f"broke: {foreign.status}"
        if not target.why and (marker := self.marker_in(cell, seen)):
            return f"shows {marker!r}"
        if foreign.after not in {"", self.before[caller.aims_at.mark, self.forgives(caller)]}:
            return "changed a row"
        if cell.wanted and foreign.is_let_in and not self.may_be_let_in(cell):
            return f"let in: {foreign.status}"
        is_of_it = caller.kind == Kind.INSIDER and target.says_where
        if (
            target.names
            and not target.why
            and not is_of_it
            and not (caller.own is caller.aims_at and self.is_their_own(cell))
        ):
            absent = self.ask(cell, absent_ones).masked(absent_ones[name] for name in target.names)
            if difference := self.difference(seen, absent, is_timed=bool(cell.wanted)):
                return f"tells from what is not there by its {difference}"
        return ""

    def dead(self, cells: Iterable[Cell]) -> list[str]:
        """Targets that are answered alike whether they are there or not, also to those whose they are: such a target
        shows nothing. The callers of `cells` are the rightful ones."""
        alive: dict[str, bool] = {}
        for cell in cells:
            name = str(cell).partition(" by ")[0]
            if alive.get(name) or not cell.target.names or cell.target.is_blind or cell.target.why:
                continue
            present, absent = self.names_for(cell.caller)
            answers = [
                self.ask(cell, names).masked(names[one] for one in cell.target.names)
                for names in (present, absent)
            ]
            alive[name] = bool(self.difference(*answers, is_timed=False)) and answers[0].status != 403
        return [name for name, is_alive in alive.items() if not is_alive]

    def may_be_let_in(self, cell: Cell) -> bool:
        if Capability.PUBLIC in cell.wanted or cell.caller.kind == Kind.STRANGER:
            return True
        return self.is_their_own(cell)

    def is_their_own(self, cell: Cell) -> bool:
        """What somebody reads about their own account."""
        return (not cell.wanted or Capability.ACCOUNT in cell.wanted) and cell.caller.is_logged_in

    def marker_in(self, cell: Cell, answer: Answer) -> bytes | None:
        caller = cell.caller
        is_theirs = caller.is_browser and caller.kind != Kind.STRANGER
        body = FRAME.sub(b"", answer.body) if is_theirs else answer.body
        text = body + answer.headers[0][0].encode()
        is_own = caller.kind == Kind.STRANGER or self.is_their_own(cell)
        for world in self.worlds:
            if is_own and world is caller.own:
                continue
            for marker in world.markers:
                if marker in text:
                    return marker
        return None

    def difference(self, foreign: Answer, absent: Answer, *, is_timed: bool) -> str:
        if foreign.status != absent.status:
            return f"status {foreign.status}, not {absent.status}"
        if foreign.body != absent.body:
            return f"body {foreign.body[:200]!r}, not {absent.body[:200]!r}"
        if foreign.headers != absent.headers:
            return "headers"
        if is_timed and foreign.asked != absent.asked:
            return f"queries ({len(foreign.asked)}, not {len(absent.asked)})"
        return ""

    def names_for(self, caller: Caller) -> tuple[dict[str, str], dict[str, str]]:
        own = {f"own_{name}": value for name, value in caller.own.names.items()} | {"own_new": unique("new")}
        foreign = {**self.colony_names, **caller.aims_at.names, **own}
        return foreign, {**self.absent_colony, **self.absent[caller.aims_at.mark], **own}

    def forgives(self, caller: Caller) -> frozenset[str]:
        return OF_VISITS if caller.kind == Kind.INSIDER else frozenset()

    def ask(self, cell: Cell, names: Mapping[str, str]) -> Answer:
        asked: list[str] = []

        def listen(execute: Any, sql: Any, parameters: Any, many: bool, context: Any) -> Any:
            if not SAVEPOINTS.search(sql):  # their names are counted
                asked.append(str(sql))
            return execute(sql, parameters, many, context)

        url, payload = cell.target.url(cell.route.path, names), cell.target.payload(names)
        cache.clear()  # of attempts that were counted
        with taken_back():
            with connection.execute_wrapper(listen):
                client = cell.caller.client()
                if cell.method in {"GET", "HEAD", "OPTIONS"}:
                    got = client.generic(cell.method, url)
                else:
                    form = urlencode(payload) if cell.route.path.startswith(FORMS) else ""
                    kind = "application/x-www-form-urlencoded" if form else "application/json"
                    got = client.generic(cell.method, url, form or json.dumps(payload), kind)
            wrote = any(WRITES.match(sql) for sql in asked)
            after = fingerprint(cell.caller.aims_at, without=self.forgives(cell.caller)) if wrote else ""
        headers = tuple(
            sorted(
                (name.lower(), value)
                for name, value in got.headers.items()
                if name.lower() not in VOLATILE_HEADERS
            )
        )
        return Answer(got.status_code, headers, _body(got), tuple(asked), wrote, after)


def cells(
    routes: Sequence[Route], targets: Mapping[str, Sequence[Target]], callers: Sequence[Caller]
) -> Iterator[Cell]:
    """An insider who may is let in, which is no cell."""
    for route in routes:
        for method in (*route.methods, *(("HEAD", "OPTIONS") if route.wanted else ())):
            for target in _targets(targets[route.path], route, method):
                for caller in _callers(callers, route):
                    cell = Cell(route, method, target, caller)
                    if caller.kind != Kind.INSIDER or (cell.wanted and caller.may.isdisjoint(cell.wanted)):
                        yield cell


def sample(cells: Iterable[Cell], each: int) -> Iterator[Cell]:
    """All targets, and of each kind of callers so many for each."""
    chance = random.Random(SEED)
    for _, group in itertools.groupby(
        cells, lambda cell: (cell.route.path, cell.method, cell.target.label())
    ):
        found = list(group)
        for kind in Kind:
            mine = [cell for cell in found if cell.caller.kind == kind]
            yield from chance.sample(mine, min(each, len(mine)))


def undeclared(
    operations: Mapping[tuple[str, str], Mapping[str, Any]],
    routes: Sequence[Route],
    targets: Mapping[str, Sequence[Target]],
) -> list[str]:
    """What the OpenAPI schema has and the matrix does not: operations, and fields that name an object."""
    found, known = [], {(route.path, method) for route in routes for method in route.methods}
    for (path, method), operation in operations.items():
        if (path, method) not in known:
            found.append(f"{method} {path}: in the schema only")
            continue
        asked = [
            f"{target.query} {target.body}"
            for target in targets.get(path, ())
            if target.takes(method) and target.names
        ]
        fields = {
            one["name"]: one["schema"] for one in operation.get("parameters", ()) if one["in"] == "query"
        }
        for name, shape in {**fields, **operation["body"]}.items():
            refers = name in REFERRING or shape.get("format") in {"uuid", "email"}
            if refers and not any(re.search(rf"\b{name}\b", text) for text in asked):
                found.append(f"{method} {path}: nothing names an object by {name}")
    return found


def uncovered(routes: Sequence[Route], targets: Mapping[str, Sequence[Target]]) -> list[str]:
    """Routes that are not in the matrix, and what is in it without a route."""
    found = [f"{path}: no such route" for path in sorted(targets.keys() - {route.path for route in routes})]
    for route in routes:
        parameters = set(re.findall(r"\{(\w+)\}", route.path))
        for method in route.methods:
            mine = [target for target in targets.get(route.path, ()) if target.takes(method)]
            if not mine:
                found.append(f"{method} {route.path}: no target")
            elif parameters and not any(target.names or target.why for target in mine):
                found.append(f"{method} {route.path}: no target names an object")
            found += [f"{method} {route.path}: {parameters - set(target.path)} is not named" for target in mine
                      if not parameters <= set(target.path)]  # fmt: skip
    return found


@contextmanager
def taken_back() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def _callers(callers: Sequence[Caller], route: Route) -> list[Caller]:
    """Pages know a browser by its cookies, and all else nobody comes to with cookies alone, but for one."""
    if route.path.startswith("/dashboard"):
        return [one for one in callers if one.is_browser or not one.is_logged_in]
    found = [one for one in callers if not one.is_browser or one.everywhere]
    return found if route.wanted else [one for one in found if one.by_session]


def _targets(targets: Sequence[Target], route: Route, method: str) -> list[Target]:
    if method == "HEAD":
        return [target for target in targets if target.takes("GET")] if "GET" in route.methods else []
    if method == "OPTIONS":
        return list(targets[:1])
    return [target for target in targets if target.takes(method)]


def _body(response: Any) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content
