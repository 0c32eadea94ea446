"""Who is meant by an audit entry or a request, in words: to who may know the members and the keys of the tenant anyway."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

from gdpr.domain.audit import Actor
from gdpr.scope import tenant_tx
from tenants.domain.authentication import Caller
from tenants.domain.rights import may
from tenants.models import ApiKey, Member
from tenants.rules import Capability

SHOWN: Final = 8  # of what only tells one from another
KINDS: Final[Mapping[str, str]] = {
    "keyless": "somebody on this machine",
    "system": "rbee",
    "hive": "a hive",
    "impersonation": "the operator, visiting",
    "source": "somebody unknown",
}


def named(actors: Iterable[str], *, caller: Caller | None, me: Actor) -> dict[str, str]:
    """By each of `actors`, as entries have them. Who left is a pseudonym."""
    wanted = set(actors)
    known = {str(me): "you"}
    if caller is not None:
        with tenant_tx(caller.tenant_id):
            if may(caller, Capability.MEMBERS_READ):
                known = {**_members(wanted), **known}
            if may(caller, Capability.KEYS_READ):
                known = {**_keys(wanted), **known}
    return {one: known.get(one) or _in_words(one) for one in wanted}


def _members(wanted: set[str]) -> dict[str, str]:
    ids = [UUID(one[5:]) for one in wanted if one.startswith("user:") and len(one) == 37]
    found = Member.objects.filter(user_id__in=ids).values_list("user_id", "user__email")
    return {f"user:{user_id.hex}": email for user_id, email in found}


def _keys(wanted: set[str]) -> dict[str, str]:
    kids = [one[4:] for one in wanted if one.startswith("key:")]
    found = ApiKey.objects.filter(kid__in=kids).values_list("kid", "name")
    return {f"key:{kid}": f"key {name}" for kid, name in found}


def _in_words(actor: str) -> str:
    kind, _, name = actor.partition(":")
    if kind == "user":
        return f"user {name[:SHOWN]}…"
    if kind == "key":
        return f"key {name}"
    return KINDS.get(kind, actor)
