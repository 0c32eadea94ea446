"""Where a hive stands: said by the operator, signed by the colony, for a time.

A hive itself says nothing of it. The signature binds the region to the key of the hive, since one that joins again with
another key may be another machine; and it is made by the root secret, so whoever can only write to the database moves no
hive. Without a good signature, and after its time, a hive is in no region.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.utils.timezone import now

from gdpr.domain.audit import Actor, canonical_json, record
from gdpr.scope import colony_tx
from gdpr.secrets import derive, derive_each
from inference import rules
from inference.domain.errors import InvalidInput, NotFound, checked
from inference.models import Hive
from tenants.domain.invalidation import announce_after_commit

ATTESTED_FOR: Final = timedelta(days=365)
LONGEST: Final = timedelta(days=2 * 366)
KEY_LABEL: Final = "hive-attestation"


def attest_hive(hive: Hive, *, region: str, until: datetime | None = None, actor: Actor) -> Hive:
    """Queens know it within a second. Raises InvalidInput and NotFound."""
    region = checked("region", rules.region, region)
    until = until or now() + ATTESTED_FOR
    if not region:
        raise InvalidInput(
            "region: name one, such as EU; to take it back, withdraw the attestation", param="region"
        )
    if not now() < until <= now() + LONGEST:
        raise InvalidInput(
            f"until: at most {LONGEST.days} days from now: somebody has to look again", param="until"
        )
    with colony_tx("hive attested"):
        hive = _locked(hive)
        sign_region(hive, region, until)
        hive.save(update_fields=["region", "region_until", "region_signature"])
        record(
            "hive.attested",
            actor=actor,
            object_ref=f"hive:{hive.id}",
            details={"name": hive.name, "region": region, "until": _text(until)},
        )
        announce_after_commit("hives")
    return hive


def withdraw_attestation(hive: Hive, *, actor: Actor) -> Hive:
    """It is in no region from then on. Raises NotFound."""
    with colony_tx("attestation of a hive withdrawn"):
        hive = _locked(hive)
        before = {"region": hive.region, "until": _text(hive.region_until) if hive.region_until else ""}
        hive.region = ""
        forget_signature(hive)
        hive.save(update_fields=["region", "region_until", "region_signature"])
        record(
            "hive.attestation_withdrawn",
            actor=actor,
            object_ref=f"hive:{hive.id}",
            details={"name": hive.name, **before},
        )
        announce_after_commit("hives")
    return hive


def sign_region(hive: Hive, region: str, until: datetime) -> None:
    """To be saved and recorded by the caller, in a transaction of its own."""
    hive.region, hive.region_until = region, until
    hive.region_signature = _key(derive(KEY_LABEL)).sign(_said(hive))


def forget_signature(hive: Hive) -> None:
    hive.region_until, hive.region_signature = None, b""


def attested_region(hive: Hive) -> str:
    """Until `hive.region_until`. Empty: nobody vouches for what the row says."""
    if not hive.region or hive.region_until is None:
        return ""
    said = _said(hive)
    return hive.region if any(_is_signed(hive, seed, said) for seed in derive_each(KEY_LABEL)) else ""


def is_attested(hive: Hive) -> bool:
    return bool(attested_region(hive)) and hive.region_until is not None and hive.region_until > now()


def attested_before() -> int:
    """How many regions are signed by a root secret that is not the newest."""
    return sum(1 for hive in Hive.objects.filter(removed_at=None) if _is_of_older_root(hive))


def sign_again() -> int:
    """By the newest root secret. Returns how many."""
    done = 0
    with colony_tx("regions signed by the newest root secret"):
        for hive in Hive.objects.select_for_update().filter(removed_at=None).order_by("id"):
            if _is_of_older_root(hive) and hive.region_until is not None:
                sign_region(hive, hive.region, hive.region_until)
                hive.save(update_fields=["region_signature"])
                done += 1
    return done


def _is_of_older_root(hive: Hive) -> bool:
    return bool(attested_region(hive)) and not _is_signed(hive, derive(KEY_LABEL), _said(hive))


def _is_signed(hive: Hive, seed: bytes, said: bytes) -> bool:
    try:
        _key(seed).public_key().verify(bytes(hive.region_signature), said)
    except InvalidSignature:
        return False
    return True


def _said(hive: Hive) -> bytes:
    assert hive.region_until is not None
    return b"rbee hive attestation 1\n" + canonical_json(
        {
            "hive": hive.id.hex,
            "key": hive.public_key,
            "region": hive.region,
            "until": _text(hive.region_until),
        }
    )


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@lru_cache(maxsize=8)
def _key(seed: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(seed)


def _locked(hive: Hive) -> Hive:
    found = Hive.objects.select_for_update().filter(id=hive.id, removed_at=None).first()
    if found is None:
        raise NotFound(f"there is no hive {hive.name!r}", code="hive_not_found")
    return found
