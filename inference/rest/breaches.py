from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.access_models import Breach, BreachFact
from gdpr.scope import colony_tx
from inference.domain import breach_notices as notices
from inference.domain import breaches
from inference.domain.errors import NotFound
from tenants.api.base import ManagementView, PageQuery, list_response, page_of
from tenants.rules import Capability

BREACH_STATES: Final = ("open", "closed")

TEXT_MAX = 20_000


class NewBreach(serializers.Serializer[Any]):
    title = serializers.CharField(max_length=200)
    since = serializers.DateTimeField(help_text="From when data was exposed, as far as is known")
    until = serializers.DateTimeField(required=False, help_text="Left out: until now")
    aware_at = serializers.DateTimeField(
        required=False, help_text="When you came to know: the 72 hours run from then; left out: now"
    )


class NewFact(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=TEXT_MAX)
    gather = serializers.BooleanField(default=False, help_text="Also gather again what rbee knows")


class Closing(serializers.Serializer[Any]):
    conclusion = serializers.CharField(max_length=TEXT_MAX, help_text="Also why nobody was told, if so")
    notified_at = serializers.DateTimeField(
        required=False, help_text="When the authority was told; left out: it was not"
    )


class FactOut(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    actor = serializers.CharField()
    text = serializers.CharField(allow_blank=True)
    gathered = serializers.DictField(help_text="What rbee knew: tenants, hives, policies, events, log")


class BreachOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    object = serializers.CharField(default="breach")
    title = serializers.CharField()
    state = serializers.ChoiceField(list(BREACH_STATES))
    aware_at = serializers.DateTimeField()
    notify_by = serializers.DateTimeField(help_text="The authority, by Art. 33(1)")
    left_s = serializers.IntegerField(allow_null=True, help_text="Of the 72 hours; null: it is closed")
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    opened_by = serializers.CharField()
    closed_at = serializers.DateTimeField(allow_null=True)
    notified_at = serializers.DateTimeField(allow_null=True)
    conclusion = serializers.CharField(allow_blank=True)


class WholeBreach(BreachOut):
    facts = FactOut(many=True)
    affected = serializers.ListField(child=serializers.CharField(), help_text="Tenants, by slug")


class NoticeQuery(serializers.Serializer[Any]):
    to = serializers.CharField(
        default="authority", max_length=63, help_text="authority, or the slug of a tenant that is affected"
    )


class NoticeOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="breach_notice")
    to = serializers.CharField()
    markdown = serializers.CharField()


class Breaches(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ, "POST": Capability.COLONY_WRITE}
    audits = {"POST": "breach.opened"}

    @extend_schema(operation_id="list_breaches", parameters=[PageQuery], responses=BreachOut(many=True))
    def get(self, request: Request) -> Response:
        """Newest first, closed ones too: all are kept on record (Art. 33(5))."""
        with colony_tx("list of breaches"):
            found, cursor = page_of(Breach.objects.all(), self.read_query(PageQuery))
        return list_response([_row(breach) for breach in found], cursor)

    @extend_schema(operation_id="open_breach", request=NewBreach, responses={201: WholeBreach})
    def post(self, request: Request) -> Response:
        """Starts the clock of 72 hours, gathers what rbee knows of that time, and raises an alert."""
        body = self.read_body(NewBreach)
        made = breaches.open_breach(
            title=body["title"],
            since=body["since"],
            until=body.get("until"),
            aware_at=body.get("aware_at"),
            actor=self.actor,
        )
        return Response(_whole(made.id), status.HTTP_201_CREATED)


class OneBreach(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ}

    @extend_schema(operation_id="get_breach", responses=WholeBreach)
    def get(self, request: Request, breach: UUID) -> Response:
        return Response(_whole(breach))


class BreachFacts(ManagementView):
    capabilities = {"POST": Capability.COLONY_WRITE}
    audits = {"POST": "breach.fact_added"}

    @extend_schema(operation_id="add_breach_fact", request=NewFact, responses={201: WholeBreach})
    def post(self, request: Request, breach: UUID) -> Response:
        found, _ = _found(breach)
        body = self.read_body(NewFact)
        breaches.add_fact(found, body["text"], again=body["gather"], actor=self.actor)
        return Response(_whole(breach), status.HTTP_201_CREATED)


class CloseBreach(ManagementView):
    capabilities = {"POST": Capability.COLONY_WRITE}
    audits = {"POST": "breach.closed"}

    @extend_schema(operation_id="close_breach", request=Closing, responses=WholeBreach)
    def post(self, request: Request, breach: UUID) -> Response:
        found, _ = _found(breach)
        body = self.read_body(Closing)
        breaches.close_breach(
            found, body["conclusion"], notified_at=body.get("notified_at"), actor=self.actor
        )
        return Response(_whole(breach))


class BreachNotice(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ}

    @extend_schema(operation_id="draft_breach_notice", parameters=[NoticeQuery], responses=NoticeOut)
    def get(self, request: Request, breach: UUID) -> Response:
        """A draft in Markdown, for people to complete."""
        to = self.read_query(NoticeQuery)["to"]
        found, facts = _found(breach)
        if to == "authority":
            text = notices.draft_for_authority(found, facts)
        else:
            tenant = next((one for one in notices.affected(facts) if one["tenant"] == to), None)
            if tenant is None:
                raise NotFound("This breach affects no tenant of that name.")
            text = notices.draft_for_tenant(found, facts, tenant)
        return Response({"object": "breach_notice", "to": to, "markdown": text})


def _found(breach_id: UUID) -> tuple[Breach, Sequence[BreachFact]]:
    with colony_tx("a breach"):
        found = Breach.objects.filter(id=breach_id).first()
        facts = list(BreachFact.objects.filter(breach_id=breach_id))
    if found is None:
        raise NotFound("There is no such breach.")
    return found, facts


def _whole(breach_id: UUID) -> dict[str, Any]:
    breach, facts = _found(breach_id)
    shown = [{"at": fact.at, "actor": fact.actor, "text": fact.text, "gathered": fact.data} for fact in facts]
    return {
        **_row(breach),
        "facts": shown,
        "affected": [one["tenant"] for one in notices.affected(facts)],
    }


def _row(breach: Breach) -> dict[str, Any]:
    return {
        "id": str(breach.id),
        "object": "breach",
        "title": breach.title,
        "state": "closed" if breach.closed_at else "open",
        "aware_at": breach.aware_at,
        "notify_by": breaches.notify_by(breach),
        "left_s": None if breach.closed_at else breaches.left_s(breach),
        "since": breach.window_begins_at,
        "until": breach.window_ends_at,
        "opened_by": breach.opened_by,
        "closed_at": breach.closed_at,
        "notified_at": breach.notified_at,
        "conclusion": breach.conclusion,
    }
