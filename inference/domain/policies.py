"""Versions of the scripts that admit and route: the operator's (`tenant_id` None) and each tenant's.

A version is tried in a process of its own before it is kept, and its source never changes. One that crashes that process
is disabled for ever. At most one version of an owner is active. What stands in the operator's scheduler file is kept as a
version too, so that a decision can be traced to its source, but is in force only while the file exists and therefore
never active here; while it exists, the operator's policy is changed there and nowhere else.

Functions that say so try a script, which takes some tenths of a second: call them outside of a transaction.
"""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Final, NamedTuple, NoReturn
from uuid import UUID

import msgspec
import rhai_py
from django.conf import settings
from django.db.models import Max
from django.utils.timezone import now

from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx, tenant_tx
from inference.domain.errors import InvalidInput, NotFound, StateConflict
from inference.domain.vetting import REASON_CHARS, Vetted, vet
from inference.enums import OnError, VersionStatus
from inference.models import Policy, PolicyVersion
from rbee_policy import language
from tenants.domain.alerts import raise_alert
from tenants.domain.invalidation import announce_after_commit
from tenants.domain.outbox import publish

PROBLEMS_TOLD: Final = 5
NONE_ACTIVE: Final = 0  # as the number of a version that is expected to be active
_VETTER: Final = Actor.system("vetting")


class ActivePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """One that is disabled has crashed, and there is no other: nobody is admitted."""

    tenant_id: UUID | None  # None: the operator's
    version_id: UUID
    number: int
    source: str
    sha256: str
    is_disabled: bool = False


class Saved(NamedTuple):
    version: PolicyVersion
    findings: tuple[dict[str, Any], ...]  # what it stumbled over where that is no reason to refuse it


def compile_policy(source: str) -> rhai_py.Script:
    """Raises InvalidInput with line and column, also for a script that defines nothing that rbee calls."""
    try:
        return language.compile_policy(source)
    except language.PolicyInvalid as invalid:
        told = "; ".join(map(str, invalid.problems[:PROBLEMS_TOLD]))
        raise InvalidInput(told, param="source", code="policy_invalid") from None


def save_version(
    *,
    source: str,
    tenant_id: UUID | None,
    actor: Actor,
    origin: str = "api",
    rules: str = "",
    comment: str = "",
    activate: bool = False,
    on_error: str | None = None,
    expected_active: int | None = None,
) -> Saved:
    """Tries it. `expected_active` is the number that must be in force, or NONE_ACTIVE. A version that must not be in
    force is kept all the same; it is a draft. Raises InvalidInput, StateConflict and Busy."""
    if origin != "file":
        refuse_beside_file(tenant_id)
    vetted = vet(source)
    if not vetted.crash:
        compile_policy(source)
    with scope_of(tenant_id):
        policy = _policy_for_update(tenant_id)
        _expect(policy, expected_active)
        version = PolicyVersion.objects.create(
            tenant_id=tenant_id,
            policy=policy,
            number=_last_number(policy) + 1,
            source=source,
            rules=rules,
            sha256=sha256_of(source),
            comment=comment,
            author=str(actor),
            origin=origin,
            vetted_at=_vetted_at(vetted),
        )
        record(
            "policy.saved",
            actor=actor,
            tenant_id=tenant_id,
            object_ref=reference_of(version.id),
            details={"number": version.number, "sha256": version.sha256, "origin": origin},
        )
        if on_error is not None:
            _set_on_error(policy, on_error, actor)
        if vetted.crash:
            _disable(version, vetted.crash)
        elif activate and not vetted.refused:
            _activate(version, actor)
    if activate:
        _refuse_unfit(version, vetted)
    return Saved(version, vetted.findings)


def activate_version(
    version: PolicyVersion, *, actor: Actor, expected_active: int | None = None
) -> PolicyVersion:
    """Puts it in force in place of the one that is; nothing happens when it is in force. Tries it when that was never
    done. Raises InvalidInput when it does not compile any more, StateConflict, Busy and NotFound."""
    refuse_beside_file(version.tenant_id)
    _ensure_vetted(version)
    compile_policy(version.source)
    with scope_of(version.tenant_id):
        policy = _policy_for_update(version.tenant_id)
        version = version_of(version.id)
        if version.disabled_at:
            _refuse_disabled(version)
        if version.status != VersionStatus.ACTIVE:
            _expect(policy, expected_active)
            _activate(version, actor)
    return version


def roll_back(
    tenant_id: UUID | None, *, actor: Actor, expected_active: int | None = None
) -> PolicyVersion | None:
    """Puts the version in force that was before the active one, and marks that: doing it again goes further back. None when
    the active one was the first: what decides is what decided before it, the default. Raises NotFound when no version
    is active, StateConflict and Busy."""
    refuse_beside_file(tenant_id)
    with scope_of(tenant_id):
        before = _before(_policy_for_update(tenant_id))
    if before is not None:
        _ensure_vetted(before)
        compile_policy(before.source)
    with scope_of(tenant_id):
        policy = _policy_for_update(tenant_id)
        _expect(policy, expected_active)
        if _before(policy) != before:
            raise StateConflict("another version came into force meanwhile; try again", code="policy_changed")
        if before is None:
            _deactivate(policy, actor)
        else:
            _activate(before, actor, replaced=VersionStatus.REVERTED)
    return before


