"""Accounts of people, as a program of theirs makes and uses one: sign-up, confirmation, login, second factor."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import hotp_value, yield_hotp_counters_from_time
from django.http import HttpResponse
from django.test import Client
from pytest_django.fixtures import Settings

from rbee.accounts import account_settings
from tenants.models import User
from tests.factories.tenants import PASSWORD, make_member, make_project, unique
from tests.inference.conftest import Api, audit_events
from tests.tenants.api.people import Someone, log_in, member_of, some_address
from tests.tenants.smtp import Inbox

SignUp = Callable[[str], None]


class Program:
    """A client of allauth's: it sends back the session token that it got."""

    def __init__(self) -> None:
        self.client = Client(headers={"host": "localhost:7833"}, REMOTE_ADDR=some_address())
        self.token = ""

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> HttpResponse:
        answer = getattr(self.client, method)(
            f"/_allauth/app/v1/{path}",
            body or {},
            "application/json",
            headers={"X-Session-Token": self.token},
        )
        if answer.content:
            self.token = answer.json().get("meta", {}).get("session_token") or self.token
        return answer

    def get(self, path: str) -> HttpResponse:
        return self.client.get(f"/_allauth/app/v1/{path}", headers={"X-Session-Token": self.token})

    def api(self, **headers: str) -> Api:
        return Api(host="localhost:7833", **{"X-Session-Token": self.token} | headers)


def code_of(secret: str) -> str:
    return f"{hotp_value(secret, next(iter(yield_hotp_counters_from_time()))):06d}"


def enrol(program: Program) -> str:
    """The secret of a second factor that is now asked for."""
    secret = program.get("account/authenticators/totp").json()["meta"]["secret"]
    asked = program.call("post", "account/authenticators/totp", {"code": code_of(secret)})
    assert asked.status_code == 401  # a session that was left open is not enough
    assert program.call("post", "auth/reauthenticate", {"password": PASSWORD}).status_code == 200
    assert program.call("post", "account/authenticators/totp", {"code": code_of(secret)}).status_code == 200
    return secret


def test_stranger_signs_up_confirms_the_address_and_makes_a_tenant(sign_up: SignUp, inbox: Inbox) -> None:
    sign_up("open")
    ann, email, slug = Program(), f"{unique('Ann')}@Example.org", unique("acme")

    asked = ann.call("post", "auth/signup", {"email": email, "password": PASSWORD})
    assert asked.status_code == 401  # not before the address is confirmed
    assert ann.api().get("account").status_code == 401
    wrong = ann.call("post", "auth/email/verify", {"key": "000000"})
    assert wrong.status_code == 400
    assert ann.call("post", "auth/email/verify", {"key": inbox.code_to(email.lower())}).status_code == 200

    account = ann.api().get("account").json()
    assert (account["email"], account["may_create_tenant"], account["memberships"]) == (
        email.lower(),
        True,
        [],
    )
    assert ann.api().get("keys").status_code == 403
    made = ann.api().post("account/tenants", {"slug": slug, "name": "Acme"})
    assert (made.status_code, made.json()["plan"]) == (201, "free")
    second = ann.api().post("account/tenants", {"slug": unique("more")})
    assert (second.status_code, second.json()["error"]["code"]) == (409, "state_conflict")
    assert ann.api().post("keys", {"name": "app"}).status_code == 201
    assert audit_events("account.created") == ["account.created"]


@pytest.mark.parametrize("signup", ["invitation", "closed"])
def test_nobody_signs_up_where_the_operator_says_so(sign_up: SignUp, inbox: Inbox, signup: str) -> None:
    sign_up(signup)
    email = f"{unique('ann')}@example.org"

    assert Program().call("post", "auth/signup", {"email": email, "password": PASSWORD}).status_code == 403
    page = Client().post("/accounts/signup/", {"email": email, "password1": PASSWORD})
    assert page.status_code == 200
    assert b"closed" in page.content.lower()
    assert not User.objects.filter(email=email).exists()
    assert inbox.messages == []
    _, someone = member_of(make_project().tenant, "owner")
    assert someone.post("account/tenants", {"slug": unique("mine")}).status_code == 403


