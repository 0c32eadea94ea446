from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.utils import timezone

from billing.domain.settlement import settle
from gdpr.pool import Pool
from gdpr.scope import colony_tx
from gdpr.secrets import unseal
from tenants.models import Alert, ApiKey, KeptAnswer, Project
from tests.factories.billing import make_price, make_settlement
from tests.factories.tenants import make_key, make_project
from tests.inference.conftest import Api, audit_events
from tests.rbee.dashboard.browser import Browser, browser_of, text_of

SECRET = re.compile(r"rbee_live_\w{20,}")
WRITERS, READERS, NEITHER = ("owner", "admin", "developer"), ("viewer",), ("billing", "dpo")


@pytest.fixture
def project(operator: Api) -> Project:
    return make_project()


def row(key: ApiKey) -> ApiKey:
    with colony_tx("tests"):
        return ApiKey.objects.get(id=key.id)


def page(key: ApiKey, action: str = "") -> str:
    return f"/dashboard/keys/{key.id}" + (f"/{action}" if action else "")


def made(browser: Browser, **fields: Any):  # type: ignore[no-untyped-def]
    return browser.send("/dashboard/keys/new", **{"name": "app", **fields})


@pytest.mark.parametrize("role", WRITERS)
def test_who_writes_makes_a_key_that_works(project: Project, role: str) -> None:
    answer = made(browser_of(project.tenant, role), name="my app")

    assert answer.status_code == 201
    secret = SECRET.search(answer.content.decode())[0]
    with colony_tx("tests"):
        key = ApiKey.objects.get(name="my app", tenant=project.tenant)
    assert secret.startswith(f"rbee_live_{key.kid}_")
    assert Api(secret).get("keys").status_code == 403  # it is a key, and for inference
    assert audit_events("key.") == ["key.issued", "key.issued"]
    assert key.scopes == ["inference"]


@pytest.mark.parametrize("role", [*READERS, *NEITHER])
def test_who_does_not_write_changes_nothing(project: Project, role: str) -> None:
    key, _ = make_key(project)
    browser = browser_of(project.tenant, role)
    token = {"csrfmiddlewaretoken": browser.fields("/accounts/email/")["csrfmiddlewaretoken"]}

    assert browser.get("/dashboard/keys").status_code == (200 if role in READERS else 403)
    assert browser.get(page(key)).status_code == (200 if role in READERS else 403)
    for path in ("/dashboard/keys/new", page(key, "rotate"), page(key, "revoke"), page(key, "leaked")):
        assert browser.get(path).status_code == 403, path
    for path in (
        "/dashboard/keys/new",
        page(key),
        page(key, "rotate"),
        page(key, "revoke"),
        page(key, "leaked"),
    ):
        answer = browser.resend(path, {**token, "name": "mine", "once": "x", "overlap": "0"})
        assert (answer.status_code, f"Your role here, {role}" in text_of(answer)) == (403, True), path
    assert (row(key).name, row(key).revoked_at, row(key).kid) == ("a key", None, key.kid)
    if role in READERS:
        assert "Make a key" not in text_of(browser.get("/dashboard/keys"))
        assert "Revoke" not in text_of(browser.get(page(key)))