def set_on_error(tenant_id: UUID | None, on_error: str, *, actor: Actor) -> Policy:
    """What an error of its `route_task` means."""
    with scope_of(tenant_id):
        policy = _policy_for_update(tenant_id)
        _set_on_error(policy, on_error, actor)
    return policy


def disable_version(version_id: UUID, reason: str) -> None:
    """After a crash: it is never in force again. Where it is, the one before takes its place, and where none was before,
    nobody is admitted until another is activated."""
    with colony_tx("a policy that crashed"):
        found = version_of(version_id)
        policy = _policy_for_update(found.tenant_id)
        version = version_of(version_id)
        if version.disabled_at:
            return
        _disable(version, reason)
        if version.status == VersionStatus.ACTIVE:
            before = _last_retired(policy)
            if before is not None and before.vetted_at:
                _activate(before, _VETTER)
            announce_after_commit("policies")


def import_file(source: str, vetted: Vetted, *, actor: Actor) -> PolicyVersion:
    """What the scheduler file holds, made a version where it is not the last of the file's already. It was tried."""
    with scope_of(None):
        policy = _policy_for_update(None)
        version = _last_of_file(policy)
        if version is None or version.sha256 != sha256_of(source):
            version = PolicyVersion.objects.create(
                policy=policy,
                number=_last_number(policy) + 1,
                source=source,
                sha256=sha256_of(source),
                author=str(actor),
                origin="file",
                vetted_at=_vetted_at(vetted),
            )
            record(
                "policy.saved",
                actor=actor,
                object_ref=reference_of(version.id),
                details={"number": version.number, "sha256": version.sha256, "origin": "file"},
            )
            if vetted.crash:
                _disable(version, vetted.crash)
        elif version.vetted_at is None and (vetted_at := _vetted_at(vetted)):
            version.vetted_at = vetted_at
            version.save(update_fields=["vetted_at"])
        return version


def active_policies() -> list[ActivePolicy]:
    with colony_tx("policies in force"):
        return [
            ActivePolicy(
                tenant_id=version.tenant_id,
                version_id=version.id,
                number=version.number,
                source=version.source,
                sha256=version.sha256,
                is_disabled=version.disabled_at is not None,
            )
            for version in PolicyVersion.objects.filter(status=VersionStatus.ACTIVE)
        ]


def owners_that_fall_back() -> list[UUID | None]:
    """To the least loaded worker, when their `route_task` breaks."""
    with colony_tx("policies that fall back"):
        return list(Policy.objects.filter(on_error=OnError.LEAST_LOADED).values_list("tenant_id", flat=True))


def last_of_file() -> PolicyVersion | None:
    """The newest version of the scheduler file that may be in force."""
    with scope_of(None):
        fit = PolicyVersion.objects.filter(
            tenant=None, origin="file", vetted_at__isnull=False, disabled_at=None
        )
        return fit.order_by("-number").first()


def problem_of_file(sha256: str) -> str | None:
    """What was found against the scheduler file as it stands when it was tried."""
    with scope_of(None):
        version = PolicyVersion.objects.filter(tenant=None, origin="file").order_by("-number").first()
    if version is None or version.sha256 != sha256 or (version.vetted_at and not version.disabled_at):
        return None
    return version.disabled_reason or "it breaks whatever it is given"


def refuse_beside_file(tenant_id: UUID | None) -> None:
    """Raises StateConflict while the operator's policy is the scheduler file's."""
    path = settings.RBEE.scheduler_file
    if tenant_id is None and path.exists():
        raise StateConflict(
            f"the operator's policy is the file {path} on the queen's machine: change that, or remove it",
            code="policy_from_file",
        )


def version_of(version_id: UUID) -> PolicyVersion:
    """In a scope of the caller. Raises NotFound."""
    return PolicyVersion.objects.filter(id=version_id).first() or _no_version()


def scope_of(tenant_id: UUID | None) -> AbstractContextManager[None]:
    return colony_tx("policy of the operator") if tenant_id is None else tenant_tx(tenant_id)


def reference_of(version_id: UUID) -> str:
    """As audit entries and alerts name it."""
    return f"policy_version:{version_id}"


