from __future__ import annotations

import threading
from datetime import date
from uuid import UUID, uuid4

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gdpr.domain import vault
from gdpr.domain.audit import Actor, Source, asked_from, leaf_of, record
from gdpr.domain.audit_details import ALTERED, GONE, KEPT, Detail, details_of
from gdpr.domain.vault import VaultBroken, VaultGone
from gdpr.ids import uuid7
from gdpr.models import AuditEntry, SubjectKey, VaultItem
from gdpr.scope import colony_tx, tenant_tx
from tests.conftest import close_connections

ANNA, BERT = "a" * 32, "b" * 32
HERE = Source("198.51.100.7", "curl/8")


def rows() -> list[VaultItem]:
    with colony_tx("look"):
        return list(VaultItem.objects.order_by("id"))


def test_what_is_kept_is_read_again_and_is_not_in_the_table(db: None) -> None:
    tenant = uuid7()
    item_id = vault.keep(tenant, ANNA, "source", b"198.51.100.7")
    with tenant_tx(tenant):
        assert vault.read(item_id) == b"198.51.100.7"
    with connection.cursor() as cursor, colony_tx("look"):
        cursor.execute(
            "SELECT v::text, k::text FROM gdpr_vaultitem v JOIN gdpr_subjectkey k ON k.id = v.key_id"
        )
        assert "198.51" not in str(cursor.fetchall())
        cursor.execute("SELECT ciphertext FROM gdpr_vaultitem")
        assert b"198.51" not in bytes(cursor.fetchone()[0])


def test_each_person_has_one_key_in_each_tenant(db: None) -> None:
    one, other = uuid7(), uuid7()
    for tenant, subject in ((one, ANNA), (one, ANNA), (one, BERT), (other, ANNA), (None, ANNA), (None, ANNA)):
        vault.keep(tenant, subject, "source", b"x")
    assert len(rows()) == 6
    with colony_tx("look"):
        assert SubjectKey.objects.count() == 4


def test_another_tenant_reads_nothing(db: None) -> None:
    tenant = uuid7()
    item_id = vault.keep(tenant, ANNA, "source", b"x")
    colony_id = vault.keep(None, ANNA, "source", b"x")
    with tenant_tx(uuid7()):
        for one in (item_id, colony_id):
            with pytest.raises(VaultGone):
                vault.read(one)
    with tenant_tx(tenant), pytest.raises(VaultGone):
        vault.read(colony_id)


def test_a_person_who_is_forgotten_leaves_neither_key_nor_rows_and_nobody_else_loses_anything(
    db: None,
) -> None:
    tenant, other = uuid7(), uuid7()
    gone = [vault.keep(tenant, ANNA, kind, b"x") for kind in ("source", "reason")]
    kept = [vault.keep(tenant, BERT, "source", b"b"), vault.keep(other, ANNA, "source", b"o")]
    assert vault.destroy_subject(tenant, ANNA) == 2
    assert vault.destroy_subject(tenant, ANNA) == 0
    with colony_tx("look"):
        for one in gone:
            with pytest.raises(VaultGone):
                vault.read(one)
        assert [vault.read(one) for one in kept] == [b"b", b"o"]
        dead = SubjectKey.objects.get(tenant_id=tenant, subject=ANNA)
        assert (bytes(dead.wrapped), dead.wrapped_by) == (b"", "")
        assert dead.destroyed_at is not None
    again = vault.keep(tenant, ANNA, "source", b"again")
    with tenant_tx(tenant):
        assert vault.read(again) == b"again"


def test_a_person_is_forgotten_everywhere(db: None) -> None:
    for tenant in (uuid7(), uuid7(), None):
        vault.keep(tenant, ANNA, "source", b"x")
    vault.keep(None, BERT, "source", b"x")
    assert vault.destroy_subject(None, ANNA) == 3
    assert [row.subject for row in rows()] == [BERT]


def test_a_tenant_is_forgotten_with_all_its_people(db: None) -> None:
    tenant, other = uuid7(), uuid7()
    for where, subject in ((tenant, ANNA), (tenant, BERT), (other, BERT), (None, ANNA)):
        vault.keep(where, subject, "source", b"x")
    assert vault.destroy_tenant(tenant) == 2
    assert [row.tenant_id for row in rows()] == [other, None]