def test_secret_is_shown_once_and_kept_nowhere(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    browser = browser_of(project.tenant, "developer")
    fields = {**browser.fields("/dashboard/keys/new"), "name": "once"}

    first = browser.resend("/dashboard/keys/new", fields)
    again = browser.resend("/dashboard/keys/new", fields)

    secret = SECRET.search(first.content.decode())[0]
    assert first.headers["cache-control"] == "no-store"
    assert f"Authorization: Bearer {secret}" in first.content.decode().replace("&quot;", '"')
    assert (again.status_code, "done before" in text_of(again)) == (200, True)
    with colony_tx("tests"):
        (key,) = ApiKey.objects.filter(name="once")
        kept = [bytes(one.answer_sealed) for one in KeptAnswer.objects.all()]
    places = [again.content, browser.get("/dashboard/keys").content, browser.get(page(key)).content]
    places += [session.session_data.encode() for session in Session.objects.all()]
    places += [
        str(browser.client.session.items()).encode(),
        caplog.text.encode(),
        str(browser.client.cookies).encode(),
    ]
    places += [str(cache.get(name)).encode() for name in (key.kid, str(key.id))]
    places += [unseal(sealed, "kept-answer").encode() for sealed in kept]
    assert [place for place in places if secret.encode() in place] == []


def test_form_that_was_sent_is_not_good_for_something_else(project: Project) -> None:
    browser = browser_of(project.tenant, "developer")
    fields = {**browser.fields("/dashboard/keys/new"), "name": "first"}
    browser.resend("/dashboard/keys/new", fields)

    answer = browser.resend("/dashboard/keys/new", {**fields, "name": "second"})

    assert (answer.status_code, "sent before" in text_of(answer)) == (409, True)
    assert made(browser, name="second").status_code == 201  # by the form of that answer, or a fresh one
    assert browser.resend("/dashboard/keys/new", {**fields, "once": ""}).status_code == 409


def test_all_that_may_be_said_of_a_key(project: Project) -> None:
    answer = made(
        browser_of(project.tenant, "admin"), name="all", scopes=["inference", "read"], allowed_models="llama-*\nrbee-mini",
        allowed_ips="192.0.2.7, 2001:db8::/32", expires_at="2099-01-31T12:30", budget_day="1.5", budget_month="25",
    )  # fmt: skip

    assert answer.status_code == 201, text_of(answer)
    with colony_tx("tests"):
        key = ApiKey.objects.get(name="all")
    assert key.scopes == ["inference", "read"]
    assert key.allowed_models == ["llama-*", "rbee-mini"]
    assert key.allowed_ips == ["192.0.2.7/32", "2001:db8::/32"]
    assert key.expires_at.isoformat() == "2099-01-31T12:30:00+00:00"
    assert key.limits["spend_micros"] == {"day": 1_500_000, "month": 25_000_000}


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("name", "", "required"),
        ("name", "x" * 201, "200"),
        ("name", "a\u0007b", "printable"),
        ("scopes", [], "required"),
        ("scopes", ["root"], "not one of"),
        ("scopes", ["manage"], "not one of"),  # more than who makes it may
        ("project", "no-such", "not one of"),
        ("allowed_models", "a b;c", "does not match"),
        ("allowed_ips", "everywhere", "192.0.2.7"),
        ("expires_at", "2001-01-01T00:00", "in the past"),
        ("expires_at", "tomorrow", "valid date"),
        ("budget_month", "-1", "greater than"),
        ("budget_day", "lots", "number"),
        ("value", "abc", "guessed"),
        ("value", "rbee_live_forged", "made by rbee"),
    ],
)
def test_mistake_is_told_beside_its_field(project: Project, field: str, value: Any, says: str) -> None:
    answer = made(browser_of(project.tenant, "developer"), **{"name": "mistaken", field: value})

    assert answer.status_code == 400
    problem = re.search(rf'id="id_{field}_error"[^>]*>([^<]*)<', answer.content.decode())
    assert problem, text_of(answer)
    assert says in problem[1]
    with colony_tx("tests"):
        assert not ApiKey.objects.filter(tenant=project.tenant).exists()


def test_value_brought_along_is_taken_and_never_repeated(project: Project) -> None:
    value = "sk-Zq81kLmN0pXw29vTbYcD"
    browser = browser_of(project.tenant, "developer")

    mistaken = made(browser, value=value, allowed_ips="nowhere")
    taken = made(browser, value=value)

    assert (mistaken.status_code, taken.status_code) == (400, 201)
    assert value not in mistaken.content.decode() + taken.content.decode()
    assert Api(value).get("keys").status_code == 403


