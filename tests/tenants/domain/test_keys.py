from datetime import timedelta

import pytest
import redis
from django.utils import timezone

from gdpr.domain.audit import leaf_of
from gdpr.models import AuditEntry
from gdpr.scope import colony_tx, tenant_tx
from tenants.domain.invalidation import CHANNEL
from tenants.domain.key_format import key_mac, parse_api_key, strength_bits
from tenants.domain.keys import KeyRefused, issue_api_key, revoke_api_key
from tenants.models import ApiKey
from tests.factories.tenants import TESTER, make_key, make_project, unique


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


GOOD = [
    "customer-key-123 and some more words",
    "sk-" + "aZ4kQ9xT" * 6,
    "Schlüssel für den Bäckerladen",
    "zQ8v" * 128,
]


@pytest.mark.parametrize("value", GOOD)
@pytest.mark.django_db
def test_value_from_another_gateway_is_brought_along(value: str) -> None:
    key, shown = make_key(value=value)

    assert shown == value
    assert key.brought_along
    assert bytes(key.mac) == key_mac(value)
    assert value not in str(vars(key))
    assert key.last4 == (value[-4:] if strength_bits(value) >= 96 else "")


@pytest.mark.parametrize("value", ["customer-key-123", "x", "a" * 500, "0123456789" * 5])
@pytest.mark.django_db
def test_value_that_can_be_guessed_is_brought_along_only_by_who_insists(value: str) -> None:
    with pytest.raises(KeyRefused, match="guessed"):
        make_key(value=value)

    key, shown = make_key(value=value, may_be_weak=True)

    assert (shown, key.last4) == (value, "")
    with colony_tx("tests"):
        issued = AuditEntry.objects.get(object_ref=f"key:{key.kid}", event="key.issued")
    assert issued.details["weak"] is True


@pytest.mark.parametrize("value", ["", "rbee_mine", " padded", "padded ", "x" * 513, "tab\t", "nul\x00"])
@pytest.mark.django_db
def test_value_that_makes_no_sense_is_refused(value: str) -> None:
    with pytest.raises(KeyRefused):
        make_key(value=value)


@pytest.mark.django_db
def test_value_that_another_tenant_uses_is_refused() -> None:
    value = unique("customer-key-of-theirs")
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
        make_key(value=key.kid + "-brought-along-with-more")
        revoke_api_key(key, actor=TESTER)
        heard = [message["data"].decode() for _ in range(3) if (message := listener.get_message(timeout=1))]

    assert heard == [f"key:{key.kid}", "keys", f"key:{key.kid}"]
