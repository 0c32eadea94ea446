from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from django.http import HttpResponse
from django.utils import timezone

from gdpr.scope import colony_tx
from inference.models import Model
from tenants.models import Plan, Tenant
from tests.factories.billing import make_event
from tests.factories.inference import make_model
from tests.factories.tenants import make_key, make_project, make_tenant, unique
from tests.inference.conftest import Api, audit_events

YAML = """\
currency: EUR
prices:
  - model: llama
    prompt_tokens: 0.50 per 1M tokens
    completion_tokens: 1.50
  - {model: painter, images: 0.04, images_1024x1024: 0.05 per image}
  - {model: mini, free: true}
  - {model: llama, from: 2999-01-01, engine_ms: 1.20 per GPU hour}
terms:
  subscription: 49.00
  minimum: 60
  discount: 12.5%
  included: [{model: "*", unit: completion_tokens, quantity: 1000000}]
  tiered:
    - model: llama
      unit: prompt_tokens
      mode: volume
      tiers: [{up_to: 10000000, price: 0.50 per 1M tokens}, {price: 0.40}]
"""
CSV = """\
kind,model,unit,from,amount,currency,per,up_to,quantity
price,llama,prompt_tokens,,0.50,EUR,1M tokens,,
price,llama,completion_tokens,,1.50,EUR,1M tokens,,
price,painter,images,,0.04,EUR,image,,
price,painter,images_1024x1024,,0.05,EUR,image,,
free,mini,,,,EUR,,,
price,llama,engine_ms,2999-01-01,1.20,EUR,GPU hour,,
subscription,,,,49.00,EUR,,,
minimum,,,,60.00,EUR,,,
discount,,,,12.5%,EUR,,,
included,*,completion_tokens,,,EUR,,,1000000
volume,llama,prompt_tokens,,0.50,EUR,1M tokens,10000000,
volume,llama,prompt_tokens,,0.40,EUR,1M tokens,,
"""


@pytest.fixture
def card(operator: Api) -> str:
    """Of a plan of its own."""
    slug = unique("card")
    operator.post("plans", {"slug": slug})
    assert operator.post("price-cards", {"slug": slug, "plan": slug}).status_code == 201
    return slug


def message(answer: HttpResponse) -> str:
    assert answer.status_code == 400, answer.content
    return str(answer.json()["error"]["message"])


def put(operator: Api, card: str, text: str, kind: str = "yaml", **fields: Any) -> HttpResponse:
    return operator.post(f"price-cards/{card}/import", {"text": text, "format": kind, **fields})


def test_card_is_made_for_a_plan_once(operator: Api, card: str) -> None:
    again = operator.post("price-cards", {"slug": card, "plan": card})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "name_taken")
    for body in (
        {"slug": "x", "plan": "no-such"},
        {"slug": "x", "plan": card, "currency": "ABC"},
        {"slug": "X y", "plan": card},
    ):
        assert operator.post("price-cards", body).status_code == 400
    found = operator.get(f"price-cards/{card}").json()
    assert (found["plan"], found["currency"], found["prices"], found["terms"]) == (card, "EUR", [], {})
    assert card in [row["slug"] for row in operator.get("price-cards", limit=1000).json()["data"]]
    assert operator.get("price-cards/no-such").status_code == 404