def test_list_shows_what_a_key_is(project: Project) -> None:
    browser = browser_of(project.tenant, "viewer")
    assert "No keys yet" in text_of(browser.get("/dashboard/keys"))
    other = make_project(project.tenant)
    live, _ = make_key(
        project, name="live", allowed_models=["llama-*"], allowed_ips=["192.0.2.0/24"], budget={"month": 5_000_000},
        expires_at=timezone.now() + timedelta(days=3),
    )  # fmt: skip
    make_key(other, name="elsewhere")
    gone, _ = make_key(project, name="gone")
    with colony_tx("tests"):
        ApiKey.objects.filter(id=gone.id).update(revoked_at=timezone.now(), revoked_for="leaked")

    shown = text_of(browser.get("/dashboard/keys"))

    for said in (live.kid, live.last4, project.slug, "models: llama-*", "from: 192.0.2.0/24",
                 "0.00 EUR of 5.00 EUR this month", "ends soon", "never", "elsewhere"):  # fmt: skip
        assert said in shown, said
    assert gone.kid not in shown
    assert gone.kid in text_of(browser.get("/dashboard/keys", status="revoked"))
    assert live.kid in text_of(browser.get("/dashboard/keys", status="all"))
    assert live.kid not in text_of(browser.get("/dashboard/keys", project=other.slug))
    assert "No key is like that" in text_of(browser.get("/dashboard/keys", status="expired"))
    assert browser.get("/dashboard/keys", cursor="nonsense").status_code == 400


def test_list_goes_on_with_older_keys(project: Project) -> None:
    for number in range(52):
        make_key(project, name=f"key {number:02}")
    browser = browser_of(project.tenant, "viewer")

    first = browser.get("/dashboard/keys").content.decode()
    older = re.search(r'href="(\?[^"]*)">Older', first)[1].replace("&amp;", "&")

    assert "key 02" in first
    assert "key 01" not in first
    assert "key 01" in browser.get(f"/dashboard/keys{older}").content.decode()


async def test_budget_shows_what_the_books_say(pool: Pool) -> None:
    prices = {"prompt_tokens": 12_500_000_000, "completion_tokens": 18_750_000_000}  # for a million
    key, settlement = await sync_to_async(_spending)(prices)
    await settle(pool, [settlement])

    shown = await sync_to_async(lambda: text_of(browser_of(key.project.tenant, "viewer").get(page(key))))()

    assert "0.50 EUR of 2.00 EUR this day" in shown
    assert "25 %" in shown


def _spending(prices: dict[str, int]):  # type: ignore[no-untyped-def]
    project = make_project()
    key, _ = make_key(project, budget={"day": 2_000_000})
    return key, make_settlement(project, make_price(prices=prices), key_id=key.id.hex)


def test_change_keeps_what_was_left_as_it_is(project: Project) -> None:
    at = timezone.now() + timedelta(days=9)
    key, _ = make_key(project, name="before", expires_at=at, budget={"day": 7}, allowed_models=["a", "b"])
    browser = browser_of(project.tenant, "admin")

    answer = browser.send(page(key), name="after")

    assert (answer.status_code, answer.headers["location"]) == (303, page(key))
    after = row(key)
    assert (after.name, after.expires_at, after.allowed_models) == ("after", at, ["a", "b"])
    assert audit_events("limits.") == ["limits.changed"]  # when it was made, and not again
    browser.send(page(key), budget_day="", budget_month="3", expires_at="")
    after = row(key)
    assert (after.expires_at, after.limits["spend_micros"]) == (None, {"month": 3_000_000})


def test_developer_sees_budgets_and_does_not_change_them(project: Project) -> None:
    key, _ = make_key(project, budget={"day": 7})
    browser = browser_of(project.tenant, "developer")

    assert "budget_day" not in browser.fields(page(key))
    assert browser.send(page(key), name="x", budget_day="100").status_code == 303
    assert (row(key).name, row(key).limits["spend_micros"]) == ("x", {"day": 7})


def test_change_of_what_somebody_else_changed_meanwhile_is_not_made(project: Project) -> None:
    key, _ = make_key(project)
    ann, bob = browser_of(project.tenant, "admin"), browser_of(project.tenant, "admin")
    seen = ann.fields(page(key))
    bob.send(page(key), name="bob's")

    answer = ann.resend(page(key), {**seen, "name": "ann's"})

    assert (answer.status_code, row(key).name) == (409, "bob's")
    assert "Somebody has changed this" in text_of(answer)


