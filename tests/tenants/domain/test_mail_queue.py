"""Invitations on their way out, by a real mail server, in transactions that really end."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError, connections
from django.utils import timezone

from gdpr.scope import colony_tx
from rbee.email import email_settings
from tenants.domain import mail_queue
from tenants.domain.invitations import invite, mail_invitations
from tenants.models import Invitation
from tests.factories.tenants import TESTER, make_project, unique
from tests.tenants.smtp import Inbox, smtp_server

pytestmark = pytest.mark.usefixtures("committed_db", "redis_url")


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    env, before = (
        settings.RBEE,
        {name: getattr(settings, name, None) for name in email_settings("smtp://host")},
    )
    with colony_tx("tests"):
        Invitation.objects.update(mailed_at=timezone.now())
    with smtp_server() as inbox:
        url = f"smtp://127.0.0.1:{inbox.port}?tls=none"
        settings.RBEE = dataclasses.replace(env, smtp_url=url)
        for name, value in email_settings(url).items():
            setattr(settings, name, value)
        yield inbox
    settings.RBEE = env
    for name, value in before.items():
        setattr(settings, name, value)


def invited(count: int = 1) -> list[Invitation]:
    tenant = make_project().tenant
    return [
        invite(tenant.id, email=f"{unique('ann')}@example.org", role="viewer", actor=TESTER)[0]
        for _ in range(count)
    ]


def is_held(invitation: Invitation) -> bool:
    """By a transaction, as another process finds it."""
    try:
        with colony_tx("tests"):
            Invitation.objects.select_for_update(nowait=True).get(id=invitation.id)
    except DatabaseError:
        return True
    finally:
        connections["default"].close()
    return False


def test_nothing_is_held_while_the_server_takes_its_time(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    (invitation,) = invited()
    seen: list[bool] = []
    take = inbox.handle_DATA

    async def look(server: Any, session: Any, envelope: Any) -> str:
        with ThreadPoolExecutor(1) as elsewhere:
            seen.append(elsewhere.submit(is_held, invitation).result())
        return await take(server, session, envelope)

    monkeypatch.setattr(inbox, "handle_DATA", look)

    assert (mail_invitations(), seen) == (1, [False])
    assert inbox.text_to(invitation.email)


def test_who_dies_after_sending_sends_twice_and_loses_nothing(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    (invitation,) = invited()
    with monkeypatch.context() as dying:
        dying.setattr(mail_queue, "_mark", lambda row: sys.exit(1))
        with pytest.raises(SystemExit):
            mail_invitations()

    assert mail_invitations() == 0  # it is claimed still
    with colony_tx("tests"):
        Invitation.objects.filter(id=invitation.id).update(
            mailing_until=timezone.now() - timedelta(seconds=1)
        )
    assert mail_invitations() == 1
    assert mail_invitations() == 0
    assert [to for to, _ in inbox.messages] == [invitation.email] * 2


def test_processes_side_by_side_mail_each_once(inbox: Inbox) -> None:
    invitations = invited(12)

    def run(_: int) -> int:
        try:
            return mail_invitations()
        finally:
            connections["default"].close()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(run, range(4))) == 12
    assert sorted(to for to, _ in inbox.messages) == sorted(one.email for one in invitations)


def test_address_that_is_refused_keeps_nobody_else_from_their_mail(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused, other = invited(2)

    async def judge(server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if address == refused.email:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    monkeypatch.setattr(inbox, "handle_RCPT", judge, raising=False)

    assert mail_invitations() == 1
    assert [to for to, _ in inbox.messages] == [other.email]
    monkeypatch.undo()
    assert mail_invitations() == 0
    later = timezone.now() + mail_queue.UNKNOWN_FOR
    monkeypatch.setattr(mail_queue.timezone, "now", lambda: later)
    assert mail_invitations() == 1
    assert inbox.text_to(refused.email)
