import hashlib
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from gdpr.domain.audit import Actor, canonical_entry, canonical_json, leaf_hash, leaf_of, record
from gdpr.ids import month_of
from gdpr.models import AuditEntry
from gdpr.scope import OutsideScope, colony_tx, tenant_tx
from tests.factories.tenants import TESTER, make_tenant

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abcXYZ_0"), inner),
    max_leaves=10,
)


@pytest.mark.django_db
def test_record_writes_an_entry_that_can_be_verified() -> None:
    tenant = make_tenant()
    details = {"b": [1, {"c": "d"}], "a": "naïve ✓", "none": None, "yes": True}

    with tenant_tx(tenant.id):
        record("key.revoked", actor=Actor.key("abc"), object_ref="key:x", details=details, request_id="req_1")
        entry = AuditEntry.objects.get(event="key.revoked")

    assert (entry.actor, entry.tenant_id, entry.details, entry.outcome) == (
        "key:abc",
        tenant.id,
        details,
        "ok",
    )
    assert entry.month == month_of(entry.id)
    assert bytes(entry.leaf) == leaf_of(entry)
    assert entry.seq is None


@pytest.mark.django_db
def test_any_changed_column_changes_the_leaf() -> None:
    with colony_tx("tests"):
        entry = record("model.added", actor=TESTER, details={"model": "m"})
    changes: dict[str, Any] = {"event": "model.removed", "actor": "key:z", "object_ref": "o", "outcome": "refused",
               "details": {"model": "n"}, "request_id": "r", "at": datetime.now(UTC), "tenant_id": UUID(int=1),
               "id": UUID(int=1)}  # fmt: skip
    for column, value in changes.items():
        before = getattr(entry, column)
        setattr(entry, column, value)
        assert leaf_of(entry) != entry.leaf, column
        setattr(entry, column, before)
    assert leaf_of(entry) == entry.leaf


def test_record_outside_of_a_scope_is_refused(committed_db: None) -> None:
    with pytest.raises(OutsideScope):
        record("key.revoked", actor=TESTER)
    with pytest.raises(OutsideScope), transaction.atomic():
        record("key.revoked", actor=TESTER)


def test_entry_goes_with_what_it_tells_of(committed_db: None) -> None:
    tenant = make_tenant()

    def rename_and_fail() -> None:
        with tenant_tx(tenant.id):
            record("tenant.renamed", actor=TESTER)
            raise ConnectionError

    with pytest.raises(ConnectionError):
        rename_and_fail()

    with tenant_tx(tenant.id):
        assert list(AuditEntry.objects.all()) == []


@pytest.mark.django_db
def test_tenant_sees_its_own_entries_only() -> None:
    mine, theirs = make_tenant(), make_tenant()
    for tenant in (mine, theirs):
        with tenant_tx(tenant.id):
            record("tenant.renamed", actor=TESTER)

    with tenant_tx(mine.id):
        assert {entry.tenant_id for entry in AuditEntry._base_manager.all()} == {mine.id}


@given(VALUES)
def test_canonical_json_reads_back_and_has_one_form(value: object) -> None:
    written = canonical_json(value)

    assert json.loads(written) == value
    assert canonical_json(json.loads(written)) == written


def test_canonical_json_follows_rfc_8785() -> None:
    value = {"b": "€$\x0f\nA'B\"\\/", "a": [True, None, 1], "B": {}}

    assert canonical_json(value) == '{"B":{},"a":[true,null,1],"b":"€$\\u000f\\nA\'B\\"\\\\/"}'.encode()


@pytest.mark.parametrize("value", [1.5, {"ü": 1}, {1: 2}, 2**53, b"bytes", "nul \x00", "\ud800", {1, 2}])
def test_canonical_json_refuses_what_has_no_one_form(value: object) -> None:
    with pytest.raises(ValueError):
        canonical_json(value)


def test_leaf_is_frozen() -> None:
    """A log that was written must verify for ever."""
    entry = canonical_entry(
        id=UUID("01936000-0000-7000-8000-000000000001"),
        tenant_id=None,
        event="price.set",
        actor="system:bootstrap",
        object_ref="price:1",
        outcome="ok",
        details={"model": "*"},
        request_id="",
        at=datetime(2026, 11, 24, 1, 2, 3, 4, tzinfo=UTC),
    )
    assert entry == (
        b'{"actor":"system:bootstrap","at":"2026-11-24T01:02:03.000004Z","details":{"model":"*"},"event":"price.set",'
        b'"id":"01936000-0000-7000-8000-000000000001","object_ref":"price:1","outcome":"ok","request_id":"",'
        b'"schema_version":1,"tenant_id":null}'
    )
    assert leaf_hash(entry) == hashlib.sha256(b"\x00" + entry).digest()


def test_entry_longer_than_a_log_takes_is_refused() -> None:
    with pytest.raises(ValueError, match="bytes"):
        canonical_entry(
            id=UUID(int=0), tenant_id=None, event="e", actor="a", object_ref="", outcome="ok",
            details={"long": "x" * 70_000}, request_id="", at=datetime.now(UTC),
        )  # fmt: skip
