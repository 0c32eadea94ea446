"""Documents for the operator's lawyer. The words are templates in `gdpr/documents`, which a lawyer can read and change;
what is in force here is filled in: data, retention, measures, sub-processors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Any, Final

from gdpr.activities import Party
from gdpr.domain.measures import Measure
from gdpr.domain.processing_record import TRANSFERS, make_record, record_rows
from gdpr.places import Kind, places
from gdpr.registry import PrivacyClass

FOLDER: Final = Path(__file__).resolve().parents[1] / "documents"
LANGUAGES: Final = ("en",)
TO_ADD: Final = "[to be added]"


class Document(StrEnum):
    DPA = "dpa"
    DPIA = "dpia"
    SUB_PROCESSORS = "subprocessors"
    SECURITY = "security"
    BREACH_RUNBOOK = "breach-runbook"


OF_OPERATOR: Final = frozenset({Document.DPIA, Document.BREACH_RUNBOOK})  # no tenant needs them


def render(
    document: Document,
    *,
    operator_name: str,
    contact: str = "",
    customer_name: str = "",
    language: str = "en",
    notice_days: int,
    measures: Sequence[Measure],
    sub_processors: Sequence[Mapping[str, Any]],
) -> str:
    """Markdown. Raises ValueError for a language that there is none in."""
    if language not in LANGUAGES:
        raise ValueError(f"there are documents in {', '.join(LANGUAGES)} only")
    party = Party.PROCESSOR if document is Document.DPA else None
    unmet = [each.name for each in measures if not each.is_met]
    return Template((FOLDER / language / f"{document}.md").read_text(encoding="utf-8")).substitute(
        made_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=version("rbee"),
        operator_name=operator_name or TO_ADD,
        contact=contact or TO_ADD,
        customer_name=customer_name or TO_ADD,
        notice_days=notice_days,
        transfers=TRANSFERS,
        purposes=_purposes(operator_name, party),
        data_annex=_data(party),
        retention=_retention(),
        measures=_list(f"{each.name}: {each.state}{'' if each.is_met else ' (not met)'}" for each in measures),
        unmet=", ".join(unmet) or "none",
        content_places=_list(
            f"`{place.name}`: {place.holds}, {place.retention}"
            for place in places(Kind.KEY)
            if place.privacy is PrivacyClass.CONTENT
        ),
        sub_processors=_list(
            f"**{each['name']}** ({each['country']}): {each['purpose']}; data: {each['data']}; {each['state']}"
            for each in sub_processors
            if each["state"] != "ended"
        ),
    )


def _purposes(operator_name: str, party: Party | None) -> str:
    record = make_record(operator=operator_name, for_tenant="a tenant" if party is Party.PROCESSOR else "")
    return _list(f"{each['title']}: {each['purpose']}." for each in record["activities"])


def _data(party: Party | None) -> str:
    """A line for each place that tells something of persons, with its columns."""
    rows = [row for row in record_rows(party) if row["class"] != PrivacyClass.NONE]
    merged: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        key = (f"{row['kind']} `{row['place']}`", row["retention"], row["erasing_a_tenant"] or "expires")
        merged.setdefault(key, []).append(f"{row['part']} ({row['class']})")
    lines = ["| where | what | kept | when the tenant is erased |", "|---|---|---|---|"]
    lines += [
        f"| {where} | {', '.join(parts)} | {kept} | {erased} |"
        for (where, kept, erased), parts in merged.items()
    ]
    return "\n".join(lines)


def _retention() -> str:
    rules: dict[str, set[str]] = {}
    for row in record_rows():
        if row["class"] != PrivacyClass.NONE:
            rules.setdefault(row["retention"], set()).add(row["place"])
    return _list(f"{rule}: {', '.join(f'`{place}`' for place in sorted(held))}" for rule, held in sorted(rules.items()))


def _list(lines: Any) -> str:
    return "\n".join(f"- {line}" for line in lines) or "- none"
