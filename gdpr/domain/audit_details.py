"""What the vault holds of an audit entry, each item checked against what the entry says of it. Inside of a scope."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from gdpr.domain import vault
from gdpr.domain.audit import VAULT
from gdpr.domain.vault import VaultBroken, VaultGone
from gdpr.models import AuditEntry, VaultItem

KEPT: Final = "kept"
GONE: Final = "gone"  # erased, over, or not for whoever looks
ALTERED: Final = "altered"  # not what the entry was signed with
LOST: Final = "lost"  # the keys were away when it was to be kept


class Detail(NamedTuple):
    kind: str
    state: str
    fields: dict[str, Any]


def details_of(entry: AuditEntry) -> list[Detail]:
    """Raises KeysUnavailable."""
    return [_detail(one) for one in entry.details.get(VAULT, ())]


def has_details(entry: AuditEntry) -> bool:
    return VAULT in entry.details


def read_for_export(ids: Sequence[str]) -> dict[str, Any]:
    """What an archive tells of items: what was kept, not how. Without those whose key is gone or that were altered.
    Raises KeysUnavailable."""
    found = {}
    for item_id in ids:
        try:
            found[item_id] = json.loads(vault.read(UUID(item_id)))
        except (VaultGone, VaultBroken):
            continue
    return found


def _detail(told: dict[str, str]) -> Detail:
    kind = told["kind"]
    if "vault" not in told:
        return Detail(kind, LOST, {})
    item = VaultItem.objects.filter(id=UUID(hex=told["vault"])).first()
    if item is None:
        return Detail(kind, GONE, {})
    if not vault.matches(item, told["digest"]):
        return Detail(kind, ALTERED, {})
    try:
        return Detail(kind, KEPT, json.loads(vault.read(item.id)))
    except VaultGone:
        return Detail(kind, GONE, {})
    except VaultBroken:
        return Detail(kind, ALTERED, {})
