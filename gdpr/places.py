"""The data map of what is not a table: keys in Redis, files, queues, and channels. Each app declares its own in a module
`data_places`; `manage.py check_privacy` looks for keys and tasks in the source that nobody declared, and the acceptance
test for keys, files and queues of a running colony.

A name is a pattern. `{tenant}`, `{person}` and `{subject}` say whose it is and by which an erasure finds it; other
placeholders stand for one part of a name, `{rest*}` for the rest of it, `{what=requests|tokens}` for one of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from gdpr.activities import ACTIVITIES, Activity
from gdpr.holding import Identity, Whose
from gdpr.registry import PrivacyClass

MINUTE_S: Final = 60
HOUR_S: Final = 3600
DAY_S: Final = 86_400

_PLACEHOLDER: Final = re.compile(r"\{(\w+)(\*|=[\w|]+)?\}")


class Kind(StrEnum):
    KEY = "key"  # in Redis
    FILE = "file"  # below the data folder of a machine
    QUEUE = "queue"  # of Celery: what its messages hold
    CHANNEL = "channel"  # in Redis, heard by who listens and kept nowhere


class Lifetime(StrEnum):
    """Of what no clock ends. Redis keeps nothing on a disk: a restart empties it."""

    REDIS = "until Redis restarts"
    TAKEN = "until a worker takes it"
    HEARD = "not kept"
    ROTATED = "until 10 MiB are full, and as long again as the file before"
    MACHINE = "as long as the installation on its machine"
    TABLES = "as the tables in it"
    BOOKED = "until the queen has it in its books; refused ones 30 days"


@dataclass(frozen=True)
class Place:
    kind: Kind
    name: str
    privacy: PrivacyClass
    activity_name: str
    lasts: int | Lifetime  # seconds, or what ends it
    holds: str  # in words, for the record of processing

    @property
    def activity(self) -> Activity:
        return ACTIVITIES[self.activity_name]

    @property
    def retention(self) -> str:
        if isinstance(self.lasts, Lifetime):
            return str(self.lasts)
        for unit, seconds in (("days", DAY_S), ("hours", HOUR_S), ("minutes", MINUTE_S)):
            if self.lasts % seconds == 0:
                return f"at most {self.lasts // seconds} {unit}"
        return f"at most {self.lasts} seconds"

    @property
    def owners(self) -> tuple[Whose, ...]:
        return tuple(whose for whose in Whose if f"{{{whose}}}" in self.name)

    @cached_property
    def regex(self) -> re.Pattern[str]:
        return re.compile(self._regex(self.name), re.DOTALL)

    def matches(self, name: str) -> bool:
        return self.regex.fullmatch(name) is not None

    def begins_with(self, template: str) -> bool:
        """Whether `template`, a name or its beginning up to a colon or slash, can be of this place."""
        parts = re.split(r"([:/])", self.name)
        beginnings = ["".join(parts[: count + 1]) for count in range(len(parts))]
        return any(re.fullmatch(self._regex(each, loosely=True), template, re.DOTALL) for each in beginnings)

    def glob(self, identity: Identity) -> str | None:
        """Of the keys of somebody in Redis, for SCAN. None: there is nothing of theirs here."""
        named = {
            Whose.TENANT: identity.tenant_id.hex if identity.tenant_id else "",
            Whose.PERSON: identity.id.hex if identity.id else "",
            Whose.SUBJECT: identity.subject,
        }
        if identity.whose not in self.owners:
            return None
        return _PLACEHOLDER.sub(lambda found: named.get(_whose(found[1]), "") or "*", self.name)

    @staticmethod
    def _regex(name: str, *, loosely: bool = False) -> str:
        """`loosely`: a choice is any part of a name."""
        found, at = "", 0
        for match in _PLACEHOLDER.finditer(name):
            found += re.escape(name[at : match.start()])
            choice = match[2] or ""
            found += ".+" if choice == "*" else f"(?:{choice[1:]})" if choice and not loosely else "[^:/]+"
            at = match.end()
        return found + re.escape(name[at:])


def _whose(name: str) -> Whose | str:
    return Whose(name) if name in set(Whose) else name


_places: dict[tuple[Kind, str], Place] = {}


def declare(
    kind: Kind, name: str, privacy: str, activity: str, lasts: int | Lifetime, holds: str
) -> Place:
    """Raises ValueError for a name that has been declared, a class or an activity that is not there."""
    if (kind, name) in _places:
        raise ValueError(f"the {kind} {name} is declared twice")
    if activity not in ACTIVITIES:
        raise ValueError(f"the {kind} {name} names the activity {activity}, which is not in gdpr.activities")
    place = _places[kind, name] = Place(kind, name, PrivacyClass(privacy), activity, lasts, holds)
    return place


def places(kind: Kind | None = None) -> list[Place]:
    return [place for place in _places.values() if kind in (None, place.kind)]


def find(kind: Kind, name: str) -> Place | None:
    """The place of a key, file or queue as it is called. None: nobody declared it."""
    return next((place for place in places(kind) if place.matches(name)), None)


def keys_of(identity: Identity) -> list[str]:
    """Patterns of the keys in Redis that an erasure of somebody deletes."""
    return list(_globs(identity))


def _globs(identity: Identity) -> Iterator[str]:
    for place in places(Kind.KEY):
        if glob := place.glob(identity):
            yield glob
