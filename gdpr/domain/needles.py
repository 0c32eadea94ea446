"""What a verification looks for: names and addresses that were somebody's, found while they are there and kept sealed on
the request until it is over. Only what is long enough to be theirs and nobody else's word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from django.db import models

from gdpr import data_map
from gdpr.data_map import Holding
from gdpr.domain.rotation import hold, sealed_column
from gdpr.holding import Action, Form, Identity, Whose
from gdpr.registry import PrivacyClass
from gdpr.request_models import DataRequest
from gdpr.scope import colony_tx
from gdpr.secrets import resealed, seal, unseal

LABEL: Final = "erasure-needles"
LEAST: Final = 8  # characters
ROWS_MAX: Final = 200  # of one table
TEXTS_MAX: Final = 2000


class Needles(msgspec.Struct, frozen=True):
    texts: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()  # of a person


def register() -> None:
    """What a root secret sealed is sealed by the next one, also in the middle of an erasure."""
    hold(
        sealed_column(
            "erasures under way", DataRequest, "needles_sealed", lambda _, kept: resealed(kept, LABEL)
        )
    )


def gather(identity: Identity) -> Needles:
    with colony_tx("what an erasure has to look for"):
        emails = tuple(sorted(set(_emails(identity)))) if identity.whose is Whose.PERSON else ()
        known = Identity(
            identity.whose,
            id=identity.id,
            emails=emails,
            tenant_id=identity.tenant_id,
            subject=identity.subject,
        )
        texts = dict.fromkeys(text for text in _texts(known) if len(text) >= LEAST)
    if identity.whose is Whose.SUBJECT:
        texts[identity.subject] = None
    return Needles(tuple(texts)[:TEXTS_MAX], emails)


def sealed(found: Needles) -> bytes:
    return seal(msgspec.json.encode(found).decode(), LABEL)


def opened(kept: bytes) -> Needles:
    return msgspec.json.decode(unseal(bytes(kept), LABEL), type=Needles) if kept else Needles()


def _emails(identity: Identity) -> Iterator[str]:
    for holding in data_map.holdings():
        addresses = [
            field.name
            for field in holding.model._meta.concrete_fields
            if isinstance(field, models.EmailField)
        ]
        by_id = [one for one in holding.held.finders(Whose.PERSON) if one.form is Form.ID]
        for finder in by_id if addresses else ():
            query = finder.query(identity)
            for row in holding.rows().filter(query).values_list(*addresses)[:ROWS_MAX]:
                yield from (address.strip().lower() for address in row if address)


def _texts(identity: Identity) -> Iterator[str]:
    for holding in data_map.holdings():
        erasure = holding.erasure(identity.whose)
        found = holding.find(identity) if erasure else None
        if erasure is None or found is None or erasure.action is Action.KEEP:
            continue
        telling = _telling(holding)
        if telling:
            for row in holding.rows().filter(found).values_list(*telling)[:ROWS_MAX]:
                yield from (text for value in row for text in _strings(value))


def _telling(holding: Holding) -> list[str]:
    return [
        column.name
        for column in holding.columns()
        if column.privacy in (PrivacyClass.PERSONAL, PrivacyClass.CONTENT)
    ]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from (line.strip() for line in value.splitlines()[:20])
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)
