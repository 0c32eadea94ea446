"""Who is calling. Each queen process remembers callers for less than 5 s, and forgets at once what it is told to.

AuthenticationDown      the database did not answer: refuse with 503, never let in
"""

from __future__ import annotations

import asyncio
import hmac
import os
import time
from collections.abc import Collection, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg
from django.conf import settings
from django.db import connection
from psycopg.rows import dict_row
from psycopg_pool import PoolTimeout

from gdpr.domain.frozen import FROZEN_OF
from gdpr.pool import Pool, colony_connection
from gdpr.scope import colony_tx
from tenants.domain.addresses import NOWHERE, NetworkSet, network_set
from tenants.domain.key_format import can_be_a_key, key_macs
from tenants.domain.key_use import KEY_USE
from tenants.domain.limit_shape import NO_LEVELS, NO_LIMITS, LevelLimits, Levels, joined, read_limits
from tenants.enums import KeyScope, TenantStatus

REMEMBERED_S = 4.5  # with the query and the clock, a change is known within 5 s
UNKNOWN_REMEMBERED_S = 2.0
REMEMBERED_MAX = 10_000
UNKNOWN_MAX = 10_000

DATA_PROCESSING = "data_processing"  # the purpose that scripts mean where no other is required
HOME_TENANT = "home"  # slug of the tenant that keyless calls belong to


class AuthenticationDown(Exception):
    pass


class Limits(msgspec.Struct, frozen=True):
    """Of the tenant. None is no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    concurrent_tasks: int | None = None


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Identifiers are UUIDs in hex. A keyless caller has no key."""

    tenant_id: str
    tenant_slug: str
    tier: str
    plan_slug: str
    project_id: str
    key_id: str
    kid: str
    scopes: frozenset[str]
    region: str  # tasks run there only; empty: anywhere
    industry: str
    gdpr_consent: bool
    limits: Limits
    is_keyless: bool = False
    levels: Levels = NO_LEVELS  # beside the limits of the tenant
    allowed_models: tuple[str, ...] = ()  # globs of names; none: all
    gpu_classes: frozenset[str] = frozenset()  # none: all
    key_models: tuple[str, ...] = ()  # of these again only those; none: all
    networks: NetworkSet = NOWHERE  # where the key may be used from; that one: anywhere
    missing_consents: tuple[str, ...] = ()  # purposes that the tenant must have agreed to, and has not
    subject_consents: frozenset[str] = frozenset()  # purposes that its end users must have agreed to
    frozen_subjects: frozenset[str] = frozenset()  # pseudonyms of end users whose erasure runs
    keeps_content: bool = False  # its prompts and outputs are kept, because it said so


class Person(Caller, frozen=True, kw_only=True):
    """Somebody who is logged in, in one of their tenants; or the operator in a tenant's place, who has no role."""

    user_id: str = ""
    role: str = ""
    status: str = TenantStatus.ACTIVE  # of the tenant
    impersonation_id: str = ""
    sees_colony: bool = True  # of the operator's people: whether this request is about all tenants
    operator: str = ""  # who impersonates, as audit entries name them
    writes: bool = True


class Found(NamedTuple):
    caller: Caller
    expires_at: datetime | None


