"""The kill switch: whoever has a key may end it, by showing it. Nothing tells them whether it was one."""

from __future__ import annotations

import hmac
import os
from typing import Final

from django.db.models import Q

from gdpr.domain import audit
from gdpr.domain.audit import Actor
from gdpr.scope import colony_tx, tenant_tx
from tenants.domain.alerts import raise_alert
from tenants.domain.key_format import can_be_a_key, key_macs, parse_api_key
from tenants.domain.keys import end_old_value, ref_of, revoke_api_key, told
from tenants.domain.outbox import publish
from tenants.enums import RevokedFor
from tenants.models import ApiKey

_NOBODY_MAC: Final = os.urandom(32)


def report_leak(value: str) -> None:
    """Ends the key that has this value; of a key that was rotated only the value that leaked. Idempotent."""
    macs = key_macs(value)
    parsed = parse_api_key(value)
    if not can_be_a_key(value):
        return
    wanted = Q(kid=parsed.kid) | Q(old_kid=parsed.kid) if parsed else Q(mac__in=macs) | Q(old_mac__in=macs)
    with colony_tx("find a key that leaked"):
        key = ApiKey.objects.filter(wanted).first()
    if key is None:
        _is_one_of(_NOBODY_MAC, macs)
        return
    holder = Actor.key(parsed.kid if parsed else key.kid)
    if _is_one_of(bytes(key.mac), macs):
        end_leaked_key(key, actor=holder, is_old=False, by="Somebody who has the key")
    elif key.old_mac is not None and _is_one_of(bytes(key.old_mac), macs):
        end_leaked_key(key, actor=holder, is_old=True, by="Somebody who has the key")


def end_leaked_key(key: ApiKey, *, actor: Actor, is_old: bool, by: str = "A member of yours") -> None:
    """`is_old`: only the value of before the last rotation leaked. Idempotent."""
    with tenant_tx(key.tenant_id):
        key = ApiKey.objects.select_for_update().get(id=key.id)
        if key.revoked_at is not None or (is_old and key.old_kid is None):
            return
        audit.record("key.leak_reported", actor=actor, object_ref=ref_of(key), details={"old_value": is_old})
        raise_alert(
            tenant_id=key.tenant_id,
            kind="key_leaked",
            object_ref=ref_of(key),
            message=f"{by} reported the key {key.kid} as leaked. "
            + (
                "The value of before its last rotation is ended; the key goes on."
                if is_old
                else "It is revoked: make another one, and look at what it was used for."
            ),
        )
        publish("key.leaked", key.tenant_id, {**told(key), "old_value": is_old})
        if is_old:
            end_old_value(key, actor=actor, reason=RevokedFor.LEAKED)
        else:
            revoke_api_key(key, actor=actor, reason=RevokedFor.LEAKED)


def _is_one_of(stored: bytes, macs: list[bytes]) -> bool:
    return any(hmac.compare_digest(stored, mac) for mac in macs)
