from __future__ import annotations

import hashlib
import re

import pytest

from gdpr.consent_models import Consent
from gdpr.pseudonyms import subject_pseudonym
from gdpr.scope import colony_tx
from tenants.domain.consents import ACCOUNT, add_consent_text
from tenants.models import Plan, Tenant
from tests.factories.tenants import TESTER, agree, make_member, make_project, unique
from tests.inference.conftest import Api, audit_events
from tests.rbee.dashboard.browser import Browser, Form, browser_of, text_of

PAGE = "/dashboard/consents"
ANSWER = f"{PAGE}/answer"


@pytest.fixture
def tenant(operator: Api) -> Tenant:
    return make_project().tenant


@pytest.fixture
def purpose() -> str:
    """Of the operator's texts, which all tenants see: one that no other test has."""
    return unique("purpose").replace("-", "_")


def add(text: str, purpose: str, tenant: Tenant | None = None, locale: str = "en") -> None:
    add_consent_text(
        tenant_id=tenant.id if tenant else None, purpose=purpose, locale=locale, text=text, actor=TESTER
    )


def answers(tenant: Tenant, subject: str = ACCOUNT) -> list[tuple[str, bool, str]]:
    with colony_tx("tests"):
        found = Consent.objects.filter(tenant_id=tenant.id, subject=subject).order_by("id")
        return [(one.purpose, one.is_given, one.text_sha256) for one in found]


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def card(browser: Browser, purpose: str, page: str = PAGE) -> str:
    """What the page has of one purpose."""
    sections = browser.get(page).content.decode().split("<section")
    (found,) = [one for one in sections if f'id="purpose-{purpose}"' in one]
    return found


def press(browser: Browser, purpose: str, answer: str, page: str = PAGE, which: int = 0):  # type: ignore[no-untyped-def]
    """A button of that purpose's."""
    forms = re.findall(
        rf'<form method="post".*?value="{answer}".*?</form>', card(browser, purpose, page), re.DOTALL
    )
    return browser.resend(ANSWER, {**Form(forms[which]).fields, "answer": answer})


@pytest.mark.parametrize("role", ["admin", "developer", "billing", "viewer", "auditor"])
def test_who_is_not_in_charge_sees_and_answers_nothing(tenant: Tenant, role: str, purpose: str) -> None:
    add("You may.", purpose)
    browser = browser_of(tenant, role)
    sent = {"csrfmiddlewaretoken": browser.fields("/accounts/email/")["csrfmiddlewaretoken"]}

    assert browser.get(PAGE).status_code == 403
    assert browser.get(f"{PAGE}/of/{'a' * 32}").status_code == 403
    assert browser.resend(ANSWER, {**sent, "purpose": purpose, "answer": "give"}).status_code == 403
    assert browser.resend(f"{PAGE}/find", {**sent, "subject": "u"}).status_code == 403
    assert answers(tenant) == []
    assert PAGE not in browser.get("/dashboard/privacy").content.decode()


@pytest.mark.parametrize("role", ["owner", "dpo"])
def test_one_click_gives_and_one_withdraws(tenant: Tenant, role: str, purpose: str) -> None:
    add("You may process what we send.", purpose)
    browser = browser_of(tenant, role)
    assert "You may process what we send." in card(browser, purpose)
    assert "not asked" in card(browser, purpose)

    assert press(browser, purpose, "give").headers["location"] == PAGE
    assert "given" in card(browser, purpose)
    press(browser, purpose, "withdraw")

    assert "withdrawn" in card(browser, purpose)
    text = sha("You may process what we send.")
    assert answers(tenant) == [(purpose, True, text), (purpose, False, text)]
    history = text_of(browser.get(PAGE)).partition("History")[2]
    assert history.index("withdrawn you") < history.index("given you")
    assert audit_events("consent.")[-2:] == ["consent.given", "consent.withdrawn"]


def test_newer_version_is_told_and_agreed_to(tenant: Tenant, purpose: str) -> None:
    add("First.", purpose)
    browser = browser_of(tenant, "dpo")
    press(browser, purpose, "give")
    add("Second.", purpose)
    add("Deutsch.", purpose, locale="de")

    shown = card(browser, purpose)
    assert "There is a newer version." in shown
    assert "to version 1 in en" in shown
    press(browser, purpose, "give")

    assert "There is a newer version." not in card(browser, purpose)
    press(browser, purpose, "give")  # what is left is the other language
    assert [text for _, _, text in answers(tenant)] == [sha(one) for one in ("First.", "Second.", "Deutsch.")]


