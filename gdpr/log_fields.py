"""What our lines in logs hold beside their own words: every expression that a call of a logger is given, by class.

A line has the time, the level, the logger's name, and a message with these in it; no line has a prompt, an output, an
address or a name of a person. `unclassified` finds calls whose arguments are not here, and messages that are no constant.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, NamedTuple

from gdpr.registry import PrivacyClass

METHODS: Final = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})
LOGGERS: Final = frozenset({"log", "_log", "logger", "_logger"})

# Expressions as they stand in the source; * stands for anything.
FIELDS: Final[dict[PrivacyClass, tuple[str, ...]]] = {
    PrivacyClass.NONE: (
        "type(error).__name__", "_reason(error)", "failed", "why", "otherwise",  # kinds of errors, in our words
        "_what(row)", "incomplete", "message", "name", "where", "outcome", "month", "position", "left", "timeout_s",
        "len(*)", "sum(*)", "round(*)", "time.monotonic() - began", "self.dropped - self._dropped_told",
        "self.lost - self._lost_told", "percent",
        "counts.*", "attempt", "abandoned", "datetime.now(UTC).isoformat(timespec='milliseconds')",
        "limit.level", "limit.name", "job.endpoint", "refused.code", "task.get_name()", "self.process.pid",
        "file.sha256", "policy.sha256[[]:12]", "version.number", "queen", "self.queen", "self.address.name",
        "engine.name", "placement.engine", "hive.name", "hive.info.name", "stream.hive_id", "self.credentials.name",
        "self.credentials.queen_url", "', '.join(usernames)",
        "hold.request.step or hold.request.state", "table", "self.name", "f'{month:%Y-%m}'", "_said(error)",
        "sequencer.numbered", "sequencer.epoch",
    ),
    PrivacyClass.PSEUDONYM: (
        "task", "*.task", "*.task[[]:32]", "*.task_id", "*.task_id.hex", "tenant_id", "claimed.id", "*.request_id",
        "invoice.number", "owner", "policy.owner", "hold.request.id", "row.id",
    ),
    # Words of a library or of an operator, and names that a customer chose; none of what a request holds.
    PrivacyClass.CONTENT: (
        "error", "error.message", "broke", "reply", "refused.message", "task.exception()", "client_id", "host", "path",
        "self.scheduler_file", "placement.model", "placement.source", "self.placement.model",
    ),
}  # fmt: skip


class LogCall(NamedTuple):
    where: str
    arguments: tuple[str, ...]
    has_constant_message: bool


def class_of(expression: str) -> PrivacyClass | None:
    for privacy, patterns in FIELDS.items():
        if any(fnmatchcase(expression, pattern) for pattern in patterns):
            return privacy
    return None


def unclassified(calls: Iterable[LogCall]) -> list[str]:
    found = []
    for call in calls:
        if not call.has_constant_message:
            found.append(
                f"{call.where}: a log message is built before it is given: pass what varies as arguments"
            )
        found += [
            f"{call.where}: the log field {argument} has no privacy class in gdpr.log_fields"
            for argument in call.arguments
            if class_of(argument) is None
        ]
    return found


def unused(calls: Iterable[LogCall]) -> list[str]:
    """Patterns that no call has: a list that outlives the code tells a wrong story."""
    given = {argument for call in calls for argument in call.arguments}
    return [
        f"gdpr.log_fields: no log call has {pattern}"
        for patterns in FIELDS.values()
        for pattern in patterns
        if not any(fnmatchcase(argument, pattern) for argument in given)
    ]


def log_calls(source: str, where: str) -> Iterator[LogCall]:
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in METHODS
            and _name(node.func.value) in LOGGERS
        ):
            given = node.args[1:] if node.func.attr == "log" else node.args
            yield LogCall(
                f"{where}:{node.lineno}",
                tuple(ast.unparse(argument) for argument in given[1:]),
                bool(given) and isinstance(given[0], ast.Constant),
            )


def calls_in(files: Iterable[Path]) -> list[LogCall]:
    return [call for file in files for call in log_calls(file.read_text(encoding="utf-8"), str(file))]


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
