from __future__ import annotations

import pytest

from tenants.models import Tenant
from tests.factories.tenants import make_plan, make_project, make_tenant
from tests.inference.conftest import Api
from tests.rbee.dashboard.browser import browser_of, text_of

PAGE = "/dashboard/residency"


@pytest.fixture
def tenant(operator: Api) -> Tenant:
    return make_project().tenant


@pytest.mark.parametrize("of_plan", [False, True])
def test_region_that_binds_the_tenant_is_said(operator: Api, of_plan: bool) -> None:
    tenant = make_tenant(plan=make_plan(region="EU")) if of_plan else make_tenant(region="EU")

    assert f"Requests of {tenant.slug} run in EU only" in text_of(browser_of(tenant, "viewer").get(PAGE))


def test_tenant_of_no_region_is_told_so(tenant: Tenant) -> None:
    shown = text_of(browser_of(tenant, "billing").get(PAGE))

    assert "bound to no region" in shown
    assert "Prompts and outputs are on no disk" in shown


@pytest.mark.parametrize(("role", "status"), [("owner", 200), ("dpo", 200), ("admin", 403), ("auditor", 403)])
def test_papers_are_for_who_answers_for_the_data(tenant: Tenant, role: str, status: int) -> None:
    browser = browser_of(tenant, role)
    linked = f"{PAGE}/documents/dpa" in browser.get(PAGE).content.decode()

    papers = {kind: browser.get(f"{PAGE}/documents/{kind}") for kind in ("dpa", "subprocessors", "security")}

    assert linked == (status == 200)
    for kind, answer in papers.items():
        assert answer.status_code == status, kind
        if status == 200:
            assert answer.headers["content-type"].startswith("text/markdown")
            assert answer.content.decode().startswith("#")
            assert (tenant.slug in answer.content.decode()) == (kind == "dpa")
    foreign = browser.get(f"{PAGE}/documents/dpia")
    assert foreign.status_code == (404 if status == 200 else 403)


def test_first_page_is_one_that_may_be_seen(tenant: Tenant) -> None:
    first = {
        role: browser_of(tenant, role).get("/dashboard").headers["location"]
        for role in ("owner", "viewer", "dpo", "auditor", "billing")
    }

    assert first == {
        "owner": "/dashboard/keys",
        "viewer": "/dashboard/keys",
        "dpo": "/dashboard/privacy",
        "auditor": "/dashboard/audit",
        "billing": "/dashboard/residency",
    }
