from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.price_fields import DiscountOut, NewDiscount
from billing.domain.price_terms import give_discount
from billing.domain.price_text import percent_text, read_percent
from billing.models import TenantDiscount
from gdpr.scope import colony_tx
from tenants.api.base import ManagementView, PageQuery, list_response, page_of
from tenants.api.tenancy import find_tenant
from tenants.rules import Capability


class TenantDiscounts(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ, "POST": Capability.COLONY_WRITE}
    audits = {"POST": "tenant_discount.given"}

    @extend_schema(
        operation_id="list_tenant_discounts", parameters=[PageQuery], responses=DiscountOut(many=True)
    )
    def get(self, request: Request, slug: str) -> Response:
        """All that were given, newest first."""
        query = self.read_query(PageQuery)
        with colony_tx("discounts of a tenant"):
            rows = TenantDiscount.objects.select_related("tenant").filter(tenant=find_tenant(slug))
            found, cursor = page_of(rows, query)
        return list_response([_discount(row) for row in found], cursor)

    @extend_schema(operation_id="give_tenant_discount", request=NewDiscount, responses={201: DiscountOut})
    def post(self, request: Request, slug: str) -> Response:
        """In place of that of its card."""
        body = self.read_body(NewDiscount)
        with colony_tx("a tenant"):
            tenant = find_tenant(slug)
        discount = body["discount"]
        given = give_discount(
            tenant,
            None if discount is None else read_percent(discount, ("discount",)),
            reason=body["reason"],
            valid_from=body.get("valid_from"),
            actor=self.actor,
        )
        return Response(_discount(given), status.HTTP_201_CREATED)


def _discount(row: TenantDiscount) -> dict[str, object]:
    return {
        "object": "tenant_discount", "id": str(row.id), "tenant": row.tenant.slug,
        "discount": None if row.discount_bp is None else percent_text(row.discount_bp),
        "reason": row.reason, "valid_from": row.valid_from, "created_at": row.created_at,
    }  # fmt: skip
