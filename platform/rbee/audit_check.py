"""Every way to change something, and whether it says what it owes the audit log: routes of Django and of the lane, tasks of
Celery, commands of `manage.py` and of `rbee`, and what the Django admin can do, where it is installed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from celery import Celery
from django.apps import apps
from django.core.management import get_commands, load_command_class
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.module_loading import autodiscover_modules

from gdpr.duties import Duty, what_is_wrong
from inference.api import app as lane
from rbee.foreign_duties import FOREIGN

CHANGING: Final = ("POST", "PUT", "PATCH", "DELETE")
FIELD: Final = re.compile(r"<(?:\w+:)?(\w+)>|\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)")
OURS: Final = ("rbee", "inference", "billing", "tenants", "gdpr")
CLI: Final = Path(__file__).parent.parent / "rbee_cli"
CLI_PATH: Final = re.compile(r"/(?:api/v1|v1|gdpr)/")
CALLS: Final = {"post": "POST", "put": "PUT", "patch": "PATCH", "delete": "DELETE", "stream": "POST"}
BESIDE: Final = frozenset({"httpx", "requests", "urllib.request", "psycopg", "redis"})
DOORS: Final = frozenset({"client.py", "waiting.py"})  # the files of the command that speak HTTP themselves


class Way(NamedTuple):
    """`duty` None: it says nothing."""

    name: str
    duty: Duty | None


def findings() -> list[str]:
    ways = [*routes(), *lane_routes(), *tasks(), *commands(), *admin_actions()]
    known = {way.name for way in [*routes(), *lane_routes()]}
    return [
        *(f"{way.name} {wrong}" for way in ways if (wrong := what_is_wrong(way.duty))),
        *unknown_to(known),
        *(f"{path}: declared in rbee.foreign_duties, and no route" for path in _stale(known)),
    ]


def routes(patterns: Sequence[Any] | None = None) -> list[Way]:
    return list(_walk(get_resolver().url_patterns if patterns is None else patterns, "/"))


def lane_routes() -> Iterator[Way]:
    for path, (method, _) in lane.routes.items():
        if method in CHANGING:
            yield Way(f"{method} {path}", lane.audits.get(path))


def tasks() -> Iterator[Way]:
    autodiscover_modules("tasks")
    app = Celery("check", broker="memory://", set_as_current=False)
    app.finalize()
    for name, task in sorted(app.tasks.items()):
        if name.split(".")[0] in OURS:
            yield Way(f"task {name}", getattr(task, "audits", None))


def commands() -> Iterator[Way]:
    for name, owner in sorted(get_commands().items()):
        if owner in OURS:
            command = load_command_class(owner, name)
            yield Way(f"manage.py {name}", getattr(type(command), "audits", None))


def admin_actions(site: Any = None) -> Iterator[Way]:
    """A ModelAdmin declares for `add`, `change`, `delete` and each of its actions."""
    if site is None and apps.is_installed("django.contrib.admin"):
        from django.contrib.admin import site
    for model, admin in site._registry.items() if site is not None else ():
        declared = getattr(admin, "audits", {})
        named = [action if isinstance(action, str) else action.__name__ for action in admin.actions or ()]
        for action in ("add", "change", "delete", *named):
            yield Way(f"admin {model._meta.label} {action}", declared.get(action))


def unknown_to(known: Iterable[str], folder: Path = CLI) -> Iterator[str]:
    """What commands of `rbee` change without a route that is checked: they reach the queen by QueenClient alone, and each
    path that their sources name is one of its routes, with the method by which they change it."""
    by_path: dict[str, set[str]] = {}
    for way in known:
        method, _, path = way.partition(" ")
        by_path.setdefault(path, set()).add(method)
    everything = [re.compile(_as_pattern(path)) for path in {*by_path, *_reading()}]
    for file in sorted(folder.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        name = file.relative_to(folder.parent)
        is_door = file.name in DOORS or "up" in file.relative_to(folder).parts
        if not is_door and _imports(tree) & BESIDE and _changes(tree):
            yield f"{name} reaches the queen beside QueenClient"
        paths = list(_paths(tree))
        for path in paths:
            if not any(pattern.match(path) for pattern in everything):
                yield f"{name} names {path}, which is no route"
        for method in sorted(_changes(tree)) if paths else ():
            if not any(_takes(by_path, path, method) for path in paths):
                yield f"{name} calls {method}, and no path that it names takes it"


def _walk(patterns: Sequence[Any], prefix: str) -> Iterator[Way]:
    for pattern in patterns:
        path = prefix + FIELD.sub(lambda found: f"{{{found[1] or found[2]}}}", _plain(str(pattern.pattern)))
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            yield from _ways(path, pattern.callback)


def _ways(path: str, callback: Any) -> Iterator[Way]:
    view = getattr(callback, "cls", None) or getattr(callback, "view_class", None)
    declared: Mapping[str, Duty] = getattr(view or callback, "audits", {})
    for method in _methods(view, callback, path):
        yield Way(f"{method} {path}", FOREIGN.get(path, declared.get(method)))


def _methods(view: Any, callback: Any, path: str) -> Sequence[str]:
    """A view that is a function, or that does all in its `dispatch`, says by what it declares what it changes; one of
    others may take a form."""
    if view is not None:
        found = [method for method in CHANGING if callable(getattr(view, method.lower(), None))]
        if found or hasattr(view, "get"):
            return found if path not in FOREIGN else found or ["POST"]
    if path in FOREIGN:
        return ["POST"]
    return tuple(getattr(callback, "audits", ["POST"]))


def _stale(known: Iterable[str]) -> Iterator[str]:
    paths = {name.partition(" ")[2] for name in known}
    yield from sorted(FOREIGN.keys() - paths)


def _reading() -> Iterator[str]:
    """Paths of routes that only read."""

    def walk(patterns: Sequence[Any], prefix: str) -> Iterator[str]:
        for pattern in patterns:
            path = prefix + FIELD.sub(
                lambda found: f"{{{found[1] or found[2]}}}", _plain(str(pattern.pattern))
            )
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, path)
            else:
                yield path

    yield from walk(get_resolver().url_patterns, "/")
    yield from lane.routes


def _plain(pattern: str) -> str:
    return pattern.removeprefix("^").removesuffix("$").replace(r"\Z", "")


def _as_pattern(path: str) -> str:
    """Matches the beginnings of it that end before a part: commands put paths together."""
    parts = [part for part in path.split("/") if part]
    text = ""
    for part in reversed(parts):
        one = r"[^/]+" if "{" in part else f"(?:{re.escape(part)}|\\0)"
        text = f"(?:/{one}{text})?"
    return f"^{text}/?$"


def _paths(tree: ast.AST) -> Iterator[str]:
    """Literal ones and those with values in them, which are written \\0."""
    inside = {
        id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)
    }
    for node in ast.walk(tree):
        text = ""
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(one.value) if isinstance(one, ast.Constant) else "\0" for one in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            text = node.value
        text = text.partition("?")[0]
        if CLI_PATH.match(text) and " " not in text:
            yield (
                text.replace("\0\0", "\0").rstrip("\0/")
                if text.endswith("\0") and "/\0" not in text[-2:]
                else text
            )


def _takes(by_path: Mapping[str, set[str]], path: str, method: str) -> bool:
    return any(method in methods and re.match(_as_pattern(known), path) for known, methods in by_path.items())


def _changes(tree: ast.AST) -> set[str]:
    return {
        CALLS[node.func.attr]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in CALLS
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in {"queen", "client", "httpx"}
    }


def _imports(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found