FIELDS = f"""
    t.id AS tenant_id, t.slug AS tenant_slug, t.status, coalesce(nullif(t.region, ''), p.region) AS region, t.industry,
    coalesce(t.allowed_models, p.allowed_models) AS allowed_models, coalesce(t.gpu_classes, p.gpu_classes) AS gpu_classes,
    coalesce(t.required_consents, p.required_consents) AS required_consents, t.subject_consents,
    ARRAY(SELECT purpose FROM (SELECT DISTINCT ON (purpose) purpose, is_given FROM gdpr_consent
          WHERE tenant_id = t.id AND subject = '' ORDER BY purpose, number DESC) c WHERE is_given) AS consents,
    ARRAY({FROZEN_OF}) AS frozen_subjects, t.content_days,
    coalesce(t.requests_per_minute, p.requests_per_minute) AS requests_per_minute,
    coalesce(t.tokens_per_minute, p.tokens_per_minute) AS tokens_per_minute,
    coalesce(t.tokens_per_day, p.tokens_per_day) AS tokens_per_day,
    coalesce(t.concurrent_tasks, p.concurrent_tasks) AS concurrent_tasks,
    t.limits AS tenant_limits, p.limits AS plan_limits, t.subject_limits, p.tier, p.slug AS plan_slug
"""  # noqa: S608 -- constants
# Of a key that was rotated either value may be asked for; `value` is the one that is.
KEY_QUERY = f"""
    SELECT {FIELDS}, k.project_id, k.id AS key_id, v.kid, v.mac, v.expires_at, k.scopes, k.limits AS key_limits,
           k.allowed_models AS key_models, k.allowed_ips, j.limits AS project_limits
    FROM tenants_apikey k JOIN tenants_tenant t ON t.id = k.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
         JOIN tenants_project j ON j.id = k.project_id
         CROSS JOIN LATERAL (VALUES (k.kid, k.mac, k.expires_at),
             (k.old_kid, k.old_mac, least(k.old_until, k.expires_at))) AS v (kid, mac, expires_at)
    WHERE k.revoked_at IS NULL AND j.archived_at IS NULL AND v.kid IS NOT NULL
          AND (v.expires_at IS NULL OR v.expires_at > statement_timestamp())
"""  # noqa: S608 -- constants
# By the HMAC of the whole value: whether its kid is somebody's makes no difference to anything that could be timed.
BY_MAC = f"{KEY_QUERY} AND (k.mac = ANY(%(it)s) OR k.old_mac = ANY(%(it)s)) AND v.mac = ANY(%(it)s)"
GOOD = """
    SELECT k.kid, k.old_kid FROM tenants_apikey k JOIN tenants_tenant t ON t.id = k.tenant_id
    WHERE k.id = ANY(%(ids)s) AND k.revoked_at IS NULL AND t.status = 'active'
"""
HOME = f"""
    SELECT {FIELDS}, j.id AS project_id, j.limits AS project_limits
    FROM tenants_tenant t JOIN tenants_plan p ON p.id = t.plan_id JOIN tenants_project j ON j.tenant_id = t.id
    WHERE t.slug = %(it)s AND j.archived_at IS NULL ORDER BY j.id LIMIT 1
"""  # noqa: S608 -- constants
FIRST_PROJECT = """
    (SELECT j.id FROM tenants_project j WHERE j.tenant_id = t.id AND j.archived_at IS NULL ORDER BY j.id LIMIT 1)
"""
MEMBERSHIPS = f"""
    SELECT {FIELDS}, m.role, {FIRST_PROJECT} AS project_id
    FROM tenants_member m JOIN tenants_tenant t ON t.id = m.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
    WHERE m.user_id = %(it)s AND t.status <> 'closed' AND (m.ends_at IS NULL OR m.ends_at > statement_timestamp())
    ORDER BY m.id
"""  # noqa: S608 -- constants
VISITED = f"""
    SELECT {FIELDS}, i.id AS impersonation_id, i.mac, i.operator, i.writes, {FIRST_PROJECT} AS project_id
    FROM tenants_impersonation i JOIN tenants_tenant t ON t.id = i.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
    WHERE i.id = %(it)s AND i.ended_at IS NULL AND i.expires_at > now() AND t.status <> 'closed'
"""  # noqa: S608 -- constants

_NOBODY_MAC = os.urandom(32)


