from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from inference.domain import catalog
from inference.domain.hives import hive_named
from inference.models import Model
from inference.rest.colony import Colony
from inference.rest.fields import ModelOut, NewModelBody
from tenants.api.base import ManagementView, PageQuery, deleted_response, list_response, page_of
from tenants.rules import Capability


class Models(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ, "POST": Capability.COLONY_WRITE}
    audits = {"POST": ("model.added", "model.placed")}

    @extend_schema(operation_id="list_models", parameters=[PageQuery], responses=ModelOut(many=True))
    def get(self, request: Request) -> Response:
        found, cursor = page_of(Model.objects.filter(removed_at=None), self.read_query(PageQuery))
        return list_response(Colony().models(found), cursor)

    @extend_schema(operation_id="add_model", request=NewModelBody, responses={200: ModelOut, 201: ModelOut})
    def post(self, request: Request) -> Response:
        """201 for a model that is new, 200 for one that was placed on further hives."""
        body = self.read_body(NewModelBody)
        new = catalog.NewModel(
            source=body["source"],
            name=body["name"],
            engine=body.get("engine", ""),
            capability=body.get("capability", ""),
            hives=body.get("hives"),
            options=body["options"],
            prices=body["prices"],
            currency=body["currency"],
            is_free=body["free"],
        )
        model, is_new = catalog.add_model(new, actor=self.actor)
        code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
        return Response(Colony().models([model])[0], code)


class OneModel(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ, "DELETE": Capability.COLONY_WRITE}
    audits = {"DELETE": ("model.removed", "model.unplaced")}

    @extend_schema(operation_id="get_model", responses=ModelOut)
    def get(self, request: Request, name: str) -> Response:
        return Response(Colony().models([catalog.model_named(name)])[0])

    @extend_schema(
        operation_id="remove_model",
        parameters=[OpenApiParameter("hive", str, description="Take it off this hive only")],
        responses={200: None},
    )
    def delete(self, request: Request, name: str) -> Response:
        model = catalog.model_named(name)
        if hive_name := request.query_params.get("hive"):
            catalog.unplace_model(model, hive_named(hive_name), actor=self.actor)
        else:
            catalog.remove_model(model, actor=self.actor)
        return deleted_response("model", name)