def test_price_is_set_in_words_shown_and_withdrawn(operator: Api, card: str) -> None:
    path = f"price-cards/{card}/prices"
    first = operator.post(
        path, {"model": "m", "prices": {"engine_ms": "1.20 per GPU hour", "images": 5}}
    ).json()
    assert first["prices"] == {"engine_ms": 1_200_000, "images": 5}
    assert first["shown"]["engine_ms"] == "1.20 EUR per GPU hour"
    coming = operator.post(
        path, {"model": "m", "prices": {"engine_ms": "1.10"}, "valid_from": "2999-01-01T00:00:00Z"}
    ).json()
    operator.post(path, {"model": "m", "prices": {"engine_ms": "1.30"}})

    rows = operator.get(path, model="m").json()["data"]
    assert [(row["version"], row["state"]) for row in rows] == [(3, "current"), (2, "future"), (1, "past")]
    assert operator.delete(f"{path}/{first['id']}").json()["error"]["code"] == "state_conflict"
    assert operator.delete(f"{path}/{coming['id']}").status_code == 200
    assert operator.delete(f"price-cards/default/prices/{coming['id']}").status_code == 404
    assert [row["state"] for row in operator.get(path).json()["data"]] == ["current", "withdrawn", "past"]
    assert [row["prices"] for row in operator.get(f"price-cards/{card}").json()["prices"]] == [
        {"engine_ms": 1_300_000}
    ]
    assert audit_events("price.") == ["price.set"] * 3 + ["price.withdrawn"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "m", "prices": {"images": "0,04"}}, "prices.images"),
        ({"model": "m", "prices": {"images": 0.04}}, "prices.images"),
        ({"model": "m", "prices": {"imagery": "1"}}, "prices.imagery"),
        ({"model": "a b", "prices": {"images": "1"}}, "model"),
        ({"model": "m", "prices": {}}, None),
        ({"model": "m", "prices": {"images": "1"}, "free": True}, None),
        ({"model": "m", "prices": {"images": "1"}, "valid_from": "2020-01-01T00:00:00Z"}, None),
        ({"model": "m", "price": {}}, "price"),
    ],
)
def test_price_that_makes_no_sense_names_what_is_at_fault(
    operator: Api, card: str, body: Any, param: str | None
) -> None:
    answer = operator.post(f"price-cards/{card}/prices", body)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_terms_are_set_shown_and_withdrawn(operator: Api, card: str) -> None:
    path = f"price-cards/{card}/terms"
    first = operator.post(path, {"terms": {"discount": "5%", "subscription": "49.00"}}).json()
    coming = operator.post(path, {"terms": {"discount": "6%"}}).json()

    assert (first["state"], coming["state"]) == ("current", "future")
    assert operator.get(f"price-cards/{card}").json()["terms"] == {"discount": "5%", "subscription": "49.00"}
    assert operator.delete(f"{path}/{coming['id']}").status_code == 200
    assert operator.delete(f"{path}/{first['id']}").status_code == 409
    assert [row["state"] for row in operator.get(path).json()["data"]] == ["withdrawn", "current"]
    for terms in (
        {"discount": "101%"},
        {"fee": "1"},
        {"minimum": 1.5},
        {"tiered": [{"model": "m", "unit": "images"}]},
    ):
        assert operator.post(path, {"terms": terms}).status_code == 400


def test_file_of_either_kind_says_the_same_and_comes_out_as_it_went_in(operator: Api, card: str) -> None:
    assert put(operator, card, YAML).json()["applied"] is True
    first = operator.get(f"price-cards/{card}").json()

    for kind in ("yaml", "csv"):
        text = operator.get(f"price-cards/{card}/export", format=kind).json()["text"]
        again = put(operator, card, text, kind).json()["changes"]
        assert {change["change"] for change in again} == {"same"}
        assert len(again) == 5
    assert (
        operator.get(f"price-cards/{card}/export", format="csv").json()["text"].splitlines()[0]
        == CSV.splitlines()[0]
    )
    assert {change["change"] for change in put(operator, card, CSV, "csv").json()["changes"]} == {"same"}
    assert operator.get(f"price-cards/{card}").json() == first
    assert first["terms"]["tiered"][0]["tiers"][1] == {"price": "0.40 EUR per 1M tokens"}


def test_dry_run_tells_and_changes_nothing(operator: Api, card: str) -> None:
    put(operator, card, "prices: [{model: llama, prompt_tokens: 0.10}]")
    before = operator.get(f"price-cards/{card}").json()

    told = put(operator, card, YAML, dry_run=True).json()

    assert (told["applied"], [(row["line"], row["what"], row["change"]) for row in told["changes"]]) == (
        False,
        [
            (3, "llama", "changed"),
            (6, "painter", "new"),
            (7, "mini", "new"),
            (8, "llama", "changed"),
            (9, "terms", "new"),
        ],
    )
    assert told["changes"][0]["before"] == "prompt_tokens 0.10 EUR per 1M tokens"
    assert operator.get(f"price-cards/{card}").json() == before


