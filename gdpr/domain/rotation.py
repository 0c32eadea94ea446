"""Keys that take the place of others while everything runs.

Two kinds: those that wrap the data keys of people's details (`gdpr.domain.keyring`), and the root secrets
(`gdpr.roots`). A new one makes things at once; a chore makes anew what the others made, row by row, and may be killed at
any moment: what is left to do is seen in the rows. One is retired when nothing is left of it. `Holder` is what an app
says of its rows that depend on root secrets; what can only be made anew by whoever knows a secret, as the MAC of a key,
is made anew when they come, and is counted until then.

KeyInUse        something still needs it; `uses` says how many, by holder
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection, models
from django.utils import timezone

from gdpr import roots
from gdpr.chores import hint_after_commit
from gdpr.domain.audit import Actor, record
from gdpr.domain.keyring import keyring
from gdpr.domain.vault import purpose_of
from gdpr.keys.base import NotRotatable, Wrapped, WrongKey
from gdpr.models import SubjectKey
from gdpr.scope import colony_tx
from gdpr.secrets import root_id

RENEW: Final = "gdpr.renew_keys"
BATCH: Final = 200
ROOT_PLACE: Final = "secret:"  # before the id of a root secret
DETAILS: Final = "details"
ROOT: Final = "secret_key"
SPOOLED: Final = timedelta(hours=24)  # what a hive may take to hand in a receipt, beyond the longest task
KNOWN_EVERYWHERE_S: Final = 2 * roots.LOOK_EVERY_S + 0.5

logger = logging.getLogger(__name__)


class KeyInUse(Exception):
    def __init__(self, uses: dict[str, int], message: str) -> None:
        super().__init__(message)
        self.uses = uses


class Replaced(NamedTuple):
    """A root secret whose place another one has taken."""

    root: str  # its id
    newest: str  # of the one that makes things
    is_oldest: bool  # rows that name no root are of this one
    at: datetime  # from when on nothing was made under it


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Rows that depend on root secrets. `renew` makes anew what it can and gives back how many; `left` counts what still
    depends on the one that was replaced."""

    name: str
    left: Callable[[Replaced], int]
    renew: Callable[[], int] = lambda: 0


_holders: dict[str, Holder] = {}


def hold(holder: Holder) -> None:
    _holders[holder.name] = holder


class KeyRow(NamedTuple):
    id: str
    of: str  # details or secret_key
    is_newest: bool
    since: str
    uses: int
    holders: dict[str, int]


def list_keys() -> list[KeyRow]:
    """Raises KeysUnavailable."""
    rows = []
    with colony_tx("list of keys"):
        for info in keyring().list_keys():
            uses = SubjectKey.objects.filter(wrapped_by=info.key_id).count()
            rows.append(
                KeyRow(
                    info.key_id, DETAILS, info.is_newest, info.made_at, uses, {"people": uses} if uses else {}
                )
            )
        found = roots.current()
        for place, root in enumerate(found.roots):
            since = "" if found.since[place] == "pending" else found.since[place]
            left = _left(place) if place else {}
            rows.append(
                KeyRow(f"{ROOT_PLACE}{root_id(root)}", ROOT, place == 0, since, sum(left.values()), left)
            )
    return rows


def rotate_details(*, actor: Actor) -> str:
    """A new key wraps from now on; the data keys follow. Raises KeysUnavailable, NotRotatable."""
    made = keyring().primary.rotate()
    _note("key_encryption.rotated", made, actor)
    return made


def rotate_root(*, actor: Actor) -> str:
    """Takes some seconds: until every process knows the new root secret, nobody makes anything by it. Killed in between,
    it is gone on with by the next call. Raises RootsFixed."""
    roots.announce_root()
    time.sleep(KNOWN_EVERYWHERE_S)
    made = f"{ROOT_PLACE}{roots.promote_root()}"
    _note("root_secret.rotated", made, actor)
    return made


def retire(key_id: str, *, actor: Actor, force: bool = False) -> None:
    """For good. `force`: what is left is given up, such as API keys that nobody has used since; never details of people.
    Raises KeyInUse, NotRotatable, RootsFixed, KeysUnavailable."""
    if key_id.startswith(ROOT_PLACE):
        _retire_root(key_id.removeprefix(ROOT_PLACE), force=force)
        _note("root_secret.retired", key_id, actor, forced=force)
        return
    uses = _people_of(key_id)
    if uses:
        raise KeyInUse(
            {"people": uses}, f"{key_id} still wraps the keys of {uses} people: they follow by themselves."
        )
    keyring().place_of(key_id).retire(key_id)
    _note("key_encryption.retired", key_id, actor)


def renew_all() -> int:
    """Everything that is not made by the newest keys, as far as it can be. Returns how many."""
    renewed = rewrap_all()
    if len(roots.current().roots) > 1:
        for holder in _holders.values():
            renewed += holder.renew()
    return renewed