def test_answer_does_not_tell_whether_an_address_has_an_account(sign_up: SignUp, inbox: Inbox) -> None:
    sign_up("open")
    known = make_member().user.email

    answers = [
        Program().call("post", path, body | {"email": email}).json()
        for path, body in (("auth/signup", {"password": PASSWORD}), ("auth/password/request", {}))
        for email in (known, f"{unique('no')}@example.org")
    ]

    for answer in answers:
        answer["meta"].pop("session_token", None)
    assert answers[0] == answers[1]
    assert answers[2] == answers[3]


def test_password_that_is_easy_to_guess_is_refused(sign_up: SignUp, inbox: Inbox) -> None:
    sign_up("open")
    for password in ("short", "password123", "12345678901"):
        answer = Program().call(
            "post", "auth/signup", {"email": f"{unique('a')}@example.org", "password": password}
        )
        assert answer.status_code == 400, password


def test_second_factor_is_asked_for_at_each_login(operator: Api) -> None:
    member, _ = member_of(make_project().tenant, "admin")
    first = Program()
    first.call("post", "auth/login", {"email": member.user.email, "password": PASSWORD})
    secret = enrol(first)
    assert secret not in str(Authenticator.objects.get(user=member.user, type="totp").data)

    second = Program()
    asked = second.call("post", "auth/login", {"email": member.user.email, "password": PASSWORD})
    assert asked.status_code == 401
    assert "mfa_authenticate" in [
        flow["id"] for flow in asked.json()["data"]["flows"] if flow.get("is_pending")
    ]
    assert second.api().get("account").status_code == 401
    assert second.call("post", "auth/2fa/authenticate", {"code": "000000"}).status_code == 400
    Authenticator.objects.filter(user=member.user).update(last_used_at=None)
    done = second.call("post", "auth/2fa/authenticate", {"code": code_of(secret)})

    assert done.status_code == 200, done.content
    assert second.api().get("account").json()["email"] == member.user.email
    assert audit_events("account.second_factor") == ["account.second_factor_failed"]


def test_guessing_is_slowed_down(operator: Api) -> None:
    member, _ = member_of(make_project().tenant, "admin")
    for _ in range(6):
        Program().call(
            "post", "auth/login", {"email": member.user.email, "password": "a guess that is wrong"}
        )

    right = Program().call("post", "auth/login", {"email": member.user.email, "password": PASSWORD})

    assert (right.status_code, right.json()["errors"][0]["code"]) == (400, "too_many_login_attempts")


def test_nobody_guesses_while_attempts_cannot_be_counted(operator: Api, settings: Settings) -> None:
    member, _ = member_of(make_project().tenant, "admin")
    settings.CACHES = account_settings(dataclasses.replace(settings.RBEE, redis_url="redis://127.0.0.1:1"))[
        "CACHES"
    ]
    client = Client(raise_request_exception=False)
    body = {"email": member.user.email, "password": PASSWORD}

    answer = client.post("/_allauth/app/v1/auth/login", body, "application/json")

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "redis_unavailable")


def test_recovery_code_works_once(operator: Api) -> None:
    member, _ = member_of(make_project().tenant, "admin")
    first = Program()
    first.call("post", "auth/login", {"email": member.user.email, "password": PASSWORD})
    enrol(first)
    code = first.get("account/authenticators/recovery-codes").json()["data"]["unused_codes"][0]

    for expected in (200, 400):
        again = Program()
        again.call("post", "auth/login", {"email": member.user.email, "password": PASSWORD})
        assert again.call("post", "auth/2fa/authenticate", {"code": code}).status_code == expected


def test_password_is_reset_by_a_code_that_is_mailed(operator: Api, inbox: Inbox) -> None:
    member, _ = member_of(make_project().tenant, "viewer")
    program = Program()
    program.call("post", "auth/password/request", {"email": member.user.email})

    done = program.call(
        "post",
        "auth/password/reset",
        {"key": inbox.code_to(member.user.email), "password": "another fine horse"},
    )

    assert done.status_code in {200, 401}  # 401: log in with it
    assert log_in(member.user.email, "another fine horse")
    assert audit_events("account.password") == ["account.password_reset"]


