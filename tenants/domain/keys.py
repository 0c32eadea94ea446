"""Making, changing, rotating and revoking API keys. `key_format` has what they look like.

A key that is rotated stays the same key, with its limits and what was used of them, and gets another value. The value of
before goes on for the time of overlap beside it; rotating again ends it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import IntegrityError
from django.db.models import Q
from django.utils import timezone

from gdpr.domain import audit
from gdpr.domain.audit import Actor
from gdpr.scope import colony_tx, tenant_tx
from gdpr.secrets import newest_root
from tenants.domain.invalidation import announce_after_commit
from tenants.domain.key_format import (
    BROUGHT_ALONG_MAX,
    PREFIX,
    SHOWN_FROM_BITS,
    STRENGTH_MIN_BITS,
    can_be_a_key,
    key_mac,
    key_macs,
    make_kid,
    make_value,
    strength_bits,
)
from tenants.domain.limit_shape import read_limits
from tenants.domain.limits import set_limits
from tenants.domain.outbox import publish
from tenants.enums import KeyScope, RevokedFor
from tenants.models import ApiKey, Project

OVERLAP_DEFAULT: Final = timedelta(hours=24)
OVERLAP_MAX: Final = timedelta(days=30)
NETWORKS_MAX: Final = 64
MODELS_MAX: Final = 256
AUDITED: Final = frozenset({"scopes", "allowed_models"})  # of others only that they changed

Budget = Mapping[str, int | None]  # micro-units of money, by `day` and `month`


class KeyRefused(ValueError):
    """The request for a key makes no sense; `field` is the one at fault, and the message says why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class KeyIsOver(Exception):
    """It is revoked or expired, and is not changed any more."""


def issue_api_key(
    project: Project,
    *,
    name: str,
    scopes: Iterable[str],
    actor: Actor,
    value: str | None = None,
    may_be_weak: bool = False,
    expires_at: datetime | None = None,
    allowed_models: Sequence[str] = (),
    allowed_ips: Sequence[str] = (),
    budget: Budget | None = None,
) -> tuple[ApiKey, str]:
    """The key and its value, which is shown this once. `value` is one brought along from another gateway: any printable
    text of up to 512 characters that no key has or had, and that cannot be guessed unless it `may_be_weak`. Raises
    KeyRefused, LimitsRefused."""
    fields = checked_fields(
        {"name": name, "scopes": scopes, "allowed_models": allowed_models, "allowed_ips": allowed_ips}
        | ({} if expires_at is None else {"expires_at": expires_at})
    )
    if value is not None:
        _check_brought_along(value, may_be_weak=may_be_weak)
    kid = make_kid()
    shown = value or make_value(kid)
    with tenant_tx(project.tenant_id):
        key = ApiKey(
            tenant_id=project.tenant_id,
            project=project,
            kid=kid,
            mac=key_mac(shown),
            mac_root=newest_root(),
            last4=_last4(shown),
            brought_along=value is not None,
            **fields,
        )
        if value is not None and _is_taken(key_macs(value)):
            raise _taken()
        try:
            key.save(force_insert=True)
        except IntegrityError:
            raise _taken() from None
        audit.record(
            "key.issued",
            actor=actor,
            object_ref=ref_of(key),
            details={
                "project": project.id.hex,
                "scopes": key.scopes,
                "brought_along": key.brought_along,
                "weak": value is not None and is_weak(value),
                "allowed_models": key.allowed_models,
                "networks": len(key.allowed_ips),
            },
        )
        publish("key.created", key.tenant_id, told(key))
        if budget:
            _set_budget(key, budget, actor)
        # A queen may remember that nobody had this value.
        announce_after_commit(f"key:{kid}" if value is None else "keys")
    return key, shown


