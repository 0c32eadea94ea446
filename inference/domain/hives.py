"""Machines join with a token that works once for ten minutes, get credentials of their own, and lose them at once.

A hive's Redis user is made before the transaction that spends the token, because Redis may be away and a token must not
be spent in vain; when the transaction fails the user goes again. A name that joins again keeps its id, so its keys,
workers and unsent receipts keep their place, and gets other credentials.
"""

from __future__ import annotations

import base64
import binascii
import logging
import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NoReturn

import msgspec
from django.conf import settings
from django.db import IntegrityError
from django.db.models import QuerySet
from django.utils.timezone import now

from billing.domain.receipt_keys import keep_key
from gdpr.domain.audit import Actor, record
from gdpr.ids import uuid7
from gdpr.scope import colony_tx
from gdpr.secrets import newest_root
from hive_agent import protocol
from inference import rules
from inference.domain import hive_access, notices
from inference.domain.attestations import ATTESTED_FOR, attested_region, forget_signature, sign_region
from inference.domain.errors import (
    InvalidInput,
    JoinRefused,
    NameTaken,
    NotFound,
    RedisUnreachable,
    checked,
)
from inference.domain.placements import place_models
from inference.domain.tokens import make_token, open_password, seal_password, token_mac, token_macs
from inference.domain.worker import HiveInfo
from inference.models import Hive, JoinToken, Model
from tenants.domain.invalidation import announce_after_commit

JOIN_TOKEN_LIFETIME = timedelta(minutes=10)
PUBLIC_KEY_BYTES = 32
REDIS_PASSWORD_BYTES = 32
DEVICES_MAX = 256

_log = logging.getLogger(__name__)


def create_join_token(
    *,
    region: str = "",
    labels: Mapping[str, rules.Scalar] | None = None,
    model_names: Sequence[str] = (),
    actor: Actor,
) -> tuple[JoinToken, str]:
    """The row and the token, which is shown once. The hive that redeems it is attested to be in `region` for a year, gets
    `labels`, which scripts see, and runs `model_names` from the start. Raises InvalidInput."""
    fields = {
        "region": checked("region", rules.region, region),
        "labels": checked("labels", rules.labels, dict(labels or {})),
        "model_names": list(model_names),
    }
    token = make_token("rbee_join")
    with colony_tx("join token"):
        _require_models(model_names)
        row = JoinToken.objects.create(
            mac=token_mac("join", token), expires_at=now() + JOIN_TOKEN_LIFETIME, **fields
        )
        record(
            "hive.token_created",
            actor=actor,
            object_ref=f"join_token:{row.id}",
            details=rules.for_audit(**fields),
        )
    return row, token


def join_hive(request: protocol.JoinRequest) -> protocol.JoinAnswer:
    """Raises InvalidInput, JoinRefused, NameTaken, RedisUnreachable."""
    name = _check_request(request)
    if not _usable_tokens(request.token).exists():
        _refuse_token()
    known = Hive.objects.filter(name=name, removed_at=None).first()
    hive_id = known.id if known else uuid7()
    username, password = hive_access.make_username(hive_id), secrets.token_urlsafe(REDIS_PASSWORD_BYTES)
    credential = make_token("rbee_hive")
    hive = Hive(
        id=hive_id,
        name=name,
        public_key=request.public_key,
        credential_mac=token_mac("hive", credential),
        credential_root=newest_root(),
        redis_username=username,
        redis_password_sealed=seal_password(password, hive_id),
        software=request.software,
        devices=msgspec.to_builtins(list(map(msgspec.structs.asdict, request.devices))),
    )
    hive_access.grant(username, password, hive.prefix)
    try:
        replaced = _commit_join(hive, request.token)
    except BaseException:
        _revoke_quietly(username)
        raise
    _revoke_quietly(*replaced)
    return protocol.JoinAnswer(
        version=protocol.VERSION,
        hive=hive.id.hex,
        name=hive.name,
        credential=credential,
        redis=protocol.RedisAccess(
            url=settings.RBEE.hive_redis_url, username=username, password=password, prefix=hive.prefix
        ),
    )