def rewrap_all() -> int:
    """Data keys, by the newest key. One that no key opens stays as it is, and is told of."""
    newest, done = keyring().newest(), 0
    broken: set[UUID] = set()
    while True:
        with colony_tx("wrap data keys by the newest key"):
            due = (
                SubjectKey.objects.filter(destroyed_at=None).exclude(wrapped_by=newest).exclude(id__in=broken)
            )
            rows = list(due.select_for_update(skip_locked=True).order_by("id")[:BATCH])
            for row in rows:
                purpose = purpose_of(row)
                try:
                    data_key = keyring().unwrap(Wrapped(row.wrapped_by, bytes(row.wrapped)), purpose)
                except WrongKey:
                    logger.error("data key %s was altered and cannot be wrapped anew", row.id)
                    broken.add(row.id)
                    continue
                row.wrapped_by, row.wrapped = keyring().wrap(data_key, purpose)
                row.save(update_fields=["wrapped_by", "wrapped"])
                done += 1
        if len(rows) < BATCH:
            return done


def sealed_column(
    name: str, model: type[models.Model], column: str, reseal: Callable[[Any, Any], Any]
) -> Holder:
    """For `hold`. `reseal`: of a row's id and what is sealed; None: by the newest root secret already. Raises ValueError
    for what none opens."""

    def renew() -> int:
        done = 0
        for ids in _batches(model, column):
            with colony_tx(f"seal {name} anew"):
                rows = model._default_manager.filter(pk__in=ids).select_for_update().order_by("pk")
                for pk, sealed in rows.values_list("pk", column):
                    if (made := _resealed(pk, sealed)) is not None:
                        model._default_manager.filter(pk=pk).update(**{column: made})
                        done += 1
        return done

    def left(_: Replaced) -> int:
        with colony_tx(f"is {name} sealed anew"):
            rows = model._default_manager.values_list("pk", column)
            return sum(_resealed(pk, sealed) is not None for pk, sealed in rows.iterator(BATCH))

    def _resealed(pk: Any, sealed: Any) -> Any:
        if not sealed:
            return None
        try:
            return reseal(pk, sealed if isinstance(sealed, dict) else bytes(sealed))
        except ValueError as error:
            logger.error("%s: %s", name, error)
            return None

    return Holder(name=name, renew=renew, left=left)


def _batches(model: type[models.Model], column: str) -> Iterator[list[Any]]:
    with colony_tx(f"rows with {column}"):
        ids = list(model._default_manager.order_by("pk").values_list("pk", flat=True))
    for at in range(0, len(ids), BATCH):
        yield ids[at : at + BATCH]


def _retire_root(wanted: str, *, force: bool) -> None:
    found = roots.look_again()
    ids = [root_id(root) for root in found.roots]
    place = ids.index(wanted) if wanted in ids[1:] else 0
    if place and found.since[place] != "pending":
        details = f"root:{wanted}"  # data keys are wrapped by it where no file of keys is named
        people = _people_of(details)
        if people:
            raise KeyInUse(
                {"people": people}, f"It still wraps the keys of {people} people: they follow by themselves."
            )
        left = _left(place)
        if left and not force:
            told = ", ".join(f"{count} {name}" for name, count in sorted(left.items()))
            raise KeyInUse(left, f"{ROOT_PLACE}{wanted} is still needed: {told}.")
        over = _replaced(place).at + timedelta(seconds=settings.RBEE.task_timeout_s) + SPOOLED
        if timezone.now() < over and not force:
            raise KeyInUse(
                {"receipts": 1},
                f"Receipts of tasks from before may come until {over:%Y-%m-%d %H:%M} UTC; later ones are refused.",
            )
    roots.remove_root(wanted)


def _people_of(key_id: str) -> int:
    """Also of who is about to be written at this moment: they are waited for."""
    with colony_tx("is a key in use"), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE gdpr_subjectkey IN SHARE MODE")
        return SubjectKey.objects.filter(wrapped_by=key_id).count()


def _left(place: int) -> dict[str, int]:
    replaced = _replaced(place)
    counts = {holder.name: holder.left(replaced) for holder in _holders.values()}
    return {name: count for name, count in counts.items() if count}


def _replaced(place: int) -> Replaced:
    """By the one before it in the list, since that makes things."""
    found = roots.current()
    since = found.since[place - 1]
    try:
        # To the second; what was made within it counts as made before.
        at = datetime.strptime(since, roots.MOMENT).replace(tzinfo=UTC) + timedelta(seconds=1)
    except ValueError:  # nobody knows: the environment says no times
        at = timezone.now()
    return Replaced(root_id(found.roots[place]), root_id(found.roots[0]), place == len(found.roots) - 1, at)


def _note(event: str, key_id: str, actor: Actor, **details: Any) -> None:
    with colony_tx("a key was changed"):
        record(event, actor=actor, object_ref=f"encryption_key:{key_id}", details=details)
        hint_after_commit(RENEW)


__all__ = ["Holder", "KeyInUse", "NotRotatable", "Replaced", "hold", "sealed_column"]
