"""`rbee billing reconcile` and `rbee billing explain`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl

PATH = "/api/v1/billing/reconciliation"
TIMEOUT_S = 6 * 3600  # a day of millions of tasks
REPORTS = {
    "day": "DAY",
    "ended_at": "COMPARED",
    "differences": "DIFFERENCES",
    "figures": "FIGURES",
    "waiting": "WAITING",
}
ROWS = {
    "id": "ID",
    "kind": "KIND",
    "tenant": "TENANT",
    "object_ref": "ABOUT",
    "expected": "EXPECTED",
    "found": "FOUND",
}
RECONCILE_EPILOG = """Examples:

  rbee billing reconcile                       the books of yesterday

  rbee billing reconcile --day 2027-01-31

  rbee billing reconcile --show                what was found in the last nights

Exit code 1: the books differ.
"""
EXPLAIN_EPILOG = """Examples:

  rbee billing explain chatcmpl-01936f1e5d3a7c419a552f0d6c1e8b7a

  rbee billing explain --difference 01936f1e-5d3a-7c41-9a55-2f0d6c1e8b7a
"""


def reconcile(
    day: Annotated[
        str, typer.Option(help="What was booked on it, like 2027-01-31.", show_default="yesterday")
    ] = "",
    show: Annotated[
        bool, typer.Option("--show", help="Compare nothing; show what was found, of --day or of all.")
    ] = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Compare receipts, usage, ledger, balances and payments. They are to agree."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    output = Output(as_json=as_json)
    with QueenClient("management", queen_url=queen_url, api_key=api_key, timeout_s=TIMEOUT_S) as queen:
        if show and not day:
            output.table(queen.rows(PATH), REPORTS, empty="the books were not compared yet")
            return
        if show:
            reports = queen.rows(PATH, day=day, limit=1)
            report = queen.get(f"{PATH}/{reports[0]['id']}") if reports else None
        else:
            report = queen.post(PATH, {"day": day} if day else {})
    if report is None:
        output.result(None, f"the books of {day} were not compared yet")
        return
    _show(output, report)
    if report["differences"]:
        raise typer.Exit(1)


def explain(
    task: Annotated[str, typer.Argument(help="The id of a task, of its answer or of its request.")] = "",
    difference: Annotated[
        str, typer.Option(help="An ID column of `rbee billing reconcile`: where it comes from.")
    ] = "",
    cost: Annotated[bool, typer.Option("--cost", help="Also what it cost you, of its GPU's month.")] = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Explain what a task cost, step by step, and where the money went."""
    from rbee_cli.client import QueenClient
    from rbee_cli.errors import UsageError
    from rbee_cli.output import Output

    if bool(task) == bool(difference):
        raise UsageError("name a task, or a difference by --difference")
    output = Output(as_json=as_json)
    path = f"billing/differences/{difference}" if difference else f"billing/tasks/{task}"
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        found = queen.get(f"/api/v1/{path}", **({"cost": "true"} if cost and task else {}))
    if as_json:
        output.result(found)
    elif difference:
        _difference(output, found)
    else:
        _task(output, found)


def _show(output: Any, report: dict[str, Any]) -> None:
    if output.as_json:
        output.result(report)
        return
    compared = (
        ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(report["figures"].items()))
        or "nothing"
    )
    output.say(f"{report['day']}: {report['differences']} differences in {compared}")
    for hive, counts in sorted(report["waiting"].items()):
        said = ", ".join(f"{count} {name}" for name, count in counts.items())
        output.say(f"receipts on {hive}: {'nobody knows, it is away' if 'away' in counts else said}")
    if report["rows"]:
        output.table(report["rows"], ROWS, empty="")
    if report["differences"] > len(report["rows"]):
        output.say(f"and {report['differences'] - len(report['rows'])} more")


def _task(output: Any, found: dict[str, Any]) -> None:
    event = found["event"]
    output.fields({"task": found["task"], **(event or {"event": "none: nobody ran it"})})
    receipt, price = found.get("receipt"), found.get("price")
    output.say()
    if receipt:
        signed = "signed by its hive" if receipt["signed"] else "NOT signed by its hive"
        output.say(f"receipt: {signed}, {receipt['outcome']}")
    elif event:
        output.say(
            "receipt: erased with its end user"
            if found.get("receipt_erased")
            else "receipt: none, no hive reported it"
        )
    if price:
        output.say(f"price: {price['model']} version {price['version']} of {price['card']}, per million")
    for step in found.get("arithmetic", []):
        output.say(f"  {step}")
    for transfer in found["transfers"]:
        output.say(
            f"ledger: {transfer['amount_micros']} {transfer['currency']} from {transfer['debit']} to {transfer['credit']}"
        )
    for invoice in found.get("invoices", []):
        output.say(f"its month is on: {invoice['number']}, {invoice['status']}")
    if cost := found.get("cost"):
        output.say(
            f"cost: {cost['cost_micros']} {cost['currency']}, for {cost['engine_ms']} of {cost['gpus_engine_ms']} ms of its"
            f" GPUs' month: {cost['busy_cost_micros']} at work, {cost['waiting_cost_micros']} waiting"
        )
    for each in found.get("differences", []):
        output.say(f"DIFFERS: {each['kind']}: expected {each['expected']}, found {each['found']}")


def _difference(output: Any, found: dict[str, Any]) -> None:
    output.fields(
        {name: found[name] for name in ("day", "kind", "tenant", "object_ref", "expected", "found")}
    )
    if found.get("explanation"):
        output.say()
        _task(output, found["explanation"])
    columns = {"kind": "KIND", "object_ref": "ABOUT", "expected": "EXPECTED", "found": "FOUND"}
    if found.get("tasks"):
        output.table(found["tasks"], columns, empty="")
    if found.get("tasks_are_all") is False:
        output.say("There are too many tasks to compare anew; these are what reports have found.")
    ways = {"kind": "KIND", "debit_account": "FROM", "credit_account": "TO", "amount_micros": "SUM"}
    if found.get("by_kind"):
        output.table(found["by_kind"], ways, empty="")
    paid = {
        "method": "BY",
        "status": "STATUS",
        "amount_micros": "PAID",
        "refunded_micros": "BACK",
        "reference": "REFERENCE",
    }
    if found.get("payments"):
        output.table(found["payments"], paid, empty="")
    moved = {"kind": "KIND", "debit": "FROM", "credit": "TO", "amount_micros": "AMOUNT"}
    if found.get("transfers"):
        output.table(found["transfers"], moved, empty="")
