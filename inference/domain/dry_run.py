"""What a script would have made of the last recorded decisions, beside what the one in force makes of them.

Takes seconds, in a process of its own: never inside a transaction, nor on an event loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

import msgspec

from gdpr.scope import colony_tx
from inference.domain.decision_reader import Recorded, last_recorded
from inference.domain.errors import InvalidInput, StateConflict
from inference.domain.policies import disable_version, sha256_of
from inference.domain.policy_history import InForce, in_force_of
from inference.domain.vetting import apart
from inference.enums import OnError
from inference.models import Model, PolicyVersion
from rbee_policy.apart import Crashed

TIME_S: Final = 5.0
MAX_BYTES: Final = 64 << 20  # of decisions that are handed over
_CANDIDATE: Final = "candidate"
_DEFAULT: Final = "default"


def dry_run(
    *, tenant_id: UUID | None, source: str, last: int, version: PolicyVersion | None = None
) -> dict[str, Any]:
    """`version` is the one whose source it is, if any; a crash disables it. Raises InvalidInput, StateConflict and
    Busy."""
    if version is not None and version.disabled_at:
        reason = f"version {version.number} is disabled: {version.disabled_reason}"
        raise StateConflict(reason, code="policy_disabled")
    sides = _Sides(tenant_id, source)
    decisions = _Decisions(tenant_id, last, sides)
    try:
        answer = apart("rbee_policy.replay", decisions.lines())
    except Crashed as crashed:
        raise _blamed(crashed, version) from None
    found: dict[str, Any] = msgspec.json.decode(answer)
    if "invalid" in found:
        raise _invalid(found["key"], found["invalid"])
    if found["ended_by"] == "end" and decisions.is_cut:
        found["ended_by"] = "size"
    for side, shown in (("old", _shown(sides.current)), ("new", _candidate(version, source))):
        found[side] = shown | found[side]
    return {"object": "policy_dry_run", "asked": last, **found}


class _Sides:
    """Which scripts decide for each owner, as it is and as it would be: the operator's, then the owner's."""

    def __init__(self, tenant_id: UUID | None, source: str) -> None:
        """Raises StateConflict."""
        operator = _decides(in_force_of(None))
        if operator is None:
            raise StateConflict(
                "nothing of the operator's is in force, and nobody is admitted: `rbee policy show` says why",
                code="policy_disabled",
            )
        self._operator = operator
        self._tenant_id = tenant_id
        self._source = source
        self.current = operator if tenant_id is None else _decides(in_force_of(tenant_id))

    def head(self) -> bytes:
        own = [_CANDIDATE] if self.current is None else [_CANDIDATE, _key(self.current)]
        with colony_tx("models for a dry-run"):
            offered = Model.objects.filter(removed_at=None, published=True)
            models = list(offered.values_list("name", flat=True))
        return _line({"own": own, "models": models, "time_s": TIME_S})

    def of(self, owner: UUID | None) -> bytes:
        """As they are now: what is asked about is one change, not all that happened since. `owner` None: nobody's, so
        that the scripts are compiled even when there is no decision."""
        tenant = self.current
        if self._tenant_id is None:
            tenant = _decides(in_force_of(owner)) if owner else None
        scripts = [script for script in (self._operator, tenant) if script is not None]
        old = [(_key(script), script.on_error) for script in scripts]
        candidate = (_CANDIDATE, self.current.on_error if self.current else OnError.REFUSE.value)
        told = {
            "owner": owner.hex if owner else "",
            "scripts": {_CANDIDATE: self._source} | {_key(script): script.source for script in scripts},
            "old": old,
            "new": [candidate, *old[1:]] if self._tenant_id is None else [old[0], candidate],
        }
        return _line(["owner", told])


class _Decisions:
    """`is_cut`: there were more than are handed over."""

    def __init__(self, tenant_id: UUID | None, last: int, sides: _Sides) -> None:
        self._tenant_id = tenant_id
        self._last = last
        self._sides = sides
        self.is_cut = False

    def lines(self) -> Iterator[bytes]:
        """One after the other, so that this process never holds them all."""
        yield self._sides.head()
        yield self._sides.of(self._tenant_id)
        size, owners = 0, {self._tenant_id}
        for decision in last_recorded(self._tenant_id, self._last):
            if decision.tenant_id not in owners:
                owners.add(decision.tenant_id)
                yield self._sides.of(decision.tenant_id)
            line = _line(["decision", _told(decision)])
            size += len(line)
            if size > MAX_BYTES:
                self.is_cut = True
                return
            yield line


def _decides(script: InForce | None) -> InForce | None:
    """None for one that is there and cannot be in force."""
    if script is None or not script.source or (script.version and script.version.disabled_at):
        return None
    return script


def _told(decision: Recorded) -> dict[str, Any]:
    return {
        "task_id": decision.task_id,
        "at": decision.at,
        "owner": decision.tenant_id.hex,
        "task": decision.task,
        "customer": decision.customer,
        "offered": decision.offered,
        "recorded": [decision.outcome, decision.code],
    }


def _line(value: object) -> bytes:
    return msgspec.json.encode(value) + b"\n"


def _key(script: InForce) -> str:
    return str(script.version.id) if script.version else _DEFAULT


def _shown(script: InForce | None) -> dict[str, Any]:
    if script is None:
        return {"origin": "none", "number": None, "sha256": None}
    number = script.version.number if script.version else None
    return {"origin": script.origin, "number": number, "sha256": sha256_of(script.source)}


def _candidate(version: PolicyVersion | None, source: str) -> dict[str, Any]:
    origin, number = ("database", version.number) if version else ("request", None)
    return {"origin": origin, "number": number, "sha256": sha256_of(source)}


def _invalid(key: str, problem: str) -> InvalidInput | StateConflict:
    if key == _CANDIDATE:
        return InvalidInput(problem, param="source", code="policy_invalid")
    return StateConflict("a script that is in force does not compile any more", code="policy_invalid")


def _blamed(crashed: Crashed, version: PolicyVersion | None) -> InvalidInput | StateConflict:
    """The version that ran when it crashed is disabled, whichever side it was on."""
    key, _, place = crashed.note.partition(" ")
    reason = f"{crashed} while it ran {place}"
    if key == _CANDIDATE and version is None:
        return InvalidInput(reason, param="source", code="policy_crashed")
    if key == _CANDIDATE and version is not None:
        disable_version(version.id, reason)
        return StateConflict(f"version {version.number} is disabled: {reason}", code="policy_disabled")
    if key != _DEFAULT:
        disable_version(UUID(key), reason)
    return StateConflict(f"a version in force is disabled: {reason}", code="policy_disabled")
