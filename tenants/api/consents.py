"""Consents of the caller's tenant, and of its end users by `subject`. To withdraw takes what to give takes: one call, by the
same people and keys."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.consent_models import Consent, ConsentText
from gdpr.pseudonyms import subject_pseudonym
from gdpr.scope import tenant_tx
from tenants.api.base import ManagementView, PageQuery, list_response, page_of
from tenants.api.fields import Purpose
from tenants.domain.consents import (
    NoConsent,
    add_consent_text,
    give_consent,
    last_answers,
    texts_for,
    withdraw_all_consents,
    withdraw_consent,
)
from tenants.domain.tenancy import OPERATOR_TENANTS
from tenants.rules import Capability

TEXT_MAX = 100_000
NOBODY = "There never was a consent to this."


class Subject(serializers.CharField):
    """Kept as a pseudonym only."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **{
                "default": "", "allow_blank": True, "max_length": 512,
                "help_text": "An end user, as `user` or `safety_identifier` of requests names them; left out: the account",
                **options,
            }
        )  # fmt: skip


class Locale(serializers.RegexField):
    def __init__(self, **options: Any) -> None:
        super().__init__(r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*\Z", **{"max_length": 35, **options})


class WhoseConsent(serializers.Serializer[Any]):
    subject = Subject()


class ConsentQuery(PageQuery):
    subject = Subject()
    history = serializers.BooleanField(
        default=False, help_text="Every answer, in place of the last to each purpose"
    )


class Agreement(WhoseConsent):
    text_sha256 = serializers.RegexField(
        r"^[0-9a-f]{64}\Z",
        required=False,
        help_text="The version that was shown; left out: the newest for the purpose",
    )
    locale = Locale(required=False, help_text="In which the text was shown, such as de-AT")


class NewConsent(Agreement):
    purpose = Purpose()


class ConsentOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    object = serializers.CharField(default="consent")
    purpose = serializers.CharField()
    subject = serializers.CharField(allow_null=True, help_text="Pseudonym of an end user; null: the account")
    given = serializers.BooleanField()
    number = serializers.IntegerField(help_text="How many answers to this purpose there were")
    text_sha256 = serializers.CharField()
    locale = serializers.CharField()
    by = serializers.CharField(help_text="As audit entries have it: user:ID, key:KID")
    request_id = serializers.CharField(allow_blank=True)
    at = serializers.DateTimeField()


class NewConsentText(serializers.Serializer[Any]):
    purpose = Purpose()
    locale = Locale(default="en")
    text = serializers.CharField(max_length=TEXT_MAX, trim_whitespace=False)


class ConsentTextOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    object = serializers.CharField(default="consent_text")
    purpose = serializers.CharField()
    locale = serializers.CharField()
    number = serializers.IntegerField(help_text="Of the version")
    sha256 = serializers.CharField(help_text="Of the text in UTF-8")
    text = serializers.CharField()
    is_operators = serializers.BooleanField(help_text="All tenants may be asked to agree to it")
    added_by = serializers.CharField()
    created_at = serializers.DateTimeField()


class ConsentView(ManagementView):
    @property
    def tenant_id(self) -> UUID:
        return UUID(self.caller.tenant_id)

    def whom(self, body: dict[str, Any]) -> str:
        return subject_pseudonym(self.caller.tenant_id, body["subject"])

    def read_any(self, request: Request, serializer: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        """From the body or the query: many clients send no body with DELETE."""
        return self.read(serializer, {**request.query_params.dict(), **dict(request.data)})

    def give(self, purpose: str, body: dict[str, Any]) -> Response:
        given = give_consent(
            self.tenant_id,
            subject=self.whom(body),
            purpose=purpose,
            text_sha256=body.get("text_sha256", ""),
            locale=body.get("locale", ""),
            actor=self.actor,
        )
        return Response(_shown(given))


class Consents(ConsentView):
    capabilities = {
        "GET": Capability.GDPR_REQUEST,
        "POST": Capability.GDPR_REQUEST,
        "DELETE": Capability.GDPR_REQUEST,
    }
    audits = {"POST": "consent.given", "DELETE": "consent.withdrawn"}

    @extend_schema(operation_id="list_consents", parameters=[ConsentQuery], responses=ConsentOut(many=True))
    def get(self, request: Request) -> Response:
        """The last answer to each purpose, of the account or of one end user."""
        query = self.read_query(ConsentQuery)
        with tenant_tx(self.caller.tenant_id):
            if query["history"]:
                found, cursor = page_of(Consent.objects.filter(subject=self.whom(query)), query)
                return list_response([_shown(row) for row in found], cursor)
            return list_response([_shown(row) for row in last_answers(self.whom(query))])

    @extend_schema(operation_id="give_a_consent", request=NewConsent, responses=ConsentOut)
    def post(self, request: Request) -> Response:
        body = self.read_any(request, NewConsent)
        return self.give(body["purpose"], body)

    @extend_schema(
        operation_id="withdraw_all_consents", parameters=[WhoseConsent], responses=ConsentOut(many=True)
    )
    def delete(self, request: Request) -> Response:
        """All that are in force, of the account or of one end user."""
        subject = self.whom(self.read_any(request, WhoseConsent))
        withdrawn = withdraw_all_consents(self.tenant_id, subject=subject, actor=self.actor)
        return list_response([_shown(row) for row in withdrawn])


class OneConsent(ConsentView):
    capabilities = {
        "GET": Capability.GDPR_REQUEST,
        "POST": Capability.GDPR_REQUEST,
        "DELETE": Capability.GDPR_REQUEST,
    }
    audits = {"POST": "consent.given", "DELETE": "consent.withdrawn"}

    @extend_schema(operation_id="get_consent", parameters=[WhoseConsent], responses=ConsentOut)
    def get(self, request: Request, purpose: str) -> Response:
        subject = self.whom(self.read_query(WhoseConsent))
        with tenant_tx(self.caller.tenant_id):
            answers = {row.purpose: row for row in last_answers(subject)}
        if purpose not in answers:
            raise NotFound(NOBODY)
        return Response(_shown(answers[purpose]))

    @extend_schema(operation_id="give_consent", request=Agreement, responses=ConsentOut)
    def post(self, request: Request, purpose: str) -> Response:
        """In force at once, and again after it was withdrawn. What is in force already is answered as it is."""
        return self.give(purpose, self.read_any(request, Agreement))

    @extend_schema(operation_id="withdraw_consent", parameters=[WhoseConsent], responses=ConsentOut)
    def delete(self, request: Request, purpose: str) -> Response:
        """Tasks that need it are refused within five seconds, wherever they come in."""
        subject = self.whom(self.read_any(request, WhoseConsent))
        try:
            withdrawn = withdraw_consent(self.tenant_id, subject=subject, purpose=purpose, actor=self.actor)
        except NoConsent:
            raise NotFound(NOBODY) from None
        return Response(_shown(withdrawn))


class ConsentTexts(ConsentView):
    capabilities = {"GET": Capability.GDPR_REQUEST, "POST": Capability.GDPR_REQUEST}
    audits = {"POST": "consent.text_added"}

    @extend_schema(operation_id="list_consent_texts", responses=ConsentTextOut(many=True))
    def get(self, request: Request) -> Response:
        """Every version, newest first: the tenant's own, and the operator's."""
        return list_response([_text(row) for row in texts_for(self.tenant_id)])

    @extend_schema(operation_id="add_consent_text", request=NewConsentText, responses={201: ConsentTextOut})
    def post(self, request: Request) -> Response:
        """A further version. The operator's is for all tenants, a tenant's for its end users."""
        body = self.read_body(NewConsentText)
        is_operators = self.caller.tenant_slug in OPERATOR_TENANTS
        made = add_consent_text(
            tenant_id=None if is_operators else self.tenant_id,
            purpose=body["purpose"],
            locale=body["locale"],
            text=body["text"],
            actor=self.actor,
        )
        return Response(_text(made), status.HTTP_201_CREATED)


def _shown(consent: Consent) -> dict[str, Any]:
    return {
        "id": str(consent.id),
        "object": "consent",
        "purpose": consent.purpose,
        "subject": consent.subject or None,
        "given": consent.is_given,
        "number": consent.number,
        "text_sha256": consent.text_sha256,
        "locale": consent.locale,
        "by": consent.actor,
        "request_id": consent.request_id,
        "at": consent.at,
    }


def _text(text: ConsentText) -> dict[str, Any]:
    return {
        "id": str(text.id),
        "object": "consent_text",
        "purpose": text.purpose,
        "locale": text.locale,
        "number": text.number,
        "sha256": text.sha256,
        "text": text.text,
        "is_operators": text.tenant_id is None,
        "added_by": text.added_by,
        "created_at": text.created_at,
    }
