from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl

if TYPE_CHECKING:
    from rbee_cli.output import Output

app = typer.Typer(help="What became of tasks, and why.", no_args_is_help=True)

COLUMNS = {
    "at": "WHEN",
    "id": "TASK",
    "tenant": "TENANT",
    "model": "MODEL",
    "outcome": "OUTCOME",
    "code": "CODE",
    "worker": "WORKER",
    "micros": "SCRIPTS US",
}
WORKER_COLUMNS = {
    "id": "WORKER",
    "hive": "HIVE",
    "gpu_type": "GPU",
    "region": "REGION",
    "in_flight": "IN FLIGHT",
    "capacity": "OF",
    "why": "WHY",
}
WHY = {
    "model": "runs another model",
    "capability": "does not do that",
    "not_ready": "is not ready",
    "silent": "its hive is not heard",
    "draining": "its hive is draining",
    "full": "is full",
    "region": "is outside the customer's region",
    "gpu_class": "is of a class that the customer's plan does not have",
    "dedicated_to": "is somebody else's",
    "tried": "was tried before",
    "operator_script": "the operator's script left it out",
    "tenant_script": "the tenant's script left it out",
    "not_least_loaded": "another one had less to do",
}
SCRIPTS = {"operator_script": "the operator's script", "tenant_script": "the tenant's script"}

LIST_EPILOG = """Examples:

  rbee task list --outcome rejected

  rbee task list --tenant acme --model rbee-mini --since 2027-01-31T00:00:00Z --json
"""
EXPLAIN_EPILOG = """Examples:

  rbee task explain chatcmpl-01936f1e5d3a7c419a552f0d6c1e8b7a

  rbee task explain req_9f86d081884c7d659a2feaa0c55ad015 --json
"""


@app.command("list", epilog=LIST_EPILOG)
def list_tasks(
    tenant: Annotated[str, typer.Option(help="Only of this tenant.")] = "",
    outcome: Annotated[str, typer.Option(help="routed, rejected, no_workers or policy_error.")] = "",
    model: Annotated[str, typer.Option(help="Only for this model.")] = "",
    worker: Annotated[str, typer.Option(help="Only those that this worker got, by its id.")] = "",
    since: Annotated[str, typer.Option(help="From this time on, like 2027-01-31T00:00:00Z.")] = "",
    until: Annotated[str, typer.Option(help="Up to this time.", show_default="now")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 50,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """List what was decided on tasks, newest first."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    times = {name: value for name, value in (("since", since), ("until", until)) if value}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows(
            "/api/v1/tasks", limit=limit, tenant=tenant, outcome=outcome, model=model, worker=worker, **times
        )
    Output(as_json=as_json).table(rows, COLUMNS, empty="no task was decided yet")


@app.command(epilog=EXPLAIN_EPILOG)
def explain(
    task: Annotated[str, typer.Argument(help="The id of a task, of its answer, or its x-request-id.")],
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Tell why a task went where it went, or was refused."""
    from urllib.parse import quote

    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        found = queen.get(f"/api/v1/tasks/{quote(task, safe='')}/decision")
    output = Output(as_json=as_json)
    if as_json:
        output.result(found)
        return
    output.say(_summary(found))
    for number, attempt in enumerate(found["attempts"], 1):
        _say_attempt(output, number, attempt)


def _summary(found: dict[str, Any]) -> str:
    from rbee_cli.output import shown

    outcome = {
        "routed": f"went to {found['worker']}",
        "rejected": f"was rejected with {found['code']}",
        "no_workers": f"found no worker: {found['code']}",
        "policy_error": "was refused because a script broke",
    }[found["outcome"]]
    lines = [
        f"task {found['id']} of {found['tenant']} for {found['model']}, {shown(found['at'])} UTC",
        f"{outcome}; scripts took {found['micros']} us",
    ]
    for owner, version in found["policies"].items():
        if version is None:
            lines.append(f"the {owner}'s script: none")
        else:
            number = f"version {version['number']}, " if version["number"] else ""
            lines.append(f"the {owner}'s script: {number}sha256 {version['sha256'][:16]}")
    return "\n".join(lines)


def _say_attempt(output: Output, number: int, attempt: dict[str, Any]) -> None:
    output.say(f"\nattempt {number}, {attempt['micros']} us")
    for broke in attempt["broke"]:
        place = f": {broke['function']}, line {broke['line']}" if broke.get("line") else ""
        output.say(f"{SCRIPTS[broke['by']]} broke{place}")
    if attempt["ended_by"] and not attempt["broke"]:
        output.say(f"{SCRIPTS[attempt['ended_by']]} rejected it")
    rows = [
        {**(worker["facts"] or {}), **worker, "why": _why(worker, attempt["chosen"])}
        for worker in attempt["workers"]
    ]
    if rows:
        output.table(rows, WORKER_COLUMNS, empty="")
    for reason, count in attempt["not_offered"].items():
        output.say(f"{count} more: {WHY[reason]}")


def _why(worker: dict[str, Any], chosen: str | None) -> str:
    if worker["id"] == chosen:
        return "serves"
    return WHY.get(worker["reason"], "") if worker["reason"] else "was left"
