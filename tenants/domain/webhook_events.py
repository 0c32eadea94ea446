"""Every event that webhooks tell of. `platform/docs/webhooks.md` has the same table, and a test compares the two.

An example shows all fields of an event's data: identifiers, quantities, and words that rbee chose. Nothing about a person
is among them; who may know more asks the API by the identifier. A field that changes its meaning takes another version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

_ID = "01936f1e-5d3a-7c41-9a55-2f0d6c1e8b7a"
_KEY: Mapping[str, Any] = {"key": _ID, "kid": "3kTMd9qZ01ab", "project": _ID}
_MEMBER: Mapping[str, Any] = {"member": _ID, "role": "developer"}
_INVOICE: Mapping[str, Any] = {"invoice": _ID, "number": "INV-2027-000042"}
_ALERT: Mapping[str, Any] = {"alert": _ID, "kind": "policy_error", "object": f"policy_version:{_ID}"}

EVERY = "*"


class EventType(msgspec.Struct, frozen=True):
    name: str
    when: str
    example: Mapping[str, Any]
    version: int = 1


_EVENTS = (
    EventType("webhook.ping", "a test of an endpoint was asked for; only that endpoint is told", {"endpoint": _ID}),
    EventType("webhook.disabled", "rbee gave an endpoint up: it answered 410 (`gone`), or failed for three days (`failing`)",
              {"endpoint": _ID, "reason": "failing"}),
    EventType("key.created", "a key was made", _KEY),
    EventType("key.rotated", "a key got another value; that of before, `old_kid`, ends at `old_until`",
              {**_KEY, "old_kid": "9aQ2xLm4Tz7b", "old_until": "2027-01-31T00:00:00Z"}),
    EventType("key.leaked", "somebody who has a key reported it: the key is revoked, or its old value is ended",
              {**_KEY, "old_value": False}),
    EventType("key.revoked", "a key was revoked", _KEY),
    EventType("key.expiring", "a key ends within seven days", {**_KEY, "expires_at": "2027-01-31T00:00:00Z"}),
    EventType("limit.reached", "50, 80 or 100 percent of a limit are used; once for each in its period",
              {"limit": "tokens_per_day", "level": "tenant", "object": f"tenant:{_ID}", "percent": 80,
               "used": 800_000, "allowed": 1_000_000}),
    EventType("policy.activated", "a version of a policy came into force",
              {"policy_version": _ID, "number": 7, "sha256": "9f86d081884c7d65"}),
    EventType("policy.deactivated", "a policy's first version was rolled back: what decides is the default",
              {"policy_version": _ID, "number": 7}),
    EventType("policy.disabled", "a version of a policy crashed the process that tried it, and is never in force again",
              {"policy_version": _ID, "number": 7}),
    EventType("policy.failed", "a policy in force began to fail; what follows is counted by its alert",
              {"policy_version": _ID, "number": 7, "code": "policy_error"}),
    EventType("tenant.created", "a tenant was made", {"tenant": _ID, "plan": "pro"}),
    EventType("tenant.suspended", "a tenant was suspended; its keys are refused", {"tenant": _ID}),
    EventType("tenant.resumed", "a tenant was let in again", {"tenant": _ID}),
    EventType("tenant.deleted", "a tenant is to be deleted, at `delete_at`",
              {"tenant": _ID, "delete_at": "2027-01-31T00:00:00Z"}),
    EventType("tenant.restored", "a deletion was taken back", {"tenant": _ID}),
    EventType("member.invited", "somebody was invited", {"invitation": _ID, "role": "developer"}),
    EventType("member.joined", "somebody became a member", _MEMBER),
    EventType("member.changed", "a member got another role", _MEMBER),
    EventType("member.removed", "somebody is a member no more", _MEMBER),
    EventType("impersonation.began", "the operator acts in the tenant's place, until `expires_at`",
              {"impersonation": _ID, "writes": False, "expires_at": "2027-01-31T00:00:00Z"}),
    EventType("impersonation.ended", "the operator no longer does; when its time is over, nothing tells of it",
              {"impersonation": _ID}),
    EventType("payment.received", "money came in; `amount_micros` of it, its tax included",
              {"payment": _ID, "method": "bank", "currency": "EUR", "amount_micros": 121_000_000}),
    EventType("invoice.issued", "an invoice, credit note, receipt or statement was issued; `due_at` is empty when it asks for"
              " nothing",
              {**_INVOICE, "kind": "invoice", "currency": "EUR", "gross_minor": 12_100, "due_at": "2027-01-31T00:00:00Z"}),
    EventType("invoice.paid", "all that an invoice asked for has come",
              {**_INVOICE, "currency": "EUR", "gross_minor": 12_100}),
    EventType("billing.state_changed", "what an account may use changed, by its payments: `active`, `past_due`, `restricted`, `suspended`",
              {"state": "past_due", "from": "active"}),
    EventType("billing.recharge_failed", "the saved card was refused; auto-recharge pauses",
              {"code": "insufficient_funds"}),
    EventType("billing.differs", "the books of a day do not agree; only the operator is told",
              {"reconciliation": _ID, "day": "2027-01-31", "differences": 3}),
    EventType("subprocessor.announced", "the operator is to let another firm work on data, from `in_force_at` on; until then"
              " you can object",
              {"sub_processor": _ID, "country": "DE", "in_force_at": "2027-01-31T00:00:00Z"}),
    EventType("subprocessor.ending", "a firm works on data for the operator no more, from `ends_at` on",
              {"sub_processor": _ID, "country": "DE", "ends_at": "2027-01-31T00:00:00Z"}),
    EventType("audit.checkpoint", "once a day: how long the audit log is and what its root is, signed; keep it",
              {"origin": "rbee.example.org/audit", "size": 4711,
               "note": "rbee.example.org/audit\n4711\n…\n\n— rbee.example.org/audit …\n"}),
    EventType("alert.opened", "there is something to see to", _ALERT),
    EventType("alert.closed", "an alert was closed", _ALERT),
)  # fmt: skip

EVENTS: Mapping[str, EventType] = {event.name: event for event in _EVENTS}
PATTERNS = frozenset({EVERY, *EVENTS, *(f"{name.partition('.')[0]}.*" for name in EVENTS)})


def wants(patterns: Sequence[str], name: str) -> bool:
    """Whether an endpoint with these patterns is told of `name`. A ping is asked for, and never spread."""
    return any(pattern in (EVERY, name, f"{name.partition('.')[0]}.*") for pattern in patterns)
