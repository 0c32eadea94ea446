from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api.base import ManagementView, deleted_response, list_response, page_of
from tenants.api.permissions import is_operator
from tenants.api.tenancy import find_tenant, scope_of
from tenants.api.webhook_fields import (
    DeliveryOut,
    DeliveryQuery,
    EventOut,
    NewWebhook,
    Replay,
    Replayed,
    WebhookOut,
    WebhookQuery,
    WebhookRotation,
    WebhookWithSecret,
)
from tenants.domain import webhooks
from tenants.domain.webhook_events import EVENTS
from tenants.models import WebhookDelivery, WebhookEndpoint
from tenants.rules import Capability


class _Conflict(APIException):
    status_code = 409
    default_code = "wrong_state"


class WebhookView(ManagementView):
    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, webhooks.WebhookRefused):
            exc = ValidationError({exc.field: [str(exc)]})
        elif isinstance(exc, webhooks.WrongState):
            exc = _Conflict(str(exc))
        elif isinstance(exc, WebhookEndpoint.DoesNotExist):  # deleted meanwhile
            exc = NotFound("There is no such webhook.")
        return super().handle_exception(exc)

    def owner(self, tenant_slug: str) -> UUID | None:
        """None is the operator. A tenant has its own only."""
        if is_operator(self.caller) and not tenant_slug:
            return None
        with scope_of(self.caller, "owner of a webhook"):
            return find_tenant(tenant_slug or self.caller.tenant_slug).id

    def endpoint(self, webhook: UUID) -> WebhookEndpoint:
        with scope_of(self.caller, "a webhook"):
            found = WebhookEndpoint.objects.select_related("tenant").filter(id=webhook).first()
        if found is None:
            raise NotFound("There is no such webhook.")
        return found

    def delivery(self, webhook: UUID, delivery: UUID) -> WebhookDelivery:
        with scope_of(self.caller, "a delivery of a webhook"):
            rows = WebhookDelivery.objects.select_related("endpoint", "event")
            found = rows.filter(id=delivery, endpoint=webhook).first()
        if found is None:
            raise NotFound("There is no such delivery.")
        return found

    def shown(self, endpoint: WebhookEndpoint, secret: str = "") -> dict[str, Any]:
        with scope_of(self.caller, "a webhook"):
            row = dict(WebhookOut(endpoint).data)
        return row | ({"secret": secret} if secret else {})


class Webhooks(WebhookView):
    capabilities = {"GET": Capability.WEBHOOKS_READ, "POST": Capability.WEBHOOKS_WRITE}
    audits = {"POST": "webhook.created"}
    shown_once = "secret"

    @extend_schema(operation_id="list_webhooks", parameters=[WebhookQuery], responses=WebhookOut(many=True))
    def get(self, request: Request) -> Response:
        query = self.read_query(WebhookQuery)
        owner = self.owner(query["tenant"])
        with scope_of(self.caller, "list of webhooks"):
            rows = WebhookEndpoint.objects.select_related("tenant").filter(tenant=owner)
            found, cursor = page_of(rows, query)
            return list_response([dict(WebhookOut(row).data) for row in found], cursor)

    @extend_schema(operation_id="create_webhook", request=NewWebhook, responses={201: WebhookWithSecret})
    def post(self, request: Request) -> Response:
        body = self.read_body(NewWebhook)
        owner = self.owner(body.pop("tenant"))
        endpoint, secret = webhooks.create_endpoint(owner, actor=self.actor, **body)
        return Response(self.shown(endpoint, secret), status.HTTP_201_CREATED)


class Events(WebhookView):
    capabilities = {"GET": Capability.WEBHOOKS_READ}

    @extend_schema(operation_id="list_webhook_events", responses=EventOut(many=True))
    def get(self, request: Request) -> Response:
        """Every event that there is, with an example of its data."""
        rows = [
            {"object": "webhook.event", "name": event.name, "when": event.when, "version": event.version,
             "example": dict(event.example)}
            for event in EVENTS.values()
        ]  # fmt: skip
        return list_response(rows)


class OneWebhook(WebhookView):
    capabilities = {"GET": Capability.WEBHOOKS_READ, "DELETE": Capability.WEBHOOKS_WRITE}
    audits = {"DELETE": "webhook.deleted"}

    @extend_schema(operation_id="get_webhook", responses=WebhookOut)
    def get(self, request: Request, webhook: UUID) -> Response:
        return Response(self.shown(self.endpoint(webhook)))

    @extend_schema(operation_id="delete_webhook", responses={200: None})
    def delete(self, request: Request, webhook: UUID) -> Response:
        webhooks.delete_endpoint(self.endpoint(webhook), actor=self.actor)
        return deleted_response("webhook", str(webhook))


