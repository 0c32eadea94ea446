from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.pricing import AMOUNT_MAX, BadUsage, PriceVersion, amount_micros, most_micros
from hive_agent.protocol import CHARGED_OUTCOMES, Outcome

UNITS = st.sampled_from(["prompt_tokens", "completion_tokens", "cached_tokens", "images", "audio_ms"])
PRICES = st.dictionaries(UNITS, st.integers(0, 10**12))
USAGE = st.dictionaries(UNITS, st.integers(0, 10**6))


def price(**prices: int) -> PriceVersion:
    return PriceVersion(id="0" * 32, model="m", currency="EUR", prices=prices)


@given(PRICES, USAGE)
def test_amount_is_the_exact_sum_rounded_half_even_once(
    prices: dict[str, int], usage: dict[str, int]
) -> None:
    exact = dict(usage)
    if "cached_tokens" in prices:
        exact["prompt_tokens"] = max(0, usage.get("prompt_tokens", 0) - usage.get("cached_tokens", 0))
    total = sum(
        Fraction(prices.get(unit, 0) * quantity, 3_600_000 if unit == "audio_ms" else 10**6)
        for unit, quantity in exact.items()
    )

    expected = (Decimal(total.numerator) / Decimal(total.denominator)).to_integral_value(ROUND_HALF_EVEN)
    assert amount_micros(price(**prices), usage, "completed") == int(expected)


@given(PRICES, USAGE, UNITS, st.integers(0, 10**6))
def test_more_usage_never_costs_less(
    prices: dict[str, int], usage: dict[str, int], unit: str, more: int
) -> None:
    """Apart from cached tokens, which are there to cost less."""
    usage.pop("cached_tokens", None)
    if unit == "cached_tokens":
        return
    further = {**usage, unit: usage.get(unit, 0) + more}

    assert amount_micros(price(**prices), further, "completed") >= amount_micros(
        price(**prices), usage, "completed"
    )


@given(PRICES, USAGE)
def test_only_completed_and_cancelled_tasks_are_charged(
    prices: dict[str, int], usage: dict[str, int]
) -> None:
    charged = {
        outcome: amount_micros(price(**prices), usage, outcome) for outcome in [*Outcome, "unheard of"]
    }

    assert charged[Outcome.COMPLETED] == charged[Outcome.CLIENT_CANCELLED]
    assert [amount for outcome, amount in charged.items() if outcome not in CHARGED_OUTCOMES] == [0] * 5


@pytest.mark.parametrize(
    ("micros", "tokens", "amount"),
    [
        (500_000, 1, 0),
        (500_000, 3, 2),
        (500_000, 5, 2),
        (500_001, 1, 1),
        (499_999, 1, 0),
        (10**6, 7, 7),
        (0, 9, 0),
    ],
)
def test_halves_go_to_even(micros: int, tokens: int, amount: int) -> None:
    assert amount_micros(price(prompt_tokens=micros), {"prompt_tokens": tokens}, "completed") == amount


def test_cached_tokens_cost_what_they_cost_or_what_prompt_tokens_cost() -> None:
    usage = {"prompt_tokens": 1000, "cached_tokens": 600}

    assert amount_micros(price(prompt_tokens=10**6), usage, "completed") == 1000
    assert amount_micros(price(prompt_tokens=10**6, cached_tokens=10**5), usage, "completed") == 400 + 60


def test_images_of_a_size_with_a_price_cost_that_in_place_of_what_any_costs() -> None:
    usage = {"images": 5, "images_1024x1024": 2, "images_512x512": 1}

    assert amount_micros(price(images=10**12), usage, "completed") == 5 * 10**6
    assert amount_micros(price(images=10**12, images_1024x1024=3 * 10**12), usage, "completed") == 9 * 10**6


def test_task_is_one_request_whatever_a_receipt_says() -> None:
    assert amount_micros(price(requests=10**12), {"requests": 7}, "completed") == 10**6
    assert amount_micros(price(requests=10**12), {}, "client_cancelled") == 10**6
    assert amount_micros(price(requests=10**12), {}, "worker_failed") == 0


def test_hours_and_millions_are_added_before_the_sum_is_rounded() -> None:
    """1.20 for a GPU hour is a third of a micro-unit for a millisecond, which no price for a million of them is."""
    gpu_hour = price(engine_ms=1_200_000, prompt_tokens=500_000)

    assert amount_micros(gpu_hour, {"engine_ms": 3_600_000}, "completed") == 1_200_000
    assert amount_micros(gpu_hour, {"engine_ms": 1, "prompt_tokens": 1}, "completed") == 1  # 1/3 + 1/2
    assert amount_micros(gpu_hour, {"engine_ms": 3_600_000 // 3}, "completed") == 400_000


@pytest.mark.parametrize("quantity", [-1, 2**53, 1.5, "1", None])
def test_quantity_that_nobody_counted_is_refused(quantity: object) -> None:
    with pytest.raises(BadUsage, match="prompt_tokens"):
        amount_micros(price(), {"prompt_tokens": quantity}, "worker_failed")  # type: ignore[dict-item]


def test_amount_that_does_not_fit_is_refused() -> None:
    with pytest.raises(BadUsage, match="more than any task"):
        amount_micros(price(prompt_tokens=10**15), {"prompt_tokens": AMOUNT_MAX // 10**9 * 2}, "completed")


@given(
    st.dictionaries(
        st.sampled_from(["prompt_tokens", "completion_tokens", "cached_tokens", "engine_ms", "requests"]),
        st.integers(0, 10**12),
    ),
    st.data(),
)
def test_no_task_costs_more_than_the_most_that_it_may(prices: dict[str, int], data: st.DataObject) -> None:
    quantities = st.integers(0, 10**6)
    most = {unit: data.draw(quantities) for unit in ("prompt_tokens", "completion_tokens", "engine_ms")}
    usage = {unit: data.draw(st.integers(0, quantity)) for unit, quantity in most.items()}
    usage["cached_tokens"] = data.draw(st.integers(0, usage["prompt_tokens"]))

    assert amount_micros(price(**prices), usage, "completed") <= most_micros(price(**prices), most)


@pytest.mark.parametrize(
    ("prices", "micros"),
    [
        ({"prompt_tokens": 10**6, "completion_tokens": 2 * 10**6}, 100 + 2 * 20),
        ({"prompt_tokens": 10**6, "cached_tokens": 10**5}, 100),  # none may be cached
        ({"prompt_tokens": 10**6, "cached_tokens": 3 * 10**6}, 3 * 100),  # all may be
        ({"cached_tokens": 3 * 10**6}, 3 * 100),
        ({"requests": 7 * 10**6}, 7),  # for a million of them
        ({"engine_ms": 3_600_000}, 600_000),  # a micro-unit for a millisecond
        ({"engine_ms": 1}, 1),  # rounded up
        ({"images": 10**12, "audio_ms": 10**12}, 0),
    ],
)
def test_most_that_a_task_may_cost(prices: dict[str, int], micros: int) -> None:
    most = {"prompt_tokens": 100, "completion_tokens": 20, "engine_ms": 600_000}

    assert most_micros(price(**prices), most) == micros
