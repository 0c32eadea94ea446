"""Exports and erasures in the browser: who may ask for what, and what they are shown of it."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.http import HttpResponse
from django.utils import timezone

from gdpr.domain import signing
from gdpr.domain.requests import work_requests
from gdpr.request_models import DataRequest
from gdpr.scope import colony_tx
from rbee_cli.documents import checked_document
from tenants.enums import Role
from tenants.models import Member, Tenant, User
from tests.factories.tenants import make_key, make_member, make_project, make_user
from tests.inference.conftest import Api, audit_events
from tests.rbee.dashboard.browser import Browser, browser_of, text_of

PAGE = "/dashboard/privacy"
IN_CHARGE = ("owner", "dpo")
OTHERS = ("admin", "developer", "billing", "viewer", "auditor")


@pytest.fixture(autouse=True)
def data_dir(operator: Api, tmp_path: Path) -> Iterator[Path]:
    before = django_settings.RBEE
    django_settings.RBEE = dataclasses.replace(before, data_dir=tmp_path, grace_subject_days=7)
    yield tmp_path
    django_settings.RBEE = before


@pytest.fixture
def tenant() -> Tenant:
    return make_project().tenant


def logged_in(user: User) -> Browser:
    """Just now, by a password: an erasure asks for that."""
    browser = Browser()
    assert browser.log_in(user).status_code == 302
    return browser


def export(browser: Browser, whose: str, **fields: str) -> str:
    """Where it is shown."""
    answer = browser.send(f"{PAGE}/export/{whose}", page=PAGE, **fields)
    assert answer.status_code == 303, text_of(answer)
    return str(answer.headers["location"])


def erase(browser: Browser, whose: str, **fields: str) -> str:
    answer = browser.send(f"{PAGE}/erase/{whose}", **fields)
    assert answer.status_code == 303, text_of(answer)
    return str(answer.headers["location"])


def token(browser: Browser) -> dict[str, str]:
    return {"csrfmiddlewaretoken": browser.fields("/accounts/email/")["csrfmiddlewaretoken"]}


def content(answer: HttpResponse) -> bytes:
    return b"".join(answer.streaming_content)


def over(page: str) -> None:
    """Its grace."""
    with colony_tx("tests"):
        found = DataRequest.objects.filter(id=page.rpartition("/")[2])
        before = timezone.now() - timedelta(seconds=1)
        found.update(next_at=before, grace_until=before)


def requests_of(tenant: Tenant) -> list[DataRequest]:
    with colony_tx("tests"):
        return list(DataRequest.objects.filter(tenant_id=tenant.id))


@pytest.mark.parametrize("role", [*IN_CHARGE, *OTHERS])
def test_everybody_sees_their_account_and_who_is_in_charge_the_tenant(tenant: Tenant, role: str) -> None:
    browser = browser_of(tenant, role)

    shown = text_of(browser.get(PAGE))

    assert "Export my data" in shown
    assert "Nobody has asked for anything yet" in shown
    assert (f"Export {tenant.slug}" in shown) == (role in IN_CHARGE)
    assert ("Erase an end user" in shown) == (role in IN_CHARGE)
    assert (f"Delete {tenant.slug}" in shown) == (role == "owner")


@pytest.mark.parametrize("role", OTHERS)
def test_form_of_who_is_not_in_charge_is_refused(tenant: Tenant, role: str) -> None:
    browser = logged_in(make_member(tenant, role).user)
    sent = {**token(browser), "subject": "u", "confirm": "u"}

    for path in ("export/tenant", "export/subject", "erase/tenant", "erase/subject"):
        assert browser.resend(f"{PAGE}/{path}", sent).status_code == 403, path
    assert browser.get(f"{PAGE}/erase/subject").status_code == 403
    assert browser.resend(f"{PAGE}/export/nobody", sent).status_code == 404
    assert requests_of(tenant) == []


def test_data_protection_officer_ends_no_tenant(tenant: Tenant) -> None:
    browser = logged_in(make_member(tenant, "dpo").user)

    answers = [
        browser.get(f"{PAGE}/erase/tenant"),
        browser.resend(f"{PAGE}/erase/tenant", {**token(browser), "confirm": tenant.slug}),
    ]

    assert [one.status_code for one in answers] == [403, 403]
    assert requests_of(tenant) == []


def test_export_of_ones_account_is_made_and_downloaded(tenant: Tenant) -> None:
    user = make_member(tenant, "viewer").user
    browser = Browser(user)
    page = export(browser, "person", format="json")
    waiting = browser.get(page)
    assert (waiting.status_code, "made in the background" in text_of(waiting)) == (200, True)
    assert 'hx-trigger="every 2s"' in waiting.content.decode()
    early = browser.get(f"{page}/content")
    assert (early.status_code, early.headers["location"]) == (303, page)
    assert export(browser, "person", format="json") == page  # the same one

    work_requests(60)

    ready = browser.get(page)
    assert "Download the archive" in text_of(ready)
    assert "every 2s" not in ready.content.decode()
    answer = browser.get(f"{page}/content")
    assert 'filename="rbee-export-' in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(content(answer))) as archive:
        assert json.loads(archive.read("json/tenants.User.json"))[0]["email"] == user.email
        checked_document(json.loads(archive.read("manifest.json")), signing.public_key())
    listed = text_of(browser.get(PAGE))
    assert re.search(r"Export your account you \S+ \S+ \S+ \S+ ready", listed)
    assert audit_events("gdpr.") == ["gdpr.export.requested", "gdpr.export.ready", "gdpr.export.downloaded"]


def test_archive_that_expired_is_gone_and_said_to_be(tenant: Tenant) -> None:
    from gdpr.domain.exports import expire_exports

    browser = browser_of(tenant, "dpo")
    page = export(browser, "tenant")
    work_requests(60)
    with colony_tx("tests"):
        DataRequest.objects.update(expires_at=timezone.now())
    expire_exports()

    assert browser.get(f"{page}/content").status_code == 303
    assert "The archive is gone" in text_of(browser.get(page))


def test_requests_are_listed_with_who_asked(tenant: Tenant) -> None:
    dpo, owner = make_member(tenant, "dpo").user, make_member(tenant, "owner").user
    export(Browser(dpo), "subject", subject="ada@example.com")
    export(Browser(owner), "person")

    shown = text_of(Browser(owner).get(PAGE))

    assert f"of {tenant.slug} {dpo.email}" in shown
    assert "your account you" in shown
    assert "ada@example.com" not in shown
    assert "your account" not in text_of(Browser(dpo).get(PAGE)).partition("Requests")[2]
    assert "None" not in shown
    assert "There is none of that kind" in text_of(Browser(owner).get(PAGE, kind="erasure"))
    assert "your account you" in text_of(Browser(owner).get(PAGE, kind="export"))
    assert Browser(owner).get(PAGE, cursor="nonsense").status_code == 400


def test_list_goes_on_with_older_requests(tenant: Tenant) -> None:
    browser = browser_of(tenant, "dpo")
    for number in range(21):
        export(browser, "subject", subject=f"user {number}")

    first = browser.get(PAGE).content.decode()
    older = re.search(r'href="(\?[^"]*)">Older', first)[1].replace("&amp;", "&")

    assert first.count('scope="row"') == 20
    assert browser.get(PAGE + older).content.decode().count('scope="row"') == 1


def test_end_user_needs_a_name(tenant: Tenant) -> None:
    browser = browser_of(tenant, "dpo")

    answer = browser.send(f"{PAGE}/export/subject", page=PAGE)

    assert (answer.status_code, 'id="subject-subject_error"' in answer.content.decode()) == (400, True)
    assert requests_of(tenant) == []


def test_requests_of_others_are_not_there(tenant: Tenant) -> None:
    stranger, member = logged_in(make_member(role="owner").user), browser_of(tenant, "viewer")
    owner = logged_in(make_member(tenant, "owner").user)
    exported, erased = export(owner, "tenant"), erase(owner, "subject", subject="u", confirm="u")
    nowhere = f"{PAGE}/requests/01920000-0000-7000-8000-000000000000"

    for browser in (stranger, member):
        for page in (exported, erased, nowhere):
            assert browser.get(page).status_code == 404
            assert browser.get(f"{page}/content").status_code == 404
            assert browser.get(f"{page}/certificate").status_code == 404
            assert browser.resend(f"{page}/take-back", token(browser)).status_code == 404
        assert "Nobody has asked" in text_of(browser.get(PAGE))
    assert owner.get(erased).status_code == 200


def test_who_is_in_charge_no_more_has_no_hand_in_what_they_asked_for(tenant: Tenant) -> None:
    user = make_member(tenant, "dpo").user
    browser = logged_in(user)
    exported, erased = export(browser, "tenant"), erase(browser, "subject", subject="u", confirm="u")
    with colony_tx("tests"):
        Member.objects.filter(user=user).update(role=Role.VIEWER)
    work_requests(60)

    assert browser.get(exported).status_code == 404
    assert browser.get(f"{exported}/content").status_code == 404
    assert browser.resend(f"{erased}/take-back", token(browser)).status_code == 404


def test_erasure_says_before_what_goes_and_what_stays(tenant: Tenant) -> None:
    browser = logged_in(make_member(tenant, "owner").user)

    person, whole, subject = (
        text_of(browser.get(f"{PAGE}/erase/{whose}")) for whose in ("person", "tenant", "subject")
    )

    assert "account_emailaddress" in person
    assert "billing_billingaccount without email" in person
    assert "7 calendar years, Art. 17(3)(b) and (e) GDPR" in person
    assert "10 calendar years" in whole
    assert "tenants_webhookendpoint" in whole
    assert "billing_usageevent without subject, receipt, signature" in subject
    assert "For 7 days it can be taken back" in subject
    django_settings.RBEE = dataclasses.replace(django_settings.RBEE, grace_subject_days=0)
    assert "begins at once and cannot" in text_of(browser.get(f"{PAGE}/erase/subject"))


@pytest.mark.parametrize(
    ("whose", "fields", "field"),
    [
        ("person", {"confirm": "somebody@example.org"}, "confirm"),
        ("person", {"confirm": ""}, "confirm"),
        ("tenant", {"confirm": "another"}, "confirm"),
        ("subject", {"subject": "ada", "confirm": "eve"}, "confirm"),
        ("subject", {"subject": "", "confirm": ""}, "subject"),
    ],
)
def test_erasure_takes_the_typed_name(tenant: Tenant, whose: str, fields: dict[str, str], field: str) -> None:
    browser = logged_in(make_member(tenant, "owner").user)

    answer = browser.send(f"{PAGE}/erase/{whose}", **fields)

    assert answer.status_code == 400
    assert f'id="id_{field}_error"' in answer.content.decode()
    assert audit_events("gdpr.") == []


def test_erasure_takes_a_recent_login(tenant: Tenant) -> None:
    user = make_member(tenant, "owner").user
    browser = Browser(user)  # has a session, and no memory of a password

    answers = [
        browser.get(f"{PAGE}/erase/subject"),
        browser.resend(f"{PAGE}/erase/subject", {**token(browser), "subject": "u", "confirm": "u"}),
    ]

    for answer in answers:
        assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (
            303,
            "/accounts/reauthenticate/",
        )
    assert requests_of(tenant) == []
    back = browser.send(answers[0].headers["location"], password="correct horse battery")
    assert back.headers["location"] == f"{PAGE}/erase/subject"
    assert browser.get(f"{PAGE}/erase/subject").status_code == 200


def test_account_is_deleted_taken_back_and_deleted_for_good(tenant: Tenant) -> None:
    user = make_member(tenant, "viewer").user
    browser = logged_in(user)
    page = erase(browser, "person", confirm=user.email.upper())
    assert "can be taken back" in text_of(browser.get(page))
    assert "Your account is deleted on" in text_of(browser.get(PAGE))
    assert erase(browser, "person", confirm=user.email) == page  # one at a time

    back = browser.send(f"{page}/take-back", page=page)
    assert (back.status_code, "taken back" in text_of(browser.get(page))) == (303, True)
    assert "Delete my account" in text_of(browser.get(PAGE))
    again = erase(browser, "person", confirm=user.email)
    left_open = browser.fields(again)
    over(again)
    work_requests(60)

    assert browser.get(again).status_code == 302  # who it was is logged in no more
    assert browser.resend(f"{again}/take-back", left_open).status_code in {302, 403}
    with colony_tx("tests"):
        assert not User.objects.filter(id=user.id).exists()
        assert DataRequest.objects.get(id=again.rpartition("/")[2]).state == "erased"


def test_owner_is_told_to_let_the_tenant_go_first(tenant: Tenant) -> None:
    user = make_member(tenant, "owner").user

    answer = logged_in(user).send(f"{PAGE}/erase/person", confirm=user.email)

    assert (answer.status_code, f"You own {tenant.slug}" in text_of(answer)) == (409, True)


def test_end_user_is_erased_and_certified(tenant: Tenant) -> None:
    browser = logged_in(make_member(tenant, "dpo").user)
    page = erase(browser, "subject", subject=" Ada ", confirm=" Ada ")
    assert browser.get(f"{page}/certificate").headers["location"] == page
    left_open = browser.fields(page)
    over(page)
    about_to_begin = browser.get(page).content.decode()
    assert ("every 2s" in about_to_begin, "take-back" in about_to_begin) == (True, False)

    work_requests(60)

    shown = text_of(browser.get(page))
    assert "Looked through afterwards: vault" in shown
    assert "Download the certificate" in shown
    answer = browser.get(f"{page}/certificate")
    certificate = checked_document(json.loads(answer.content), signing.public_key())
    assert certificate["request"] == page.rpartition("/")[2]
    late = browser.resend(f"{page}/take-back", left_open)
    assert (late.status_code, "cannot be taken back" in text_of(browser.get(page))) == (303, True)


def test_tenant_is_deleted_and_restored_by_its_owner(tenant: Tenant) -> None:
    browser = logged_in(make_member(tenant, "owner").user)

    page = erase(browser, "tenant", confirm=tenant.slug)

    assert f"{tenant.slug} is deleting" in text_of(browser.get(page))
    assert browser.send(f"{page}/take-back", page=page).status_code == 303
    with colony_tx("tests"):
        assert Tenant.objects.get(id=tenant.id).status == "active"
    assert audit_events("tenant.")[-2:] == ["tenant.deleted", "tenant.restored"]


def test_failed_request_says_so(tenant: Tenant) -> None:
    browser = browser_of(tenant, "dpo")
    page = export(browser, "tenant")
    with colony_tx("tests"):
        DataRequest.objects.update(state="failed", error="OSError")

    assert "waits for the operator" in text_of(browser.get(page))


def test_person_of_no_tenant_has_their_account_all_the_same() -> None:
    user = make_user()
    browser = Browser(user)

    page = export(browser, "person")

    assert "Export of your account" in text_of(browser.get(page))
    assert "An end user of yours" not in text_of(browser.get(PAGE))
    assert browser.resend(f"{PAGE}/export/tenant", token(browser)).status_code == 403


def test_at_home_whoever_is_on_this_machine_is_in_charge_and_has_no_account(home: Api) -> None:
    browser = Browser()
    browser.client.defaults["REMOTE_ADDR"] = "127.0.0.1"

    shown = text_of(browser.get(PAGE))

    assert "Export home" in shown
    assert "Delete home" not in shown  # the operator's own
    assert "Export my data" not in shown
    assert "Export of all of home" in text_of(browser.get(export(browser, "tenant")))
    assert browser.resend(f"{PAGE}/export/person", browser.fields(PAGE)).status_code == 403


def test_operators_people_see_requests_of_their_own_tenant_only(tenant: Tenant) -> None:
    with colony_tx("tests"):
        operators = Tenant.objects.get(slug="operator")
    page = export(browser_of(tenant, "dpo"), "tenant")
    browser = browser_of(operators, "owner")

    assert browser.get(page).status_code == 404
    assert tenant.slug not in text_of(browser.get(PAGE))


def test_keys_open_none_of_it(tenant: Tenant) -> None:
    _, secret = make_key(scopes=["gdpr"])

    assert Browser(authorization=f"Bearer {secret}").get(PAGE).status_code == 302
