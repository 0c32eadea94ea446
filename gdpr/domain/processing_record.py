"""The record of processing activities (Art. 30 GDPR), made from the data map: the operator's as a controller and as a
processor, or what it carries out for one tenant."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from gdpr import data_map, places
from gdpr.activities import ACTIVITIES, Activity, Party
from gdpr.data_map import Holding
from gdpr.domain.measures import Measure
from gdpr.holding import Whose
from gdpr.registry import PrivacyClass

NO_ADVICE: Final = "Made by rbee from what its code declares. It is no legal advice: have a lawyer read it."
TRANSFERS: Final = (
    "None by rbee itself. Where the operator's machines stand, and what its sub-processors do, is for the operator to add."
)
CSV_COLUMNS: Final = (
    "activity", "role", "purpose", "legal_basis", "kind", "place", "part", "class", "retention", "exported",
    "found_by_person", "found_by_tenant", "found_by_subject", "erasing_a_person", "erasing_a_tenant",
    "erasing_a_subject",
)  # fmt: skip

Row = dict[str, Any]


def make_record(
    *,
    operator: str,
    contact: str = "",
    for_tenant: str = "",
    measures: Sequence[Measure] = (),
    sub_processors: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """`for_tenant`: only what is done on its instructions, Art. 30(2)."""
    rows = list(record_rows(Party.PROCESSOR if for_tenant else None))
    activities = [each for each in ACTIVITIES.values() if any(row["activity"] == each.name for row in rows)]
    return {
        "object": "gdpr.record",
        "made_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "note": NO_ADVICE,
        "operator": operator,
        "contact": contact,
        "controller": for_tenant or operator,
        "transfers": TRANSFERS,
        "measures": [each._asdict() for each in measures],
        "sub_processors": list(sub_processors),
        "activities": [_activity(each, rows) for each in activities],
    }


def record_rows(party: Party | None = None) -> Iterator[Row]:
    """One for each column and each other place, of all activities or those of one role."""
    for holding in data_map.holdings():
        for column in holding.columns():
            if party in (None, column.activity.party):
                yield _row(column.activity, "table", holding.table, column.name, column.privacy,
                           holding.retention.in_words()) | {
                    "exported": column.exported,
                    **{f"found_by_{whose}": _found_by(holding, whose) for whose in Whose},
                    **{f"erasing_a_{whose}": str(column.erasure.get(whose, "")) for whose in Whose},
                }  # fmt: skip
    for place in places.places():
        if party in (None, place.activity.party):
            row = _row(place.activity, str(place.kind), place.name, place.holds, place.privacy, place.retention)
            own = dict.fromkeys(place.owners, "delete")
            yield row | {
                "exported": False,
                **{f"found_by_{whose}": f"{{{whose}}}" if whose in own else "" for whose in Whose},
                **{f"erasing_a_{whose}": own.get(whose, "") for whose in Whose},
            }


def as_csv(rows: Iterator[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_markdown(record: Mapping[str, Any]) -> str:
    lines = [
        "# Record of processing activities (Art. 30 GDPR)",
        "",
        f"Operator: **{record['operator']}** · contact: {record['contact'] or 'to be added'} · made at {record['made_at']}",
    ]
    if record["controller"] != record["operator"]:
        lines += ["", f"Carried out as a processor for **{record['controller']}** (Art. 30(2))."]
    lines += ["", f"*{record['note']}*", "", f"Transfers to third countries: {record['transfers']}"]
    for activity in record["activities"]:
        lines += ["", f"## {activity['title']}", ""]
        lines += [
            f"- Purpose: {activity['purpose']}",
            f"- Role of the operator: {activity['role']}",
            f"- Legal basis: {activity['legal_basis']}",
            f"- Persons: {activity['persons']}",
            f"- Recipients: {activity['recipients']}",
            f"- Classes of data: {', '.join(activity['classes'])}",
            "",
            "| where | what | class | kept |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {each['kind']} `{each['place']}` | {each['parts']} | {each['class']} | {each['retention']} |"
            for each in activity["places"]
        ]
    lines += ["", "## Technical and organisational measures (Art. 32)", ""]
    lines += [f"- {each['name']}: {each['state']}" for each in record["measures"]]
    lines += ["", "## Sub-processors", ""]
    lines += [
        f"- {each['name']} ({each['country']}): {each['purpose']}; {each['state']}"
        for each in record["sub_processors"]
    ] or ["None."]
    return "\n".join(lines) + "\n"


def _activity(activity: Activity, rows: Sequence[Row]) -> dict[str, Any]:
    own = [row for row in rows if row["activity"] == activity.name]
    held: dict[tuple[str, str, str], Row] = {}
    for row in own:
        key = (row["kind"], row["place"], row["class"])
        known = held.setdefault(
            key,
            {"kind": row["kind"], "place": row["place"], "parts": [], "class": row["class"], "retention": row["retention"]},
        )
        known["parts"].append(row["part"])
    return {
        "name": activity.name,
        "title": activity.title,
        "purpose": activity.purpose,
        "role": str(activity.party),
        "legal_basis": activity.basis,
        "persons": activity.people,
        "recipients": activity.recipients,
        "classes": sorted({row["class"] for row in own} - {PrivacyClass.NONE}) or ["none"],
        "places": [each | {"parts": ", ".join(each["parts"])} for each in held.values()],
    }


def _row(
    activity: Activity, kind: str, place: str, part: str, privacy: PrivacyClass, retention: str
) -> Row:
    return {
        "activity": activity.name,
        "role": str(activity.party),
        "purpose": activity.purpose,
        "legal_basis": activity.basis,
        "kind": kind,
        "place": place,
        "part": part,
        "class": str(privacy),
        "retention": retention,
    }


def _found_by(holding: Holding, whose: Whose) -> str:
    return ", ".join(finder.lookup for finder in holding.held.finders(whose))
