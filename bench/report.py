"""A result as tables."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.measure import RBEE, UPSTREAM

COLUMNS = {
    "requests_per_s": "req/s",
    "added_whole_p50_ms": "added ms p50",
    "added_whole_p99_ms": "p99",
    "added_first_p50_ms": "first token + ms p50",
    "added_first_p99_ms": "p99",
    "cpu_us_per_request": "CPU µs / request",
    "cpu_us_per_chunk": "CPU µs / token",
    "behind_us_per_request": "behind it µs / request",
    "kib_per_open_stream": "KiB / open stream",
    "cpu_ms_per_s": "idle CPU ms/s",
    "mib": "MiB",
}
NOT_FOR_WHOLE = ("added_first_p50_ms", "added_first_p99_ms")
NOT_FOR_STREAMS = ("added_whole_p50_ms", "added_whole_p99_ms")


def show(result: dict[str, Any], console: Console) -> None:
    load_table = Table(
        title=f"median of {result['rounds']} interleaved rounds; added: over the upstream alone"
    )
    held = Table(title=f"at rest, and the memory of each of {result['open_streams']} more open streams")
    fill(load_table, result, [name for name in result["workloads"] if name not in {"open", "idle"}])
    fill(held, result, ["idle", "open"])
    console.print(load_table, held)
    for name, entrant in result["entrants"].items():
        console.print(
            f"[bold]{name}[/] ({escape(entrant['version'])}): {entrant['features']}", highlight=False
        )
        for line in entrant["notes"]:
            console.print(f"  {line}", highlight=False)
    for name, why in result["left_out"].items():
        console.print(f"[bold]{name}[/] was left out: {escape(why)}", highlight=False)
    for name, books in result["books"].items():
        console.print(f"[bold]books of {name}[/]: {books_text(books)}", highlight=False)
    loops = ", ".join(f"{one['loop_cpu_ms']:.0f} ms (load {one['load_1_min']})" for one in result["noise"])
    console.print(f"the same loop took {loops} of CPU at the beginning of each round", highlight=False)


def fill(table: Table, result: dict[str, Any], workloads: list[str]) -> None:
    entries = [entry for name in workloads for entry in result["workloads"][name].values()]
    columns = {key: text for key, text in COLUMNS.items() if any(key in entry for entry in entries)}
    has_ratio = any("requests_per_s" in entry for entry in entries)
    table.add_column("workload", no_wrap=True)
    table.add_column("gateway", no_wrap=True)
    for text in columns.values():
        table.add_column(text, justify="right")
    table.add_column("errors", justify="right")
    if has_ratio:
        table.add_column("CPU of rbee ÷ its", justify="right")
        table.add_column("req/s of rbee ÷ its", justify="right")
    for workload in workloads:
        by_name = result["workloads"][workload]
        for name, entry in by_name.items():
            hidden = NOT_FOR_STREAMS if "cpu_us_per_chunk" in entry else NOT_FOR_WHOLE
            cells = ["" if key in hidden else text_of(entry.get(key)) for key in columns]
            errors = f"[red]{entry['errors']}[/]" if entry.get("errors") else ""
            ratios = [ratio(by_name, name, "cpu_us_per_request"), ratio(by_name, name, "requests_per_s")]
            table.add_row(workload, name, *cells, errors, *(ratios if has_ratio else []))
        table.add_section()


def ratio(by_name: dict[str, dict[str, Any]], name: str, measure: str) -> str:
    """Nothing where either had errors: what fails is quick."""
    ours, theirs = by_name.get(RBEE, {}), by_name[name]
    if name in {RBEE, UPSTREAM} or ours.get("errors") or theirs.get("errors"):
        return ""
    if not ours.get(measure) or not theirs.get(measure):
        return ""
    return f"{ours[measure] / theirs[measure]:.3g}"


def books_text(books: dict[str, int]) -> str:
    word = "exact" if are_exact(books) else "[red]NOT EQUAL[/]"
    return (
        f"{word}: {books['answered']} answered, {books['completed']} usage events, {books['ledger_transfers']} "
        f"ledger transfers; {books['tokens_answered']} tokens delivered, {books['tokens']} booked"
    )


def are_exact(books: dict[str, int]) -> bool:
    of_tasks = {books["answered"], books["completed"], books["usage_events"], books["ledger_transfers"]}
    return len(of_tasks) == 1 and books["tokens_answered"] == books["tokens"]


def text_of(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