def sha256_of(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()


def _policy_for_update(tenant_id: UUID | None) -> Policy:
    """Locked, so that versions of one owner are numbered and activated one after the other."""
    policy, _ = Policy.objects.get_or_create(tenant_id=tenant_id)  # type: ignore[misc]
    return Policy.objects.select_for_update().get(id=policy.id)


def _last_number(policy: Policy) -> int:
    return policy.versions.aggregate(last=Max("number"))["last"] or 0


def _active(policy: Policy) -> PolicyVersion | None:
    return policy.versions.filter(status=VersionStatus.ACTIVE).first()


def _last_retired(policy: Policy) -> PolicyVersion | None:
    fit = policy.versions.filter(status=VersionStatus.RETIRED, disabled_at=None)
    return fit.order_by("-activated_at").first()


def _last_of_file(policy: Policy) -> PolicyVersion | None:
    return policy.versions.filter(origin="file").order_by("-number").first()


def _before(policy: Policy) -> PolicyVersion | None:
    """What was in force before the active version. Raises NotFound when none is active."""
    if _active(policy) is None:
        raise NotFound("no version is in force: there is nothing to roll back", code="policy_not_found")
    return _last_retired(policy)


def _expect(policy: Policy, expected: int | None) -> None:
    """Two people who change it at once: the second has not seen what the first did."""
    if expected is None:
        return
    active = _active(policy)
    number = NONE_ACTIVE if active is None else active.number
    if number != expected:
        stands = f"version {number} is" if number else "no version is"
        raise StateConflict(
            f"{stands} in force, not {expected or 'none'}: look at what changed, then expect {number}",
            code="policy_changed",
        )


def _vetted_at(vetted: Vetted) -> datetime | None:
    return None if vetted.crash or vetted.refused else now()


def _ensure_vetted(version: PolicyVersion) -> None:
    if version.disabled_at:
        _refuse_disabled(version)
    if version.vetted_at:
        return
    vetted = vet(version.source)
    if vetted.crash:
        disable_version(version.id, vetted.crash)
    elif not vetted.refused:
        with scope_of(version.tenant_id):
            PolicyVersion.objects.filter(id=version.id).update(vetted_at=_vetted_at(vetted))
            record(
                "policy.vetted",
                actor=_VETTER,
                tenant_id=version.tenant_id,
                object_ref=reference_of(version.id),
                details={"number": version.number, "sha256": version.sha256},
            )
    _refuse_unfit(version, vetted)


def _refuse_unfit(version: PolicyVersion, vetted: Vetted) -> None:
    if vetted.crash:
        version.disabled_reason = vetted.crash
        _refuse_disabled(version)
    if vetted.refused:
        raise StateConflict(
            f"version {version.number} is kept as a draft and cannot be in force: {vetted.refused}; push a corrected one",
            code="policy_not_vetted",
        )


def _refuse_disabled(version: PolicyVersion) -> NoReturn:
    raise StateConflict(
        f"version {version.number} is disabled: {version.disabled_reason}; push a corrected one",
        code="policy_disabled",
    )


def _activate(
    version: PolicyVersion, actor: Actor, *, replaced: VersionStatus = VersionStatus.RETIRED
) -> None:
    before = _active(version.policy)
    if before is not None:
        before.status = replaced
        before.save(update_fields=["status"])
    version.status, version.activated_at = VersionStatus.ACTIVE, now()
    version.save(update_fields=["status", "activated_at"])
    record(
        "policy.activated",
        actor=actor,
        tenant_id=version.tenant_id,
        object_ref=reference_of(version.id),
        details={
            "number": version.number,
            "sha256": version.sha256,
            "replaced": before.number if before else None,
            "is_rollback": replaced == VersionStatus.REVERTED,
        },
    )
    told = {"policy_version": str(version.id), "number": version.number, "sha256": version.sha256}
    publish("policy.activated", version.tenant_id, told)
    announce_after_commit("policies")


def _deactivate(policy: Policy, actor: Actor) -> None:
    version = policy.versions.get(status=VersionStatus.ACTIVE)
    version.status = VersionStatus.REVERTED
    version.save(update_fields=["status"])
    record(
        "policy.deactivated",
        actor=actor,
        tenant_id=version.tenant_id,
        object_ref=reference_of(version.id),
        details={"number": version.number, "sha256": version.sha256},
    )
    publish(
        "policy.deactivated",
        version.tenant_id,
        {"policy_version": str(version.id), "number": version.number},
    )
    announce_after_commit("policies")


def _disable(version: PolicyVersion, reason: str) -> None:
    version.disabled_at, version.disabled_reason = now(), reason[:REASON_CHARS]
    version.save(update_fields=["disabled_at", "disabled_reason"])
    reference = reference_of(version.id)
    record(
        "policy.disabled",
        actor=_VETTER,
        tenant_id=version.tenant_id,
        object_ref=reference,
        details={"number": version.number, "sha256": version.sha256},
    )
    told = {"policy_version": str(version.id), "number": version.number}
    publish("policy.disabled", version.tenant_id, told)
    raise_alert(
        tenant_id=version.tenant_id,
        kind="policy_disabled",
        object_ref=reference,
        message=f"Version {version.number} of the policy is disabled: {version.disabled_reason}.",
    )


def _set_on_error(policy: Policy, on_error: str, actor: Actor) -> None:
    before, policy.on_error = policy.on_error, OnError(on_error)
    if before == policy.on_error:
        return
    policy.save(update_fields=["on_error"])
    record(
        "policy.changed",
        actor=actor,
        tenant_id=policy.tenant_id,
        object_ref=f"policy:{policy.id}",
        details={"on_error": policy.on_error.value},
    )
    announce_after_commit("policies")


def _no_version() -> NoReturn:
    raise NotFound("there is no such policy version", code="policy_not_found")
