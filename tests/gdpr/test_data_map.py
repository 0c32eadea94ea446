from dataclasses import replace
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from billing.models import Invoice, Seller, UsageEvent
from gdpr import data_map
from gdpr.activities import ACTIVITIES
from gdpr.data_map import holding_of, holdings, plan
from gdpr.domain.audit import Actor, record
from gdpr.holding import DELETE, Action, Column, Erasure, Held, Identity, Whose, clear
from gdpr.models import AuditEntry
from gdpr.registry import PrivacyClass
from gdpr.scope import colony_tx
from inference.models import Decision
from tenants.models import ApiKey, Invitation, Member, Plan, Tenant, User
from tests.factories.tenants import make_member, make_tenant, make_user


def test_data_map_is_complete() -> None:
    assert data_map.findings() == []
    assert {each.held.activity for each in holdings()} <= set(ACTIVITIES)


@pytest.mark.parametrize(
    ("model", "change", "said"),
    [
        (ApiKey, {"activity": "nonsense"}, "no activity 'nonsense'"),
        (ApiKey, {"keep": "for long"}, "'for long' is no retention"),
        (ApiKey, {"keep": "30 days after gone"}, "names gone, which is no column"),
        (ApiKey, {"keep": "30 days after name"}, "counts from name, which is no time"),
        (ApiKey, {"keep": "with its gone"}, "names gone, which is no column"),
        (ApiKey, {"keep": "with the person"}, "does not say by what theirs are found"),
        (ApiKey, {"tenant": "owner"}, "looked for by owner, which is no column"),
        (ApiKey, {"tenant": "project__owner"}, "looked for by project__owner"),
        (ApiKey, {"on_tenant": Erasure(Action.KEEP)}, "no law is named"),
        (ApiKey, {"on_tenant": Erasure(Action.CLEAR)}, "names no column"),
        (ApiKey, {"on_tenant": clear("gone")}, "gone is erased for a tenant but is no column"),
        (ApiKey, {"on_tenant": clear("created_at")}, "neither null nor empty"),
        (ApiKey, {"on_tenant": clear("kid")}, "neither null nor empty"),
        (ApiKey, {"columns": {"gone": Column()}}, "gone has an exception"),
        (ApiKey, {"columns": {"mac": Column(export=True)}}, "mac is secret and cannot be exported"),
        (ApiKey, {"tenant": None, "keep": "with the colony"}, "allowed_ips is personal, and nothing says whose"),
        (Seller, {"of_operator": False}, "legal_name is personal, and nothing says whose"),
    ],
)
def test_what_makes_no_sense_breaks_the_build(
    monkeypatch: pytest.MonkeyPatch, model: Any, change: dict[str, Any], said: str
) -> None:
    monkeypatch.setattr(model.Privacy, "held", replace(model.Privacy.held, **change))

    assert any(said in line for line in data_map.wrong_with(model)), data_map.wrong_with(model)
    with pytest.raises(CommandError, match=model.__name__):
        call_command("check_privacy")


def test_table_that_says_nothing_breaks_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Plan.Privacy, "held")

    assert data_map.findings() == [
        "tenants.Plan does not say for what it is held, how long and whose: `held` in its Privacy"
    ]


def test_columns_take_after_their_table_but_for_exceptions() -> None:
    columns = {column.name: column for column in holding_of(User).columns()}

    assert columns["email"].activity.name == "accounts"
    assert columns["last_login"].activity.name == "security"
    assert columns["email"].exported
    assert not columns["password"].exported
    assert columns["email"].erasure == {Whose.PERSON: DELETE}


def test_row_that_stays_says_which_columns_change() -> None:
    columns = {column.name: column for column in holding_of(UsageEvent).columns()}

    assert columns["subject"].erasure[Whose.SUBJECT].action is Action.CLEAR
    assert columns["amount_micros"].erasure[Whose.SUBJECT].action is Action.KEEP
    assert str(columns["model"].erasure[Whose.TENANT]).startswith("keep (10 calendar years: Art. 17(3)(b)")


def test_no_secret_is_exported() -> None:
    for each in holdings():
        secret = {one.name for one in each.columns() if one.privacy is PrivacyClass.SECRET}
        assert secret.isdisjoint(each.exported_columns()), each.label


@pytest.mark.parametrize("whose", list(Whose))
def test_plan_ends_rows_before_those_that_they_refer_to(whose: Whose) -> None:
    order = [step.holding.model for step in plan(whose)]

    assert order
    for at, model in enumerate(order):
        for field in model._meta.concrete_fields:
            if field.is_relation and field.related_model in order and field.related_model is not model:
                assert order.index(field.related_model) > at, f"{model} refers to {field.related_model}"


def test_plan_of_a_tenant_has_books_that_stay_and_members_that_go() -> None:
    steps = {step.holding.model: step.erasure for step in plan(Whose.TENANT)}

    assert steps[Member] == DELETE
    assert steps[Invoice].action is Action.KEEP
    assert steps[Tenant].columns == ("slug", "name")


def test_rows_of_a_person_are_found_by_id_address_and_actor(db: None) -> None:
    tenant, user = make_tenant(), make_user()
    member, other = make_member(tenant, user=user), make_member(tenant)
    identity = Identity(Whose.PERSON, id=user.id, emails=(user.email,))
    with colony_tx("tests"):
        for email in (user.email, other.user.email):
            Invitation.objects.create(
                tenant=tenant, email=email, salt=b"s" * 16, invited_by="x", expires_at="2027-01-31T00:00:00Z"
            )
        mine = record("test.done", actor=Actor.user(user.id))
        to_me = record("test.done", actor=Actor.system("x"), object_ref=f"user:{user.id.hex}")
        record("test.done", actor=Actor.user(other.user.id))

        assert [row.email for row in rows(Invitation, identity)] == [user.email]
        assert rows(Member, identity) == [member]
        assert {row.id for row in rows(AuditEntry, identity)} == {mine.id, to_me.id}


def test_rows_of_a_subject_are_those_of_its_tenant_only() -> None:
    identity = Identity(Whose.SUBJECT, tenant_id=make_id(1), subject="ab" * 16)

    found = holding_of(UsageEvent).find(identity)
    of_decision = holding_of(Decision).find(identity)

    assert dict(found.children) == {"subject": "ab" * 16, "tenant": make_id(1)}
    assert dict(of_decision.children) == {"task__subject": "ab" * 16, "tenant": make_id(1)}
    assert holding_of(User).find(identity) is None


def test_what_no_query_tells_is_said_to_be_read_row_by_row() -> None:
    sessions = next(each for each in holdings() if each.label == "sessions.Session")

    assert sessions.is_scanned(Whose.PERSON)
    assert sessions.find(Identity(Whose.PERSON, id=make_id(1))) is None


def test_unknown_model_is_no_holding() -> None:
    with pytest.raises(LookupError, match="Nothing holds"):
        holding_of(type("Nothing", (), {"_meta": type("M", (), {
            "auto_created": False, "label": "Nothing holds", "label_lower": "x.y"
        })}))  # fmt: skip


def rows(model: Any, identity: Identity) -> list[Any]:
    holding = holding_of(model)
    return list(holding.rows().filter(holding.find(identity)))


def make_id(number: int) -> Any:
    from uuid import UUID

    return UUID(int=number)


def test_held_is_short() -> None:
    """Said once for a table: no model of ours has more exceptions than lines that say what holds for all."""
    assert all(len(each.held.columns) <= 2 for each in holdings())
    assert Held("accounts", "with the person", person="id").erasure(Whose.PERSON) == DELETE