def test_file_with_one_mistake_changes_nothing(operator: Api, card: str) -> None:
    for text, kind in ((YAML + "  x: 1\n", "yaml"), (YAML.replace("0.04,", "0.04 USD,"), "yaml"),
                       (CSV + "free,,,,,,,,\n", "csv"), (CSV.replace("12.5%", "120%"), "csv")):  # fmt: skip
        assert put(operator, card, text, kind).status_code == 400
    published = make_model(is_free=True)
    wrong = f"prices: [{{model: other, free: true}}, {{model: {published.name}, prompt_tokens: 1}}]"
    assert "line 1: the price of" in message(put(operator, card, wrong))

    assert operator.get(f"price-cards/{card}").json()["prices"] == []


@pytest.mark.parametrize(
    ("text", "kind", "problem"),
    [
        ("prices:\n  - {model: m, images: 0.04 per minute}\n", "yaml", "line 2: prices[1].images: images has no price per minute"),
        ("prices:\n  - {model: m}\n", "yaml", "line 2: prices[1]: a model is free or has prices"),
        ("prices:\n  - model: m\n    images: &x 1\n  - {model: n, images: *x}\n", "yaml", "line 3: write it out"),
        ("currency: USD\nprices: [{model: m, free: true}]\n", "yaml", "line 1: currency: the card is in EUR"),
        ("prices:\n  - {model: m, free: true}\n  - {model: m, free: true}\n", "yaml", "line 3: m is priced on line 2"),
        ("terms:\n  minimum: lots\n", "yaml", "line 2: terms.minimum: 'lots' is no amount"),
        ("prices: [\n", "yaml", "line 2"),
        ("[]", "yaml", "names currency, prices and terms"),
        ("{}", "yaml", "neither prices nor terms"),
        ("prices: [{model: m, from: 2027-02-30, free: true}]", "yaml", "no day of the calendar"),
        ("model,unit\n", "csv", "line 1: the columns are"),
        ("kind,prize\n", "csv", "line 1: there is no column 'prize'"),
        ("kind,model\nfree,m\nfreee,n\n", "csv", "line 3: 'freee' is no kind of row"),
        ("kind,model\nfree,m,x\n", "csv", "line 2: it has another number of columns"),
        ("kind,model,unit,amount\nprice,m,images,1\nprice,m,images,2\n", "csv", "line 3: images of m is there twice"),
        ("kind,model,unit,amount\nprice,m,images,x\n", "csv", "line 2: images: 'x' is no price"),
        ("kind,model,unit\nprice,m,images\n", "csv", "line 2: a row of the kind price needs amount"),
        ("kind,amount,model\nminimum,5,m\n", "csv", "line 2: a row of the kind minimum has no model"),
        ('kind,model\nfree,"m\n', "csv", "line"),
    ],
)  # fmt: skip
def test_problem_in_a_file_names_its_line(
    operator: Api, card: str, text: str, kind: str, problem: str
) -> None:
    assert problem in message(put(operator, card, text, kind))


def test_tenant_sees_what_it_pays_and_no_card(operator: Api, card: str) -> None:
    with colony_tx("tests"):
        tenant = Tenant.objects.create(
            slug=card, name=card, plan=Plan.objects.get(slug=card), allowed_models=["my-*"]
        )
    mine, other = f"my-{unique('model')}", unique("model")
    for name in (mine, other):
        make_model(name=name, is_free=True)
    operator.post(f"price-cards/{card}/prices", {"model": mine, "prices": {"requests": "0.01"}})
    operator.post(f"price-cards/{card}/terms", {"terms": {"discount": "5%"}})
    customer = Api(make_key(make_project(tenant), scopes=["read"])[1])

    found = customer.get("prices").json()
    assert [(row["model"], row["shown"]) for row in found["data"]] == [
        (mine, {"requests": "0.01 EUR per request"})
    ]
    assert (found["tenant"], found["terms"]) == (card, {"discount": "5%"})
    assert operator.get("prices", tenant=card).json() == found
    assert customer.get("prices", tenant=make_tenant().slug).status_code == 404
    for path in ("price-cards", f"price-cards/{card}", f"tenants/{card}/discounts"):
        assert customer.get(path).status_code == 403
    assert customer.post("prices/what-if", {"text": YAML, "month": "2026-10"}).status_code == 403