class CallerCache:
    """One per queen process; its methods are called on one event loop.

    Keys are remembered by a keyed hash, so that no value of a customer stays in memory. `handle` takes the messages of
    `tenants.domain.invalidation`.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: dict[bytes, tuple[Caller, float]] = {}  # until this time of the monotonic clock
        self._unknown: dict[bytes, float] = {}
        self._loading: dict[bytes, asyncio.Task[Caller | None]] = {}
        self._home: tuple[Caller, float] | None = None
        self._generation = 0  # of what was forgotten
        self._hash_key = os.urandom(32)

    def get(self, secret: str) -> Caller | None:
        """Without waiting. None: not remembered, or not known to be anybody; `load` tells."""
        found = self._known.get(self._digest(secret))
        if found is None or found[1] <= time.monotonic():
            return None
        return found[0]

    async def load(self, secret: str) -> Caller | None:
        """None: nobody's key. Raises AuthenticationDown. One query, shared by all who ask for the same key."""
        if caller := self.get(secret):
            return caller
        if not can_be_a_key(secret):
            return None
        digest = self._digest(secret)
        if self._unknown.get(digest, 0.0) > time.monotonic():
            return None
        loading = self._loading.get(digest)
        if loading is None:
            loading = asyncio.create_task(self._load(secret, digest))
            self._loading[digest] = loading
            loading.add_done_callback(lambda _: self._loading.pop(digest, None))
        # A client that leaves must not take the query away from the others.
        return await asyncio.shield(loading)

    async def home_caller(self) -> Caller:
        """Who keyless calls are: the tenant `home`. Raises AuthenticationDown, also while there is none."""
        if self._home and self._home[1] > time.monotonic():
            return self._home[0]
        generation = self._generation
        row = await self._fetch(HOME, HOME_TENANT)
        if row is None:
            raise AuthenticationDown(f"there is no tenant {HOME_TENANT}: run `manage.py bootstrap`")
        caller = _caller(row)
        if generation == self._generation:
            self._home = (caller, time.monotonic() + REMEMBERED_S)
        return caller

    def invalidate(self, kid: str | None) -> None:
        """Forget one key, or all."""
        self._generation += 1
        self._unknown.clear()
        self._home = None
        if kid is None:
            self._known.clear()
        else:
            self._known = {digest: known for digest, known in self._known.items() if known[0].kid != kid}

    def handle(self, message: str) -> None:
        if message == "keys":
            self.invalidate(None)
        elif message.startswith("key:"):
            self.invalidate(message.removeprefix("key:"))

    async def _load(self, secret: str, digest: bytes) -> Caller | None:
        for _ in range(3):
            generation = self._generation
            # Of what is read nothing is older than this, so nothing is remembered for longer than it should be.
            began = time.monotonic()
            macs = key_macs(secret)
            found = _by_mac(await self._fetch(BY_MAC, macs), macs)
            # What was read may be from before a revocation that was announced meanwhile.
            if generation == self._generation:
                break
        else:
            return found.caller if found else None
        if found is None:
            _make_room(self._unknown, UNKNOWN_MAX)
            self._unknown[digest] = began + UNKNOWN_REMEMBERED_S
            return None
        _make_room(self._known, REMEMBERED_MAX)
        left_s = _seconds_left(found.expires_at)
        self._known[digest] = (found.caller, min(began + REMEMBERED_S, time.monotonic() + left_s))
        return found.caller

    async def _fetch(self, query: str, parameter: str | list[bytes]) -> dict[str, Any] | None:
        try:
            async with colony_connection(self._pool) as connection:
                cursor = connection.cursor(row_factory=dict_row)
                await cursor.execute(query, {"it": parameter})
                return await cursor.fetchone()
        except (psycopg.Error, PoolTimeout) as error:
            raise AuthenticationDown(type(error).__name__) from error

    def _digest(self, secret: str) -> bytes:
        return blake2b(secret.encode("utf-8", "surrogatepass"), digest_size=16, key=self._hash_key).digest()


async def good_kids(pool: Pool, key_ids: Collection[str]) -> set[str]:
    """Of these keys, those names that were not revoked; whether one has expired is not asked. Raises AuthenticationDown."""
    try:
        async with colony_connection(pool) as connection:
            cursor = await connection.execute(GOOD, {"ids": [UUID(key_id) for key_id in key_ids]})
            rows = await cursor.fetchall()
    except (psycopg.Error, PoolTimeout) as error:
        raise AuthenticationDown(type(error).__name__) from error
    return {kid for row in rows for kid in row if kid is not None}


def find_caller(secret: str) -> Caller | None:
    """For Django's own views: the same answer, from the database each time."""
    if not can_be_a_key(secret):
        return None
    macs = key_macs(secret)
    found = _by_mac(_row("find a caller by key", BY_MAC, macs), macs)
    return found.caller if found else None


def find_home_caller() -> Caller | None:
    """For Django's own views: who keyless calls are. None before `manage.py bootstrap`."""
    row = _row("find the tenant of keyless callers", HOME, HOME_TENANT)
    return _caller(row) if row else None


def find_memberships(user_id: UUID) -> list[Person]:
    """One for each tenant of a person, oldest membership first."""
    return [
        _person(row, user_id=user_id.hex, role=row["role"])
        for row in _rows("memberships of a person", MEMBERSHIPS, user_id)
    ]


