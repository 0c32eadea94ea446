"""Technical measures (Art. 32 GDPR) as they are in force here: asked of the settings, the database and Redis, never of a
text that somebody wrote once."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

import redis
from django.apps import apps
from django.conf import settings
from django.db import connection

from gdpr import places, registry
from gdpr.models import AppendOnly
from gdpr.places import Kind
from gdpr.registry import PrivacyClass

REDIS_WAIT_S: Final = 2.0
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1", "")
_ENCRYPTED: Final = ("require", "verify-ca", "verify-full")

_RIGHTS = """
    SELECT
        (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = session_user),
        count(*) FILTER (WHERE c.relrowsecurity AND c.relforcerowsecurity),
        count(*) FILTER (WHERE NOT c.relispartition AND has_table_privilege(session_user, c.oid, 'INSERT')
            AND NOT has_table_privilege(session_user, c.oid, 'UPDATE, DELETE, TRUNCATE'))
    FROM pg_class c WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND c.relnamespace = 'public'::regnamespace
"""


class Measure(NamedTuple):
    name: str
    state: str
    is_met: bool  # what a reader should see to, where it is not


def measures_in_force() -> list[Measure]:
    return [
        _clients(),
        _hop("Connection to PostgreSQL", settings.RBEE.database_url),
        _hop("Connection to Redis", settings.RBEE.redis_url),
        *_database(),
        _redis_keeps_nothing(),
        _prompts(),
        _passwords(),
        _sessions(),
        _outbound(),
        _decisions(),
    ]


def _clients() -> Measure:
    scheme = urlsplit(settings.RBEE.public_url).scheme
    if scheme == "https":
        return Measure("Connections of clients and hives", f"HTTPS, at {settings.RBEE.public_url}", True)
    where = "on this machine" if urlsplit(settings.RBEE.public_url).hostname in _LOOPBACK else "not encrypted"
    return Measure("Connections of clients and hives", f"HTTP, {where}", where == "on this machine")


def _hop(name: str, url: str) -> Measure:
    parts = urlsplit(url)
    if not url:
        return Measure(name, "not set up", False)
    if (parts.hostname or "") in _LOOPBACK:
        return Measure(name, "does not leave the machine", True)
    mode = parse_qs(parts.query).get("sslmode", [""])[0]
    if parts.scheme == "rediss" or mode in _ENCRYPTED:
        return Measure(name, f"TLS{f', sslmode={mode}' if mode else ''}", True)
    return Measure(name, "leaves the machine, and its URL does not ask for TLS", False)


def _database() -> list[Measure]:
    with connection.cursor() as cursor:
        cursor.execute(_RIGHTS)
        is_powerful, sealed, append_only = cursor.fetchone()
    books = sum(issubclass(model, AppendOnly) for model in apps.get_models())
    role = (
        "is a superuser or bypasses row-level security"
        if is_powerful
        else "owns no table and is no superuser"
    )
    return [
        Measure("Role of the application in PostgreSQL", role, not is_powerful),
        Measure("Tenants are kept apart", f"row-level security is forced on {sealed} tables", sealed > 0),
        Measure(
            "Books and audit entries stay as they were written",
            f"the application may neither change nor delete rows of {append_only} tables",
            append_only >= books,
        ),
    ]


def _redis_keeps_nothing() -> Measure:
    name = "Redis writes nothing to a disk"
    if not settings.RBEE.redis_url:
        return Measure(name, "not set up", False)
    try:
        with redis.Redis.from_url(
            settings.RBEE.redis_url, socket_timeout=REDIS_WAIT_S, socket_connect_timeout=REDIS_WAIT_S
        ) as client:
            said = {key: client.config_get(key).get(key, "") for key in ("save", "appendonly")}
    except redis.RedisError as error:
        return Measure(
            name, f"it does not say ({type(error).__name__}): check save and appendonly there", False
        )
    shown = ", ".join(f'{key} "{value}"' for key, value in said.items())
    return Measure(name, shown, said == {"save": "", "appendonly": "no"})


def _prompts() -> Measure:
    holding = [
        f"{place.name} {place.retention}"
        for place in places.places(Kind.KEY)
        if place.privacy is PrivacyClass.CONTENT
    ]
    days = settings.RBEE.content_days_max
    kept = (
        f"; of a tenant that asks for it also encrypted in PostgreSQL, for at most {days} days"
        if days
        else ""
    )
    return Measure("Prompts and outputs", f"in Redis only: {'; '.join(holding)}{kept}", bool(holding))


def _passwords() -> Measure:
    hasher = settings.PASSWORD_HASHERS[0].rpartition(".")[2].removesuffix("PasswordHasher")
    secrets = sum(
        privacy is PrivacyClass.SECRET
        for model in apps.get_models()
        for privacy in registry.privacy_of(model).values()
    )
    return Measure(
        "Passwords and credentials",
        f"passwords by {hasher}; {secrets} columns hold a hash, a MAC or what is sealed under the root secret",
        True,
    )


def _sessions() -> Measure:
    is_secure = bool(settings.SESSION_COOKIE_SECURE)
    kinds = ", ".join(getattr(settings, "MFA_SUPPORTED_TYPES", ()))
    cookies = "cookies over HTTPS only" if is_secure else "cookies also over HTTP"
    is_local = urlsplit(settings.RBEE.public_url).hostname in _LOOPBACK
    return Measure("Sessions of persons", f"{cookies}; second factors: {kinds}", is_secure or is_local)


def _outbound() -> Measure:
    wide = [str(each) for each in settings.RBEE.outbound_allow]
    internal = f"internal networks {', '.join(wide)}" if wide else "no internal network"
    scheme = "http and https" if settings.RBEE.outbound_http else "https only"
    return Measure("URLs that customers name", f"{scheme}; {internal}", not settings.RBEE.outbound_http)


def _decisions() -> Measure:
    return Measure(
        "Why a task went where it went", f"kept {settings.RBEE.decision_days} days, without its prompt", True
    )
