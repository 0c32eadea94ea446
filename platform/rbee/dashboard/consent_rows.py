"""Purposes as pages show them: what is asked, what was answered, and what needs it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from gdpr.consent_models import Consent, ConsentText
from gdpr.scope import tenant_tx
from tenants.domain.consents import last_answers, preferred, texts_for
from tenants.models import Tenant


@dataclass(frozen=True)
class Row:
    """`text`: the newest, in the language of the last answer if there was one; None: nobody wrote one. `others`: the newest in
    other languages."""

    purpose: str
    text: ConsentText | None
    others: list[ConsentText]
    answer: Consent | None
    answered_text: ConsentText | None
    is_needed: bool

    @property
    def is_given(self) -> bool:
        return self.answer is not None and self.answer.is_given

    @property
    def is_to_newest(self) -> bool:
        return bool(self.answer and self.text and self.text.sha256 == self.answer.text_sha256)


def rows_of(tenant_id: UUID, subject: str) -> list[Row]:
    """What somebody may be asked or was asked, what is needed first."""
    texts = texts_for(tenant_id)
    with tenant_tx(tenant_id):
        answers = {one.purpose: one for one in last_answers(subject)}
        tenant = Tenant.objects.select_related("plan").get(id=tenant_id)
    needed = set(_needed(tenant, subject))
    purposes = {text.purpose for text in texts} | answers.keys() | needed
    return sorted(
        (_row(purpose, texts, tenant_id, answers.get(purpose), purpose in needed) for purpose in purposes),
        key=lambda row: (not row.is_needed, row.purpose),
    )


def _row(
    purpose: str, texts: list[ConsentText], tenant_id: UUID, answer: Consent | None, is_needed: bool
) -> Row:
    versions = [text for text in texts if text.purpose == purpose]
    spoken = [text for text in versions if answer and text.locale == answer.locale]
    text = preferred(spoken or versions, tenant_id) if versions else None
    others: dict[str, ConsentText] = {}
    for one in versions:
        if text is not None and one.tenant_id == text.tenant_id and one.locale != text.locale:
            others.setdefault(one.locale, one)
    agreed_to = answer.text_sha256 if answer else ""
    agreed = next((one for one in versions if one.sha256 == agreed_to), None)
    return Row(purpose, text, list(others.values()), answer, agreed, is_needed)


def _needed(tenant: Tenant, subject: str) -> list[str]:
    if subject:
        return tenant.subject_consents
    own = tenant.required_consents
    return tenant.plan.required_consents if own is None else own
