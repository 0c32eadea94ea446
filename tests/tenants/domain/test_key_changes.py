"""What happens to a key after it was made: changes, rotation, expiry, leaks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gdpr.models import AuditEntry
from gdpr.scope import colony_tx
from tenants.domain.authentication import find_caller
from tenants.domain.key_expiry import tell_expiring_keys
from tenants.domain.key_format import key_check
from tenants.domain.key_leaks import report_leak
from tenants.domain.keys import (
    KeyIsOver,
    KeyRefused,
    budget_of,
    instant,
    revoke_api_key,
    rotate_api_key,
    update_api_key,
)
from tenants.domain.limits import set_limits
from tenants.models import Alert, ApiKey, WebhookEvent
from tests.factories.tenants import TESTER, make_key, make_project, make_tenant, unique

pytestmark = pytest.mark.django_db


def test_change_is_kept_and_audited_without_what_may_be_personal() -> None:
    key, value = make_key()

    update_api_key(
        key,
        {
            "name": "Anna's",
            "allowed_ips": ["192.0.2.7", "2001:db8::/32", "192.0.2.7"],
            "allowed_models": ["b*", "a"],
        },
        actor=TESTER,
    )

    caller = find_caller(value)
    assert caller is not None
    assert caller.key_models == ("a", "b*")
    assert [str(network) for network in caller.networks.networks] == ["192.0.2.7/32", "2001:db8::/32"]
    (entry,) = entries(key, "key.changed")
    assert entry.details == {"name": True, "allowed_ips": True, "allowed_models": ["a", "b*"]}


def test_change_that_changes_nothing_leaves_no_trace() -> None:
    key, _ = make_key(name="same")

    update_api_key(key, {"name": "same", "scopes": ["inference"]}, actor=TESTER)

    assert entries(key, "key.changed") == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": " "}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["root"]}, "scopes"),
        ({"expires_at": datetime(2001, 1, 1, tzinfo=UTC)}, "expires_at"),
        ({"allowed_ips": ["192.0.2.7/24"]}, "allowed_ips"),  # bits beyond its network: a mistake
        ({"allowed_ips": ["everywhere"]}, "allowed_ips"),
        ({"allowed_ips": [f"10.0.0.{number}" for number in range(65)]}, "allowed_ips"),
        ({"allowed_models": [str(number) for number in range(300)]}, "allowed_models"),
    ],
)
def test_change_that_makes_no_sense_is_refused_by_name(changes: dict[str, Any], field: str) -> None:
    key, _ = make_key()

    with pytest.raises(KeyRefused) as refused:
        update_api_key(key, changes, actor=TESTER)

    assert refused.value.field == field


@pytest.mark.parametrize("act", [update_api_key, rotate_api_key])
def test_key_that_is_over_is_not_changed(act: Any) -> None:
    arguments = ({"name": "x"},) if act is update_api_key else ()
    key, _ = make_key()
    revoke_api_key(key, actor=TESTER)

    with pytest.raises(KeyIsOver):
        act(key, *arguments, actor=TESTER)


def test_budget_is_the_keys_limit_of_money_and_is_added_to() -> None:
    key, value = make_key(budget={"day": 5, "month": 50})
    set_limits(key, {"requests_per_minute": 3}, actor=TESTER)

    key = update_api_key(key, {"budget": {"day": None}}, actor=TESTER)

    assert budget_of(key) == {"day": None, "month": 50}
    caller = find_caller(value)
    assert caller is not None
    assert caller.levels.key.spend_micros is not None
    assert (caller.levels.key.spend_micros.month, caller.levels.key.requests_per_minute) == (50, 3)
    assert budget_of(update_api_key(key, {"budget": None}, actor=TESTER)) == {"day": None, "month": None}


def test_rotated_key_is_the_same_key_with_its_limits_and_two_values() -> None:
    key, old = make_key(budget={"month": 50}, allowed_models=["a"], scopes=["inference", "read"])

    rotated, new = rotate_api_key(key, actor=TESTER, overlap=timedelta(hours=1))

    before, after = find_caller(old), find_caller(new)
    assert before is not None
    assert after is not None
    assert (before.kid, after.kid) == (key.kid, rotated.kid)
    assert before.key_id == after.key_id
    assert (before.levels, before.key_models, before.scopes) == (after.levels, after.key_models, after.scopes)
    (event,) = events(key, "key.rotated")
    assert event.data["old_kid"] == key.kid
    assert rotated.old_until is not None
    assert event.data["old_until"] == instant(rotated.old_until)


def test_old_value_ends_with_its_overlap_and_with_its_key() -> None:
    (one, first), (two, second), (three, third) = (
        make_key(),
        make_key(),
        make_key(expires_at=timezone.now() + timedelta(hours=1)),
    )
    rotate_api_key(one, actor=TESTER, overlap=timedelta(0))
    rotated, _ = rotate_api_key(two, actor=TESTER)
    rotate_api_key(three, actor=TESTER)
    with colony_tx("tests"):
        ApiKey.objects.filter(id=three.id).update(expires_at=timezone.now())

    assert find_caller(first) is None
    assert find_caller(second) is not None
    assert find_caller(third) is None
    revoke_api_key(rotated, actor=TESTER)
    assert find_caller(second) is None


def test_second_rotation_ends_the_first_value() -> None:
    key, first = make_key()
    key, second = rotate_api_key(key, actor=TESTER)
    key, third = rotate_api_key(key, actor=TESTER)

    assert [find_caller(value) is not None for value in (first, second, third)] == [False, True, True]


def test_value_that_was_brought_along_goes_on_beside_the_one_that_was_made() -> None:
    value = unique("a-key-of-another-gateway")
    key, _ = make_key(value=value)

    rotated, new = rotate_api_key(key, actor=TESTER)

    assert not rotated.brought_along
    old_caller, new_caller = find_caller(value), find_caller(new)
    assert old_caller is not None
    assert new_caller is not None
    assert (old_caller.kid, new_caller.kid) == (key.kid, rotated.kid)
    with pytest.raises(KeyRefused, match="in use"):
        make_key(value=value)


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=31)])
def test_overlap_has_bounds(overlap: timedelta) -> None:
    key, _ = make_key()

    with pytest.raises(KeyRefused):
        rotate_api_key(key, actor=TESTER, overlap=overlap)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["rotate", "rotate at once", "leak old", "leak new", "revoke"]), max_size=6))
def test_no_value_comes_back_whatever_happens(steps: list[str]) -> None:
    key, value = make_key()
    good, over = [value], set()  # the last of `good` is the newest
    for step in steps:
        with colony_tx("tests"):
            key = ApiKey.objects.get(id=key.id)
        if step.startswith("rotate") and key.revoked_at is None:
            at_once = step.endswith("at once")
            key, value = rotate_api_key(key, actor=TESTER, overlap=timedelta(days=0 if at_once else 1))
            over |= set(good if at_once else good[:-1])
            good = [*([] if at_once else good[-1:]), value]
        elif step == "leak old" and len(good) > 1:
            report_leak(good[0])
            over.add(good.pop(0))
        elif step in ("leak new", "revoke"):
            report_leak(value) if step == "leak new" else revoke_api_key(key, actor=TESTER)
            over |= {*good, value}
            good = []
        assert all(find_caller(each) is not None for each in good)
        assert all(find_caller(each) is None for each in over)


def test_reported_leak_revokes_the_key_and_is_told() -> None:
    key, value = make_key()

    report_leak(value)
    report_leak(value)

    with colony_tx("tests"):
        key = ApiKey.objects.get(id=key.id)
    assert (find_caller(value), key.revoked_for) == (None, "leaked")
    assert [event.type for event in events(key)] == ["key.created", "key.leaked", "key.revoked"]
    with colony_tx("tests"):
        (alert,) = Alert.objects.filter(tenant=key.tenant_id)
    assert (alert.kind, alert.object_ref, alert.count) == ("key_leaked", f"key:{key.kid}", 1)
    (entry,) = entries(key, "key.leak_reported")
    assert entry.actor == f"key:{key.kid}"
    assert value not in str([vars(each) for each in (*entries(key), *events(key))])


def test_old_value_that_leaked_ends_alone_and_is_not_brought_along_again() -> None:
    value = unique("a-key-of-another-gateway")
    key, _ = make_key(value=value)
    key, new = rotate_api_key(key, actor=TESTER)

    report_leak(value)
    report_leak(value)

    assert find_caller(value) is None
    assert find_caller(new) is not None
    assert [event.data["old_value"] for event in events(key, "key.leaked")] == [True]
    with pytest.raises(KeyRefused, match="in use"):
        make_key(value=value)


@pytest.mark.parametrize("change", ["nobody", "mistyped", "other secret", "kid alone", "empty"])
def test_report_of_what_is_no_key_does_nothing(change: str) -> None:
    key, value = make_key()
    _, other = make_key()
    body = "_".join([*value.split("_")[:3], other.split("_")[3]])
    report_leak(
        {
            "nobody": "a-key-of-nobody-at-all",
            "mistyped": value[:-1] + ("0" if value[-1] != "0" else "1"),
            "other secret": f"{body}_{key_check(body)}",
            "kid alone": key.kid,
            "empty": "",
        }[change]
    )

    assert find_caller(value) is not None
    assert entries(key, "key.leak_reported") == []


def test_leak_of_a_key_whose_tenant_is_suspended_or_which_expired_is_not_lost() -> None:
    suspended, value = make_key(make_project(make_tenant(status="suspended")))
    report_leak(value)

    with colony_tx("tests"):
        assert ApiKey.objects.get(id=suspended.id).revoked_for == "leaked"


def test_key_that_expires_is_told_of_once_for_each_end() -> None:
    soon = timezone.now() + timedelta(days=6)
    key, _ = make_key(expires_at=soon)
    later, _ = make_key(expires_at=timezone.now() + timedelta(days=8))
    revoked, _ = make_key(expires_at=soon)
    revoke_api_key(revoked, actor=TESTER)

    tell_expiring_keys()
    tell_expiring_keys()

    (event,) = events(key, "key.expiring")
    assert event.data["expires_at"] == instant(soon)
    assert events(later, "key.expiring") == events(revoked, "key.expiring") == []
    update_api_key(key, {"expires_at": soon + timedelta(hours=1)}, actor=TESTER)
    tell_expiring_keys()
    assert len(events(key, "key.expiring")) == 2


def entries(key: ApiKey, event: str = "") -> list[AuditEntry]:
    with colony_tx("tests"):
        return list(
            AuditEntry.objects.filter(tenant_id=key.tenant_id, event__startswith=event or "key.").order_by(
                "id"
            )
        )


def events(key: ApiKey, kind: str = "key.") -> list[WebhookEvent]:
    with colony_tx("tests"):
        return list(WebhookEvent.objects.filter(tenant=key.tenant_id, type__startswith=kind).order_by("id"))
