from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from billing.domain.price_book import PriceBook, PricesDown
from billing.domain.prices import NoPrice, PriceRefused, ensure_card, require_price, set_price, version_of
from billing.models import Price, PriceCard
from gdpr.models import AuditEntry
from gdpr.pool import Pool, make_pool
from gdpr.scope import colony_tx
from tests.factories.billing import PRICES, make_price
from tests.factories.tenants import TESTER, make_plan, unique


@pytest.mark.django_db
def test_price_is_a_new_version_each_time_it_changes() -> None:
    model = unique("model")

    first = make_price(model)
    same = make_price(model)
    dearer = make_price(model, prices={**PRICES, "completion_tokens": 1})

    assert (first.version, same.id, dearer.version) == (1, first.id, 2)
    with colony_tx("tests"):
        entry = AuditEntry.objects.get(object_ref=f"price:{dearer.id.hex}")
    assert entry.details["prices"] == dearer.prices


@pytest.mark.parametrize(
    "fields",
    [
        {"prices": {}},
        {"prices": {"prompt_tokens": 0}},
        {"prices": {"prompt_tokens": -1}},
        {"prices": {"prompt_tokens": 1.5}},
        {"prices": {"prompt_tokens": True}},
        {"prices": {"prompt_tokens": 10**15 + 1}},
        {"prices": {"Prompt Tokens": 1}},
        {"prices": {"prompt_tokens": 1}, "is_free": True},
        {"currency": "USD"},
    ],
)
@pytest.mark.django_db
def test_price_that_makes_no_sense_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(PriceRefused):
        make_price(**fields)


@pytest.mark.parametrize("currency", ["eur", "EURO", "", "E1R"])
@pytest.mark.django_db
def test_currency_is_three_capitals(currency: str) -> None:
    with pytest.raises(PriceRefused):
        ensure_card(unique("card"), currency=currency, actor=TESTER)


@pytest.mark.django_db
def test_model_without_a_price_cannot_be_published() -> None:
    model = unique("model")
    with pytest.raises(NoPrice):
        require_price(model, "text-gen")
    make_price(model, prices={"prompt_tokens": 5})
    with pytest.raises(NoPrice, match="completion_tokens"):
        require_price(model, "text-gen")
    assert require_price(model, "embedding").prices == {"prompt_tokens": 5}

    free = make_price(model, prices={}, is_free=True)
    assert require_price(model, "text-gen") == free


@pytest.mark.django_db
def test_price_of_tomorrow_is_not_in_force_today() -> None:
    model = unique("model")
    today = make_price(model)
    make_price(model, prices={"prompt_tokens": 9}, valid_from=timezone.now() + timedelta(days=1))

    assert require_price(model, "text-gen") == today


@pytest.mark.django_db
def test_price_never_changes() -> None:
    price = make_price()
    price.prices = {}

    with pytest.raises(TypeError, match="append-only"):
        price.save()


async def test_book_prefers_the_plan_then_the_model(pool: Pool) -> None:
    @sync_to_async
    def prepare() -> tuple[str, str, dict[str, Price]]:
        plan, model, other = make_plan(), unique("model"), unique("model")
        card = ensure_card(unique("card"), currency="USD", plan=plan, actor=TESTER)
        return plan.slug, model, {
            "everyone's": make_price(model),
            "everyone's other": make_price(other),
            "plan's any": set_price("*", {"prompt_tokens": 3}, actor=TESTER, card=card),
            "plan's": set_price(model, {"prompt_tokens": 4}, actor=TESTER, card=card),
        }  # fmt: skip

    plan, model, prices = await prepare()
    book = PriceBook(pool)

    assert book.get(model, plan) is None
    assert await book.current_price(model, plan) == version_of(prices["plan's"])
    assert await book.current_price(prices["everyone's other"].model, plan) == version_of(
        prices["plan's any"]
    )
    assert await book.current_price(model, "another plan") == version_of(prices["everyone's"])
    assert book.get(model, plan) == version_of(prices["plan's"])


async def test_book_learns_of_a_new_version_and_keeps_the_old(pool: Pool) -> None:
    model, book = unique("model"), PriceBook(pool)
    old = await sync_to_async(make_price)(model)
    await book.current_price(model, "")
    new = await sync_to_async(make_price)(model, prices={"prompt_tokens": 1, "completion_tokens": 1})

    assert book.get(model, "") == version_of(old)
    book.invalidate()
    assert await book.current_price(model, "") == version_of(new)
    assert await PriceBook(pool).version(old.id.hex) == version_of(old)
    assert await book.version("0" * 32) is None
    assert await book.version("nonsense") is None


async def test_book_without_a_database_raises() -> None:
    away = make_pool("postgresql://nobody:x@127.0.0.1:1/none", size=1)
    away.timeout = 0.1
    await away.open()
    with pytest.raises(PricesDown):
        await PriceBook(away).current_price("m", "")
    await away.close()


async def test_model_that_nobody_priced_has_no_price(pool: Pool) -> None:
    @sync_to_async
    def has_a_price_for_any() -> bool:
        return Price.objects.filter(model="*", card__in=PriceCard.objects.filter(plan=None)).exists()

    if not await has_a_price_for_any():
        with pytest.raises(NoPrice):
            await PriceBook(pool).current_price(unique("model"), "")
