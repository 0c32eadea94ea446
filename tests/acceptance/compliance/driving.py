"""Calls every route that changes something, as those who may, and looks at what each transaction of the answer wrote.

A gap: a transaction that changes a row and writes no audit entry, a change without the event that its view declares, or a
change by a view that says it makes none. Nothing of a call stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from django.core.cache import cache
from django.db import connection

from gdpr.duties import Duty, Unrecorded, events_of
from gdpr.ids import uuid7
from gdpr.models import AuditEntry
from gdpr.scope import colony_tx
from rbee import audit_check
from tests.acceptance.tenants.isolation.callers import Caller
from tests.acceptance.tenants.isolation.matrix import FORMS, taken_back
from tests.acceptance.tenants.isolation.targets import DJANGO, Target
from tests.acceptance.tenants.isolation.world import World
from tests.factories.tenants import unique

LOG: Final = "gdpr_auditentry"
# Beside a change: what browsers remember, answers that are kept for repeats, what the world is told, and counters.
BESIDE: Final = frozenset(
    {LOG, "django_session", "tenants_keptanswer", "tenants_webhookevent", "tenants_webhookdelivery"}
)
WRITE: Final = re.compile(r'\b(?:INSERT INTO|UPDATE|DELETE FROM)\s+(?:ONLY\s+)?"?(\w+)"?', re.IGNORECASE)
SAVEPOINT: Final = re.compile(
    r'^\s*(SAVEPOINT|RELEASE SAVEPOINT|ROLLBACK TO SAVEPOINT)\s+"?(\w+)"?', re.IGNORECASE
)


class Call(NamedTuple):
    method: str
    path: str
    duty: Duty | None
    target: Target
    caller: Caller

    def __str__(self) -> str:
        return f"{self.method} {self.path} [{self.target.label()}] by {self.caller.name}"


@dataclass
class Writes:
    """Tables that were written, by the transaction that would have been the outermost."""

    stack: list[str] = field(default_factory=list)
    groups: list[list[tuple[str, str]]] = field(default_factory=list)  # (savepoint that is open, table)
    tables: frozenset[str] = frozenset()

    def listen(self, execute: Any, sql: Any, parameters: Any, many: bool, context: Any) -> Any:
        text = str(sql)
        if found := SAVEPOINT.match(text):
            self._move(found[1].upper(), found[2])
        answer = execute(sql, parameters, many, context)
        if context["cursor"].rowcount > 0:
            for table in WRITE.findall(text):
                if table in self.tables:
                    if not self.stack:
                        self.groups.append([])
                    self.groups[-1].append((self.stack[-1] if self.stack else "", table))
        return answer

    def _move(self, verb: str, name: str) -> None:
        if verb == "SAVEPOINT":
            if not self.stack:
                self.groups.append([])
            self.stack.append(name)
        elif name in self.stack:
            inner = self.stack[self.stack.index(name) :]
            if verb.startswith("ROLLBACK"):
                self.groups[-1] = [one for one in self.groups[-1] if one[0] not in inner]
                del self.stack[self.stack.index(name) + 1 :]
            else:
                del self.stack[self.stack.index(name) :]
                outer = self.stack[-1] if self.stack else ""
                self.groups[-1] = [(outer if one[0] in inner else one[0], one[1]) for one in self.groups[-1]]


@dataclass
class Report:
    calls: int = 0
    seen: set[str] = field(default_factory=set)  # routes whose declared event was seen with the change
    silent: set[str] = field(default_factory=set)  # that say that none is due, and changed nothing
    gaps: list[str] = field(default_factory=list)


def calls(callers: list[Caller], prefix: str = "/") -> Iterator[Call]:
    for name, duty in audit_check.routes():
        method, _, path = name.partition(" ")
        for target in DJANGO[path] if path.startswith(prefix) else ():
            if target.takes(method):
                for caller in callers:
                    if caller.is_browser == path.startswith(FORMS):
                        yield Call(method, path, duty, target, caller)


def drive(
    found: Iterator[Call], world: World, colony_names: Mapping[str, str], *, until_seen: bool = False
) -> Report:
    """`until_seen`: each route only until its entry was seen."""
    report = Report()
    tables = frozenset(connection.introspection.table_names())
    for call in found:
        if until_seen and f"{call.method} {call.path}" in report.seen | report.silent:
            continue
        report.calls += 1
        _make(call, {**colony_names, **world.names}, tables, report)
    return report


def _make(call: Call, names: Mapping[str, str], tables: frozenset[str], report: Report) -> None:
    names = {**names, **{f"own_{name}": value for name, value in names.items()}, "own_new": unique("new")}
    writes, before = Writes(tables=tables), uuid7()
    url, payload = call.target.url(call.path, names), call.target.payload(names)
    cache.clear()
    with taken_back():
        client = call.caller.client()
        is_form = call.path.startswith(FORMS)
        body = urlencode(payload) if is_form else json.dumps(payload)
        kind = "application/x-www-form-urlencoded" if is_form else "application/json"
        with connection.execute_wrapper(writes.listen):
            status = client.generic(call.method, url, body, kind).status_code
        with colony_tx("what was written"):
            events = set(AuditEntry.objects.filter(id__gt=before).values_list("event", flat=True))
    _judge(call, status, [{table for _, table in group} for group in writes.groups], events, report)


def _judge(call: Call, status: int, groups: list[set[str]], events: set[str], report: Report) -> None:
    name = f"{call.method} {call.path}"
    for tables in groups:
        if (changed := tables - BESIDE) and LOG not in tables:
            report.gaps.append(f"{call}: {sorted(changed)} without an entry in its transaction")
    if status >= 400:
        return
    has_changed = any(tables - BESIDE for tables in groups)
    if isinstance(call.duty, Unrecorded):
        if has_changed:
            report.gaps.append(f"{call}: says that no entry is due, and changes {groups}")
        else:
            report.silent.add(name)
    elif has_changed:
        if call.duty is None or not events & events_of(call.duty):
            report.gaps.append(f"{call}: declares {call.duty}, and recorded {sorted(events)}")
        else:
            report.seen.add(name)