def test_mail_that_cannot_leave_changes_no_answer(sign_up: SignUp, inbox: Inbox) -> None:
    sign_up("open")
    email = f"{unique('ann')}@example.org"
    with_server = Program().call(
        "post", "auth/signup", {"email": f"{unique('bob')}@example.org", "password": PASSWORD}
    )
    from django.conf import settings

    settings.EMAIL_PORT = 1

    answer = Program().call("post", "auth/signup", {"email": email, "password": PASSWORD})

    assert answer.status_code == with_server.status_code == 401


def test_logging_out_ends_the_session(operator: Api) -> None:
    _, someone = member_of(make_project().tenant, "owner")
    assert someone.get("account").status_code == 200

    someone.client.delete("/_allauth/app/v1/auth/session")

    assert someone.get("account").status_code == 401


def test_cookie_of_a_browser_needs_the_token_of_our_pages(operator: Api) -> None:
    member, _ = member_of(make_project().tenant, "owner")
    browser = Client(enforce_csrf_checks=True, headers={"host": "localhost:7833"})
    browser.get("/_allauth/browser/v1/config")
    token = browser.cookies["rbee_csrf"].value
    login = browser.post(
        "/_allauth/browser/v1/auth/login", {"email": member.user.email, "password": PASSWORD}, "application/json",
        headers={"X-CSRFToken": token},
    )  # fmt: skip
    assert login.status_code == 200

    assert browser.get("/api/v1/account").status_code == 200
    refused = browser.post("/api/v1/keys", {}, "application/json")
    assert refused.status_code == 403
    token = browser.cookies["rbee_csrf"].value
    assert (
        browser.post("/api/v1/keys", {}, "application/json", headers={"X-CSRFToken": token}).status_code
        == 201
    )


def test_operator_makes_accounts_of_the_operators_people(operator: Api) -> None:
    email = f"{unique('op')}@example.org"
    first = operator.post("operators", {"email": email, "name": "Op", "password": PASSWORD})
    assert (first.status_code, first.json()["role"]) == (201, "owner")
    second = operator.post("operators", {"email": f"{unique('op')}@example.org", "password": PASSWORD})
    assert second.json()["role"] == "admin"
    assert operator.post("operators", {"email": email, "password": PASSWORD}).status_code == 409
    easy = operator.post("operators", {"email": f"{unique('op')}@example.org", "password": "password"})
    assert (easy.status_code, easy.json()["error"]["param"]) == (400, "password")

    boss = Someone(User.objects.get(email=email))
    assert boss.post("tenants", {"slug": unique("acme")}).status_code == 201
    assert boss.get("plans").status_code == 200


@pytest.mark.parametrize("role", ["developer", "billing", "dpo", "viewer"])
def test_operators_people_touch_no_tenant_beyond_their_role(operator: Api, role: str) -> None:
    """They see what their role sees; what belongs to customers is changed by administrators only."""
    theirs = make_project()
    with_role = operator.post(
        "operators", {"email": f"{unique('op')}@example.org", "password": PASSWORD, "role": role}
    ).json()
    person = Someone(User.objects.get(id=with_role["user"]))
    sees = role in {"developer", "viewer"}

    assert person.get(f"tenants/{theirs.tenant.slug}").status_code == (200 if sees else 404)
    for method, path, body in [
        ("post", "keys", {"tenant": theirs.tenant.slug}),
        ("post", "projects", {"slug": "p", "tenant": theirs.tenant.slug}),
        ("patch", f"projects/{theirs.id}", {"name": "Mine"}),
        ("post", "webhooks", {"url": "https://example.com/", "events": ["*"], "tenant": theirs.tenant.slug}),
        ("post", f"tenants/{theirs.tenant.slug}/suspend", {}),
    ]:
        assert getattr(person, method)(path, body).status_code in {403, 404}, path


def test_leaving_takes_a_member_out_and_the_owner_stays(operator: Api) -> None:
    tenant = make_project().tenant
    _, owner = member_of(tenant, "owner")
    member, viewer = member_of(tenant, "viewer")

    assert owner.delete(f"account/memberships/{tenant.slug}").status_code == 409
    assert viewer.delete(f"account/memberships/{tenant.slug}").status_code == 200
    assert viewer.delete(f"account/memberships/{tenant.slug}").status_code == 404
    assert viewer.get("keys").status_code == 403
    assert User.objects.filter(id=member.user_id).exists()
