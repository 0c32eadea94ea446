from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from billing.domain.accounts import change_account
from billing.domain.invoice_mail import AGAIN_AFTER, mail_invoices
from billing.domain.invoices import close_period
from billing.models import Invoice
from gdpr.scope import colony_tx
from tenants.models import Project
from tests.factories.billing import last_month, make_price, make_seller, make_usage
from tests.factories.tenants import TESTER, make_member, make_project, make_user
from tests.inference.conftest import mode
from tests.tenants.api.conftest import inbox
from tests.tenants.smtp import Inbox

__all__ = ["inbox", "mode"]

pytestmark = pytest.mark.django_db


def issued(project: Project) -> Invoice:
    make_usage(project, make_price(prices={"prompt_tokens": 1_000_000}), {"prompt_tokens": 10**8})
    return close_period(project.tenant_id, last_month())[0]


@pytest.fixture
def project() -> Project:
    make_seller()
    return make_project()


def test_is_mailed_once_with_its_pdf(project: Project, inbox: Inbox) -> None:
    change_account(project.tenant_id, {"email": "treasurer@example.org"}, actor=TESTER)
    invoice = issued(project)

    assert (mail_invoices(), mail_invoices()) == (1, 0)

    ((to, message),) = inbox.messages
    assert (to, message["subject"]) == ("treasurer@example.org", f"Invoice {invoice.number}")
    assert "121.00 EUR. It is due on" in inbox.text_to(to)
    (pdf,) = message.iter_attachments()  # type: ignore[attr-defined]
    assert (pdf.get_filename(), pdf.get_content()[:5]) == (f"{invoice.number}.pdf", b"%PDF-")


def test_goes_to_the_owner_when_the_account_names_nobody(project: Project, inbox: Inbox) -> None:
    make_member(project.tenant, "owner", make_user(email="owner@example.org"))
    make_member(project.tenant, "viewer", make_user(email="viewer@example.org"))
    issued(project)

    mail_invoices()

    assert [to for to, _ in inbox.messages] == ["owner@example.org"]


def test_server_that_is_away_holds_up_only_for_a_while(project: Project, inbox: Inbox) -> None:
    change_account(project.tenant_id, {"email": "treasurer@example.org"}, actor=TESTER)
    issued(project)
    port, django_settings.EMAIL_PORT = django_settings.EMAIL_PORT, 1

    assert mail_invoices() == 0
    django_settings.EMAIL_PORT = port
    assert mail_invoices() == 0  # not yet
    with colony_tx("tests"):
        Invoice.objects.update(mail_after=timezone.now() - AGAIN_AFTER)
    assert mail_invoices() == 1
    assert len(inbox.messages) == 1


def test_nothing_is_mailed_without_a_server(project: Project, mode: Callable[[str], Project]) -> None:
    issued(project)
    django_settings.RBEE = dataclasses.replace(django_settings.RBEE, smtp_url="")

    assert mail_invoices() == 0
    with colony_tx("tests"):
        assert Invoice.objects.filter(mailed_at=None).exists()