def test_key_that_may_do_more_is_not_a_developers_to_take_over(project: Project) -> None:
    key, _ = make_key(project, scopes=["manage"])
    browser = browser_of(project.tenant, "developer")
    token = browser.fields("/dashboard/keys/new")

    assert "may do more than you" in text_of(browser.get(page(key)))
    assert browser.get(page(key, "rotate")).status_code == 403
    assert browser.resend(page(key), {**token, "name": "mine"}).status_code == 403
    assert browser.resend(page(key, "rotate"), {**token, "overlap": "0"}).status_code == 403
    assert (row(key).name, row(key).kid) == ("a key", key.kid)
    assert browser.send(page(key, "revoke")).status_code == 303  # ending it takes nothing over
    assert row(key).revoked_at is not None


def test_rotation_shows_the_other_value_once_and_is_done_once(project: Project) -> None:
    key, old = make_key(project, scopes=["read"])
    browser = browser_of(project.tenant, "admin")
    fields = {**browser.fields(page(key, "rotate")), "overlap": "3600"}

    first = browser.resend(page(key, "rotate"), fields)
    again = browser.resend(page(key, "rotate"), fields)

    fresh = SECRET.search(first.content.decode())[0]
    assert (first.status_code, again.status_code) == (201, 200)
    assert fresh not in again.content.decode()
    assert [Api(one).get("keys").status_code for one in (old, fresh)] == [200, 200]
    assert row(key).old_kid == key.kid
    assert audit_events("key.rotated") == ["key.rotated"]
    assert browser.send(page(key, "rotate"), overlap="31").status_code == 400


def test_revoking_says_first_what_it_means_and_is_for_good(project: Project) -> None:
    key, secret = make_key(project, scopes=["read"])
    browser = browser_of(project.tenant, "admin")

    asked = text_of(browser.get(page(key, "revoke")))
    assert "cannot be taken back" in asked
    assert Api(secret).get("keys").status_code == 200  # asking does nothing

    assert browser.send(page(key, "revoke")).status_code == 303
    assert Api(secret).get("keys").status_code == 401
    after = text_of(browser.get(page(key)))
    assert "revoked" in after
    assert "End it" not in after
    token = browser.fields("/dashboard/keys/new")
    assert browser.resend(page(key), {**token, "name": "again"}).status_code == 409
    assert browser.resend(page(key, "rotate"), {**token, "overlap": "0"}).status_code == 303
    assert row(key).name == "a key"


def test_leak_ends_the_key_and_raises_an_alert(project: Project) -> None:
    key, secret = make_key(project, scopes=["read"])

    browser_of(project.tenant, "developer").send(page(key, "leaked"))

    assert Api(secret).get("keys").status_code == 401
    assert row(key).revoked_for == "leaked"
    with colony_tx("tests"):
        alert = Alert.objects.get(tenant=project.tenant)
    assert (alert.kind, "A member of yours" in alert.message) == ("key_leaked", True)


def test_leak_of_the_old_value_leaves_the_other_one(project: Project) -> None:
    key, old = make_key(project, scopes=["read"])
    browser = browser_of(project.tenant, "admin")
    rotated = browser.send(page(key, "rotate"))
    fresh = SECRET.search(rotated.content.decode())[0]

    assert browser.send(page(key, "leaked")).status_code == 400  # it has to be said which
    browser.send(page(key, "leaked"), value="old")

    assert [Api(one).get("keys").status_code for one in (old, fresh)] == [401, 200]


def test_foreign_key_is_answered_as_one_that_is_not_there(project: Project) -> None:
    mine, _ = make_key(project)
    foreign, _ = make_key(make_project())
    browser = browser_of(project.tenant, "owner")
    fields = browser.fields(page(mine))
    normal = re.compile(rb'name="csrfmiddlewaretoken" value="[^"]*"')

    for action in ("", "/rotate", "/revoke", "/leaked"):
        for name in (foreign.id, foreign.kid):
            for ask in (browser.get, lambda path: browser.resend(path, {**fields, "overlap": "0"})):
                there = ask(f"/dashboard/keys/{name}{action}")
                absent = ask(f"/dashboard/keys/nothing{action}")
                assert there.status_code == absent.status_code == 404
                assert normal.sub(b"", there.content) == normal.sub(b"", absent.content)
    assert row(foreign).revoked_at is None
    assert row(foreign).kid == foreign.kid