def remove_hive(hive: Hive, *, actor: Actor) -> None:
    """Refuses its credential from the commit on and ends its connections to Redis. What it had not yet reported of
    tasks that run is lost with it: drain a hive that is to be paid for them. Raises NotFound."""
    with colony_tx("hive removed"):
        hive = Hive.objects.select_for_update().filter(id=hive.id, removed_at=None).first() or _no_hive(
            hive.name
        )
        hive.removed_at = now()
        hive.save(update_fields=["removed_at"])
        hive.workers.all().delete()
        record("hive.removed", actor=actor, object_ref=f"hive:{hive.id}", details={"name": hive.name})
        announce_after_commit("hives")
    _revoke_quietly(hive.redis_username)
    _forget_keys(hive)


def restore_hive_acls() -> int:
    """Make every hive's Redis user again, and take away those that no hive has. Returns how many hives have one.
    Raises RedisUnreachable."""
    users = [user for hive in joined_hives() if (user := _redis_user(hive))]
    hive_access.grant_all(users)
    current = {hive.redis_username for hive in joined_hives()}
    # One may have been removed or replaced while this made its user again: then nobody else takes it away.
    revived = {name for name, _, _ in users} - current
    hive_access.revoke(*revived, *hive_access.left_over(current))
    return len(users)


def sweep_join_tokens() -> int:
    """Delete those that nobody can redeem any more."""
    deleted, _ = JoinToken.objects.filter(expires_at__lt=now() - JOIN_TOKEN_LIFETIME).delete()
    return deleted


def joined_hives() -> list[Hive]:
    return list(Hive.objects.filter(removed_at=None).order_by("name"))


def info_of(hive: Hive) -> HiveInfo:
    """What queens go by."""
    return HiveInfo(
        id=hive.id.hex,
        name=hive.name,
        prefix=hive.prefix,
        region=attested_region(hive),
        region_until_s=hive.region_until.timestamp() if hive.region_until else 0.0,
        labels=hive.labels,
    )


def hive_named(name: str) -> Hive:
    """Raises NotFound."""
    if not rules.HIVE_NAME.fullmatch(name):
        _no_hive(name)
    return Hive.objects.filter(name=name.lower(), removed_at=None).first() or _no_hive(name)


def hive_by_credential(credential: str) -> Hive | None:
    """One that was made under another root secret than the newest is made anew: this is the moment at which it can be."""
    macs = token_macs("hive", credential)
    hive = Hive.objects.filter(credential_mac__in=macs, removed_at=None).first()
    if hive is not None and hive.credential_mac != macs[0]:
        Hive.objects.filter(credential_mac=hive.credential_mac).update(
            credential_mac=macs[0], credential_root=newest_root()
        )
    return hive


def _check_request(request: protocol.JoinRequest) -> str:
    if request.version != protocol.VERSION:
        raise InvalidInput(
            f"this queen speaks version {protocol.VERSION} of the hive protocol, not {request.version};"
            " install the same rbee on both machines",
            param="version",
            code="unsupported_version",
        )
    checked("public_key", _public_key, request.public_key)
    checked("software", _short_text, request.software)
    checked("devices", _devices, request.devices)
    return checked("name", rules.hive_name, request.name)


