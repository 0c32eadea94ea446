"""What tasks cost their operator, beside what they brought in.

A GPU's cost of a period is that of its busy time, of its time without a task, and of the time in which it was off. What is
measured is said in `gpu_books`. Allocated is the rest: a GPU's whole cost of the period goes to the tasks that ran on it
in proportion to their engine time. So tasks side by side share what they share, and whoever uses a GPU that mostly waits
bears its waiting. The cost of a GPU that ran nothing is nobody's, and is shown by itself. All of it is exact: what rows
say adds up to the total.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

from billing.domain.gpu_books import BusyTime, Gpu, Period, Presence, Run, runs, share_of_hour
from billing.domain.gpu_rates import Cards, spread
from hive_agent.protocol import CHARGED_OUTCOMES

By = Literal["model", "tenant", "hive", "gpu"]
BUSY, WAITING = 0, 1


class GpuTotal(msgspec.Struct):
    """Of one GPU. `no_card_ms`: how long nobody had said what it costs; that is left out of its cost."""

    gpu: Gpu
    currency: str = ""
    source: str = "none"
    total_ms: int = 0
    present_ms: int = 0
    busy_ms: int = 0
    no_card_ms: int = 0
    busy_cost: Fraction = Fraction(0)
    waiting_cost: Fraction = Fraction(0)  # at rest or off
    weight: int = 0  # engine ms of its tasks

    @property
    def cost(self) -> Fraction:
        return self.busy_cost + self.waiting_cost


class Sums(msgspec.Struct):
    """Of one group in one currency."""

    tasks: int = 0
    charged_tasks: int = 0
    engine_ms: int = 0
    revenue_micros: int = 0
    late_micros: int = 0
    weights: dict[Gpu, int] = {}


class Books(msgspec.Struct):
    """All that a report is made of."""

    period: Period
    gpus: dict[Gpu, GpuTotal]
    busy: dict[Gpu, BusyTime]
    presence: Presence
    groups: dict[tuple[Any, str], Sums]  # by what it is grouped by, and the currency of its revenue


def read_books(period: Period, cards: Cards, by: By, *, hive_id: UUID | None = None) -> Books:
    """Within `colony_tx`. `hive_id`: of that hive only."""
    presence = Presence(period)
    busy: dict[Gpu, BusyTime] = defaultdict(BusyTime)
    groups: dict[tuple[Any, str], Sums] = defaultdict(lambda: Sums(weights=defaultdict(int)))
    for run in runs(period, hive_id):
        gpus = [(run.hive_id, gpu) for gpu in sorted(presence.gpus_of(run))] if run.hive_id else []
        for gpu in gpus:
            if run.began_at and run.ended_at:
                busy[gpu].add(run.began_at, run.ended_at)
        sums = groups[_KEYS[by](run, gpus), run.currency]
        sums.tasks += 1
        sums.charged_tasks += run.outcome in CHARGED_OUTCOMES
        sums.engine_ms += run.engine_ms
        sums.revenue_micros += run.amount_micros - run.late_micros
        sums.late_micros += run.late_micros
        for gpu in gpus:
            sums.weights[gpu] += run.weight
    known = {gpu for gpu in {*presence.ms, *busy, *cards.named} if hive_id in (None, gpu[0])}
    totals = {gpu: _total(gpu, period, presence, busy, cards) for gpu in sorted(known)}
    for sums in groups.values():
        for gpu, weight in sums.weights.items():
            totals.setdefault(gpu, GpuTotal(gpu)).weight += weight
    return Books(period, totals, busy, presence, groups)


def rows_of(books: Books) -> list[dict[str, Any]]:
    """Of each group: what it brought in, what it cost, and the rest. A cost in another currency than the revenue is a row of
    its own, as nobody said what one is in the other."""
    rows: dict[tuple[Any, str], dict[str, Any]] = {}
    for (group, currency), sums in sorted(
        books.groups.items(), key=lambda item: (str(item[0][0]), item[0][1])
    ):
        rows[group, currency] = _row(group, currency, sums)
    keys = list(books.groups)
    for gpu, total in books.gpus.items():
        users = [key for key in keys if books.groups[key].weights.get(gpu)]
        weights = [books.groups[key].weights[gpu] for key in users]
        for name, cost in (
            ("busy_cost_micros", total.busy_cost),
            ("waiting_cost_micros", total.waiting_cost),
        ):
            for (group, _), micros in zip(users, spread(cost, weights), strict=True):
                key = (group, total.currency)
                if total.currency:
                    rows.setdefault(key, _row(group, total.currency, Sums()))[name] += micros
    for row in rows.values():
        row["cost_micros"] = row["busy_cost_micros"] + row["waiting_cost_micros"]
        row["margin_micros"] = row["revenue_micros"] - row["cost_micros"]
        row["margin_percent"] = percent(row["margin_micros"], row["revenue_micros"])
    return list(rows.values())


def unallocated(books: Books) -> list[tuple[Gpu, str, int]]:
    """The GPUs that ran nothing, in which currency, and what they cost."""
    return [
        (gpu, total.currency, round(total.busy_cost) + round(total.waiting_cost))
        for gpu, total in books.gpus.items()
        if total.currency and not total.weight
    ]


def utilisation(books: Books, *, hours: int) -> list[dict[str, Any]]:
    """Busy time beside the time that it was there, by buckets of so many hours."""
    found: dict[tuple[Gpu, Any], list[int]] = defaultdict(lambda: [0, 0])
    for gpu in books.gpus:
        for hour, ms in books.period.hours():
            start = hour.replace(hour=hour.hour // hours * hours)
            present, busy = _present_and_busy(gpu, hour, ms, books.presence, books.busy)
            found[gpu, start][BUSY] += busy
            found[gpu, start][WAITING] += present
    return [
        {
            "gpu": gpu,
            "start": start,
            "busy_ms": busy,
            "present_ms": present,
            "percent": percent(busy, present),
        }
        for (gpu, start), (busy, present) in found.items()
        if present
    ]


def cost_of_task(task_id: UUID, period: Period, cards: Cards, hive_id: UUID) -> dict[str, Any] | None:
    """Its share of the period on its GPUs. None: it did not run in it, or nobody said what they cost. Within `colony_tx`."""
    books = read_books(period, cards, "hive", hive_id=hive_id)
    run = next((each for each in runs(period, hive_id) if each.task_id == task_id), None)
    totals = [books.gpus[hive_id, index] for index in sorted(books.presence.gpus_of(run))] if run else []
    known = [total for total in totals if total.currency and total.weight]
    if run is None or not known:
        return None
    shares = [Fraction(run.weight, total.weight) for total in known]
    busy = sum((total.busy_cost * share for total, share in zip(known, shares, strict=True)), Fraction(0))
    waiting = sum(
        (total.waiting_cost * share for total, share in zip(known, shares, strict=True)), Fraction(0)
    )
    return {
        "currency": known[0].currency,
        "engine_ms": run.weight,
        "gpus_engine_ms": sum(total.weight for total in known),
        "busy_cost_micros": round(busy),
        "waiting_cost_micros": round(waiting),
        "cost_micros": round(busy + waiting),
    }


def percent(part: int | Fraction, whole: int | Fraction) -> str | None:
    """With two digits, as text: exact, and no float."""
    if not whole:
        return None
    hundredths = round(Fraction(part) * 10_000 / Fraction(whole))
    sign, hundredths = ("-" if hundredths < 0 else ""), abs(hundredths)
    return f"{sign}{hundredths // 100}.{hundredths % 100:02d}"


def _total(
    gpu: Gpu, period: Period, presence: Presence, busy: Mapping[Gpu, BusyTime], cards: Cards
) -> GpuTotal:
    total = GpuTotal(gpu)
    for hour, ms in [*period.hours(), *_after(gpu, period, busy)]:
        present_ms, busy_ms = _present_and_busy(gpu, hour, ms, presence, busy)
        total.total_ms += ms
        total.present_ms += present_ms
        total.busy_ms += busy_ms
        card = cards.card_at(gpu[0], gpu[1], hour)
        if card is None or (total.currency and card.currency != total.currency):
            total.no_card_ms += ms
            continue
        total.currency, total.source = card.currency, card.source
        total.busy_cost += busy_ms * card.busy_per_ms(hour)
        total.waiting_cost += (present_ms - busy_ms) * card.idle_per_ms(hour)
        total.waiting_cost += max(0, ms - present_ms) * card.off_per_ms(hour)
    return total


def _after(gpu: Gpu, period: Period, busy: Mapping[Gpu, BusyTime]) -> list[tuple[Any, int]]:
    """Hours in which tasks of the period still ran when it was over: as far as they were busy."""
    own = {hour for hour, _ in period.hours()}
    return [(hour, ms) for hour, ms in busy[gpu].by_hour.items() if hour not in own] if gpu in busy else []


def _present_and_busy(
    gpu: Gpu, hour: Any, ms: int, presence: Presence, busy: Mapping[Gpu, BusyTime]
) -> tuple[int, int]:
    """A GPU that ran a task was there, whatever its heartbeats said."""
    busy_ms = share_of_hour(busy[gpu].by_hour.get(hour, 0)) if gpu in busy else 0
    seen_ms = presence.ms[gpu].get(hour, 0) if gpu in presence.ms else 0
    return max(min(seen_ms, ms), busy_ms), busy_ms


def _row(group: Any, currency: str, sums: Sums) -> dict[str, Any]:
    return {
        "group": group,
        "currency": currency,
        "tasks": sums.tasks,
        "charged_tasks": sums.charged_tasks,
        "engine_ms": sums.engine_ms,
        "revenue_micros": sums.revenue_micros,
        "late_micros": sums.late_micros,
        "busy_cost_micros": 0,
        "waiting_cost_micros": 0,
    }


_KEYS: Final[Mapping[By, Callable[[Run, list[Gpu]], Any]]] = {
    "model": lambda run, gpus: run.model,
    "tenant": lambda run, gpus: run.tenant_id,
    "hive": lambda run, gpus: run.hive_id,
    # A worker over several GPUs is a group of its own.
    "gpu": lambda run, gpus: (run.hive_id, tuple(index for _, index in gpus)) if gpus else None,
}
