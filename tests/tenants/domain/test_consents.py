from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from django.db import DatabaseError, connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gdpr.consent_models import Consent
from gdpr.domain.audit import Actor
from gdpr.models import AuditEntry
from gdpr.scope import tenant_tx
from tenants.domain.authentication import find_caller
from tenants.domain.consents import (
    ConsentRefused,
    NoConsent,
    add_consent_text,
    give_consent,
    last_answers,
    withdraw_all_consents,
    withdraw_consent,
)
from tenants.models import Tenant
from tests.factories.tenants import TESTER, agree, make_key, make_plan, make_project, make_tenant

PURPOSES = ("data_processing", "health_data")
WHO = Actor.key("3kTMd9qZ01ab")


def add_texts(tenant: Tenant) -> None:
    for purpose in PURPOSES:
        add_consent_text(
            tenant_id=tenant.id, purpose=purpose, locale="en", text=f"Yes to {purpose}", actor=TESTER
        )


def in_force(tenant: Tenant, subject: str = "") -> set[str]:
    with tenant_tx(tenant.id):
        return {answer.purpose for answer in last_answers(subject) if answer.is_given}


@pytest.mark.django_db
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from(["", "a" * 32]), st.sampled_from(PURPOSES)), max_size=12
    )
)
def test_the_last_answer_holds_for_each_purpose_and_person(steps: list[tuple[bool, str, str]]) -> None:
    tenant = make_tenant()
    add_texts(tenant)
    held: dict[str, set[str]] = {"": set(), "a" * 32: set()}
    answered: set[tuple[str, str]] = set()
    changes = 0
    for is_given, subject, purpose in steps:
        was_held = purpose in held[subject]
        if is_given:
            give_consent(tenant.id, subject=subject, purpose=purpose, actor=WHO)
            held[subject].add(purpose)
        elif (subject, purpose) in answered:
            withdraw_consent(tenant.id, subject=subject, purpose=purpose, actor=WHO)
            held[subject].discard(purpose)
        else:
            with pytest.raises(NoConsent):
                withdraw_consent(tenant.id, subject=subject, purpose=purpose, actor=WHO)
            continue
        answered.add((subject, purpose))
        changes += was_held != is_given
        assert {who: in_force(tenant, who) for who in held} == held
    with tenant_tx(tenant.id):
        assert Consent.objects.count() == changes  # what was so already is not written again
        assert AuditEntry.objects.filter(event__in=("consent.given", "consent.withdrawn")).count() == changes


@pytest.mark.django_db
def test_an_answer_has_its_proof() -> None:
    tenant = make_tenant()
    text = add_consent_text(tenant_id=tenant.id, purpose="health_data", locale="de", text="Ja.", actor=TESTER)

    given_to = give_consent(tenant.id, subject="b" * 32, purpose="health_data", actor=WHO)

    assert (given_to.text_sha256, given_to.locale, given_to.actor, given_to.number) == (
        text.sha256,
        "de",
        str(WHO),
        1,
    )
    with tenant_tx(tenant.id):
        entry = AuditEntry.objects.get(event="consent.given")
    assert (entry.object_ref, entry.details["text_sha256"]) == (f"subject:{'b' * 32}", text.sha256)


@pytest.mark.django_db
def test_a_new_text_is_a_version_and_consent_names_the_one_that_was_shown() -> None:
    tenant = make_tenant()
    first, again, second = (
        add_consent_text(tenant_id=tenant.id, purpose="health_data", locale="en", text=text, actor=TESTER)
        for text in ("One.", "One.", "Two.")
    )
    operators = add_consent_text(
        tenant_id=None, purpose="health_data", locale="en", text="Ours.", actor=TESTER
    )
    add_consent_text(
        tenant_id=make_tenant().id, purpose="marketing", locale="en", text="Theirs.", actor=TESTER
    )

    assert (first.number, again.id, second.number) == (1, first.id, 2)
    assert give_consent(tenant.id, purpose="health_data", actor=WHO).text_sha256 == second.sha256
    named = give_consent(tenant.id, purpose="health_data", text_sha256=first.sha256, actor=WHO)
    assert (named.text_sha256, named.number) == (first.sha256, 2)
    assert give_consent(make_tenant().id, purpose="health_data", actor=WHO).text_sha256 == operators.sha256
    for wrong in ({"purpose": "marketing"}, {"purpose": "health_data", "text_sha256": "0" * 64},
                  {"purpose": "health_data", "locale": "fr"}):  # fmt: skip
        with pytest.raises(ConsentRefused):
            give_consent(tenant.id, actor=WHO, **wrong)


@pytest.mark.django_db
def test_all_are_withdrawn_in_one_call() -> None:
    tenant = make_tenant()
    for purpose in PURPOSES:
        agree(tenant, purpose, "c" * 32)
        agree(tenant, purpose)

    withdrawn = withdraw_all_consents(tenant.id, subject="c" * 32, actor=WHO)

    assert {answer.purpose for answer in withdrawn} == set(PURPOSES)
    assert in_force(tenant, "c" * 32) == set()
    assert in_force(tenant) == set(PURPOSES)


def test_who_answers_at_once_answers_one_after_the_other(committed_db: None) -> None:
    tenant = make_tenant()
    add_texts(tenant)

    def answer(number: int) -> None:
        try:
            if number % 2:
                give_consent(tenant.id, purpose=PURPOSES[0], actor=WHO)
            else:
                withdraw_consent(tenant.id, purpose=PURPOSES[0], actor=WHO)
        except NoConsent:
            pass
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(answer, range(24)))

    with tenant_tx(tenant.id):
        answers = list(Consent.objects.order_by("number").values_list("number", "is_given"))
    assert [number for number, _ in answers] == list(range(1, len(answers) + 1))
    assert all(before != after for (_, before), (_, after) in itertools.pairwise(answers))


@pytest.mark.parametrize("change", ["UPDATE gdpr_consent SET is_given = true", "DELETE FROM gdpr_consent",
                                    "UPDATE gdpr_consenttext SET text = 'x'", "TRUNCATE gdpr_consent"])  # fmt: skip
def test_no_answer_is_overwritten(committed_db: None, change: str) -> None:
    tenant = make_tenant()
    agree(tenant)

    with pytest.raises(DatabaseError), tenant_tx(tenant.id), connection.cursor() as cursor:
        cursor.execute(change)


@pytest.mark.django_db
def test_caller_knows_what_the_tenant_has_agreed_to() -> None:
    plan = make_plan(required_consents=["data_processing", "health_data"])
    tenant, other = make_tenant(plan=plan), make_tenant(plan=plan, required_consents=[])
    keys = {one.id: make_key(make_project(one))[1] for one in (tenant, other)}

    def seen(of: UUID) -> tuple[bool, tuple[str, ...]]:
        caller = find_caller(keys[of])
        assert caller is not None
        return caller.gdpr_consent, caller.missing_consents

    assert seen(tenant.id) == (False, ("data_processing", "health_data"))
    assert seen(other.id) == (False, ())  # nothing is required, and it has agreed to nothing
    agree(tenant, "data_processing")
    agree(tenant, "health_data", "d" * 32)  # of an end user
    assert seen(tenant.id) == (False, ("health_data",))
    agree(tenant, "health_data")
    agree(other)
    assert seen(tenant.id) == seen(other.id) == (True, ())
    withdraw_consent(tenant.id, purpose="data_processing", actor=WHO)
    assert seen(tenant.id) == (False, ("data_processing",))
