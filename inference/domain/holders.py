"""What of the hives' tables depends on root secrets, for their rotation."""

from __future__ import annotations

from django.utils.timezone import now

from gdpr.domain.rotation import Holder, Replaced, hold, sealed_column
from gdpr.scope import colony_tx
from inference.domain.attestations import attested_before, sign_again
from inference.domain.hives import JOIN_TOKEN_LIFETIME
from inference.domain.tokens import resealed_password
from inference.models import Hive, JoinToken


def register() -> None:
    hold(Holder(name="hives", left=_hives_left))
    hold(Holder(name="regions of hives", left=lambda _: attested_before(), renew=sign_again))
    hold(Holder(name="join tokens", left=_tokens_left))
    hold(
        sealed_column(
            "hives' Redis passwords",
            Hive,
            "redis_password_sealed",
            lambda hive_id, sealed: resealed_password(sealed, hive_id),
        )
    )


def _hives_left(replaced: Replaced) -> int:
    """Those that have not asked since: each asks every minute while it runs."""
    names = [replaced.root, ""] if replaced.is_oldest else [replaced.root]
    return Hive.objects.filter(removed_at=None, credential_root__in=names).count()


def _tokens_left(replaced: Replaced) -> int:
    with colony_tx("join tokens of a root secret"):
        rows = JoinToken.objects.filter(used_at=None, expires_at__gt=now())
        return rows.filter(expires_at__lte=replaced.at + JOIN_TOKEN_LIFETIME).count()
