"""Two roles, one database: `default` is the application role, `owner` owns the tables and only migrates."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from rbee.env import Env

CONNECT_TIMEOUT_S = 5


def database_settings(env: Env) -> dict[str, dict[str, Any]]:
    """Without a URL Django's own answer stands: its dummy back end refuses every query."""
    databases: dict[str, dict[str, Any]] = {
        "default": _database(env.database_url) if env.database_url else {}
    }
    if env.database_owner_url:
        # A test run prepares one database; the owner's alias is another way into the same one.
        databases["owner"] = _database(env.database_owner_url) | {"TEST": {"MIRROR": "default"}}
    return databases


class MigrateAsOwner:
    """Tables change through the owner's connection only."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == "owner"


def _database(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": parts.port or 5432,
        # Under ASGI a thread's connection is never handed back; each request opens and closes its own.
        "CONN_MAX_AGE": 0,
        "OPTIONS": {"connect_timeout": CONNECT_TIMEOUT_S, **dict(parse_qsl(parts.query))},
    }
