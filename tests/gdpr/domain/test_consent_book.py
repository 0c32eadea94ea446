from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async

from gdpr.domain import consent_book
from gdpr.domain.consent_book import ConsentBook, ConsentsDown
from gdpr.pool import Pool
from tenants.domain.consents import withdraw_consent
from tests.factories.tenants import TESTER, agree, make_tenant

ALICE = "a" * 32
WANTED = frozenset({"data_processing"})


@sync_to_async
def tenant_of_alice() -> str:
    tenant = make_tenant()
    agree(tenant, subject=ALICE)
    return tenant.id.hex


async def test_asking_who_changed_anything_finds_what_no_notice_told(pool: Pool) -> None:
    tenant_id, book = await tenant_of_alice(), ConsentBook(pool)
    assert await book.missing(tenant_id, ALICE, WANTED) == []
    assert (
        await book.missing(tenant_id, "b" * 32, WANTED)
        == await book.missing(tenant_id, "", WANTED)
        == sorted(WANTED)
    )
    await book.poll()
    assert await book.missing(tenant_id, ALICE, WANTED) == []

    await sync_to_async(withdraw_consent)(
        UUID(tenant_id), subject=ALICE, purpose="data_processing", actor=TESTER
    )

    assert await book.missing(tenant_id, ALICE, WANTED) == []  # nobody has told it
    await book.poll()
    assert await book.missing(tenant_id, ALICE, WANTED) == sorted(WANTED)


async def test_nothing_runs_when_nobody_can_tell(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consent_book, "TRUSTED_S", 0.3)
    tenant_id, book = await tenant_of_alice(), ConsentBook(pool)
    assert await book.missing(tenant_id, ALICE, WANTED) == []
    await pool.close()
    await book.poll()
    await asyncio.sleep(0.4)

    with pytest.raises(ConsentsDown):
        await book.missing(tenant_id, ALICE, WANTED)