def test_what_is_kept_while_a_person_is_forgotten_goes_too_or_has_another_key(committed_db: None) -> None:
    """Whoever keeps something holds the key until they have committed."""
    tenant, failed = uuid7(), []
    stop = threading.Event()

    def keep_on() -> None:
        try:
            while not stop.is_set():
                vault.keep(tenant, ANNA, "source", b"x")
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=keep_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(15):
        vault.destroy_subject(tenant, ANNA)
    stop.set()
    for thread in threads:
        thread.join(20)
    assert failed == []
    with colony_tx("look"):
        assert not VaultItem.objects.filter(key__destroyed_at__isnull=False).exists()
        for item in VaultItem.objects.filter(tenant_id=tenant):
            assert vault.read(item.id) == b"x"
        assert SubjectKey.objects.filter(tenant_id=tenant, destroyed_at__isnull=False).count() >= 1
    close_connections()


@pytest.mark.parametrize("column", ["ciphertext", "subject", "kind", "tenant_id", "key_id", "id"])
def test_a_row_that_was_altered_or_swapped_is_refused(db: None, column: str) -> None:
    tenant, other = uuid7(), uuid7()
    mine = vault.keep(tenant, ANNA, "source", b"mine")
    theirs = vault.keep(other, ANNA, "source", b"theirs")
    more = vault.keep(tenant, BERT, "source", b"more")
    with colony_tx("look"):
        row, another = VaultItem.objects.get(id=mine), VaultItem.objects.get(id=more)
        stranger = VaultItem.objects.get(id=theirs)
        moved = {
            "ciphertext": another.ciphertext,
            "subject": BERT,
            "kind": "reason",
            "tenant_id": stranger.tenant_id,
            "key_id": another.key_id,
            "id": uuid4(),
        }
        with connection.cursor() as cursor:  # as somebody would who owns the database
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
            if column == "tenant_id":  # no row refers to another tenant's key: both move
                cursor.execute("DELETE FROM gdpr_vaultitem WHERE id = %s", [mine])
                row.tenant_id, row.key_id = stranger.tenant_id, stranger.key_id
                row.save(force_insert=True)
            else:
                cursor.execute(
                    f"UPDATE gdpr_vaultitem SET {column} = %s WHERE id = %s", [moved[column], mine]
                )
        with pytest.raises(VaultBroken):
            vault.read(moved["id"] if column == "id" else mine)  # type: ignore[arg-type]


def test_a_wrapped_key_opens_nothing_in_another_row(db: None) -> None:
    tenant = uuid7()
    vault.keep(tenant, ANNA, "source", b"a")
    item_id = vault.keep(tenant, BERT, "source", b"b")
    with colony_tx("look"):
        anna = SubjectKey.objects.get(subject=ANNA)
        SubjectKey.objects.filter(subject=BERT).update(wrapped=bytes(anna.wrapped))
        with pytest.raises(VaultBroken):
            vault.read(item_id)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(min_value=0, max_value=10_000), flip=st.integers(min_value=1, max_value=255))
def test_no_bit_of_what_is_kept_can_be_flipped(db: None, place: int, flip: int) -> None:
    tenant = uuid7()
    item_id = vault.keep(tenant, ANNA, "source", b"198.51.100.7")
    with tenant_tx(tenant):
        item = VaultItem.objects.get(id=item_id)
        digest = vault.digest_of(item)
        altered = bytearray(bytes(item.ciphertext))
        altered[place % len(altered)] ^= flip
        VaultItem.objects.filter(id=item_id).update(ciphertext=bytes(altered))
        with pytest.raises(VaultBroken):
            vault.read(item_id)
        assert not vault.matches(VaultItem.objects.get(id=item_id), digest)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.binary(max_size=300))
def test_whatever_is_kept_comes_back(db: None, text: bytes) -> None:
    tenant = uuid7()
    item_id = vault.keep(tenant, ANNA, "reason", text)
    with tenant_tx(tenant):
        assert vault.read(item_id) == text


def test_the_same_detail_of_two_people_has_two_digests(db: None) -> None:
    """Else whoever has the log tries all addresses there are."""
    told = [vault.reference(None, subject, "source", b"198.51.100.7") for subject in (ANNA, BERT, ANNA)]
    assert len({one["digest"] for one in told}) == 3


