"""Versions of the scripts that admit and route: the operator's (`tenant_id` None) and each tenant's.

A version is compiled before it is kept, and its source never changes. At most one version of an owner is active. What
stands in the operator's scheduler file is kept as a version too, so that a decision can be traced to its source, but is
in force only while the file exists and therefore never active here.
"""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from typing import Final, NoReturn
from uuid import UUID

import msgspec
import rhai_py
from django.db.models import Max
from django.utils.timezone import now

from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx, tenant_tx
from inference.domain.errors import InvalidInput, NotFound
from inference.enums import OnError, VersionStatus
from inference.models import Policy, PolicyVersion
from rbee_policy import language
from tenants.domain.invalidation import announce_after_commit
from tenants.domain.outbox import publish

PROBLEMS_TOLD: Final = 5


class ActivePolicy(msgspec.Struct, frozen=True, kw_only=True):
    tenant_id: UUID | None  # None: the operator's
    version_id: UUID
    number: int
    source: str
    sha256: str


def compile_policy(source: str) -> rhai_py.Script:
    """Raises InvalidInput with line and column, also for a script that defines nothing that rbee calls."""
    try:
        return language.compile_policy(source)
    except language.PolicyInvalid as invalid:
        told = "; ".join(map(str, invalid.problems[:PROBLEMS_TOLD]))
        raise InvalidInput(told, param="source", code="policy_invalid") from None


def save_version(
    *, source: str, tenant_id: UUID | None, actor: Actor, origin: str = "api", activate: bool = False
) -> PolicyVersion:
    """Raises InvalidInput."""
    script = compile_policy(source)
    with _scope_of(tenant_id):
        policy = _policy_for_update(tenant_id)
        version = PolicyVersion.objects.create(
            tenant_id=tenant_id,
            policy=policy,
            number=_last_number(policy) + 1,
            source=source,
            sha256=script.sha256,
            origin=origin,
        )
        record(
            "policy.saved",
            actor=actor,
            tenant_id=tenant_id,
            object_ref=f"policy_version:{version.id}",
            details={"number": version.number, "sha256": version.sha256, "origin": origin},
        )
        if activate:
            _activate(version, actor)
    return version


def activate_version(version: PolicyVersion, *, actor: Actor) -> PolicyVersion:
    """Puts it in force in place of the one that is; nothing happens when it is in force. Raises InvalidInput when it
    does not compile any more, and NotFound."""
    compile_policy(version.source)
    with _scope_of(version.tenant_id):
        _policy_for_update(version.tenant_id)
        version = version_of(version.id)
        if version.status != VersionStatus.ACTIVE:
            _activate(version, actor)
    return version


def roll_back(tenant_id: UUID | None, *, actor: Actor) -> PolicyVersion:
    """Puts the version in force that was before the active one. Raises NotFound when there is none."""
    with _scope_of(tenant_id):
        policy = _policy_for_update(tenant_id)
        active = policy.versions.filter(status=VersionStatus.ACTIVE).first()
        before = policy.versions.filter(status=VersionStatus.RETIRED).order_by("-activated_at").first()
        if active is None or before is None:
            raise NotFound("there is no version to roll back to", code="policy_not_found")
        compile_policy(before.source)
        _activate(before, actor)
    return before


def import_file(source: str, *, actor: Actor) -> PolicyVersion:
    """The operator's version with this source, made when there is none. Raises InvalidInput."""
    sha256 = hashlib.sha256(source.encode()).hexdigest()
    with _scope_of(None):
        known = PolicyVersion.objects.filter(tenant=None, sha256=sha256).order_by("number").last()
        return known or save_version(source=source, tenant_id=None, actor=actor, origin="file")


def active_policies() -> list[ActivePolicy]:
    with colony_tx("policies in force"):
        return [
            ActivePolicy(
                tenant_id=version.tenant_id,
                version_id=version.id,
                number=version.number,
                source=version.source,
                sha256=version.sha256,
            )
            for version in PolicyVersion.objects.filter(status=VersionStatus.ACTIVE)
        ]


def owners_that_fall_back() -> list[UUID | None]:
    """To the least loaded worker, when their `route_task` breaks."""
    with colony_tx("policies that fall back"):
        return list(Policy.objects.filter(on_error=OnError.LEAST_LOADED).values_list("tenant_id", flat=True))


def version_of(version_id: UUID) -> PolicyVersion:
    """In a scope of the caller. Raises NotFound."""
    return PolicyVersion.objects.filter(id=version_id).first() or _no_version()


def _scope_of(tenant_id: UUID | None) -> AbstractContextManager[None]:
    return colony_tx("policy of the operator") if tenant_id is None else tenant_tx(tenant_id)


def _policy_for_update(tenant_id: UUID | None) -> Policy:
    """Locked, so that versions of one owner are numbered and activated one after the other."""
    policy, _ = Policy.objects.get_or_create(tenant_id=tenant_id)  # type: ignore[misc]
    return Policy.objects.select_for_update().get(id=policy.id)


def _last_number(policy: Policy) -> int:
    return policy.versions.aggregate(last=Max("number"))["last"] or 0


def _activate(version: PolicyVersion, actor: Actor) -> None:
    version.policy.versions.filter(status=VersionStatus.ACTIVE).update(status=VersionStatus.RETIRED)
    version.status, version.activated_at = VersionStatus.ACTIVE, now()
    version.save(update_fields=["status", "activated_at"])
    record(
        "policy.activated",
        actor=actor,
        tenant_id=version.tenant_id,
        object_ref=f"policy_version:{version.id}",
        details={"number": version.number, "sha256": version.sha256},
    )
    told = {"policy_version": str(version.id), "number": version.number, "sha256": version.sha256}
    publish("policy.activated", version.tenant_id, told)
    announce_after_commit("policies")


def _no_version() -> NoReturn:
    raise NotFound("there is no such policy version", code="policy_not_found")
