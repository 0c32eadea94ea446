from __future__ import annotations

from datetime import UTC
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.price_fields import (
    CardDetail,
    CardText,
    FileQuery,
    ImportOut,
    NewImport,
    NewPrice,
    NewPriceCard,
    NewTerms,
    PriceCardOut,
    PriceOut,
    TermsOut,
    price_row,
    terms_row,
)
from billing.domain import price_text
from billing.domain.price_import import export_card, import_card, read_card
from billing.domain.price_terms import set_terms, terms_versions, withdraw_terms
from billing.domain.prices import create_card, current_prices, find_card, set_price, withdraw_price
from billing.models import Price, PriceCard, PriceTerms, PriceWithdrawal
from tenants.api.base import ManagementView, PageQuery, deleted_response, list_response, page_of
from tenants.models import Plan
from tenants.rules import Capability

READ_WRITE = {"GET": Capability.COLONY_READ, "POST": Capability.COLONY_WRITE}
ONE_MODEL = OpenApiParameter("model", str, description="Of this model only")


class CardView(ManagementView):
    def card(self, slug: str) -> PriceCard:
        card = find_card(slug)
        if card is None:
            raise NotFound("There is no such price card.")
        return card


class PriceCards(ManagementView):
    capabilities = READ_WRITE
    audits = {"POST": "price_card.created"}

    @extend_schema(operation_id="list_price_cards", parameters=[PageQuery], responses=PriceCardOut(many=True))
    def get(self, request: Request) -> Response:
        """The one without a plan is for all whose plan has none."""
        rows = PriceCard.objects.select_related("plan")
        found, cursor = page_of(rows, self.read_query(PageQuery))
        return list_response([dict(PriceCardOut(row).data) for row in found], cursor)

    @extend_schema(operation_id="create_price_card", request=NewPriceCard, responses={201: PriceCardOut})
    def post(self, request: Request) -> Response:
        """For a plan. Models that are not on it cost what they cost everybody."""
        body = self.read_body(NewPriceCard)
        plan = Plan.objects.filter(slug=body["plan"]).first()
        if plan is None:
            raise ValidationError({"plan": [f"There is no plan {body['plan']}."]})
        card = create_card(
            body["slug"], name=body["name"], currency=body["currency"], plan=plan, actor=self.actor
        )
        return Response(PriceCardOut(card).data, status.HTTP_201_CREATED)


class OnePriceCard(CardView):
    capabilities = {"GET": Capability.COLONY_READ}

    @extend_schema(operation_id="get_price_card", responses=CardDetail)
    def get(self, request: Request, slug: str) -> Response:
        """With what holds."""
        card = self.card(slug)
        held = terms_versions(timezone.now().astimezone(UTC).date()).filter(card=card).first()
        shown = {
            "prices": [price_row(price, "current") for price in current_prices(card)],
            "terms": terms_row(held, "current")["terms"] if held else {},
        }
        return Response({**PriceCardOut(card).data, **shown})


class CardPrices(CardView):
    capabilities = READ_WRITE
    audits = {"POST": "price.set"}

    @extend_schema(
        operation_id="list_card_prices", parameters=[PageQuery, ONE_MODEL], responses=PriceOut(many=True)
    )
    def get(self, request: Request, slug: str) -> Response:
        """All versions, those that are to come and those that were withdrawn among them."""
        card, query = self.card(slug), request.query_params.dict()
        model = query.pop("model", "")
        rows = Price.objects.filter(card=card, **({"model": model} if model else {}))
        found, cursor = page_of(rows, self.read(PageQuery, query))
        holding = {price.id for price in current_prices(card)}
        gone = _withdrawn([price.id for price in found])
        return list_response(
            [
                price_row(price, _state(price.id, holding, gone, price.valid_from > timezone.now()))
                for price in found
            ],
            cursor,
        )

    @extend_schema(operation_id="set_card_price", request=NewPrice, responses=PriceOut)
    def post(self, request: Request, slug: str) -> Response:
        """Of one model: a further version. What was admitted before costs what it cost then."""
        card, body = self.card(slug), self.read_body(NewPrice)
        try:
            prices = price_text.read_prices(body["prices"], card.currency)
            price = set_price(
                price_text.read_model(body["model"], ("model",)),
                prices,
                is_free=body["free"],
                card=card,
                valid_from=body.get("valid_from"),
                actor=self.actor,
            )
        except price_text.Misread as misread:
            raise _invalid(misread, "prices") from None
        return Response(PriceOut(price).data)


