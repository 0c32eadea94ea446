import zlib
from datetime import timedelta

import pytest
import redis
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from gdpr.domain.audit import leaf_of
from gdpr.models import AuditEntry
from gdpr.scope import colony_tx, tenant_tx
from tenants.domain.invalidation import CHANNEL
from tenants.domain.keys import (
    BASE62,
    KeyRefused,
    can_be_a_key,
    is_short,
    issue_api_key,
    key_mac,
    parse_api_key,
    revoke_api_key,
)
from tenants.models import ApiKey
from tests.factories.tenants import TESTER, make_key, make_project, unique

EXAMPLE = "rbee_live_0123456789ab_" + "A" * 32


@pytest.mark.django_db
def test_issued_key_has_the_shape_and_is_stored_as_a_mac() -> None:
    project = make_project()

    key, value = issue_api_key(project, name="laptop", scopes=["manage", "inference"], actor=TESTER)

    parsed = parse_api_key(value)
    assert parsed is not None
    assert (parsed.environment, parsed.kid) == ("home", key.kid)
    with tenant_tx(project.tenant_id):
        stored = ApiKey.objects.get(id=key.id)
    assert bytes(stored.mac) == key_mac(value)
    assert stored.last4 == value[-4:]
    assert stored.scopes == ["inference", "manage"]
    assert value.split("_")[3] not in str(vars(stored))


@given(st.integers(0, len(EXAMPLE) + 6), st.sampled_from(BASE62 + "_- é"))
def test_one_changed_character_is_refused_offline(place: int, character: str) -> None:
    value = EXAMPLE + "_" + check(EXAMPLE)
    mistyped = value[:place] + character + value[place + 1 :]

    assert parse_api_key(value) is not None
    assert mistyped == value or parse_api_key(mistyped) is None


@given(st.text(max_size=80))
def test_no_text_breaks_the_parser(text: str) -> None:
    for value in (text, "rbee_" + text, EXAMPLE + text, f"rbee_live_{text}_{text}_{text}"):
        assert parse_api_key(value) is None
        assert isinstance(can_be_a_key(value), bool)


@pytest.mark.parametrize(
    "value",
    ["", " ", "\t", "new\nline", "nul\x00", "x" * 513, "rbee_live_", EXAMPLE, EXAMPLE + "_000000", "\x7f"],
)
def test_what_cannot_be_a_key(value: str) -> None:
    assert not can_be_a_key(value)


@pytest.mark.parametrize("value", ["customer-key-123", "sk-" + "a" * 48, "Schlüssel", "a b", "x" * 512, "x"])
@pytest.mark.django_db
def test_value_from_another_gateway_is_brought_along(value: str) -> None:
    key, shown = make_key(value=value)

    assert shown == value
    assert key.brought_along
    assert bytes(key.mac) == key_mac(value)
    assert value not in str(vars(key)) or len(value) < 4
    assert key.last4 == (value[-4:] if len(value) >= 20 else "")
    assert is_short(value) is (len(value) < 20)


@pytest.mark.parametrize("value", ["", "rbee_mine", " padded", "padded ", "x" * 513, "tab\t", "nul\x00"])
@pytest.mark.django_db
def test_value_that_makes_no_sense_is_refused(value: str) -> None:
    with pytest.raises(KeyRefused):
        make_key(value=value)


@pytest.mark.django_db
def test_value_that_another_tenant_uses_is_refused() -> None:
    value = unique("customer-key")
    make_key(value=value)

    with pytest.raises(KeyRefused, match="in use"):
        make_key(value=value)


@pytest.mark.parametrize(
    "fields",
    [
        {"scopes": []},
        {"scopes": ["root"]},
        {"name": ""},
        {"name": "x" * 201},
        {"name": "two\nlines"},
        {"expires_at": timezone.now() - timedelta(seconds=1)},
    ],
)
@pytest.mark.django_db
def test_request_that_makes_no_sense_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(KeyRefused):
        make_key(**fields)


@pytest.mark.django_db
def test_revoked_key_is_unusable_and_both_steps_are_audited() -> None:
    key, value = make_key(name="Anna's laptop")

    revoke_api_key(key, actor=TESTER)
    first = key.revoked_at
    revoke_api_key(key, actor=TESTER)

    assert not key.is_usable()
    assert key.revoked_at == first
    with colony_tx("tests"):
        entries = list(AuditEntry.objects.filter(object_ref=f"key:{key.kid}").order_by("id"))
    assert [entry.event for entry in entries] == ["key.issued", "key.revoked"]
    assert {entry.tenant_id for entry in entries} == {key.tenant_id}
    assert all(bytes(entry.leaf) == leaf_of(entry) for entry in entries)
    assert "Anna" not in str([vars(entry) for entry in entries])
    assert value not in str([vars(entry) for entry in entries])


@pytest.mark.django_db
def test_key_cannot_be_revoked_by_way_of_another_tenant() -> None:
    key, _ = make_key()
    foreign = ApiKey(id=key.id, tenant_id=make_project().tenant_id, kid=key.kid)

    with pytest.raises(ApiKey.DoesNotExist):
        revoke_api_key(foreign, actor=TESTER)
    with tenant_tx(key.tenant_id):
        assert ApiKey.objects.get(id=key.id).revoked_at is None


def test_changes_are_announced_after_the_commit(committed_db: None, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client, client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(CHANNEL)
        listener.get_message(timeout=1)
        key, _ = make_key()
        make_key(value=key.kid + "-brought-along")
        revoke_api_key(key, actor=TESTER)
        heard = [message["data"].decode() for _ in range(3) if (message := listener.get_message(timeout=1))]

    assert heard == [f"key:{key.kid}", "keys", f"key:{key.kid}"]


def check(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    while len(digits) < 6:
        digits = BASE62[number % 62] + digits
        number //= 62
    return digits
