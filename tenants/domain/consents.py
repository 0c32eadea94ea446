"""Consent (Art. 7 GDPR): a tenant's own, and that of its end users as the tenant reports it.

Each answer is a row of its own with its proof: the version of the text, who said so, in which request, and when. Nothing is
overwritten. To withdraw is one call, as to give is. What a change means for tasks is announced after commit; queens that
hear nothing of it know within 5 s all the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from gdpr.consent_models import Consent, ConsentText
from gdpr.domain.audit import Actor, answered_request, record
from gdpr.scope import colony_tx, tenant_tx
from tenants.domain.invalidation import announce_after_commit
from tenants.domain.tenancy import TenantRefused

PURPOSE: Final = r"^[a-z][a-z0-9_]{0,63}\Z"
ACCOUNT: Final = ""  # in place of an end user's pseudonym


class ConsentRefused(TenantRefused):
    """There is nothing to agree to."""


class NoConsent(LookupError):
    """There never was one to withdraw."""


def add_consent_text(
    *, tenant_id: UUID | None, purpose: str, locale: str, text: str, actor: Actor
) -> ConsentText:
    """The next version, or the last one when it says the same. `tenant_id` None: the operator's, which all tenants may be
    asked to agree to."""
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    with colony_tx("text of a consent"):
        _lock("consent text", str(tenant_id), purpose, locale)
        last = _texts(tenant_id).filter(purpose=purpose, locale=locale).order_by("-number").first()
        if last is not None and last.sha256 == sha256:
            return last
        made = ConsentText(
            tenant_id=tenant_id,
            purpose=purpose,
            locale=locale,
            number=last.number + 1 if last else 1,
            sha256=sha256,
            text=text,
            added_by=str(actor),
        )
        made.save()
        record(
            "consent.text_added",
            actor=actor,
            tenant_id=tenant_id,
            object_ref=f"consent_text:{made.id.hex}",
            details={"purpose": purpose, "locale": locale, "number": made.number, "sha256": sha256},
        )
    return made


def give_consent(
    tenant_id: UUID,
    *,
    subject: str = ACCOUNT,
    purpose: str,
    text_sha256: str = "",
    locale: str = "",
    actor: Actor,
) -> Consent:
    """To the text that is named, else to the newest one for the purpose. What is in force already, and to the same text, is
    not written again. Raises ConsentRefused."""
    text = _find_text(tenant_id, purpose, text_sha256, locale)
    with tenant_tx(tenant_id):
        last = _last(tenant_id, subject, purpose)
        if (
            last is not None
            and last.is_given
            and last.text_sha256 == text.sha256
            and last.locale == text.locale
        ):
            return last
        return _write(tenant_id, last, subject, purpose, True, text.sha256, text.locale, actor)


def withdraw_consent(tenant_id: UUID, *, subject: str = ACCOUNT, purpose: str, actor: Actor) -> Consent:
    """Withdrawn is withdrawn. Raises NoConsent."""
    with tenant_tx(tenant_id):
        last = _last(tenant_id, subject, purpose)
        if last is None:
            raise NoConsent(purpose)
        if not last.is_given:
            return last
        return _write(tenant_id, last, subject, purpose, False, last.text_sha256, last.locale, actor)


def withdraw_all_consents(tenant_id: UUID, *, subject: str = ACCOUNT, actor: Actor) -> list[Consent]:
    """Those in force."""
    with tenant_tx(tenant_id):
        given = [consent.purpose for consent in last_answers(subject) if consent.is_given]
        return [
            withdraw_consent(tenant_id, subject=subject, purpose=purpose, actor=actor) for purpose in given
        ]


def last_answers(subject: str = ACCOUNT) -> list[Consent]:
    """Of each purpose, in a scope of one tenant."""
    answers = Consent.objects.filter(subject=subject)
    return list(answers.order_by("purpose", "-number").distinct("purpose"))


def texts_for(tenant_id: UUID) -> list[ConsentText]:
    """The tenant's own and the operator's, newest first."""
    with colony_tx("texts that a tenant's consents are given to"):
        own, operators = _texts(tenant_id), _texts(None)
        return list((own | operators).order_by("-id"))


def preferred(texts: Sequence[ConsentText], tenant_id: UUID) -> ConsentText:
    """Of some for one purpose, newest first: the tenant's own go before the operator's."""
    own = [text for text in texts if text.tenant_id == tenant_id]
    return (own or texts)[0]


def _write(
    tenant_id: UUID,
    last: Consent | None,
    subject: str,
    purpose: str,
    is_given: bool,
    text_sha256: str,
    locale: str,
    actor: Actor,
) -> Consent:
    consent = Consent(
        tenant_id=tenant_id,
        subject=subject,
        purpose=purpose,
        number=last.number + 1 if last else 1,
        is_given=is_given,
        text_sha256=text_sha256,
        locale=locale,
        actor=str(actor),
        request_id=answered_request.get(),
    )
    consent.save()
    record(
        "consent.given" if is_given else "consent.withdrawn",
        actor=actor,
        object_ref=f"subject:{subject}" if subject else f"tenant:{tenant_id.hex}",
        details={"purpose": purpose, "number": consent.number, "text_sha256": text_sha256, "locale": locale},
    )
    announce_after_commit(f"consent:{tenant_id.hex}:{subject}" if subject else "keys")
    return consent


def _last(tenant_id: UUID, subject: str, purpose: str) -> Consent | None:
    """Nobody else answers for the same until the transaction is over."""
    _lock("consent", tenant_id.hex, subject, purpose)
    answers = Consent.objects.filter(tenant_id=tenant_id, subject=subject, purpose=purpose)
    return answers.order_by("-number").first()


def _find_text(tenant_id: UUID, purpose: str, sha256: str, locale: str) -> ConsentText:
    fitting = [
        text
        for text in texts_for(tenant_id)
        if text.purpose == purpose
        and (not sha256 or text.sha256 == sha256)
        and (not locale or text.locale == locale)
    ]
    if not fitting:
        if sha256 or locale:
            raise ConsentRefused(
                "text_sha256" if sha256 else "locale", "There is no such text for this purpose."
            )
        raise ConsentRefused(
            "purpose",
            f"There is no text for {purpose} that somebody could agree to; add one: rbee gdpr consent text add.",
        )
    return preferred(fitting, tenant_id)


def _texts(tenant_id: UUID | None) -> QuerySet[ConsentText]:
    return ConsentText.objects.filter(tenant_id=tenant_id)


def _lock(*what: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", ["|".join(what)])