def test_text_that_was_shown_is_what_is_agreed_to(tenant: Tenant, purpose: str) -> None:
    add("Shown.", purpose)
    browser = browser_of(tenant, "dpo")
    left_open = Form(card(browser, purpose)).fields
    add("Written meanwhile.", purpose)

    browser.resend(ANSWER, {**left_open, "answer": "give"})

    assert answers(tenant) == [(purpose, True, sha("Shown."))]


def test_what_is_needed_is_said_and_comes_first(tenant: Tenant, purpose: str) -> None:
    add("Another.", f"a{purpose}"[:60])
    add("Needed.", purpose)
    with colony_tx("tests"):
        Plan.objects.filter(id=tenant.plan_id).update(required_consents=[purpose, "unwritten"])
    browser = browser_of(tenant, "owner")

    shown = text_of(browser.get(PAGE))

    assert shown.index(f"{purpose} not asked needed") < shown.index(f"a{purpose}"[:60])
    assert "There is no text for this yet" in shown
    press(browser, purpose, "give")
    assert "Without it requests are refused." in card(browser, purpose)


def test_end_user_is_found_by_name_and_shown_by_pseudonym(tenant: Tenant) -> None:
    add("End users may.", "chat", tenant)
    subject = subject_pseudonym(tenant.id.hex, "ada@example.com")
    agree(tenant, "chat", subject, text="End users may.")
    browser = browser_of(tenant, "dpo")

    found = browser.send(f"{PAGE}/find", page=PAGE, subject="ada@example.com")

    page = found.headers["location"]
    assert (found.status_code, page) == (303, f"{PAGE}/of/{subject}")
    assert "ada@example.com" not in browser.get(page).content.decode()
    assert press(browser, "chat", "withdraw", page).headers["location"] == page
    assert [given for _, given, _ in answers(tenant, subject)] == [True, False]
    assert answers(tenant) == []
    assert browser.send(f"{PAGE}/find", page=PAGE).status_code == 400


def test_end_user_of_another_tenant_is_as_one_that_nobody_knows(tenant: Tenant) -> None:
    other = make_project().tenant
    theirs = subject_pseudonym(other.id.hex, "u")
    agree(other, "chat", theirs)
    browser = browser_of(tenant, "dpo")

    foreign, absent = (browser.get(f"{PAGE}/of/{one}") for one in (theirs, "a" * 32))

    assert (foreign.status_code, absent.status_code) == (200, 200)
    assert text_of(foreign).replace(theirs, "") == text_of(absent).replace("a" * 32, "")
    assert "Nobody has answered yet" in text_of(foreign)
    assert browser.get(f"{PAGE}/of/nobody").status_code == 404


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ({"answer": "give", "purpose": "no_such_purpose"}, "There is no text for no_such_purpose"),
        ({"answer": "withdraw", "purpose": "no_such_purpose"}, "There never was a consent to this"),
        ({"answer": "perhaps", "purpose": "x"}, "no answer to any purpose"),
        ({"answer": "give", "purpose": "x", "subject": "Ada"}, "no answer to any purpose"),
    ],
)
def test_answer_to_nothing_is_told_and_changes_nothing(
    tenant: Tenant, sent: dict[str, str], says: str
) -> None:
    browser = browser_of(tenant, "dpo")
    fields = {"csrfmiddlewaretoken": browser.fields(PAGE)["csrfmiddlewaretoken"], **sent}

    assert browser.resend(ANSWER, fields).status_code == 303
    assert says in text_of(browser.get(PAGE))
    assert answers(tenant) == []


def test_history_goes_on_with_older_answers(tenant: Tenant) -> None:
    from tenants.domain.consents import give_consent, withdraw_consent

    add("Yes.", "chat", tenant)
    for _ in range(26):
        give_consent(tenant.id, purpose="chat", actor=TESTER)
        withdraw_consent(tenant.id, purpose="chat", actor=TESTER)
    browser = Browser(make_member(tenant, "owner").user)

    first = browser.get(PAGE).content.decode()
    older = re.search(r'href="(\?[^"]*)">Older', first)[1]

    assert browser.get(PAGE + older).content.decode().count('scope="row"') == 2
