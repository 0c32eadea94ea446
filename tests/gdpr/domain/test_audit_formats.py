"""What a SIEM reads of an entry is what the entry says, whatever is in it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gdpr.domain.audit import make_entry
from gdpr.domain.audit_formats import cef_line, json_line, json_texts, syslog_line
from gdpr.models import AuditEntry

TEXT = st.text('aZ7|=\\ \n\r\t"ü☃', max_size=20)
FIRST, LAST = datetime(2000, 1, 1), datetime(2100, 1, 1)  # noqa: DTZ001 -- hypothesis adds the zone
ENTRIES = st.builds(
    make_entry,
    TEXT.map(lambda text: f"noun.{text}"),
    actor=TEXT,
    tenant_id=st.none() | st.uuids(),
    object_ref=TEXT,
    outcome=st.sampled_from(["ok", "refused"]) | TEXT,
    details=st.dictionaries(
        st.from_regex(r"[a-z]{1,8}", fullmatch=True), TEXT | st.integers(-9, 9), max_size=3
    ),
    request_id=TEXT,
    at=st.datetimes(min_value=FIRST, max_value=LAST, timezones=st.just(UTC)),
)
PAIR = re.compile(r"(\w+)=((?:[^\\=]|\\.)*?)(?= \w+=|$)", re.DOTALL)


def read_cef(line: str) -> tuple[list[str], dict[str, str]]:
    """As its specification says."""
    parts = re.split(r"(?<!\\)(?:\\\\)*\|", line, maxsplit=7)
    fields = {key: re.sub(r"\\(.)", _unescaped, value) for key, value in PAIR.findall(parts[7])}
    return parts[:7], fields


def _unescaped(found: re.Match[str]) -> str:
    return {"n": "\n", "r": "\r"}.get(found[1], found[1])


@given(ENTRIES)
def test_syslog_line_is_one_message_that_says_all(entry: AuditEntry) -> None:
    line = syslog_line(entry, host="queen.example.org")

    found = re.fullmatch(r"<(\d+)>1 (\S+) queen\.example\.org rbee - (\S{1,32}) - (.*)", line, re.DOTALL)
    assert found is not None
    assert int(found[1]) == 13 * 8 + (5 if entry.outcome == "ok" else 4)
    assert datetime.fromisoformat(found[2]) == entry.at
    assert "\n" not in line
    said: dict[str, Any] = json.loads(found[4])
    assert (said["event"], said["actor"], said["details"]) == (entry.event, entry.actor, entry.details)


@given(ENTRIES)
def test_cef_line_is_read_back_as_it_was(entry: AuditEntry) -> None:
    line = cef_line(entry)

    header, fields = read_cef(line)
    assert header[:3] == ["CEF:0", "rbee", "rbee"]
    assert "\n" not in line
    assert "\r" not in line
    assert fields["externalId"] == str(entry.id)
    assert fields.get("suser", "") == entry.actor.strip(" ") or " " in entry.actor
    assert fields["cs5"] == bytes(entry.leaf).hex()


@given(st.lists(ENTRIES, max_size=7), st.integers(1, 3))
def test_json_of_pages_is_one_array_with_an_entry_in_each_line(entries: list[AuditEntry], size: int) -> None:
    pages = [entries[begin : begin + size] for begin in range(0, len(entries), size)]

    text = b"".join(json_texts(pages))

    assert json.loads(text) == [json.loads(json_line(entry)) for entry in entries]
    assert text.decode().split("\n")[1:-2] == [
        json_line(entry) + ("," if entry is not entries[-1] else "") for entry in entries
    ]
