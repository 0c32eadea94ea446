"""For what rbee processes personal data, by which right, and which law keeps a record after its person has left.

The activities are those of the record of processing (Art. 30 GDPR): a table, a key family or a folder names one, and takes
its purpose, its legal basis and its role from there. A lawyer reads these texts; they are no legal advice.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Party(StrEnum):
    CONTROLLER = "controller"  # the operator decides for what: Art. 30(1)
    PROCESSOR = "processor"  # a tenant decides, the operator carries out: Art. 30(2)


@dataclass(frozen=True, slots=True)
class Activity:
    name: str
    title: str
    purpose: str
    basis: str
    party: Party
    people: str  # categories of persons
    recipients: str = "none outside of the operator"


@dataclass(frozen=True, slots=True)
class Law:
    """Why something is kept beyond an erasure, and until when: the end of the calendar year in `years` years. None: what
    stays tells nobody, and no term ends it."""

    name: str
    text: str
    years: int | None


TAX: Final = Law(
    "tax",
    "Art. 17(3)(b) GDPR: books and invoices, as tax law demands (Art. 369k Directive 2006/112/EC; § 147 AO)",
    10,
)
EVIDENCE: Final = Law(
    "evidence",
    "Art. 17(3)(b) and (e) GDPR: proof of what was done (Art. 5(2), Art. 24) and of claims",
    7,
)
UNNAMED: Final = Law(
    "unnamed",
    "recital 26 GDPR: identifiers and amounts that tell no person; who it was stands in invoices only, while they are kept",
    None,
)
LAWS: Final = {law.name: law for law in (TAX, EVIDENCE, UNNAMED)}

_CONTRACT: Final = "Art. 6(1)(b) GDPR: performance of the contract"
_DUTY: Final = "Art. 6(1)(c) GDPR: a legal obligation"
_INTEREST: Final = "Art. 6(1)(f) GDPR: a legitimate interest"
_INSTRUCTION: Final = "Art. 28(3)(a) GDPR: documented instructions of the tenant, whose own basis it is"
_USERS: Final = "persons with an account: members of tenants, and the operator's own"

ACTIVITIES: Final = {
    activity.name: activity
    for activity in (
        Activity(
            "accounts", "Accounts", "Let a person log in and be told from another",
            _CONTRACT, Party.CONTROLLER, _USERS,
            "the identity provider by which a person logs in, if any; the mail server of the operator",
        ),
        Activity(
            "security", "Security", "Keep out who may not come in; notice and end abuse",
            f"{_INTEREST} in the security of the service (recital 49); {_DUTY} (Art. 32 GDPR)",
            Party.CONTROLLER, f"{_USERS}; whoever calls the API",
        ),
        Activity(
            "tenancy", "Customers", "Know who the customers are, what they agreed to and who acts for them",
            _CONTRACT, Party.CONTROLLER, "customers, and persons who act for them",
        ),
        Activity(
            "inference", "Answers to requests", "Answer the requests of a tenant, and keep the limits that it set",
            _INSTRUCTION, Party.PROCESSOR, "end users of a tenant; whoever appears in prompts and outputs",
            "the hives that answer; no third party",
        ),
        Activity(
            "content", "Kept prompts and outputs",
            "Keep what a tenant asked and was answered, for as long as it said: off unless its owner or data-protection"
            " officer turns it on",
            _INSTRUCTION, Party.PROCESSOR, "end users of a tenant; whoever appears in prompts and outputs",
            "the tenant's owner and data-protection officer; no third party",
        ),
        Activity(
            "policies", "Scripts", "Run the scripts by which a tenant decides who is admitted and what serves",
            _INSTRUCTION, Party.PROCESSOR, "persons who write scripts for a tenant",
        ),
        Activity(
            "notices", "Notices", "Tell a tenant what happened: webhooks, alerts, e-mails",
            _CONTRACT, Party.CONTROLLER, "persons who act for a tenant",
            "the URLs that a tenant named; the mail server of the operator",
        ),
        Activity(
            "billing", "Billing", "Work out what is owed, be paid, and pay back",
            _CONTRACT, Party.CONTROLLER, "customers, and persons who pay for them",
            "Stripe, where the operator set it up; VIES for VAT ids",
        ),
        Activity(
            "books", "Books", "Keep the books: what was used, charged, invoiced and paid",
            f"{_DUTY}: tax and accounting law", Party.CONTROLLER, "customers; their end users by pseudonym only",
            "tax authorities, where the law demands it",
        ),
        Activity(
            "audit", "Audit", "Prove who did what, and that nobody changed the proof",
            f"{_DUTY} (Art. 5(2), 24 and 32 GDPR); {_INTEREST} in proving claims", Party.CONTROLLER,
            f"{_USERS}, by pseudonym only", "the tenant whose entries they are; an auditor whom the operator lets in",
        ),
        Activity(
            "compliance", "Rights of persons",
            "Do what persons may demand: information, export, erasure, consent and its withdrawal",
            f"{_DUTY} (Art. 7, 12 to 22, 28 and 33 GDPR)", Party.CONTROLLER, "whoever made such a request",
        ),
        Activity(
            "operations", "Operation", "Run the machines, models, plans and prices of the operator",
            f"{_INTEREST} in running the service", Party.CONTROLLER, "none, beside what the operator says of itself",
        ),
    )
}  # fmt: skip
