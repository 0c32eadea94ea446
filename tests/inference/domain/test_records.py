import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.domain.records import (
    NO_LIMIT,
    customer_record,
    session_pseudonym,
    subject_pseudonym,
    task_record,
)
from inference.domain.reserve import Used
from inference.domain.worker import OPERATOR_FIELDS, REPLACEABLE_FIELDS
from rbee_policy.functions import hives_of
from rbee_policy.world import CUSTOMER, HIVE, KINDS, TASK, WORKER, Field
from tests.inference.domain.lane import Lane, make_caller, make_task

PYTHON_TYPES = {
    "text": str,
    "integer": int,
    "number": (int, float),
    "bool": bool,
    "list": list,
    "map": dict,
}


def assert_is(fields: dict[str, object], kind: dict[str, Field]) -> None:
    """Exactly these fields, each of its type."""
    assert set(fields) == set(kind)
    for name, field in kind.items():
        assert isinstance(fields[name], PYTHON_TYPES[field.type]), name
        assert isinstance(fields[name], bool) == (field.type == "bool"), name


async def test_a_worker_and_its_hive_are_what_the_world_says(lane: Lane) -> None:
    record = lane.colony.workers[0].record

    assert_is(record.fields(), WORKER)
    assert_is(hives_of([record])[0].fields(), HIVE)
    assert record.get("instance") == "a:0"
    assert record.get("gpu_name") == "NVIDIA A100-SXM4-80GB"
    assert record.get("region_is_eu") is True


def test_a_task_and_its_customer_are_what_the_world_says() -> None:
    task = make_task()

    assert_is(task_record(task, kind="text-gen", priority="normal").fields(), TASK)
    assert_is(customer_record(task.caller, tokens_used_today=0).fields(), CUSTOMER)


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_of_cases_have_the_type_of_their_field(kind: str) -> None:
    assert_is({name: field.default for name, field in KINDS[kind].items()}, KINDS[kind])


def test_labels_fill_fields_that_there_are() -> None:
    assert {*OPERATOR_FIELDS, *REPLACEABLE_FIELDS} <= set(WORKER)


def test_times_are_those_of_the_arrival_in_utc() -> None:
    task = make_task(created_s=1_772_409_599)  # Sunday, 1 March 2026, 23:59:59

    record = task_record(task, kind="text-gen", priority="normal")

    assert [record.get(name) for name in ("hour", "minute", "weekday")] == [23, 59, 7]


def test_what_an_end_user_took_is_told_of_the_one_who_is_named() -> None:
    task = make_task(subject="f00", session="5e5", estimated_minutes=0.5)

    record = task_record(task, kind="text-gen", priority="normal", used=Used(9, 7, 3))

    assert record.get("subject_tokens_used_today") == 7
    assert record.get("subject_requests_this_minute") == 3
    assert (record.get("subject"), record.get("session")) == ("f00", "5e5")
    assert record.get("estimated_duration_minutes") == 0.5


@pytest.mark.parametrize(("limit", "used", "left"), [(100, 40, 60), (100, 140, 0), (None, 40, NO_LIMIT)])
def test_what_is_left_of_a_day_is_never_negative(limit: int | None, used: int, left: int) -> None:
    caller = make_caller(**({} if limit is None else {"tokens_per_day": limit}))

    assert customer_record(caller, tokens_used_today=used).get("tokens_remaining_today") == left


@given(st.text(min_size=1))
def test_pseudonyms_tell_users_and_sessions_and_tenants_apart_and_hide_the_name(name: str) -> None:
    known = {
        subject_pseudonym("t1", name),
        subject_pseudonym("t2", name),
        session_pseudonym("t1", name),
        session_pseudonym("t2", name),
    }

    assert len(known) == 4
    assert {len(each) for each in known} == {32}
    assert subject_pseudonym("t1", name) in known
    assert subject_pseudonym("t1", "") == session_pseudonym("t1", "") == ""
