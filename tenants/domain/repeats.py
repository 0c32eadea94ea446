"""A change that is asked for again under the same Idempotency-Key is made once, and answered as the first time.

The claim, the change and its answer are one transaction, so whoever asks at the same time waits for it, and a change
that is refused or fails leaves the key free. Kept for a day, and without the secrets that an answer shows once: whoever
reads the database and has its root secret too finds none. Bodies hold passwords, so their hashes are keyed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from django.db import transaction
from django.utils import timezone

from gdpr.scope import colony_tx, tenant_tx
from gdpr.secrets import macs, seal, unseal
from tenants.models import KeptAnswer

KEPT: Final = timedelta(hours=24)
LABEL: Final = "kept-answer"


class AnotherBody(Exception):
    """The key was used for another request."""


class Made(NamedTuple):
    status: int
    answer: bytes  # JSON
    kept: bytes  # what a repeated request is answered: JSON too


class Answer(NamedTuple):
    status: int
    data: Any
    is_repeated: bool


def answer_once(
    tenant_id: UUID | str, request: tuple[str, ...], body: Any, make: Callable[[], Made]
) -> Answer:
    """`request`: who asks, where, and under which key. `make` changes things. Raises AnotherBody, and whatever `make`
    raises."""
    asked = macs(LABEL, msgspec.json.encode(request))
    said = macs(LABEL, msgspec.json.encode(body, order="deterministic"))
    with transaction.atomic():
        with tenant_tx(tenant_id):
            same = KeptAnswer.objects.filter(request_sha256__in=asked)
            same.filter(created_at__lte=timezone.now() - KEPT).delete()
            kept, is_first = (same.first() if len(asked) > 1 else None), False
            if kept is None:
                kept, is_first = KeptAnswer.objects.get_or_create(
                    tenant_id=tenant_id, request_sha256=asked[0], defaults={"body_sha256": said[0]}
                )
        if not is_first:
            if bytes(kept.body_sha256) not in said:
                raise AnotherBody
            return Answer(kept.status, msgspec.json.decode(unseal(bytes(kept.answer_sealed), LABEL)), True)
        made = make()  # in scopes of its own
        kept.status = made.status
        kept.answer_sealed = seal(made.kept.decode(), LABEL)
        with tenant_tx(tenant_id):
            kept.save(update_fields=["status", "answer_sealed"])
    return Answer(made.status, msgspec.json.decode(made.answer), False)


def forget_answers() -> int:
    """Returns how many."""
    with colony_tx("forget kept answers"):
        deleted, _ = KeptAnswer.objects.filter(created_at__lte=timezone.now() - KEPT).delete()
    return deleted
