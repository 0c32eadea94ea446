from datetime import UTC, date, datetime
from uuid import UUID, uuid4

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from gdpr.ids import is_uuid7, made_at, month_of, uuid7

TIMES_NS = st.integers(0, (1 << 48) // 2 * 1_000_000 // 10**4)  # to the year 2106, which Python's dates hold


@given(TIMES_NS)
def test_uuid7_has_the_layout_of_rfc_9562(at_ns: int) -> None:
    value = uuid7(at_ns)

    assert value.version == 7
    assert value.variant == "specified in RFC 4122"
    assert value.int >> 80 == at_ns // 1_000_000
    assert UUID(value.hex) == value


@given(TIMES_NS, st.integers(250, 10**15))
def test_uuid7_sorts_by_time(at_ns: int, later_by_ns: int) -> None:
    assert uuid7(at_ns) < uuid7(at_ns + later_by_ns)


def test_uuid7_is_never_made_twice() -> None:
    assert len({uuid7(0) for _ in range(10_000)}) == 10_000


def test_month_of_is_in_utc() -> None:
    before = datetime(2026, 11, 30, 23, 59, 59, 999_000, tzinfo=UTC)

    assert month_of(uuid7(int(before.timestamp() * 1000) * 1_000_000)) == date(2026, 11, 1)
    assert month_of(uuid7(int(before.timestamp() * 1000 + 1) * 1_000_000)) == date(2026, 12, 1)


@pytest.mark.parametrize("value", [uuid4(), UUID(int=0)])
def test_other_versions_have_no_month(value: UUID) -> None:
    with pytest.raises(ValueError, match="not a UUIDv7"):
        made_at(value)


@pytest.mark.django_db
def test_month_in_sql_is_the_month_in_python() -> None:
    edges = [
        datetime(year, month, 1, tzinfo=UTC).timestamp()
        for year in (2020, 2026, 2032)
        for month in range(1, 13)
    ]
    values = [uuid7(int(edge * 1000 + shift) * 1_000_000) for edge in edges for shift in (-1, 0, 1)]

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rbee_month(id) FROM unnest(%s::uuid[]) WITH ORDINALITY AS t (id, n) ORDER BY n", [values]
        )
        assert [row[0] for row in cursor.fetchall()] == [month_of(value) for value in values]


def test_time_that_no_date_has_is_none_of_ours() -> None:
    last = datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
    at_ms = int(last.timestamp()) * 1000 + 999

    assert month_of(uuid7(at_ms * 1_000_000)) == date(9999, 12, 1)
    assert not is_uuid7(uuid7((at_ms + 1) * 1_000_000))
    with pytest.raises(ValueError, match="is not a UUIDv7"):
        made_at(UUID("ffffffff-ffff-7fff-bfff-ffffffffffff"))
