from __future__ import annotations

from datetime import date

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.price_fields import NewWhatIf, WhatIfOut
from billing.domain.price_import import read_card
from billing.domain.what_if import what_if
from gdpr.duties import unrecorded
from gdpr.scope import colony_tx
from tenants.api.base import ManagementView
from tenants.api.tenancy import find_tenant
from tenants.rules import Capability


class WhatIf(ManagementView):
    capabilities = {"POST": Capability.COLONY_READ}
    audits = {"POST": unrecorded("it works out what a price card would have cost, and changes nothing")}

    @extend_schema(operation_id="price_what_if", request=NewWhatIf, responses=WhatIfOut)
    def post(self, request: Request) -> Response:
        """What a month cost, and what it would have cost with the prices and terms of a file. Changes nothing."""
        body = self.read_body(NewWhatIf)
        file = read_card(body["text"], body["format"], body["currency"])
        tenant_id = None
        if body["tenant"]:
            with colony_tx("what if prices were others"):
                tenant_id = find_tenant(body["tenant"]).id
        found = what_if(file, date.fromisoformat(f"{body['month']}-01"), tenant_id)
        rows = [
            {
                "tenant": row.tenant, "model": row.model or None, "was_micros": row.was_micros,
                "would_be_micros": row.would_be_micros, "difference_micros": row.difference_micros,
            }
            for row in found.rows
        ]  # fmt: skip
        sums = {
            name: sum(getattr(row, name) for row in found.rows)
            for name in ("was_micros", "would_be_micros", "difference_micros")
        }
        return Response(
            {"object": "what_if", "currency": found.currency, "month": body["month"], "rows": rows, **sums,
             "other_currencies": found.other_currencies}
        )  # fmt: skip
