"""How long a wrong key takes to be refused does not tell whether its kid is somebody's.

CPU time of the queen's own check, in this process: keys with the kid of a real one and another secret beside keys whose
kid is nobody's, in random order, each asked twice: first it is looked up, then it is remembered as nobody's. What Welch's
test may find is what dudect calls no leak. The check is shown to find a look-up by kid, which ends early for none.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import fmean, variance
from typing import Final

import pytest
from asgiref.sync import sync_to_async

from gdpr.pool import Pool
from tenants.domain import authentication
from tenants.domain.authentication import CallerCache, find_caller
from tenants.domain.key_format import key_check, key_mac, make_kid, make_value, parse_api_key
from tests.acceptance.figures import SEED, note, scaled
from tests.factories.tenants import make_key

SAMPLES: Final = scaled(100_000, least=1000)  # of both kinds together, of each way
KIDS: Final = 32
T_MAX: Final = 4.5
SLOWEST: Final = 0.05  # left out: interruptions, of which both kinds have as many
BY_KID: Final = f"{authentication.KEY_QUERY} AND (k.kid = %(it)s OR k.old_kid = %(it)s) AND v.kid = %(it)s"

pytestmark = pytest.mark.timeout(1200)

Times = dict[bool, list[int]]  # whether the kid is somebody's


class EndsEarly(CallerCache):
    """The planted bug."""

    async def _load(self, secret: str, digest: bytes) -> None:
        parsed = parse_api_key(secret)
        assert parsed is not None
        row = await self._fetch(BY_KID, parsed.kid)
        if row is None:
            return
        assert bytes(row["mac"]) != key_mac(secret)


def kids() -> dict[bool, list[str]]:
    return {True: [make_key()[0].kid for _ in range(KIDS)], False: [make_kid() for _ in range(KIDS)]}


def wrong_keys(kids: dict[bool, list[str]], count: int) -> list[tuple[bool, str]]:
    """As many of each kind, in random order: what the machine is at otherwise meets both alike."""
    rng = random.Random(SEED)
    found = [
        (is_known, make_value(kid))
        for is_known, choice in kids.items()
        for kid in (rng.choice(choice) for _ in range(count // 2))
    ]
    assert all(value.endswith(key_check(value[:-7])) for _, value in found[:3])
    rng.shuffle(found)
    return found


async def cpu_ns(check: Callable[[str], Awaitable[object]], secret: str) -> int:
    began = time.thread_time_ns()
    assert await check(secret) is None
    return time.thread_time_ns() - began


def welch_t(times: Times) -> float:
    """Between the two kinds, without the slowest of all."""
    bound = sorted([*times[True], *times[False]])[int((1 - SLOWEST) * sum(map(len, times.values())))]
    one, other = ([ns for ns in times[kind] if ns <= bound] for kind in (True, False))
    error = math.sqrt(variance(one) / len(one) + variance(other) / len(other))
    return (fmean(one) - fmean(other)) / error


async def measured(cache: CallerCache, keys: Sequence[tuple[bool, str]]) -> tuple[Times, Times]:
    """Looked up, and remembered as nobody's."""
    first: Times = {True: [], False: []}
    again: Times = {True: [], False: []}
    for is_known, secret in keys:
        first[is_known].append(await cpu_ns(cache.load, secret))
        again[is_known].append(await cpu_ns(cache.load, secret))
    return first, again


def told(name: str, times: Times) -> float:
    t = welch_t(times)
    means = ", ".join(f"{fmean(times[kind]) / 1000:.2f} us" for kind in (True, False))
    note(f"key check timing, {name}", f"t = {t:.2f} over {sum(map(len, times.values()))} ({means})")
    return t


async def test_time_of_the_lane_does_not_tell_whose_a_kid_is(pool: Pool) -> None:
    cache = CallerCache(pool)
    found = await sync_to_async(kids)()
    await measured(cache, wrong_keys(found, 100))

    first, again = await measured(cache, wrong_keys(found, SAMPLES))

    assert abs(told("looked up", first)) < T_MAX
    assert abs(told("remembered", again)) < T_MAX


def test_time_of_the_management_api_does_not_tell_whose_a_kid_is(committed_db: None) -> None:
    times: Times = {True: [], False: []}
    for number, (is_known, secret) in enumerate(wrong_keys(kids(), SAMPLES + 100)):
        began = time.thread_time_ns()
        assert find_caller(secret) is None
        if number >= 100:
            times[is_known].append(time.thread_time_ns() - began)

    assert abs(told("management API", times)) < T_MAX


async def test_check_that_ends_early_for_an_unknown_kid_is_found(pool: Pool) -> None:
    cache = EndsEarly(pool)
    found = await sync_to_async(kids)()
    await measured(cache, wrong_keys(found, 100))

    first, _ = await measured(cache, wrong_keys(found, 1000))

    assert told("planted", first) > T_MAX