class OneCardPrice(CardView):
    capabilities = {"DELETE": Capability.COLONY_WRITE}
    audits = {"DELETE": "price.withdrawn"}

    @extend_schema(operation_id="withdraw_card_price", responses={200: None})
    def delete(self, request: Request, slug: str, version: UUID) -> Response:
        """One that has not begun."""
        price = Price.objects.select_related("card").filter(card=self.card(slug), id=version).first()
        if price is None:
            raise NotFound("There is no such price on this card.")
        withdraw_price(price, actor=self.actor)
        return deleted_response("price", str(version))


class CardTerms(CardView):
    capabilities = READ_WRITE
    audits = {"POST": "price_terms.set"}

    @extend_schema(operation_id="list_card_terms", parameters=[PageQuery], responses=TermsOut(many=True))
    def get(self, request: Request, slug: str) -> Response:
        """All versions."""
        card = self.card(slug)
        found, cursor = page_of(PriceTerms.objects.filter(card=card), self.read_query(PageQuery))
        today = timezone.now().astimezone(UTC).date()
        held = terms_versions(today).filter(card=card).first()
        gone = _withdrawn([row.id for row in found])
        holding = {held.id} if held else set()
        return list_response(
            [terms_row(row, _state(row.id, holding, gone, row.valid_from > today)) for row in found], cursor
        )

    @extend_schema(operation_id="set_card_terms", request=NewTerms, responses=TermsOut)
    def post(self, request: Request, slug: str) -> Response:
        """A further version."""
        card, body = self.card(slug), self.read_body(NewTerms)
        try:
            terms = price_text.read_terms(body["terms"], card.currency)
        except price_text.Misread as misread:
            raise _invalid(misread, "terms") from None
        row = set_terms(card, terms, valid_from=body.get("valid_from"), actor=self.actor)
        is_future = row.valid_from > timezone.now().astimezone(UTC).date()
        return Response(terms_row(row, "future" if is_future else "current"))


class OneCardTerms(CardView):
    capabilities = {"DELETE": Capability.COLONY_WRITE}
    audits = {"DELETE": "price_terms.withdrawn"}

    @extend_schema(operation_id="withdraw_card_terms", responses={200: None})
    def delete(self, request: Request, slug: str, version: UUID) -> Response:
        """Of a month that has not begun."""
        row = PriceTerms.objects.select_related("card").filter(card=self.card(slug), id=version).first()
        if row is None:
            raise NotFound("There are no such terms on this card.")
        withdraw_terms(row, actor=self.actor)
        return deleted_response("price_terms", str(version))


class ExportCard(CardView):
    capabilities = {"GET": Capability.COLONY_READ}

    @extend_schema(operation_id="export_price_card", parameters=[FileQuery], responses=CardText)
    def get(self, request: Request, slug: str) -> Response:
        """What holds and what is to come, as a file that can be imported."""
        card, kind = self.card(slug), self.read_query(FileQuery)["format"]
        return Response({"object": "price_card.file", "format": kind, "text": export_card(card, kind)})


class ImportCard(CardView):
    capabilities = {"POST": Capability.COLONY_WRITE}
    audits = {"POST": ("price.set", "price_terms.set", "price.withdrawn")}

    @extend_schema(operation_id="import_price_card", request=NewImport, responses=ImportOut)
    def post(self, request: Request, slug: str) -> Response:
        """All of the file, or nothing. Prices that it does not name stay."""
        card, body = self.card(slug), self.read_body(NewImport)
        file = read_card(body["text"], body["format"], card.currency)
        changes = import_card(card, file, is_try=body["dry_run"], actor=self.actor)
        rows = [{name: getattr(change, name) for name in change.__struct_fields__} for change in changes]
        return Response({"object": "price_import", "applied": not body["dry_run"], "changes": rows})


def _withdrawn(ids: list[UUID]) -> set[UUID]:
    return set(PriceWithdrawal.objects.filter(version_id__in=ids).values_list("version_id", flat=True))


def _state(version: UUID, holding: set[UUID], gone: set[UUID], is_future: bool) -> str:
    if version in gone:
        return "withdrawn"
    return "future" if is_future else "current" if version in holding else "past"


def _invalid(misread: price_text.Misread, field: str) -> ValidationError:
    """With the path of what is at fault, as the envelope has it."""
    path = misread.path if misread.path[:1] == ("model",) else (field, *misread.path)
    detail: Any = [misread.problem]
    for step in reversed(path):
        detail = {str(step): detail}
    return ValidationError(detail)
