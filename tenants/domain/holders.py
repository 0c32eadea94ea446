"""What of the tenants' tables depends on root secrets, for their rotation."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core import signing
from django.db.models import Q
from django.utils import timezone

from gdpr import roots
from gdpr.domain.rotation import Holder, Replaced, hold, sealed_column
from gdpr.scope import colony_tx
from gdpr.secrets import resealed
from tenants.domain import single_sign_on, webhook_signatures
from tenants.domain.repeats import KEPT, LABEL
from tenants.models import ApiKey, IdentityProvider, Impersonation, Invitation, KeptAnswer, WebhookEndpoint

SECOND_FACTORS = "second-factor"  # the label of what allauth is given to seal
_SEALED_IN_DATA = ("secret", "seed")


def register() -> None:
    hold(Holder(name="API keys", left=_keys_left))
    hold(
        Holder(
            name="sessions",
            left=lambda _: _sign_sessions(write=False),
            renew=lambda: _sign_sessions(write=True),
        )
    )
    hold(Holder(name="invitations", left=_invitations_left))
    hold(Holder(name="impersonations", left=_visits_left))
    hold(Holder(name="repeated requests", left=_answers_left))
    hold(
        sealed_column(
            "identity providers",
            IdentityProvider,
            "secret_sealed",
            lambda _, sealed: resealed(sealed, single_sign_on.LABEL),
        )
    )
    hold(
        sealed_column(
            "answers that were kept", KeptAnswer, "answer_sealed", lambda _, sealed: resealed(sealed, LABEL)
        )
    )
    for column in ("secret_sealed", "old_secret_sealed"):
        hold(
            sealed_column(
                f"webhooks ({column.removesuffix('_sealed').replace('_', ' ')})",
                WebhookEndpoint,
                column,
                lambda endpoint_id, sealed: webhook_signatures.resealed(sealed, endpoint_id),
            )
        )
    hold(sealed_column("second factors", Authenticator, "data", _second_factor))


def _second_factor(_: UUID, data: Any) -> dict[str, Any] | None:
    made = dict(data)
    for name in _SEALED_IN_DATA:
        if name in data and (again := resealed(data[name].encode(), SECOND_FACTORS)) is not None:
            made[name] = again.decode()
    if isinstance(data.get("migrated_codes"), list):
        made["migrated_codes"] = [
            again.decode() if (again := resealed(code.encode(), SECOND_FACTORS)) is not None else code
            for code in data["migrated_codes"]
        ]
    return made if made != data else None


def _sign_sessions(*, write: bool) -> int:
    """Those of people who are logged in, which Django signs. How many were signed by another than the newest."""
    roots.current()  # so that Django's keys are those of this moment
    store, found = SessionStore(), 0
    for session in Session.objects.filter(expire_date__gt=timezone.now()).iterator():
        signed = {"salt": store.key_salt, "serializer": store.serializer}
        try:
            signing.loads(session.session_data, key=settings.SECRET_KEY, fallback_keys=[], **signed)
            continue
        except signing.BadSignature:
            pass
        try:
            data = signing.loads(session.session_data, **signed)
        except signing.BadSignature:
            continue  # of no root that is known: its person logs in again
        found += 1
        if write:
            same = Session.objects.filter(pk=session.pk, session_data=session.session_data)
            same.update(session_data=signing.dumps(data, compress=True, **signed))
    return found


def _keys_left(replaced: Replaced) -> int:
    """That would not work any more: each is made anew when its value is used."""
    names = [replaced.root, ""] if replaced.is_oldest else [replaced.root]
    own, old = Q(mac_root__in=names), Q(old_mac_root__in=names)
    now = timezone.now()
    with colony_tx("API keys of a root secret"):
        usable = ApiKey.objects.filter(revoked_at=None).filter(Q(expires_at=None) | Q(expires_at__gt=now))
        return usable.filter(own | (old & Q(old_kid__isnull=False, old_until__gt=now))).count()


def _invitations_left(replaced: Replaced) -> int:
    with colony_tx("invitations of a root secret"):
        rows = Invitation.objects.filter(accepted_at=None, revoked_at=None, expires_at__gt=timezone.now())
        return rows.filter(created_at__lte=replaced.at).count()


def _visits_left(replaced: Replaced) -> int:
    with colony_tx("impersonations of a root secret"):
        rows = Impersonation.objects.filter(ended_at=None, expires_at__gt=timezone.now())
        return rows.filter(created_at__lte=replaced.at).count()


def _answers_left(replaced: Replaced) -> int:
    """Asked for again they would be done again."""
    with colony_tx("kept answers of a root secret"):
        rows = KeptAnswer.objects.filter(created_at__gt=timezone.now() - KEPT)
        return rows.filter(created_at__lte=replaced.at).count()