@pytest.mark.parametrize(
    ("kind", "kept_on", "gone_on"),
    [
        ("source", date(2026, 11, 26), date(2027, 3, 1)),
        ("source", date(2026, 1, 1), date(2026, 5, 1)),
        ("contact", date(2026, 12, 31), date(2028, 1, 1)),
        ("reason", date(2026, 1, 1), date(2033, 1, 1)),
    ],
)
def test_each_kind_has_its_time_and_goes_by_months(kind: str, kept_on: date, gone_on: date) -> None:
    assert vault.ends_on(kind, kept_on) == gone_on


def test_what_is_over_is_swept_and_its_entry_still_verifies(db: None) -> None:
    tenant = uuid7()
    entry = _entry(tenant)
    vault.keep(tenant, BERT, "reason", b"stays")
    last_day = rows()[0].ends_on
    assert vault.sweep(last_day.replace(day=1).fromordinal(last_day.toordinal() - 1)) == 0
    assert vault.sweep(last_day) == 1
    assert [row.subject for row in rows()] == [BERT]
    with tenant_tx(tenant):
        found = AuditEntry.objects.get(id=entry.id)
        assert leaf_of(found) == bytes(found.leaf)
        assert [one.state for one in details_of(found)] == [GONE]


def _entry(tenant: UUID) -> AuditEntry:
    token = asked_from.set(HERE)
    try:
        with tenant_tx(tenant):
            return record("thing.done", actor=Actor("user", ANNA), details={"count": 1})
    finally:
        asked_from.reset(token)


def test_an_entry_holds_the_digest_and_its_reader_gets_the_detail(db: None) -> None:
    tenant = uuid7()
    entry = _entry(tenant)
    assert HERE.address not in str(entry.details)
    assert entry.details["count"] == 1
    with tenant_tx(tenant):
        assert details_of(entry) == [
            Detail("source", KEPT, {"address": HERE.address, "user_agent": "curl/8"})
        ]


def test_an_entry_verifies_after_its_person_is_forgotten(db: None) -> None:
    tenant = uuid7()
    entry = _entry(tenant)
    vault.destroy_subject(tenant, ANNA)
    with tenant_tx(tenant):
        found = AuditEntry.objects.get(id=entry.id)
        assert leaf_of(found) == bytes(found.leaf) == bytes(entry.leaf)
        assert details_of(found) == [Detail("source", GONE, {})]


def test_a_detail_that_was_replaced_by_another_good_one_is_told_from_the_signed_one(db: None) -> None:
    """By somebody who has keys and database: what they put there opens, and is not what the leaf says."""
    tenant = uuid7()
    entry = _entry(tenant)
    with tenant_tx(tenant):
        item = rows_of(tenant)[0]
        key = SubjectKey.objects.get(subject=ANNA)
        forged = vault.encrypt(vault._data_key(key), b'{"address":"192.0.2.1"}', vault._place_of(item))
        VaultItem.objects.filter(id=item.id).update(ciphertext=forged)
        assert vault.read(item.id) == b'{"address":"192.0.2.1"}'
        assert details_of(entry) == [Detail("source", ALTERED, {})]


def rows_of(tenant: UUID) -> list[VaultItem]:
    with tenant_tx(tenant):
        return list(VaultItem.objects.order_by("id"))


def test_what_operators_do_in_a_tenant_tells_it_nothing_about_their_place(db: None) -> None:
    tenant = uuid7()
    token = asked_from.set(HERE._replace(is_operators=True))
    try:
        with tenant_tx(tenant):
            entry = record(
                "tenant.suspended", actor=Actor("user", BERT), private={"reason": {"reason": "it was late"}}
            )
    finally:
        asked_from.reset(token)
    with tenant_tx(tenant):
        told = {one.kind: one for one in details_of(entry)}
    assert told["reason"].fields == {"reason": "it was late"}
    assert told["source"].state == GONE
    with colony_tx("look"):
        told = {one.kind: one for one in details_of(entry)}
    assert told["source"].fields["address"] == HERE.address


def test_a_part_of_rbee_has_no_address_though_somebody_asks_at_that_moment(db: None) -> None:
    token = asked_from.set(HERE)
    try:
        with colony_tx("look"):
            assert "vault" not in record("thing.done", actor=Actor.system("beat")).details
    finally:
        asked_from.reset(token)


@pytest.mark.parametrize(
    ("kind", "subject", "size"), [("secret", ANNA, 1), ("source", "", 1), ("source", ANNA, 8193)]
)
def test_what_the_vault_does_not_take(db: None, kind: str, subject: str, size: int) -> None:
    with pytest.raises(ValueError, match="vault"):
        vault.keep(None, subject, kind, b"x" * size)