def update_api_key(key: ApiKey, changes: Mapping[str, Any], *, actor: Actor) -> ApiKey:
    """`changes`: name, scopes, allowed_models, allowed_ips, expires_at, and `budget`, which is added to what is set.
    Queens go by it within a second. Raises KeyRefused, LimitsRefused, KeyIsOver."""
    wanted = checked_fields({name: value for name, value in changes.items() if name != "budget"})
    with tenant_tx(key.tenant_id):
        key = _locked(key)
        changed = {name: value for name, value in wanted.items() if getattr(key, name) != value}
        for name, value in changed.items():
            setattr(key, name, value)
        if "expires_at" in changed:
            key.expiry_told_at = None
        if changed:
            key.save(update_fields=[*changed, "expiry_told_at"])
            audit.record(
                "key.changed",
                actor=actor,
                object_ref=ref_of(key),
                details={name: value if name in AUDITED else True for name, value in changed.items()},
            )
            _announce(key)
        if "budget" in changes:
            _set_budget(key, changes["budget"], actor)
    return key


def rotate_api_key(key: ApiKey, *, actor: Actor, overlap: timedelta = OVERLAP_DEFAULT) -> tuple[ApiKey, str]:
    """Another value, shown this once; the one of before is refused after `overlap`, and one that was before that at once.
    Raises KeyRefused, KeyIsOver."""
    if not timedelta(0) <= overlap <= OVERLAP_MAX:
        raise KeyRefused("overlap_s", f"An overlap lasts from 0 to {OVERLAP_MAX.days} days.")
    now = timezone.now()
    with tenant_tx(key.tenant_id):
        key = _locked(key)
        replaced = (key.kid, *([key.old_kid] if key.old_kid else []))
        key.old_kid, key.old_mac, key.old_last4 = key.kid, key.mac, key.last4
        key.old_mac_root, key.mac_root = key.mac_root, newest_root()
        key.old_until, key.old_last_used_at = now + overlap, key.last_used_at
        key.kid = make_kid()
        value = make_value(key.kid)
        key.mac, key.last4, key.last_used_at = key_mac(value), _last4(value), None
        key.brought_along = False
        key.rotated_at = now
        key.save()
        audit.record(
            "key.rotated",
            actor=actor,
            object_ref=ref_of(key),
            details={"old_kid": key.old_kid, "overlap_s": int(overlap.total_seconds())},
        )
        publish(
            "key.rotated",
            key.tenant_id,
            {**told(key), "old_kid": key.old_kid, "old_until": instant(key.old_until)},
        )
        for kid in replaced:
            announce_after_commit(f"key:{kid}")
        announce_after_commit(f"key:{key.kid}")
    return key, value


def revoke_api_key(key: ApiKey, *, actor: Actor, reason: str = RevokedFor.ASKED) -> None:
    """Both of its values. Done when this returns; queens refuse them at once, or within 5 s while Redis is down, and end
    the answers that are under way. Idempotent."""
    with tenant_tx(key.tenant_id):
        changed = ApiKey.objects.filter(id=key.id, revoked_at=None).update(
            revoked_at=timezone.now(), revoked_for=reason
        )
        key.refresh_from_db(fields=["revoked_at", "revoked_for", "kid", "old_kid"])
        if changed:
            audit.record("key.revoked", actor=actor, object_ref=ref_of(key), details={"reason": reason})
            publish("key.revoked", key.tenant_id, told(key))
        _announce(key)


def end_old_value(key: ApiKey, *, actor: Actor, reason: str) -> None:
    """Before its overlap is over; the key goes on with its other value. What used it is ended like a revoked key's."""
    with tenant_tx(key.tenant_id):
        row = ApiKey.objects.select_for_update().get(id=key.id)
        if row.old_kid is None:
            return
        ended = row.old_kid
        # The MAC stays, so that nobody brings that value along again.
        row.old_kid, row.old_until = None, timezone.now()
        row.save(update_fields=["old_kid", "old_until"])
        audit.record(
            "key.old_value_ended",
            actor=actor,
            object_ref=ref_of(row),
            details={"old_kid": ended, "reason": reason},
        )
        announce_after_commit(f"key:{ended}")
        announce_after_commit(f"key:{row.kid}")


