"""How the vault lets go of whom an erasure is about: the keys of their details first, so that nothing of them can be read
again, whatever is still to be deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gdpr.domain import vault
from gdpr.domain.holders import Erased, Hold
from gdpr.holding import Identity, Whose
from gdpr.models import SubjectKey
from gdpr.scope import colony_tx


class Vault:
    name: Final = "vault"

    def erase(self, identity: Identity, hold: Hold) -> Erased:
        return Erased({"details": _destroy(identity)})

    def remains(self, identity: Identity, needles: Sequence[str]) -> list[str]:
        with colony_tx("what is left of details of whom was erased"):
            rows = SubjectKey.objects.filter(destroyed_at=None)
            if identity.whose is Whose.TENANT:
                rows = rows.filter(tenant_id=identity.tenant_id)
            elif identity.whose is Whose.SUBJECT:
                rows = rows.filter(tenant_id=identity.tenant_id, subject=identity.subject)
            else:
                rows = rows.filter(subject=_person(identity))
            return [f"vault: {rows.count()} keys"] if rows.exists() else []


def _destroy(identity: Identity) -> int:
    if identity.whose is Whose.TENANT:
        assert identity.tenant_id is not None, "an identity names its owner"
        return vault.destroy_tenant(identity.tenant_id)
    if identity.whose is Whose.SUBJECT:
        return vault.destroy_subject(identity.tenant_id, identity.subject)
    return vault.destroy_subject(None, _person(identity))


def _person(identity: Identity) -> str:
    assert identity.id is not None, "an identity names its owner"
    return identity.id.hex