def find_visitor(impersonation_id: UUID, macs: list[bytes]) -> Person | None:
    """The operator in a tenant's place, by the token of `tenants.domain.impersonation`."""
    rows = _rows("find an impersonation", VISITED, impersonation_id)
    stored = bytes(rows[0]["mac"]) if rows else _NOBODY_MAC
    if not any(hmac.compare_digest(stored, mac) for mac in macs) or not rows:
        return None
    row = rows[0]
    return _person(
        row, impersonation_id=row["impersonation_id"].hex, operator=row["operator"], writes=row["writes"]
    )


def _person(row: Mapping[str, Any], **own: Any) -> Person:
    caller = _caller(row)
    fields = {name: getattr(caller, name) for name in caller.__struct_fields__}
    return Person(**fields | {"is_keyless": False, "scopes": frozenset[str](), "status": row["status"]} | own)


def _row(reason: str, query: str, parameter: str | list[bytes]) -> dict[str, Any] | None:
    rows = _rows(reason, query, parameter)
    return rows[0] if rows else None


def _rows(reason: str, query: str, parameter: str | list[bytes] | UUID) -> list[dict[str, Any]]:
    with colony_tx(reason), connection.cursor() as cursor:
        cursor.execute(query, {"it": parameter})
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _by_mac(row: Mapping[str, Any] | None, macs: list[bytes]) -> Found | None:
    """`macs`: by one of which it was found. One that is not the first is made anew, as only its value can do."""
    if row is not None and bytes(row["mac"]) != macs[0]:
        KEY_USE.remade[bytes(row["mac"])] = macs[0]
    return _found(row)


def _found(row: Mapping[str, Any] | None) -> Found | None:
    if row is None or row["status"] != TenantStatus.ACTIVE:
        return None
    return Found(_caller(row), row["expires_at"])


def _caller(row: Mapping[str, Any]) -> Caller:
    key_id: UUID | None = row.get("key_id")
    required, consents = row["required_consents"], frozenset(row["consents"])
    return Caller(
        tenant_id=row["tenant_id"].hex,
        tenant_slug=row["tenant_slug"],
        tier=row["tier"],
        plan_slug=row["plan_slug"],
        project_id=row["project_id"].hex if row["project_id"] else "",
        key_id=key_id.hex if key_id else "",
        kid=row.get("kid", ""),
        scopes=frozenset(row["scopes"]) if key_id else frozenset(KeyScope.values),
        region=row["region"],
        industry=row["industry"],
        gdpr_consent=consents.issuperset(required or {DATA_PROCESSING}),
        limits=Limits(
            row["requests_per_minute"],
            row["tokens_per_minute"],
            row["tokens_per_day"],
            row["concurrent_tasks"],
        ),
        is_keyless=key_id is None,
        levels=_levels(row),
        allowed_models=tuple(row["allowed_models"]),
        gpu_classes=frozenset(row["gpu_classes"]),
        key_models=tuple(row["key_models"]) if key_id else (),
        networks=network_set(tuple(row["allowed_ips"])) if key_id and row["allowed_ips"] else NOWHERE,
        missing_consents=tuple(sorted(set(required) - consents)),
        subject_consents=frozenset(row["subject_consents"]),
        frozen_subjects=frozenset(row["frozen_subjects"]),
        keeps_content=bool(row["content_days"] and settings.RBEE.content_days_max),
    )


def _levels(row: Mapping[str, Any]) -> Levels:
    """Most callers have none, which is told by identity."""
    levels = Levels(
        tenant=joined(_level(row, "plan_limits"), _level(row, "tenant_limits")),
        project=_level(row, "project_limits"),
        key=_level(row, "key_limits"),
        subject=_level(row, "subject_limits"),
    )
    return NO_LEVELS if levels == NO_LEVELS else levels


def _level(row: Mapping[str, Any], name: str) -> LevelLimits:
    stored = row.get(name)
    if isinstance(stored, str):  # Django's cursors give JSON as text
        stored = msgspec.json.decode(stored)
    return read_limits(stored) if stored else NO_LIMITS


def _seconds_left(expires_at: datetime | None) -> float:
    if expires_at is None:
        return REMEMBERED_S
    return (expires_at - datetime.now(expires_at.tzinfo)).total_seconds()


def _make_room(remembered: dict[bytes, Any], limit: int) -> None:
    """Drop the oldest half of what would be too much: dictionaries keep their order."""
    if len(remembered) >= limit:
        for digest in list(remembered)[: limit // 2]:
            del remembered[digest]
