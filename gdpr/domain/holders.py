"""Where personal data lies, and how each place lets go of it. `gdpr` is below every app, so each registers its own:

    register_holder(holder)     in the `ready` of the app
    holders()                   in the order in which an erasure asks them

What a holder does can be done again: a worker that dies is followed by another that begins the same step anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from gdpr.holding import Identity

# Keys first: what they lock is gone at once, whatever is still to be deleted.
ORDER: Final = ("vault", "database", "redis", "files", "hives", "logs")


class Away(Exception):
    """Something that has to let go is not there. It is asked again, and named meanwhile."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(", ".join(names))
        self.names = list(names)


class Hold(Protocol):
    """What a holder sees of the request: `gdpr.domain.requests.Hold`."""

    @property
    def request(self) -> Any: ...
    def renew(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Erased:
    """`counts`: how many of what. `kept`: for the certificate, what stays, by which law and until when."""

    counts: dict[str, int] = field(default_factory=dict)
    kept: list[dict[str, Any]] = field(default_factory=list)


class Holder(Protocol):
    @property
    def name(self) -> str: ...

    def erase(self, identity: Identity, hold: Hold) -> Erased:
        """Raises Away."""

    def remains(self, identity: Identity, needles: Sequence[str]) -> list[str]:
        """Where something of theirs still lies, beside what is declared to be kept; never what it is. `needles`: names and
        addresses that were theirs."""


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """What being erased means for who is: refused in grace and frozen, let in again when it is cancelled."""

    freeze: Callable[[Identity], None]
    close: Callable[[Identity], None]


_holders: dict[str, Holder] = {}
_lifecycles: dict[str, Lifecycle] = {}


def register_holder(holder: Holder) -> None:
    if holder.name not in ORDER:
        raise ValueError(f"{holder.name} has no place in the order of an erasure")
    _holders[holder.name] = holder


def register_lifecycle(whose: str, lifecycle: Lifecycle) -> None:
    _lifecycles[whose] = lifecycle


def lifecycle_of(whose: str) -> Lifecycle | None:
    return _lifecycles.get(whose)


def holders() -> list[Holder]:
    return [_holders[name] for name in ORDER if name in _holders]
