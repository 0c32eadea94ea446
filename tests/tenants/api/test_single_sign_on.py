"""Login by OpenID Connect against a real provider on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from django.http import HttpResponse
from django.test import Client

from gdpr.scope import colony_tx
from tenants.models import IdentityProvider, Member, Tenant, User
from tests.factories.tenants import make_member, make_project, unique
from tests.inference.conftest import Api, audit_events
from tests.tenants.api.people import member_of, some_address

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    from oidc_provider_mock import run_server_in_thread

    with run_server_in_thread() as server:
        yield f"http://127.0.0.1:{server.server_port}"


def provide(operator: Api, tenant: Tenant, issuer: str, domain: str, /, **fields: Any) -> HttpResponse:
    body = {"issuer": issuer, "client_id": "rbee", "client_secret": "s3cret", "domains": [domain], **fields}
    return operator.put(f"tenants/{tenant.slug}/sso", body)


def log_in_by(issuer: str, tenant: Tenant, email: str, **claims: Any) -> tuple[Client, HttpResponse]:
    """As a browser: to the provider, where they say who they are, and back."""
    subject = unique("subject")
    httpx.put(
        f"{issuer}/users/{subject}", json={"email": email, "email_verified": True, **claims}
    ).raise_for_status()
    browser = Client(headers={"host": "localhost:7833"}, REMOTE_ADDR=some_address())
    leave = browser.post(f"/accounts/oidc/{tenant.slug}/login/")
    assert leave.status_code == 302, leave.content
    assert leave["Location"].startswith(issuer)
    back = httpx.post(leave["Location"], data={"sub": subject}, follow_redirects=False)
    assert back.status_code == 302, back.text
    where = urlsplit(back.headers["location"])
    return browser, browser.get(f"{where.path}?{where.query}")


@pytest.fixture
def domain() -> str:
    return f"{unique('acme')}.example"


def test_person_of_the_tenant_logs_in_and_is_a_member(operator: Api, issuer: str, domain: str) -> None:
    tenant = make_project().tenant
    made = provide(operator, tenant, issuer, domain.upper(), default_role="developer")
    assert (made.status_code, made.json()["domains"]) == (200, [domain])
    assert "s3cret" not in made.content.decode()

    browser, landed = log_in_by(issuer, tenant, f"Ann@{domain}")

    assert landed.status_code == 302, landed.content
    account = browser.get("/api/v1/account").json()
    assert account["email"] == f"ann@{domain}"
    assert [(one["tenant"], one["role"]) for one in account["memberships"]] == [(tenant.slug, "developer")]
    assert audit_events("account.created") == ["account.created"]


def test_member_of_before_keeps_account_and_role(operator: Api, issuer: str, domain: str) -> None:
    tenant = make_project().tenant
    member = make_member(
        tenant, "admin", user=User.objects.create_user(f"bob@{domain}", "correct horse battery")
    )
    provide(operator, tenant, issuer, domain)

    browser, _ = log_in_by(issuer, tenant, f"bob@{domain}")

    account = browser.get("/api/v1/account").json()
    assert (account["id"], account["memberships"][0]["role"]) == (str(member.user_id), "admin")


@pytest.mark.parametrize("email", ["ann@elsewhere.example", "ann@sub.{domain}", "ann@{domain}.evil.example"])
def test_provider_speaks_for_its_own_domains_only(
    operator: Api, issuer: str, domain: str, email: str
) -> None:
    tenant = make_project().tenant
    provide(operator, tenant, issuer, domain)
    address = email.format(domain=domain)
    make_member(user=User.objects.create_user(address, "correct horse battery"))

    browser, landed = log_in_by(issuer, tenant, address)

    assert landed.status_code == 403
    assert browser.get("/api/v1/account").status_code == 401


def test_provider_of_a_tenant_lets_nobody_in_as_the_operator(operator: Api, issuer: str, domain: str) -> None:
    tenant = make_project().tenant
    boss = f"boss@{domain}"
    operator.post("operators", {"email": boss, "password": "correct horse battery"})
    provide(operator, tenant, issuer, domain)

    browser, landed = log_in_by(issuer, tenant, boss)

    assert landed.status_code == 403
    assert browser.get("/api/v1/account").status_code == 401


def test_provider_that_is_removed_lets_nobody_in(operator: Api, issuer: str, domain: str) -> None:
    tenant = make_project().tenant
    provide(operator, tenant, issuer, domain)
    log_in_by(issuer, tenant, f"ann@{domain}")
    assert operator.delete(f"tenants/{tenant.slug}/sso").status_code == 200

    assert operator.get(f"tenants/{tenant.slug}/sso").status_code == 404
    assert Client().post(f"/accounts/oidc/{tenant.slug}/login/").status_code in {403, 404}
    with colony_tx("tests"):
        assert Member.objects.filter(tenant=tenant).count() == 1


def test_provider_is_set_by_the_operator_and_its_secret_is_sealed(
    operator: Api, issuer: str, domain: str
) -> None:
    tenant, other = make_project().tenant, make_project().tenant
    _, owner = member_of(tenant, "owner")
    assert owner.put(f"tenants/{tenant.slug}/sso", {}).status_code == 403
    provide(operator, tenant, issuer, domain)
    seen = owner.get(f"tenants/{tenant.slug}/sso").json()
    assert seen["callback_url"].endswith(f"/accounts/oidc/{tenant.slug}/login/callback/")
    with colony_tx("tests"):
        assert b"s3cret" not in bytes(IdentityProvider.objects.get(tenant=tenant).secret_sealed)

    taken = provide(operator, other, issuer, domain)
    assert (taken.status_code, taken.json()["error"]["param"]) == (400, "domains")
    again = {"issuer": issuer, "client_id": "other", "domains": [domain]}  # its secret stays
    changed = operator.put(f"tenants/{tenant.slug}/sso", again)
    assert changed.json()["client_id"] == "other"


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"issuer": "ftp:/x"}, "issuer"), ({"domains": []}, "domains"), ({"domains": ["no domain"]}, "domains"),
     ({"default_role": "owner"}, "default_role"), ({"default_role": "king"}, "default_role")],
)  # fmt: skip
def test_provider_that_makes_no_sense_is_refused(
    operator: Api, issuer: str, domain: str, fields: dict[str, Any], param: str
) -> None:
    answer = provide(operator, make_project().tenant, issuer, domain, **fields)

    assert (answer.status_code, answer.json()["error"]["param"].partition(".")[0]) == (400, param)
