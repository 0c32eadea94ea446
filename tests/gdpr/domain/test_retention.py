from datetime import datetime, timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress, EmailConfirmation
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone
from psycopg import sql

from gdpr import registry
from gdpr.data_map import holding_of, holdings
from gdpr.domain import retention
from gdpr.domain.retention import apply_retention, rows_over
from gdpr.holding import Held
from gdpr.ids import uuid7
from gdpr.models import AuditEntry
from gdpr.scope import colony_tx
from tenants.domain.deliveries import KEPT as WEBHOOKS_KEPT
from tenants.domain.repeats import KEPT as ANSWERS_KEPT
from tenants.domain.repeats import forget_answers
from tenants.models import Alert, Invitation, KeptAnswer, WebhookEvent
from tests.factories.tenants import TESTER, make_tenant, make_user, unique

DAY = timedelta(days=1)


def test_what_is_over_goes_and_what_is_not_stays(db: None) -> None:
    tenant, now = make_tenant(), timezone.now()
    with colony_tx("tests"):
        old = make_invitation(tenant, expires_at=now - 31 * DAY)
        young = make_invitation(tenant, expires_at=now - 29 * DAY)
        open_alert = make_alert(tenant, closed_at=None)
        make_alert(tenant, closed_at=now - 91 * DAY)
    Session.objects.create(session_key="over", session_data="x", expire_date=now - DAY)
    Session.objects.create(session_key="good", session_data="x", expire_date=now + DAY)

    counted = {one.table: one.rows for one in rows_over()}
    gone = {one.table: one.rows for one in apply_retention(actor=TESTER)}

    assert counted["tenants_invitation"] == gone["tenants_invitation"] == 1
    with colony_tx("tests"):
        assert list(Invitation.objects.all()) == [young]
        assert list(Alert.objects.all()) == [open_alert]
        assert [one.session_key for one in Session.objects.all()] == ["good"]
        entries = AuditEntry.objects.filter(event="retention.applied", object_ref="table:tenants_invitation")
        entry = entries.get()
    assert entry.details["rows"] == 1
    assert entry.details["rule"] == "30 days after expires_at"
    assert str(old.id) not in str(entry.details)
    assert {one.rows for one in rows_over()} == {0}


def test_counting_changes_nothing(db: None) -> None:
    with colony_tx("tests"):
        make_invitation(make_tenant(), expires_at=timezone.now() - 31 * DAY)
        before = AuditEntry.objects.count()

    rows_over()

    with colony_tx("tests"):
        assert Invitation.objects.count() == 1
        assert AuditEntry.objects.count() == before


def test_each_batch_is_bounded_and_audited(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    monkeypatch.setattr(retention, "BATCHES_MAX", 2)
    for number in range(5):
        Session.objects.create(session_key=str(number), session_data="x", expire_date=timezone.now() - DAY)

    apply_retention(actor=TESTER)

    assert Session.objects.count() == 1
    with colony_tx("tests"):
        entries = AuditEntry.objects.filter(object_ref="table:django_session")
        assert [entry.details["rows"] for entry in entries] == [2, 2]


def test_row_that_others_refer_to_waits_for_them(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if addresses ended by time: their confirmations refer to them."""
    monkeypatch.setitem(
        registry._foreign_held,
        "account.emailaddress",
        Held("accounts", "0 days after user", person="user"),
    )
    user = make_user()
    address = EmailAddress.objects.create(user=user, email=user.email)
    waits = EmailConfirmation.objects.create(email_address=address, key="k", created=timezone.now())
    statement = sql.SQL("SELECT count(*) FROM account_emailaddress t WHERE {}").format(
        retention._over(holding_of(EmailAddress))
    )

    def over() -> int:
        with connection.cursor() as cursor:
            cursor.execute(statement, {"cutoff": uuid7()})
            return int(cursor.fetchone()[0])

    assert over() == 0
    waits.delete()
    assert over() == 1


def test_only_what_is_declared_is_ever_deleted(db: None) -> None:
    timed = {one.table for one in rows_over()}

    assert timed == {each.table for each in holdings() if each.retention.is_timed}
    assert {one.table for one in apply_retention()} == {one.table for one in rows_over() if not one.applied_by}


def test_chores_of_their_own_keep_to_what_is_declared(db: None) -> None:
    tenant, now = make_tenant(), timezone.now()
    assert WEBHOOKS_KEPT == now - cutoff(WebhookEvent, now)
    assert ANSWERS_KEPT == now - cutoff(KeptAnswer, now)
    with colony_tx("tests"):
        for age in (ANSWERS_KEPT + timedelta(minutes=1), ANSWERS_KEPT - timedelta(minutes=1)):
            KeptAnswer.objects.create(
                tenant=tenant, request_sha256=unique("x").encode()[:32], body_sha256=b"b", created_at=now - age
            )

    assert forget_answers() == 1


def test_retention_chore_is_on_the_clock() -> None:
    from rbee.celery import app

    scheduled = {entry["task"] for entry in app.conf.beat_schedule.values()}
    own = {each.held.applied_by for each in holdings() if each.held.applied_by}

    assert own | {retention.CHORE} <= scheduled


def cutoff(model: Any, now: datetime) -> datetime:
    found = holding_of(model).retention.cutoff(now)
    assert found is not None
    return found


def make_invitation(tenant: Any, *, expires_at: datetime) -> Invitation:
    return Invitation.objects.create(
        tenant=tenant, email=f"{unique('x')}@example.org", role="viewer", salt=b"s" * 16, invited_by="x",
        expires_at=expires_at,
    )  # fmt: skip


def make_alert(tenant: Any, *, closed_at: datetime | None) -> Alert:
    return Alert.objects.create(
        tenant=tenant, kind="x", object_ref=unique("x"), message="x", closed_at=closed_at
    )
