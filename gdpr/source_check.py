"""What the source shows of the places where data lies: keys of Redis that code builds, chores and what they are given, and
log calls. All of it must be in the data map."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from gdpr import log_fields
from gdpr.places import Kind, places

PACKAGES: Final = ("rbee", "rbee_cli", "rbee_policy", "hive_agent", "inference", "billing", "tenants", "gdpr")
NOT_OURS: Final = ("migrations",)

_OWN_KEY: Final = re.compile(r"rbee:[a-z]|h:0:.")
_ANY: Final = "0"  # in place of what varies: any placeholder takes it


class KeyUse(NamedTuple):
    where: str
    template: str  # the beginning of a key; what varies is _ANY


def findings() -> list[str]:
    files = sources()
    calls = log_fields.calls_in(files)
    return [*undeclared_keys(files), *chores_with_arguments(), *log_fields.unclassified(calls), *log_fields.unused(calls)]


def sources() -> list[Path]:
    """Files of the packages that are installed here, without importing any."""
    found: list[Path] = []
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            found += Path(folder).rglob("*.py")
    return sorted(file for file in found if not set(NOT_OURS) & set(file.parts))


def undeclared_keys(files: Iterable[Path]) -> list[str]:
    declared = [place for place in places() if place.kind in (Kind.KEY, Kind.CHANNEL)]
    return [
        f"{use.where}: the key {use.template.replace(_ANY, '…')} in Redis is not declared in data_places"
        for file in files
        for use in key_uses(file.read_text(encoding="utf-8"), str(file))
        if not any(place.begins_with(use.template) for place in declared)
    ]


def key_uses(source: str, where: str) -> Iterator[KeyUse]:
    """Texts that are keys of ours, or their beginnings: `rbee:…`, and what is put behind a hive's prefix."""
    tree = ast.parse(source)
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            template = _template(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            template = node.value
        else:
            continue
        if _OWN_KEY.match(template) and not re.search(r"\s", template):
            yield KeyUse(f"{where}:{node.lineno}", template)


def _template(node: ast.JoinedStr) -> str:
    text = ""
    for part in node.values:
        if isinstance(part, ast.Constant):
            text += str(part.value)
        elif not text and ast.unparse(part.value).endswith("prefix"):  # type: ignore[attr-defined]
            text = f"h:{_ANY}:"
        else:
            text += _ANY
    return text


def chores_with_arguments() -> list[str]:
    """A message in a queue is a hint: what is to be done stands in the database. So no chore takes an argument."""
    from celery import current_app

    return [
        f"the chore {name} takes {', '.join(parameters)}: its messages would hold what is in no data map"
        for name, task in sorted(current_app.tasks.items())
        if not name.startswith("celery.") and (parameters := _parameters(task))
    ]


def _parameters(task: Any) -> list[str]:
    return [name for name in inspect.signature(task.run).parameters if name != "self"]