def checked_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """As they are stored. Raises KeyRefused."""
    fields = dict(given)
    if "name" in fields:
        _check_name(fields["name"])
    if "scopes" in fields:
        fields["scopes"] = _checked_scopes(fields["scopes"])
    if fields.get("expires_at") is not None and fields["expires_at"] <= timezone.now():
        raise KeyRefused("expires_at", "expires_at is in the past")
    if "allowed_models" in fields:
        fields["allowed_models"] = sorted(set(fields["allowed_models"]))
        if len(fields["allowed_models"]) > MODELS_MAX:
            raise KeyRefused("allowed_models", f"A key takes {MODELS_MAX} names of models at most.")
    if "allowed_ips" in fields:
        fields["allowed_ips"] = _checked_networks(fields["allowed_ips"])
    return fields


def budget_of(key: ApiKey) -> dict[str, int | None]:
    spend = read_limits(key.limits).spend_micros
    return {"day": spend.day if spend else None, "month": spend.month if spend else None}


def is_weak(value: str) -> bool:
    return strength_bits(value) < STRENGTH_MIN_BITS


def told(key: ApiKey) -> dict[str, str]:
    """What events say of a key."""
    return {"key": str(key.id), "kid": key.kid, "project": str(key.project_id)}


def ref_of(key: ApiKey) -> str:
    return f"key:{key.kid}"


def instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _set_budget(key: ApiKey, budget: Budget | None, actor: Actor) -> None:
    spend = None if budget is None else {**budget_of(key), **budget}
    set_limits(key, {"spend_micros": spend}, actor=actor)
    key.refresh_from_db(fields=["limits"])


def _locked(key: ApiKey) -> ApiKey:
    row = ApiKey.objects.select_for_update(of=("self",)).get(id=key.id)
    if not row.is_usable():
        raise KeyIsOver("This key is revoked or expired.")
    return row


def _announce(key: ApiKey) -> None:
    announce_after_commit(f"key:{key.kid}")
    if key.old_kid:
        announce_after_commit(f"key:{key.old_kid}")


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise KeyRefused("name", "a key's name is 1 to 200 printable characters")


def _checked_scopes(scopes: Iterable[str]) -> list[str]:
    granted = sorted(set(scopes))
    unknown = [scope for scope in granted if scope not in KeyScope.values]
    if unknown or not granted:
        raise KeyRefused("scopes", f"scopes are one or more of {', '.join(KeyScope.values)}")
    return granted


def _checked_networks(texts: Iterable[str]) -> list[str]:
    """`192.0.2.7` becomes `192.0.2.7/32`."""
    networks = set()
    for text in texts:
        try:
            networks.add(str(ipaddress.ip_network(text.strip())))
        except ValueError:
            raise KeyRefused(
                "allowed_ips", "allowed_ips takes addresses and networks such as 192.0.2.7 and 2001:db8::/32"
            ) from None
    if len(networks) > NETWORKS_MAX:
        raise KeyRefused("allowed_ips", f"A key takes {NETWORKS_MAX} networks at most.")
    return sorted(networks)


def _check_brought_along(value: str, *, may_be_weak: bool) -> None:
    if value.startswith(PREFIX):
        raise KeyRefused("value", f"a value that begins with {PREFIX} can only be made by rbee")
    if not can_be_a_key(value) or value != value.strip():
        raise KeyRefused(
            "value", f"a value is 1 to {BROUGHT_ALONG_MAX} printable characters, with no space at its ends"
        )
    if is_weak(value) and not may_be_weak:
        raise KeyRefused(
            "value",
            f"this value can be guessed: it is worth {int(strength_bits(value))} bits, and at least"
            f" {STRENGTH_MIN_BITS} are asked, as 20 random letters and digits have",
        )


def _is_taken(macs: list[bytes]) -> bool:
    """Also by another tenant's key, which this tenant cannot see; the answer tells only who knows the value."""
    with colony_tx("find a key by its value"):
        return ApiKey.objects.filter(Q(mac__in=macs) | Q(old_mac__in=macs)).exists()


def _taken() -> KeyRefused:
    return KeyRefused("value", "this value is in use by another key, or was")


def _last4(value: str) -> str:
    return value[-4:] if strength_bits(value) >= SHOWN_FROM_BITS else ""