def test_discount_of_a_tenant_is_given_with_a_reason(operator: Api) -> None:
    tenant = make_tenant()
    path = f"tenants/{tenant.slug}/discounts"

    given = operator.post(path, {"discount": "12.5%", "reason": "two years"})
    assert (given.status_code, given.json()["discount"]) == (201, "12.5%")
    for body in (
        {"discount": "1%"},
        {"discount": "101%", "reason": "x"},
        {"discount": "1%", "reason": "x", "valid_from": "2020-01-01"},
    ):
        assert operator.post(path, body).status_code == 400
    operator.post(path, {"discount": None, "reason": "over"})
    assert [row["discount"] for row in operator.get(path).json()["data"]] == [None, "12.5%"]
    assert operator.post("tenants/no-such/discounts", {"discount": "1%", "reason": "x"}).status_code == 404


def last_month() -> date:
    return (timezone.now().date().replace(day=1) - timedelta(days=1)).replace(day=1)


def used_last_month(operator: Api, card: str) -> tuple[str, str]:
    """A million prompt tokens, half of them cached, at 1.00; the tenant and the model."""
    model = unique("model")
    with colony_tx("tests"):
        tenant = Tenant.objects.create(slug=card, name=card, plan=Plan.objects.get(slug=card))
    operator.post(f"price-cards/{card}/prices", {"model": model, "prices": {"prompt_tokens": "1.00"}})
    from billing.models import Price

    price = Price.objects.get(model=model)
    make_event(
        make_project(tenant),
        price,
        last_month(),
        usage={"prompt_tokens": 1_000_000, "cached_tokens": 500_000},
    )
    return tenant.slug, model


def test_what_if_compares_a_month_with_the_prices_of_a_file(operator: Api, card: str) -> None:
    tenant, model = used_last_month(operator, card)
    month = f"{last_month():%Y-%m}"

    def ask(text: str, **fields: Any) -> Any:
        return operator.post(
            "prices/what-if", {"text": text, "month": month, "tenant": tenant, **fields}
        ).json()

    dearer = ask(f"prices: [{{model: {model}, prompt_tokens: 2.00, cached_tokens: 0.50}}]")
    assert dearer["rows"] == [
        {"tenant": tenant, "model": model, "was_micros": 1_000_000, "would_be_micros": 1_250_000, "difference_micros": 250_000}
    ]  # fmt: skip
    assert (dearer["was_micros"], dearer["difference_micros"]) == (1_000_000, 250_000)
    terms = ask("terms: {subscription: 5.00, discount: 10%}")
    assert [(row["model"], row["difference_micros"]) for row in terms["rows"]] == [
        (None, 4_900_000),
        (model, 0),
    ]
    by_csv = ask(f"kind,model\nfree,{model}\n", format="csv")
    assert by_csv["rows"][0]["would_be_micros"] == 0
    others = ask("prices: [{model: '*', requests: 0.01}]", currency="USD")
    assert (others["rows"], others["other_currencies"]) == ([], ["EUR"])
    assert ask("prices: [{model: '*', requests: 0.01}]")["rows"][0]["would_be_micros"] == 10_000
    assert operator.get(f"price-cards/{card}/prices").json()["data"][0]["version"] == 1


def test_what_if_of_all_tenants_and_of_what_makes_no_sense(operator: Api, card: str) -> None:
    tenant, _ = used_last_month(operator, card)
    body = {"text": "prices: [{model: '*', free: true}]", "month": f"{last_month():%Y-%m}"}

    assert tenant in [row["tenant"] for row in operator.post("prices/what-if", body).json()["rows"]]
    assert operator.post("prices/what-if", {**body, "tenant": "no-such"}).status_code == 404
    for fields in (
        {"month": "2026-13"},
        {"month": "2026"},
        {"text": ""},
        {"format": "toml"},
        {"currency": "EURO"},
    ):
        assert operator.post("prices/what-if", {**body, **fields}).status_code == 400


def test_removed_models_are_not_among_prices(operator: Api) -> None:
    model = make_model(is_free=True)
    Model.objects.filter(id=model.id).update(removed_at=timezone.now())

    assert model.name not in [row["model"] for row in operator.get("prices").json()["data"]]
