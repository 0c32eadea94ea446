"""Audit entries of what people do to their own accounts, which django-allauth changes."""

from __future__ import annotations

from typing import Any, Final

from allauth.account import signals as account
from allauth.mfa import signals as mfa
from django.dispatch import Signal

from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx
from tenants.models import User

EVENTS: Final = {
    "account.logged_in": account.user_logged_in,
    "account.password_set": account.password_set,
    "account.password_changed": account.password_changed,
    "account.password_reset": account.password_reset,
    "account.email_changed": account.email_changed,
    "account.second_factor_added": mfa.authenticator_added,
    "account.second_factor_removed": mfa.authenticator_removed,
    "account.second_factor_reset": mfa.authenticator_reset,
    "account.second_factor_failed": mfa.authentication_failed,
}


# Of a person whose address changed.
MOVED: Final = {"from": "from_email_address", "to": "to_email_address"}


def connect() -> None:
    for event, signal in EVENTS.items():
        _record_on(signal, event)


def _record_on(signal: Signal, event: str) -> None:
    outcome = "denied" if event.endswith("failed") else "ok"

    def receive(*, user: User, **told: Any) -> None:
        with colony_tx("account of a person"):
            record(
                event,
                actor=Actor.user(user.id),
                object_ref=f"user:{user.id.hex}",
                outcome=outcome,
                private={"contact": {name: _address(told.get(sent)) for name, sent in MOVED.items()}},
            )

    signal.connect(receive, weak=False, dispatch_uid=event)


def _address(given: Any) -> str:
    return str(getattr(given, "email", "") or "")
