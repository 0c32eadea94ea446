"""What a model says of its rows beside the class of each column, once for all of them:

    class Privacy:
        none = ("role", "created_at", "expires_at")
        pseudonym = ("id", "tenant", "invited_by")
        personal = ("email",)
        held = Held(
            "tenancy",                          # an activity: its purpose, legal basis and role
            "30 days after expires_at",         # how long: gdpr.retention_rules
            tenant="tenant",                    # by which column the rows of a tenant are found,
            person=(by_email("email"), by_actor("invited_by")),  # and those of a person
            on_person=clear("invited_by"),      # what becomes of them when they are erased; left out: the row goes
        )

What has no owner at all is the colony's. `gdpr.data_map` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from uuid import UUID

from django.db.models import Q

from gdpr.activities import EVIDENCE, TAX, UNNAMED, Law


class Whose(StrEnum):
    PERSON = "person"  # somebody with an account
    TENANT = "tenant"
    SUBJECT = "subject"  # an end user of a tenant, by pseudonym


class Action(StrEnum):
    DELETE = "delete"  # the row goes
    CLEAR = "clear"  # the columns become null or empty, the row stays
    PSEUDONYMISE = "pseudonymise"  # the columns are put in place of a person by what no longer tells them
    KEEP = "keep"  # the row stays, under a law and until its term
    KEY = "key"  # the row stays and cannot be read: the key of its subject is destroyed


@dataclass(frozen=True, slots=True)
class Erasure:
    action: Action
    columns: tuple[str, ...] = ()  # that are cleared or pseudonymised
    law: Law | None = None

    def __str__(self) -> str:
        named = f" {', '.join(self.columns)}" if self.columns else ""
        if self.law is None:
            return f"{self.action}{named}"
        term = f"{self.law.years} calendar years: " if self.law.years else ""
        return f"{self.action}{named} ({term}{self.law.text})"


DELETE: Final = Erasure(Action.DELETE)
KEY: Final = Erasure(Action.KEY)
KEEP_BOOKS: Final = Erasure(Action.KEEP, law=TAX)
KEEP_UNNAMED: Final = Erasure(Action.KEEP, law=UNNAMED)
KEEP_EVIDENCE: Final = Erasure(Action.KEEP, law=EVIDENCE)


def clear(*columns: str, law: Law | None = None) -> Erasure:
    """`law`: under which the rest of the row stays."""
    return Erasure(Action.CLEAR, columns, law)


def pseudonymise(*columns: str, law: Law | None = None) -> Erasure:
    return Erasure(Action.PSEUDONYMISE, columns, law)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom an export or an erasure is about. A subject is always somebody's: `tenant_id` is given with it."""

    whose: Whose
    id: UUID | None = None  # of a person
    emails: tuple[str, ...] = ()  # all of theirs, in lower case
    tenant_id: UUID | None = None
    subject: str = ""  # pseudonym


class Form(StrEnum):
    ID = "id"
    TEXT = "text"  # the id in hex
    ACTOR = "actor"  # user:HEX, as audit entries have it
    REF = "ref"  # tenant:HEX
    EMAIL = "email"
    SUBJECT = "subject"
    SESSION = "session"  # inside of the signed data of a session of Django: no query finds it


@dataclass(frozen=True, slots=True)
class Finder:
    lookup: str  # of a queryset of the model: `user`, `email_address__user`
    form: Form

    def query(self, identity: Identity) -> Q | None:
        """None: no query tells the rows, and whoever asks has to read each."""
        if self.form is Form.SESSION:
            return None
        if self.form is Form.EMAIL:
            return Q(**{f"{self.lookup}__in": list(identity.emails)})
        return Q(**{self.lookup: self._value(identity)})

    def _value(self, identity: Identity) -> object:
        if self.form is Form.SUBJECT:
            return identity.subject
        owner = identity.id if identity.whose is Whose.PERSON else identity.tenant_id
        assert owner is not None, "an identity names its owner"
        kind = "user" if identity.whose is Whose.PERSON else "tenant"
        return {
            Form.ID: owner,
            Form.TEXT: owner.hex,
            Form.ACTOR: f"{kind}:{owner.hex}",
            Form.REF: f"{kind}:{owner.hex}",
        }[self.form]


def by_actor(column: str) -> Finder:
    return Finder(column, Form.ACTOR)


def by_ref(column: str) -> Finder:
    return Finder(column, Form.REF)


def by_pseudonym(column: str) -> Finder:
    return Finder(column, Form.TEXT)


def by_email(column: str) -> Finder:
    return Finder(column, Form.EMAIL)


def by_session(column: str) -> Finder:
    return Finder(column, Form.SESSION)


Found = str | Finder | tuple[str | Finder, ...] | None


@dataclass(frozen=True, slots=True)
class Column:
    """Where a column differs from its table. `export` None: as its class has it."""

    activity: str = ""
    export: bool | None = None


@dataclass(frozen=True, slots=True)
class Held:
    activity: str
    keep: str
    tenant: Found = None
    person: Found = None
    subject: Found = None
    on_tenant: Erasure = DELETE
    on_person: Erasure = DELETE
    on_subject: Erasure = DELETE
    export: bool = True  # secrets are never exported, whatever this says
    columns: Mapping[str, Column] = field(default_factory=dict)
    applied_by: str = ""  # the chore that ends them; empty: gdpr.apply_retention does
    of_operator: bool = False  # personal data of the operator itself: nobody else can ask for it

    def finders(self, whose: Whose) -> tuple[Finder, ...]:
        found = {Whose.PERSON: self.person, Whose.TENANT: self.tenant, Whose.SUBJECT: self.subject}[whose]
        if found is None:
            return ()
        each = found if isinstance(found, tuple) else (found,)
        form = Form.SUBJECT if whose is Whose.SUBJECT else Form.ID
        return tuple(one if isinstance(one, Finder) else Finder(one, form) for one in each)

    def erasure(self, whose: Whose) -> Erasure:
        return {Whose.PERSON: self.on_person, Whose.TENANT: self.on_tenant, Whose.SUBJECT: self.on_subject}[
            whose
        ]