def _commit_join(hive: Hive, token: str) -> list[str]:
    """Spend the token and write the hive. Returns the Redis users that the hive had before."""
    try:
        with colony_tx("hive joins"):
            row = _redeem(token)
            before = Hive.objects.select_for_update().filter(name=hive.name, removed_at=None).first()
            if before is not None and before.id != hive.id:
                raise _joined_elsewhere(hive.name)
            if row.region:
                sign_region(hive, row.region, now() + ATTESTED_FOR)
            else:  # another key may be another machine: the region is remembered, and nobody vouches for it
                hive.region = before.region if before else ""
                forget_signature(hive)
            hive.labels = row.labels or (before.labels if before else {})
            hive.save(force_insert=before is None, force_update=before is not None)
            keep_key(hive.id, hive.public_key)
            place_models(hive, row.model_names)
            record(
                "hive.rejoined" if before else "hive.joined",
                actor=Actor.hive(hive.id.hex),
                object_ref=f"hive:{hive.id}",
                details={
                    "name": hive.name,
                    "region": hive.region,
                    "attested": bool(row.region),
                    "labels": hive.labels,
                    "token": str(row.id),
                },
            )
            announce_after_commit("hives")
    except IntegrityError:
        raise _joined_elsewhere(hive.name) from None
    return [before.redis_username] if before else []


def _redeem(token: str) -> JoinToken:
    """One conditional UPDATE, so of any number at once only one gets it."""
    if _usable_tokens(token).update(used_at=now()) != 1:
        _refuse_token()
    return JoinToken.objects.get(mac__in=token_macs("join", token))


def _usable_tokens(token: str) -> QuerySet[JoinToken]:
    return JoinToken.objects.filter(mac__in=token_macs("join", token), used_at=None, expires_at__gt=now())


def _refuse_token() -> NoReturn:
    raise JoinRefused(
        "this join token is unknown, already used, or older than ten minutes; make another with: rbee hive token",
        param="token",
    )


def _joined_elsewhere(name: str) -> NameTaken:
    return NameTaken(
        f"another machine joined as {name} at this moment; join with another --name", param="name"
    )


def _no_hive(name: str) -> NoReturn:
    raise NotFound(
        f"there is no hive {name!r}; rbee hive list shows those that joined", code="hive_not_found"
    )


def _require_models(names: Sequence[str]) -> None:
    known = set(Model.objects.filter(name__in=names, removed_at=None).values_list("name", flat=True))
    for name in names:
        if name not in known:
            raise InvalidInput(f"there is no model {name!r}; add it first: rbee model add", param="models")


def _redis_user(hive: Hive) -> tuple[str, str, str] | None:
    """Name, password and prefix. None, and a line in the log, when the password cannot be opened: the others go on."""
    try:
        password = open_password(bytes(hive.redis_password_sealed), hive.id)
    except ValueError as error:
        _log.error("hive %s must join again: %s", hive.name, error)
        return None
    return hive.redis_username, password, hive.prefix


def _revoke_quietly(*usernames: str) -> None:
    """Redis being away cannot undo what is committed; `restore_hive_acls` takes such users away later."""
    try:
        hive_access.revoke(*usernames)
    except RedisUnreachable as error:
        _log.warning("%s left over in Redis: %s", ", ".join(usernames), error)


def _forget_keys(hive: Hive) -> None:
    try:
        hive_access.forget_keys(hive.prefix, "state", notices.CONTROL_STREAM, protocol.TASKS_QUEUE)
    except RedisUnreachable as error:
        _log.warning("keys of hive %s left over in Redis: %s", hive.name, error)


def _public_key(text: str) -> str:
    try:
        size = len(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if size != PUBLIC_KEY_BYTES:
        raise ValueError(f"a public key is Ed25519: {PUBLIC_KEY_BYTES} bytes in base64")
    return text


def _devices(devices: Sequence[protocol.DeviceReport]) -> None:
    texts = [text for device in devices for text in (device.kind, device.name, device.gpu_type)]
    if len(devices) > DEVICES_MAX or any(
        len(text) > 256 or not (text.isprintable() or not text) for text in texts
    ):
        raise ValueError(f"there are at most {DEVICES_MAX}, with names of at most 256 printable characters")


def _short_text(text: str) -> str:
    if len(text) > 64 or not (text.isprintable() or not text):
        raise ValueError("takes at most 64 printable characters")
    return text