class PingWebhook(WebhookView):
    capabilities = {"POST": Capability.WEBHOOKS_WRITE}
    audits = {"POST": "webhook.pinged"}

    @extend_schema(operation_id="test_webhook", request=None, responses={202: DeliveryOut})
    def post(self, request: Request, webhook: UUID) -> Response:
        """Sends webhook.ping; the delivery that is answered tells how it goes."""
        delivery = webhooks.ping_endpoint(self.endpoint(webhook), actor=self.actor)
        return Response(DeliveryOut(delivery).data, status.HTTP_202_ACCEPTED)


class RotateWebhook(WebhookView):
    capabilities = {"POST": Capability.WEBHOOKS_WRITE}
    audits = {"POST": "webhook.rotated"}
    shown_once = "secret"

    @extend_schema(operation_id="rotate_webhook_secret", request=WebhookRotation, responses=WebhookWithSecret)
    def post(self, request: Request, webhook: UUID) -> Response:
        overlap = timedelta(hours=max(-1, min(self.read_body(WebhookRotation)["overlap_hours"], 10_000)))
        endpoint, secret = webhooks.rotate_secret(self.endpoint(webhook), actor=self.actor, overlap=overlap)
        return Response(self.shown(endpoint, secret))


class PauseWebhook(WebhookView):
    capabilities = {"POST": Capability.WEBHOOKS_WRITE}
    audits = {"POST": "webhook.paused"}

    @extend_schema(operation_id="pause_webhook", request=None, responses=WebhookOut)
    def post(self, request: Request, webhook: UUID) -> Response:
        return Response(self.shown(webhooks.pause_endpoint(self.endpoint(webhook), actor=self.actor)))


class ResumeWebhook(WebhookView):
    capabilities = {"POST": Capability.WEBHOOKS_WRITE}
    audits = {"POST": "webhook.resumed"}

    @extend_schema(operation_id="resume_webhook", request=None, responses=WebhookOut)
    def post(self, request: Request, webhook: UUID) -> Response:
        return Response(self.shown(webhooks.resume_endpoint(self.endpoint(webhook), actor=self.actor)))


class ReplayWebhook(WebhookView):
    capabilities = {"POST": Capability.WEBHOOKS_WRITE}
    audits = {"POST": "webhook.replayed"}

    @extend_schema(operation_id="replay_webhook", request=Replay, responses={202: Replayed})
    def post(self, request: Request, webhook: UUID) -> Response:
        """Sends the events of a time again, under the ids that they have."""
        body = self.read_body(Replay)
        queued = webhooks.replay_events(
            self.endpoint(webhook),
            since=body["since"],
            until=body.get("until") or timezone.now(),
            only_failed=body["only_failed"],
            actor=self.actor,
        )
        return Response({"object": "webhook.replay", "queued": queued}, status.HTTP_202_ACCEPTED)


class Deliveries(WebhookView):
    capabilities = {"GET": Capability.WEBHOOKS_READ}

    @extend_schema(
        operation_id="list_webhook_deliveries", parameters=[DeliveryQuery], responses=DeliveryOut(many=True)
    )
    def get(self, request: Request, webhook: UUID) -> Response:
        query = self.read_query(DeliveryQuery)
        endpoint = self.endpoint(webhook)
        with scope_of(self.caller, "deliveries of a webhook"):
            rows = WebhookDelivery.objects.select_related("event").filter(endpoint=endpoint)
            if query["state"]:
                rows = rows.filter(state=query["state"])
            found, cursor = page_of(rows, query)
            return list_response([dict(DeliveryOut(row).data) for row in found], cursor)


class OneDelivery(WebhookView):
    capabilities = {"GET": Capability.WEBHOOKS_READ}

    @extend_schema(operation_id="get_webhook_delivery", responses=DeliveryOut)
    def get(self, request: Request, webhook: UUID, delivery: UUID) -> Response:
        return Response(DeliveryOut(self.delivery(webhook, delivery)).data)


class ReplayDelivery(WebhookView):
    capabilities = {"POST": Capability.WEBHOOKS_WRITE}
    audits = {"POST": "webhook.replayed"}

    @extend_schema(operation_id="replay_webhook_delivery", request=None, responses={202: Replayed})
    def post(self, request: Request, webhook: UUID, delivery: UUID) -> Response:
        webhooks.replay_delivery(self.delivery(webhook, delivery), actor=self.actor)
        return Response({"object": "webhook.replay", "queued": 1}, status.HTTP_202_ACCEPTED)
