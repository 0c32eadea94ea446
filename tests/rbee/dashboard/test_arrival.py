"""Who gets in, as whom, and what each page is sent with."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import settings as django_settings
from django.test import Client

from gdpr.scope import colony_tx
from inference.domain.refusal_log import HANDED
from tenants.models import ApiKey, Impersonation, Tenant
from tests.factories.tenants import make_key, make_member, make_project, make_user
from tests.inference.conftest import Api, audit_events
from tests.rbee.dashboard.browser import HOST, Browser, browser_of, text_of


def test_stranger_logs_in_and_gets_back_to_the_page(operator: Api) -> None:
    project = make_project()
    key, _ = make_key(project)
    member, browser, path = make_member(project.tenant, "viewer"), Browser(), f"/dashboard/keys/{key.id}?x=1"

    sent_off = browser.get(path)

    where = urlsplit(sent_off.headers["location"])
    assert (sent_off.status_code, where.path, parse_qs(where.query)) == (
        302,
        "/accounts/login/",
        {"next": [path]},
    )
    back = browser.log_in(member.user, next_page="/dashboard/keys")
    assert (back.status_code, back.headers["location"]) == (302, "/dashboard/keys")
    assert browser.get(path).status_code == 200
    assert Browser().log_in(member.user).headers["location"] == "/dashboard"
    assert browser.get("/dashboard").headers["location"] == "/dashboard/keys"
    browser.send("/accounts/logout/", page="/dashboard/keys")
    assert browser.get(path).status_code == 302


def test_part_of_a_page_sends_the_whole_page_to_log_in(operator: Api) -> None:
    answer = Browser(**{"HX-Request": "true"}).get("/dashboard/keys")

    assert (answer.status_code, urlsplit(answer.headers["hx-redirect"]).path) == (401, "/accounts/login/")


def test_keys_and_tokens_of_programs_open_no_page(operator: Api) -> None:
    _, secret = make_key(scopes=["manage"])

    assert Browser(authorization=f"Bearer {secret}").get("/dashboard/keys").status_code == 302


def test_form_of_another_site_does_nothing(operator: Api) -> None:
    project = make_project()
    key, _ = make_key(project)
    browser = browser_of(project.tenant, "owner")
    fields = browser.fields(f"/dashboard/keys/{key.id}/revoke")

    without = browser.resend(f"/dashboard/keys/{key.id}/revoke", {**fields, "csrfmiddlewaretoken": None})
    elsewhere = browser.client.post(
        f"/dashboard/keys/{key.id}/revoke", fields, headers={"origin": "https://evil.example"}
    )

    for answer in (without, elsewhere):
        assert (answer.status_code, "form is too old" in text_of(answer)) == (403, True)
    with colony_tx("tests"):
        assert ApiKey.objects.get(id=key.id).revoked_at is None


@pytest.mark.parametrize(
    ("path", "forms"), [("/dashboard/keys", True), ("/dashboard/nothing", True), ("/accounts/login/", False)]
)
def test_browser_is_told_to_run_and_frame_nothing_that_is_not_ours(
    operator: Api, path: str, forms: bool
) -> None:
    answer = browser_of(make_project().tenant, "owner").get(path)

    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert ("form-action 'self'" in policy) == forms
    assert answer.headers["x-frame-options"] == "DENY"
    if answer.status_code == 200:
        assert "no-store" in answer.headers["cache-control"]
        assert b"<script>" not in answer.content
        assert b" style=" not in answer.content


def test_person_of_several_tenants_switches_between_them(operator: Api) -> None:
    first, second, foreign = (make_project() for _ in range(3))
    user = make_member(first.tenant, "viewer").user
    make_member(second.tenant, "owner", user=user)
    make_key(first, name="of the first")
    make_key(second, name="of the second")
    browser = Browser(user)

    assert "of the first" in text_of(browser.get("/dashboard/keys"))
    assert "Make a key" not in text_of(browser.get("/dashboard/keys"))
    switched = browser.send("/dashboard/tenant", page="/dashboard/keys", tenant=second.tenant.slug)
    assert switched.status_code == 303
    assert "of the second" in text_of(browser.get("/dashboard/keys"))
    answers = [
        browser.send("/dashboard/tenant", page="/dashboard/keys", tenant=slug)
        for slug in (foreign.tenant.slug, "no-such-tenant")
    ]
    assert [one.status_code for one in answers] == [404, 404]
    assert "of the second" in text_of(browser.get("/dashboard/keys"))


def test_form_of_a_page_that_was_left_open_acts_where_it_was_made(operator: Api) -> None:
    first, second = make_project(), make_project()
    user = make_member(first.tenant, "owner").user
    make_member(second.tenant, "owner", user=user)
    browser = Browser(user)
    left_open = browser.fields("/dashboard/keys/new")
    browser.send("/dashboard/tenant", page="/dashboard/keys", tenant=second.tenant.slug)

    assert browser.resend("/dashboard/keys/new", {**left_open, "name": "where"}).status_code == 201
    with colony_tx("tests"):
        assert ApiKey.objects.get(name="where").tenant_id == first.tenant_id


def test_refusal_is_on_its_way_into_the_audit_log(operator: Api) -> None:
    member = make_member(make_project().tenant, "viewer")
    HANDED.clear()

    Browser(member.user).get("/dashboard/keys/new")

    (refusal,) = HANDED
    HANDED.clear()
    assert (refusal.event, refusal.tenant_id, refusal.actor) == (
        "request.refused", member.tenant_id.hex, f"user:{member.user_id.hex}",
    )  # fmt: skip
    assert (refusal.status, refusal.asked) == (403, "GET /dashboard/keys/new")


def test_who_is_in_no_tenant_is_told_so(operator: Api) -> None:
    answer = Browser(make_user()).get("/dashboard/keys")

    assert (answer.status_code, "member of no tenant" in text_of(answer)) == (403, True)


def test_members_of_a_suspended_tenant_read_only(operator: Api) -> None:
    project = make_project()
    browser = browser_of(project.tenant, "owner")
    token = browser.fields("/dashboard/keys/new")
    with colony_tx("tests"):
        Tenant.objects.filter(id=project.tenant_id).update(status="suspended")

    assert f"{project.tenant.slug} is suspended" in text_of(browser.get("/dashboard/keys"))
    assert browser.resend("/dashboard/keys/new", {**token, "name": "x"}).status_code == 403


def test_operators_people_see_the_operators_keys_here(operator: Api) -> None:
    with colony_tx("tests"):
        tenant = Tenant.objects.get(slug="operator")
    foreign, _ = make_key(make_project(), name="of a customer")
    browser = browser_of(tenant, "owner")

    assert "of a customer" not in text_of(browser.get("/dashboard/keys", status="all"))
    assert browser.get(f"/dashboard/keys/{foreign.id}").status_code == 404


@pytest.mark.parametrize("write", [False, True])
def test_operator_in_a_tenants_place_reads_and_sees_a_banner(operator: Api, write: bool) -> None:
    project = make_project()
    key, _ = make_key(project)
    token = operator.post(
        f"tenants/{project.tenant.slug}/impersonations", {"reason": "they asked for help", "write": write}
    ).json()["token"]
    browser = Browser()
    assert browser.send("/dashboard/visit", token=token[:-1] + "x").status_code == 400

    begun = browser.send("/dashboard/visit", token=token)

    assert (begun.status_code, begun.headers["location"]) == (303, "/dashboard/keys")
    shown = text_of(browser.get("/dashboard/keys"))
    assert f"in the place of {project.tenant.slug}" in shown
    assert "they asked for help" in shown
    assert key.kid in shown
    assert "Make a key" not in shown
    fields = browser.fields("/dashboard/keys")
    for path in (
        "keys/new",
        f"keys/{key.id}",
        f"keys/{key.id}/rotate",
        f"keys/{key.id}/revoke",
        f"keys/{key.id}/leaked",
    ):
        assert browser.get(f"/dashboard/{path}").status_code == (200 if path == f"keys/{key.id}" else 403), (
            path
        )
        assert (
            browser.resend(f"/dashboard/{path}", {**fields, "name": "x", "overlap": "0"}).status_code == 403
        ), path
    assert token not in str(browser.client.session.items())
    assert len(audit_events("impersonation.request")) >= 12  # the tenant sees each page

    browser.send("/dashboard/visit/leave", page="/dashboard/keys")

    assert browser.get("/dashboard/keys").status_code == 302
    assert Api(token).get("keys").status_code == 401  # the visit itself is over
    with colony_tx("tests"):
        assert Impersonation.objects.get(tenant=project.tenant).ended_at is not None


def test_visit_that_is_over_ends_in_the_browser_too(operator: Api) -> None:
    project = make_project()
    begun = operator.post(f"tenants/{project.tenant.slug}/impersonations", {"reason": "x"}).json()
    browser = Browser()
    browser.send("/dashboard/visit", token=begun["token"])
    assert browser.get("/dashboard/keys").status_code == 200

    assert operator.delete(f"impersonations/{begun['id']}").status_code == 200

    assert browser.get("/dashboard/keys").status_code == 302


def test_at_home_nobody_logs_in_on_this_machine(home: Api) -> None:
    browser = Browser()
    browser.client = Client(enforce_csrf_checks=True, headers={"host": HOST})

    made = browser.send("/dashboard/keys/new", name="laptop")

    assert made.status_code == 201
    assert "rbee_home_" in made.content.decode()
    rebound = Client(headers={"host": "evil.example:7833"})
    assert rebound.get("/dashboard/keys").status_code == 302
    assert (
        Client(headers={"host": HOST, "sec-fetch-site": "cross-site"}).get("/dashboard/keys").status_code
        == 302
    )
    assert django_settings.RBEE.mode == "home"


def test_pages_of_accounts_have_the_same_frame(operator: Api) -> None:
    browser = browser_of(make_project().tenant, "owner")

    for path in ("/accounts/email/", "/accounts/2fa/", "/accounts/password/change/", "/accounts/logout/"):
        answer = browser.get(path)
        assert answer.status_code == 200, path
        assert b"/static/rbee/rbee.css" in answer.content, path
    assert b"/static/rbee/rbee.css" in Browser().get("/accounts/login/").content
