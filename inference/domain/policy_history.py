"""What a policy was: its versions side by side, and what was done with them."""

from __future__ import annotations

import difflib
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet

from gdpr.models import AuditEntry
from inference.domain.errors import NotFound
from inference.domain.policies import last_of_file, reference_of, scope_of
from inference.domain.policy_source import DEFAULT_FILE
from inference.enums import OnError, VersionStatus
from inference.models import Policy, PolicyVersion


class Diff(NamedTuple):
    """`text` is a unified diff; of the rules where both versions were written as rules."""

    text: str
    added: int
    removed: int


class InForce(NamedTuple):
    """`origin` is file, database or default."""

    origin: str
    source: str
    version: PolicyVersion | None
    on_error: str


def in_force_of(tenant_id: UUID | None) -> InForce | None:
    """None: the tenant has no script. What is in the scheduler file is in force as far as it was found good."""
    with scope_of(tenant_id):
        policy = Policy.objects.filter(tenant_id=tenant_id).first()  # type: ignore[misc]
        active = (
            PolicyVersion.objects.filter(policy=policy, status=VersionStatus.ACTIVE).first()
            if policy
            else None
        )
    on_error = policy.on_error if policy else OnError.REFUSE.value
    if tenant_id is None and settings.RBEE.scheduler_file.exists():
        version = last_of_file()
        return InForce("file", version.source if version else "", version, on_error)
    if active is not None:
        return InForce("database", active.source, active, on_error)
    return None if tenant_id else InForce("default", DEFAULT_FILE.read_text(), None, on_error)


def version_before(version: PolicyVersion) -> PolicyVersion | None:
    """By number. In a scope."""
    return (
        PolicyVersion.objects.filter(policy=version.policy_id, number__lt=version.number)
        .order_by("-number")
        .first()
    )


def diff_of(old: PolicyVersion | None, new: PolicyVersion) -> Diff:
    """Of two versions of one owner; `old` None is an empty script. Raises NotFound for versions of two owners."""
    if old is not None and old.policy_id != new.policy_id:
        raise NotFound("there is no such policy version", code="policy_not_found")
    are_rules = bool(new.rules and (old is None or old.rules))
    before = "" if old is None else old.rules if are_rules else old.source
    lines = list(
        difflib.unified_diff(
            before.splitlines(),
            (new.rules if are_rules else new.source).splitlines(),
            f"version {old.number}" if old else "nothing",
            f"version {new.number}",
            lineterm="",
        )
    )
    changes = lines[2:]
    return Diff(
        "\n".join(lines) + "\n" if lines else "",
        sum(line.startswith("+") for line in changes),
        sum(line.startswith("-") for line in changes),
    )


def story_of(tenant_id: UUID | None, version: PolicyVersion | None = None) -> QuerySet[AuditEntry]:
    """What was done with the policy, or with one version of it. In a scope that sees the tenant."""
    owner = {"tenant_id": tenant_id} if tenant_id else {"tenant_id__isnull": True}
    story = AuditEntry.objects.filter(event__startswith="policy.", **owner)
    return story if version is None else story.filter(object_ref=reference_of(version.id))
