"""Drafts of what is told about a breach, in Markdown: to the authority (Art. 33(3)), and to each customer whose data it is (Art.
33(2)). What only people know stands in brackets; nothing of one customer stands in the draft for another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from gdpr.access_models import Breach, BreachFact
from inference.domain.breaches import notify_by

Facts = Sequence[BreachFact]


def gathered(facts: Facts) -> Mapping[str, Any]:
    """What was gathered last."""
    return next((fact.data for fact in reversed(facts) if fact.data), {})


def affected(facts: Facts) -> list[Mapping[str, Any]]:
    """Customers, each with what was seen of it."""
    return [one for one in gathered(facts).get("tenants", []) if not one["is_operator"]]


def draft_for_authority(breach: Breach, facts: Facts) -> str:
    tenants, found = affected(facts), gathered(facts)
    subjects = sum(one["subjects"] for one in tenants)
    hives = ", ".join(f"{one['hive']} ({one['region'] or 'no region'})" for one in found.get("hives", []))
    log = found.get("log", {})
    return "\n".join([
        f"# Notification of a personal data breach: {_one_line(breach.title)}",
        "",
        "DRAFT. Complete what is in brackets, and have counsel read it. Articles are of Regulation (EU) 2016/679.",
        "",
        f"- Reference: {breach.id}",
        f"- Known since: {_moment(breach.aware_at)}",
        f"- To be told by (Art. 33(1), 72 hours): {_moment(notify_by(breach))}",
        "- Controller or processor who notifies: [name, address, data-protection officer, Art. 33(3)(b)]",
        "",
        "## Nature of the breach (Art. 33(3)(a))",
        "",
        "[What happened: confidentiality, integrity or availability; how it was found.]",
        "",
        f"Data was exposed from {_moment(breach.window_begins_at)} to {_moment(breach.window_ends_at)}, as far as is known.",
        "",
        f"- Customers (controllers) concerned: {len(tenants)}",
        (f"- Data subjects, as pseudonyms of customers' end users: {subjects}"
        " [a customer that sends none has more than are counted here]"),
        f"- Records, as tasks of that time: {sum(one['tasks'] for one in tenants)}",
        f"- Machines that served them: {hives or 'none'}",
        f"- Keys that were used: {sum(one['keys_used'] for one in tenants)}",
        "",
        "## What is known",
        "",
        *_told(facts),
        "",
        "## Likely consequences (Art. 33(3)(c))",
        "",
        "[For the persons concerned.]",
        "",
        "## Measures taken and proposed (Art. 33(3)(d))",
        "",
        "[What was done, and what will be.]",
        "",
        "## Evidence",
        "",
        (f"The audit log had {log.get('size') if log.get('size') is not None else 'no numbered'} entries as this was gathered;"
        f" the newest was {log.get('newest_entry') or 'none'}."),
        "",
    ])  # fmt: skip


def draft_for_tenant(breach: Breach, facts: Facts, tenant: Mapping[str, Any]) -> str:
    return "\n".join([
        f"# Notice of a personal data breach to {_one_line(tenant['tenant'])}",
        "",
        ("DRAFT. Complete what is in brackets, and have counsel read it. You are told under Art. 33(2) of Regulation (EU)"
        " 2016/679: you are the controller of this data, and your own 72 hours run from when you read this."),
        "",
        f"- Reference: {breach.id}",
        f"- We know of it since: {_moment(breach.aware_at)}",
        f"- Time concerned: {_moment(breach.window_begins_at)} to {_moment(breach.window_ends_at)}",
        f"- Your tasks of that time: {tenant['tasks']}",
        f"- Your end users among them, as the pseudonyms that you send: {tenant['subjects']}",
        f"- Your keys that were used: {', '.join(tenant['keys']) or 'none'}",
        f"- Entries of your audit log: {tenant['audit_entries']}",
        "",
        "## What happened",
        "",
        "[In a few sentences.]",
        "",
        "## What it can mean for your end users",
        "",
        "[Likely consequences.]",
        "",
        "## What we did, and what you can do",
        "",
        "[Measures. Rotate your keys: `rbee key rotate KEY`.]",
        "",
        ("Your audit log of that time: `GET /gdpr/audit/export?since="
        f"{_moment(breach.window_begins_at)}&until={_moment(breach.window_ends_at)}`."),
        "",
        "Contact: [data-protection officer]",
        "",
    ])  # fmt: skip


def _told(facts: Facts) -> list[str]:
    lines = [f"- {_moment(fact.at)}: {_one_line(fact.text)}" for fact in facts if fact.text]
    return lines or ["- [Nothing was added yet: `rbee breach add-fact`.]"]


def _moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _one_line(text: str) -> str:
    """A title stays a title, whatever is in it."""
    return " ".join(text.split())
