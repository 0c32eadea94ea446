"""Audit entries of what people do to their own accounts, which django-allauth changes; and of whom it did not let in."""

from __future__ import annotations

from typing import Any, Final

from allauth.account import signals as account
from allauth.mfa import signals as mfa
from allauth.socialaccount import signals as social
from django.contrib.auth.signals import user_logged_out
from django.dispatch import Signal
from django.http import HttpRequest

from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx
from tenants.models import User

EVENTS: Final = {
    "account.logged_in": account.user_logged_in,
    "account.logged_out": user_logged_out,
    "account.password_set": account.password_set,
    "account.password_changed": account.password_changed,
    "account.password_reset": account.password_reset,
    "account.email_added": account.email_added,
    "account.email_confirmed": account.email_confirmed,
    "account.email_changed": account.email_changed,
    "account.email_removed": account.email_removed,
    "account.provider_added": social.social_account_added,
    "account.provider_removed": social.social_account_removed,
    "account.second_factor_added": mfa.authenticator_added,
    "account.second_factor_removed": mfa.authenticator_removed,
    "account.second_factor_reset": mfa.authenticator_reset,
    "account.second_factor_failed": mfa.authentication_failed,
}
WRONG_CODES: Final = {
    "login": account.login_code_rejected,
    "password": account.password_reset_code_rejected,
    "email": account.email_verification_code_rejected,
}
# Somebody was not let in: `request`, `code`, `status`. Who guesses would choose how many entries there are, so whoever
# listens sums them.
refused: Final = Signal()


# Of a person whose address changed.
MOVED: Final = {"from": "from_email_address", "to": "to_email_address"}


def connect() -> None:
    for event, signal in EVENTS.items():
        _record_on(signal, event)
    for kind, signal in WRONG_CODES.items():
        signal.connect(_refuse, weak=False, dispatch_uid=f"wrong code: {kind}")


def _record_on(signal: Signal, event: str) -> None:
    outcome = "denied" if event.endswith("failed") else "ok"

    def receive(**told: Any) -> None:
        user = _whose(told)
        if user is None:  # a session of nobody was ended
            return
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


def _whose(told: dict[str, Any]) -> User | None:
    thing = told.get("email_address") or told.get("sociallogin") or told.get("socialaccount")
    found = told.get("user") or getattr(thing, "user", None)
    return found if isinstance(found, User) else None


def _refuse(*, request: HttpRequest, **_: Any) -> None:
    refused.send(sender=None, request=request, code="wrong_code", status=400)
