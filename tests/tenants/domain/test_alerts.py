from __future__ import annotations

import dataclasses
import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings

from gdpr.models import AuditEntry
from gdpr.scope import colony_tx, tenant_tx
from rbee.email import email_settings
from tenants.domain import alert_mail
from tenants.domain.alerts import close_alert, raise_alert
from tenants.models import Alert, Member, Tenant, WebhookEvent
from tests.factories.tenants import TESTER, make_tenant, make_user

pytestmark = pytest.mark.usefixtures("committed_db", "redis_url")


def open_one(
    tenant: Tenant, object_ref: str = "policy:1", message: str = "a script breaks", count: int = 1
) -> None:
    with tenant_tx(tenant.id):
        raise_alert(
            tenant_id=tenant.id, kind="policy_error", object_ref=object_ref, message=message, count=count
        )


def alerts(tenant: Tenant) -> list[Alert]:
    with tenant_tx(tenant.id):
        return list(Alert.objects.order_by("id"))


def events(tenant: Tenant) -> list[str]:
    with tenant_tx(tenant.id):
        audited = AuditEntry.objects.filter(event__startswith="alert.").order_by("id")
        published = WebhookEvent.objects.filter(type__startswith="alert.").order_by("id")
        assert list(audited.values_list("event", flat=True)) == list(published.values_list("type", flat=True))
        return list(published.values_list("type", flat=True))


def test_alert_that_is_open_is_counted_and_not_repeated() -> None:
    tenant = make_tenant()
    open_one(tenant)
    open_one(tenant, message="it breaks elsewhere", count=4)
    open_one(tenant, object_ref="policy:2")

    first, second = alerts(tenant)

    assert (first.count, first.message, second.count) == (5, "it breaks elsewhere", 1)
    assert first.last_at > first.first_at
    assert events(tenant) == ["alert.opened", "alert.opened"]


def test_alert_that_was_closed_opens_again() -> None:
    tenant = make_tenant()
    open_one(tenant)
    (alert,) = alerts(tenant)

    assert close_alert(alert, actor=TESTER).closed_at
    assert close_alert(alert, actor=TESTER).closed_at
    open_one(tenant)

    assert [found.closed_at is None for found in alerts(tenant)] == [False, True]
    assert events(tenant) == ["alert.opened", "alert.closed", "alert.opened"]


def test_operators_alert_is_one_too() -> None:
    reference = f"policy:{make_tenant().slug}"
    for _ in range(2):
        with colony_tx("tests"):
            raise_alert(tenant_id=None, kind="policy_error", object_ref=reference, message="")
    with colony_tx("tests"):
        assert Alert.objects.get(object_ref=reference).count == 2


class Mailbox(socketserver.ThreadingTCPServer):
    """A server of SMTP, as far as sending needs one. `refuses` says of all that it has no room."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.mails: list[tuple[list[str], str]] = []
        self.refuses = False


class _Conversation(socketserver.StreamRequestHandler):
    server: Mailbox

    def handle(self) -> None:
        self.say("220 test")
        to: list[str] = []
        while line := self.rfile.readline().decode().strip():
            verb = line[:4].upper()
            if verb == "RCPT":
                to.append(line.partition("<")[2].rstrip(">"))
                self.say("452 full" if self.server.refuses else "250 ok")
            elif verb == "DATA":
                self.say("354 go on")
                body = b""
                while not body.endswith(b"\r\n.\r\n"):
                    body += self.rfile.readline()
                self.server.mails.append((to, body.decode()))
                self.say("250 ok")
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    before: dict[str, Any] = {name: getattr(settings, name, None) for name in email_settings("smtp://host")}
    env = settings.RBEE
    with colony_tx("tests"):
        Alert.objects.update(mailed_at="2020-01-01T00:00:00Z")
    with Mailbox() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"smtp://127.0.0.1:{server.server_address[1]}?tls=none"
        settings.RBEE = dataclasses.replace(env, smtp_url=url)
        for name, value in email_settings(url).items():
            setattr(settings, name, value)
        yield server
        server.shutdown()
    settings.RBEE = env
    for name, value in before.items():
        setattr(settings, name, value)


def people(tenant: Tenant, **roles: str) -> None:
    with tenant_tx(tenant.id):
        for name, role in roles.items():
            user = make_user(email=f"{name}@{tenant.slug}.example")
            Member.objects.create(tenant=tenant, user=user, role=role)


def test_owner_and_administrators_are_mailed_once(mailbox: Mailbox) -> None:
    tenant, stranger = make_tenant(), make_tenant()
    people(tenant, olga="owner", adam="admin", vera="viewer")
    people(stranger, otto="owner")
    open_one(tenant, message="Version 3: route_task: line 2")

    assert alert_mail.mail_alerts() == 1
    assert alert_mail.mail_alerts() == 0

    ((to, text),) = mailbox.mails
    assert sorted(to) == [f"adam@{tenant.slug}.example", f"olga@{tenant.slug}.example"]
    assert "Version 3: route_task: line 2" in text
    assert tenant.slug not in text  # nobody sees who else was told


def test_mail_that_is_refused_is_tried_again(mailbox: Mailbox) -> None:
    tenant = make_tenant()
    people(tenant, olga="owner")
    open_one(tenant)
    mailbox.refuses = True

    assert alert_mail.mail_alerts() == 0
    mailbox.refuses = False
    assert alert_mail.mail_alerts() == 1

    assert len(mailbox.mails) == 1


def test_nothing_is_mailed_without_a_server() -> None:
    tenant = make_tenant()
    people(tenant, olga="owner")
    open_one(tenant)

    assert alert_mail.mail_alerts() == 0
    assert alerts(tenant)[0].mailed_at is None
