"""API keys: `rbee_<env>_<kid>_<secret>_<check>`.

`env` is live or home, `kid` names the key and may be shown, `secret` has 190 bits, `check` is a CRC-32 of all before it:
a mistyped key is refused without a look into the database. What is stored is HMAC-SHA256 of the whole value under a
pepper that is in no database. A value brought along from another gateway has no shape; it is found by its HMAC.
"""

from __future__ import annotations

import hmac
import secrets
import string
import zlib
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

import msgspec
from django.conf import settings
from django.utils import timezone

from gdpr.domain import audit
from gdpr.domain.audit import Actor
from gdpr.scope import tenant_tx
from gdpr.secrets import derive
from tenants.domain.invalidation import announce_after_commit
from tenants.domain.outbox import publish
from tenants.enums import KeyScope
from tenants.models import ApiKey, Project

PREFIX = "rbee_"
ENVIRONMENTS = ("live", "home")
KID_LENGTH = 12
SECRET_LENGTH = 32
CHECK_LENGTH = 6
BROUGHT_ALONG_MAX = 512
SHORT = 20  # a value brought along that is shorter can be guessed; it is allowed, and said

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BASE62_SET = frozenset(BASE62)


class KeyRefused(ValueError):
    """The request for a key makes no sense; the message says why."""


class ParsedKey(msgspec.Struct, frozen=True):
    environment: str
    kid: str


def parse_api_key(value: str) -> ParsedKey | None:
    """None unless `value` has the shape and the check of a key that rbee makes."""
    parts = value.split("_")
    if len(parts) != 5 or parts[0] != "rbee" or parts[1] not in ENVIRONMENTS:
        return None
    kid, secret, check = parts[2:]
    if (len(kid), len(secret), len(check)) != (KID_LENGTH, SECRET_LENGTH, CHECK_LENGTH):
        return None
    if not _BASE62_SET.issuperset(kid + secret) or check != _check(value[: -CHECK_LENGTH - 1]):
        return None
    return ParsedKey(parts[1], kid)


def can_be_a_key(value: str) -> bool:
    """Worth a look into the database: a key of ours that is not mistyped, or what could have been brought along."""
    if value.startswith(PREFIX):
        return parse_api_key(value) is not None
    return 0 < len(value) <= BROUGHT_ALONG_MAX and value.isprintable() and not value.isspace()


def key_mac(value: str) -> bytes:
    return hmac.digest(_pepper(settings.RBEE.secret_key), value.encode(), "sha256")


def issue_api_key(
    project: Project,
    *,
    name: str,
    scopes: Iterable[str],
    actor: Actor,
    value: str | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """The key and its value, which is shown this once. `value` is one brought along from another gateway: any
    printable text of up to 512 characters that no other key has. Raises KeyRefused."""
    granted = _checked_scopes(scopes)
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise KeyRefused("a key's name is 1 to 200 printable characters")
    if expires_at is not None and expires_at <= timezone.now():
        raise KeyRefused("expires_at is in the past")
    if value is not None:
        _check_brought_along(value)
    kid = _random(KID_LENGTH)
    shown = value or _make_value(kid)
    with tenant_tx(project.tenant_id):
        if value is not None and _is_taken(key_mac(value)):
            raise KeyRefused("this value is in use by another key")
        key = ApiKey(
            tenant_id=project.tenant_id,
            project=project,
            kid=kid,
            mac=key_mac(shown),
            last4=shown[-4:] if len(shown) >= SHORT else "",
            name=name,
            scopes=granted,
            brought_along=value is not None,
            expires_at=expires_at,
        )
        key.save(force_insert=True)
        audit.record(
            "key.issued",
            actor=actor,
            object_ref=f"key:{kid}",
            details={"project": project.id.hex, "scopes": granted, "brought_along": key.brought_along},
        )
        publish("key.created", key.tenant_id, _told(key))
        # A queen may remember that nobody had this value.
        announce_after_commit(f"key:{kid}" if value is None else "keys")
    return key, shown


def revoke_api_key(key: ApiKey, *, actor: Actor) -> None:
    """Done when this returns; queens refuse the key at once, or within 5 s while Redis is down. Idempotent."""
    with tenant_tx(key.tenant_id):
        changed = ApiKey.objects.filter(id=key.id, revoked_at=None).update(revoked_at=timezone.now())
        key.refresh_from_db(fields=["revoked_at"])
        if changed:
            audit.record("key.revoked", actor=actor, object_ref=f"key:{key.kid}")
            publish("key.revoked", key.tenant_id, _told(key))
        announce_after_commit(f"key:{key.kid}")


def is_short(value: str) -> bool:
    """A value brought along that should be warned about."""
    return len(value) < SHORT


def _told(key: ApiKey) -> dict[str, str]:
    return {"key": str(key.id), "kid": key.kid, "project": str(key.project_id)}


def _make_value(kid: str) -> str:
    environment = "live" if settings.RBEE.is_business else "home"
    body = f"{PREFIX}{environment}_{kid}_{_random(SECRET_LENGTH)}"
    return f"{body}_{_check(body)}"


def _checked_scopes(scopes: Iterable[str]) -> list[str]:
    granted = sorted(set(scopes))
    unknown = [scope for scope in granted if scope not in KeyScope.values]
    if unknown or not granted:
        raise KeyRefused(f"scopes are one or more of {', '.join(KeyScope.values)}")
    return granted


def _check_brought_along(value: str) -> None:
    if value.startswith(PREFIX):
        raise KeyRefused(f"a value that begins with {PREFIX} can only be made by rbee")
    if not can_be_a_key(value) or value != value.strip():
        raise KeyRefused(
            f"a value is 1 to {BROUGHT_ALONG_MAX} printable characters, with no space at its ends"
        )


def _is_taken(mac: bytes) -> bool:
    """Also by another tenant's key, which this tenant cannot see; the answer tells only who knows the value."""
    from gdpr.scope import colony_tx

    with colony_tx("find a key by its value"):
        return ApiKey.objects.filter(mac=mac).exists()


def _check(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECK_LENGTH):
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return digits


def _random(length: int) -> str:
    return "".join(secrets.choice(BASE62) for _ in range(length))


@lru_cache(maxsize=2)
def _pepper(root: bytes) -> bytes:
    return derive("api-key-pepper")
