"""What each way to change something owes the audit log, said where it is added. `manage.py check_audit` fails while one
says nothing.

    audits = {"POST": "key.issued"}                             a view, by method
    audits = {"PATCH": ("key.changed", "key.moved")}            one of them, or several
    audits = {"POST": unrecorded("a dry run changes nothing")}  why none is due
    @owes(POST="hive.joined")                                   a view that is a function
    @shared_task(name="…", audits="tenant.closed")              a task
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar


class Unrecorded(str):
    """Why no entry is due."""

    __slots__ = ()


Duty = str | tuple[str, ...] | Unrecorded


def unrecorded(why: str) -> Unrecorded:
    if not why.strip():
        raise ValueError("say why no audit entry is due")
    return Unrecorded(why)


View = TypeVar("View", bound=Callable[..., object])


def owes(**by_method: Duty | None) -> Callable[[View], View]:
    """Nothing: the view only reads."""

    def declare(view: View) -> View:
        view.audits = by_method  # type: ignore[attr-defined]
        return view

    return declare


def events_of(duty: Duty) -> frozenset[str]:
    """Empty: none is due."""
    if isinstance(duty, Unrecorded):
        return frozenset()
    return frozenset({duty} if isinstance(duty, str) else duty)


def what_is_wrong(duty: object) -> str:
    """Empty: nothing."""
    if duty is None:
        return "says nothing of audit entries"
    if isinstance(duty, Unrecorded):
        return ""
    names = (duty,) if isinstance(duty, str) else duty
    if not isinstance(names, tuple) or not names:
        return f"declares {duty!r}: an event, a tuple of them, or unrecorded('why')"
    for name in names:
        noun, dot, verb = str(name).partition(".")
        if not (noun and dot and verb) or str(name) != str(name).lower():
            return f"declares {name!r}, which is no event: noun.verb"
    return ""
