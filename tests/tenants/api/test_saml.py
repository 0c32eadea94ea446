"""Login by SAML: what a tenant's provider signed, and nothing else, lets its people in."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from tenants.models import Tenant, User
from tests.factories.tenants import make_project, unique
from tests.inference.conftest import Api
from tests.tenants.api.people import some_address
from tests.tenants.saml import SamlProvider


@pytest.fixture(scope="module")
def provider() -> SamlProvider:
    return SamlProvider()


@pytest.fixture
def domain() -> str:
    return f"{unique('acme')}.example"


def provide(
    operator: Api, tenant: Tenant, provider: SamlProvider, domain: str, **fields: Any
) -> HttpResponse:
    body = {
        "kind": "saml", "issuer": provider.entity_id, "sso_url": provider.sso_url, "certificate": provider.pair[1],
        "domains": [domain], "default_role": "billing",
    }  # fmt: skip
    return operator.put(f"tenants/{tenant.slug}/sso", {**body, **fields})


def leave(tenant: Tenant) -> tuple[Client, str]:
    browser = Client(headers={"host": "localhost:7833"}, REMOTE_ADDR=some_address())
    answer = browser.post(f"/accounts/saml/{tenant.slug}/login/")
    assert answer.status_code == 302, answer.content
    return browser, answer["Location"]


def come_back(browser: Client, tenant: Tenant, answer: str) -> HttpResponse:
    landed = browser.post(f"/accounts/saml/{tenant.slug}/acs/", {"SAMLResponse": answer})
    assert landed.status_code == 302
    return browser.get(landed["Location"])


def test_person_of_the_tenant_logs_in_and_is_a_member(
    operator: Api, provider: SamlProvider, domain: str
) -> None:
    tenant = make_project().tenant
    made = provide(operator, tenant, provider, domain).json()
    assert made["callback_url"].endswith(f"/accounts/saml/{tenant.slug}/acs/")
    browser, redirect = leave(tenant)
    assert redirect.startswith(provider.sso_url)
    answer = provider.answer(redirect, f"ann@{domain}")

    come_back(browser, tenant, answer)

    account = browser.get("/api/v1/account").json()
    assert (account["email"], account["memberships"][0]["role"]) == (f"ann@{domain}", "billing")
    thief = Client(headers={"host": "localhost:7833"})
    come_back(thief, tenant, answer)  # once, and in the browser that asked
    assert thief.get("/api/v1/account").status_code == 401


@pytest.mark.parametrize(
    ("email", "answer"),
    [
        ("ann@{domain}", {"signs": False}),
        ("ann@{domain}", {"audience": "https://another.example/"}),
        ("ann@{domain}", {"age": dt.timedelta(hours=1)}),
        ("ann@elsewhere.example", {}),
        ("ann@{domain}.evil.example", {}),
    ],
)
def test_what_the_provider_did_not_say_of_its_own_lets_nobody_in(
    operator: Api, provider: SamlProvider, domain: str, email: str, answer: dict[str, Any]
) -> None:
    tenant = make_project().tenant
    provide(operator, tenant, provider, domain)
    browser, redirect = leave(tenant)

    come_back(browser, tenant, provider.answer(redirect, email.format(domain=domain), **answer))

    assert browser.get("/api/v1/account").status_code == 401
    assert not User.objects.filter(email=email.format(domain=domain)).exists()


def test_assertion_that_somebody_else_signed_lets_nobody_in(
    operator: Api, provider: SamlProvider, domain: str
) -> None:
    tenant = make_project().tenant
    provide(operator, tenant, provider, domain)
    browser, redirect = leave(tenant)

    come_back(browser, tenant, SamlProvider().answer(redirect, f"ann@{domain}"))

    assert browser.get("/api/v1/account").status_code == 401


def test_tenant_moves_between_ways_to_log_in(operator: Api, provider: SamlProvider, domain: str) -> None:
    tenant = make_project().tenant
    provide(operator, tenant, provider, domain)
    oidc = {"issuer": "https://login.example", "client_id": "rbee", "domains": [domain]}

    missing = operator.put(f"tenants/{tenant.slug}/sso", oidc)
    assert (missing.status_code, missing.json()["error"]["param"]) == (400, "client_secret")
    moved = operator.put(f"tenants/{tenant.slug}/sso", {**oidc, "client_secret": "s"})
    assert (moved.json()["kind"], moved.json()["certificate"]) == ("oidc", "")
    assert Client().post(f"/accounts/saml/{tenant.slug}/login/").status_code == 404
    assert provide(operator, tenant, provider, domain).json()["client_id"] == ""


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"certificate": "none"}, "certificate"), ({"certificate": ""}, "certificate"), ({"sso_url": ""}, "sso_url"),
     ({"sso_url": "javascript:1"}, "sso_url"), ({"kind": "ldap"}, "kind")],
)  # fmt: skip
def test_provider_that_makes_no_sense_is_refused(
    operator: Api, provider: SamlProvider, domain: str, fields: dict[str, Any], param: str
) -> None:
    answer = provide(operator, make_project().tenant, provider, domain, **fields)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
