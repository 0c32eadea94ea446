"""Invitations, by the mail that a real server got."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.utils import timezone

from gdpr.scope import colony_tx
from tenants.domain import invitations
from tenants.domain.invitations import mail_invitations
from tenants.models import Invitation, Member, User, WebhookEvent
from tests.factories.tenants import PASSWORD, make_member, make_project, make_user, unique
from tests.inference.conftest import Api, audit_events
from tests.tenants.api.people import Someone, log_in, member_of
from tests.tenants.smtp import Inbox

SignUp = Callable[[str], None]


def token_to(inbox: Inbox, email: str) -> str:
    mail_invitations()
    (token,) = re.findall(r"^ +(rbee_inv_\S+)\s*$", inbox.text_to(email), re.MULTILINE)
    return token


def test_invited_person_makes_an_account_by_the_mail_and_joins(
    operator: Api, inbox: Inbox, sign_up: SignUp
) -> None:
    sign_up("invitation")
    tenant = make_project().tenant
    _, owner = member_of(tenant, "owner")
    email = f"{unique('Bob')}@Example.org"

    made = owner.post("invitations", {"email": email, "role": "developer"})
    assert (made.status_code, made.json()["email"], made.json()["link"]) == (201, email.lower(), None)
    assert mail_invitations() == 1
    assert mail_invitations() == 0
    assert owner.get("invitations").json()["data"][0]["mailed_at"] is not None
    token = token_to(inbox, email.lower())
    assert tenant.name in inbox.text_to(email.lower())

    joined = Api().post("invitations/accept", {"token": token, "name": "Bob", "password": PASSWORD})
    assert (joined.status_code, joined.json()["role"], joined.json()["tenant"]) == (
        201,
        "developer",
        tenant.slug,
    )
    bob = Someone(User.objects.get(email=email.lower()))
    assert bob.post("keys", {"name": "app"}).status_code == 201
    assert Api().post("invitations/accept", {"token": token, "password": PASSWORD}).status_code == 400
    assert owner.get("invitations").json()["data"] == []
    assert [
        row["accepted_at"] is not None for row in owner.get("invitations", include_closed=True).json()["data"]
    ] == [True]
    assert audit_events("invitation.") == ["invitation.created", "invitation.accepted"]
    with colony_tx("tests"):
        told = WebhookEvent.objects.filter(tenant=tenant, type__startswith="member.")
        assert sorted(told.values_list("type", flat=True)) == ["member.invited", "member.joined"]
        assert email.lower() not in str(list(told.values_list("data", flat=True)))


def test_page_of_the_mail_leads_a_browser_to_the_tenant(operator: Api, inbox: Inbox, sign_up: SignUp) -> None:
    sign_up("invitation")
    tenant = make_project().tenant
    _, owner = member_of(tenant, "owner")
    email = f"{unique('eve')}@example.org"
    owner.post("invitations", {"email": email})
    path = f"/accounts/invitation/{token_to(inbox, email)}/"
    assert f"{django_settings.RBEE.public_url}{path}" in inbox.text_to(email)
    browser = Client()

    assert tenant.name in browser.get(path).content.decode()
    assert browser.post(path, {"password": "easy"}).status_code == 400
    assert browser.post(path, {"name": "Eve", "password": PASSWORD}).status_code == 302
    assert browser.get(path).status_code == 404
    assert log_in(email)


def test_who_has_an_account_logs_in_and_accepts(operator: Api, inbox: Inbox) -> None:
    tenant = make_project().tenant
    _, owner = member_of(tenant, "admin")
    somebody = make_member().user
    owner.post("invitations", {"email": somebody.email, "role": "billing"})
    token = token_to(inbox, somebody.email)

    stranger = make_member().user
    for caller in (Api(), Someone(stranger)):
        refused = caller.post("invitations/accept", {"token": token, "password": "stolen horse battery"})
        assert refused.status_code == 400
        assert "Log in" in refused.json()["error"]["message"]
    assert Someone(somebody).post("invitations/accept", {"token": token}).status_code == 201
    again = owner.post("invitations", {"email": somebody.email})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "state_conflict")


@pytest.mark.parametrize("why", ["again", "withdrawn", "overdue", "suspended", "tampered", "nonsense"])
def test_token_that_is_not_valid_is_refused_with_one_answer(operator: Api, inbox: Inbox, why: str) -> None:
    tenant = make_project().tenant
    _, owner = member_of(tenant, "owner")
    email = f"{unique('bob')}@example.org"
    made = owner.post("invitations", {"email": email}).json()
    token = token_to(inbox, email)
    if why == "again":
        owner.post("invitations", {"email": email, "role": "admin"})
    elif why == "withdrawn":
        assert owner.delete(f"invitations/{made['id']}").status_code == 200
    elif why == "overdue":
        with colony_tx("tests"):
            Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    elif why == "suspended":
        operator.post(f"tenants/{tenant.slug}/suspend")
    else:
        token = token[:-1] + ("A" if token[-1] != "A" else "B") if why == "tampered" else "rbee_inv_x"

    refused = Api().post("invitations/accept", {"token": token, "password": PASSWORD})

    assert (refused.status_code, refused.json()["error"]["message"]) == (
        400,
        str(invitations.InvitationInvalid()),
    )
    assert not User.objects.filter(email=email).exists()


def test_mail_server_that_is_away_gets_it_later(operator: Api, inbox: Inbox) -> None:
    _, owner = member_of(make_project().tenant, "owner")
    email = f"{unique('bob')}@example.org"
    port, django_settings.EMAIL_PORT = django_settings.EMAIL_PORT, 1
    assert owner.post("invitations", {"email": email}).status_code == 201
    assert mail_invitations() == 0

    django_settings.EMAIL_PORT = port
    assert mail_invitations() == 1
    assert token_to(inbox, email)


def test_link_is_told_to_the_operator_only_and_only_where_no_mail_leaves(operator: Api) -> None:
    tenant = make_project().tenant
    _, owner = member_of(tenant, "owner")
    email = f"{unique('bob')}@example.org"

    assert owner.post("invitations", {"email": email}).json()["link"] is None
    link = operator.post("invitations", {"email": email, "tenant": tenant.slug}).json()["link"]
    assert mail_invitations() == 0
    assert Client().get(link).status_code == 200


def test_roles_are_given_by_who_may(operator: Api) -> None:
    tenant = make_project().tenant
    _, owner = member_of(tenant, "owner")
    _, developer = member_of(tenant, "developer")
    invite = {"email": f"{unique('x')}@example.org"}

    assert owner.post("invitations", {**invite, "role": "owner"}).status_code == 403
    assert owner.post("invitations", {**invite, "role": "admin"}).status_code == 201
    assert developer.post("invitations", invite).status_code == 403
    assert operator.post("invitations", {**invite, "role": "owner", "tenant": tenant.slug}).status_code == 409
    empty = make_project().tenant
    assert operator.post("invitations", {**invite, "role": "owner", "tenant": empty.slug}).status_code == 201


def test_inboxes_of_strangers_are_written_to_within_bounds(
    operator: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invitations, "OPEN_MAX", 2)
    _, owner = member_of(make_project().tenant, "owner")

    answers = [
        owner.post("invitations", {"email": f"{unique('x')}@example.org"}).status_code for _ in range(3)
    ]

    assert answers == [201, 201, 409]


def test_account_is_not_made_where_sign_up_is_closed(operator: Api, inbox: Inbox, sign_up: SignUp) -> None:
    _, owner = member_of(make_project().tenant, "owner")
    email = f"{unique('bob')}@example.org"
    owner.post("invitations", {"email": email})
    token = token_to(inbox, email)
    sign_up("closed")

    refused = Api().post("invitations/accept", {"token": token, "password": PASSWORD})
    assert (refused.status_code, "operator" in refused.json()["error"]["message"]) == (400, True)
    user = make_user(email=email, password=PASSWORD)
    make_member(user=user)
    assert Someone(user).post("invitations/accept", {"token": token}).status_code == 201
    with colony_tx("tests"):
        assert Member.objects.filter(user=user).count() == 2
