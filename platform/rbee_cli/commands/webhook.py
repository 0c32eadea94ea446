from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl, Yes, confirm

if TYPE_CHECKING:
    from rbee_cli.client import QueenClient

app = typer.Typer(help="URLs of yours that are told of events.", no_args_is_help=True)

COLUMNS = {
    "id": "WEBHOOK",
    "url": "URL",
    "events": "EVENTS",
    "status": "STATUS",
    "failing_since": "FAILING SINCE",
    "tenant": "TENANT",
}
DELIVERY_COLUMNS = {
    "id": "DELIVERY",
    "type": "EVENT",
    "state": "STATE",
    "attempt": "ATTEMPTS",
    "status": "HTTP",
    "created_at": "CREATED",
    "next_at": "NEXT",
}
EVENT_COLUMNS = {"name": "EVENT", "when": "WHEN", "version": "VERSION"}
PING_WAIT_S = 20.0

Webhook = Annotated[str, typer.Argument(help="Its WEBHOOK column in `rbee webhook list`.")]

CREATE_EPILOG = """Examples:

  rbee webhook create https://example.com/hook

  rbee webhook create https://example.com/hook --tenant acme --event key.* --event limit.reached
"""
REPLAY_EPILOG = """Examples:

  rbee webhook replay 0193… --since 2027-01-31T00:00:00Z

  rbee webhook replay 0193… --delivery 0194…
"""


@app.command(epilog=CREATE_EPILOG)
def create(
    url: Annotated[str, typer.Argument(help="Where events are sent, https on the public internet.")],
    event: Annotated[
        list[str] | None,
        typer.Option(help="A name, key.* or *; see `rbee webhook events`.", show_default="*"),
    ] = None,
    tenant: Annotated[
        str, typer.Option(help="Whose events.", show_default="your own; the operator's hears all")
    ] = "",
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    max_in_flight: Annotated[int, typer.Option(help="How many are sent at once.")] = 4,
    keep_responses: Annotated[bool, typer.Option(help="Keep the first KiB of answers for a look.")] = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Add an endpoint. Its secret is shown this once: verify by it what arrives."""
    from rbee_cli.output import Output

    body = {
        "url": url,
        "events": event or ["*"],
        "tenant": tenant,
        "description": description,
        "max_in_flight": max_in_flight,
        "keeps_responses": keep_responses,
    }
    with _queen(queen_url, api_key) as queen:
        made = queen.post("/api/v1/webhooks", body)
    text = f"webhook {made['id']} is there; its secret, shown this once:\n{made['secret']}"
    Output(as_json=as_json).result(made, text)


@app.command("list", epilog="Example:  rbee webhook list --tenant acme")
def list_webhooks(
    tenant: Annotated[str, typer.Option(help="Those of this tenant.", show_default="your own")] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """List endpoints."""
    from rbee_cli.output import Output

    with _queen(queen_url, api_key) as queen:
        rows = queen.rows("/api/v1/webhooks", tenant=tenant)
    Output(as_json=as_json).table(rows, COLUMNS, empty="no webhook yet: `rbee webhook create URL`")


@app.command(epilog="Example:  rbee webhook show 0193…")
def show(
    webhook: Webhook, as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None
) -> None:
    """Show one endpoint."""
    from rbee_cli.output import Output, shown

    with _queen(queen_url, api_key) as queen:
        row = queen.get(_path(webhook))
    text = "\n".join(f"{name}: {shown(value)}" for name, value in row.items() if name != "object")
    Output(as_json=as_json).result(row, text)


@app.command(epilog="Example:  rbee webhook events --json")
def events(as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None) -> None:
    """List the events that there are."""
    from rbee_cli.output import Output

    with _queen(queen_url, api_key) as queen:
        rows = queen.get("/api/v1/webhooks/events")["data"]
    Output(as_json=as_json).table(rows, EVENT_COLUMNS, empty="no events")


@app.command("test", epilog="Example:  rbee webhook test 0193…")
def ping(
    webhook: Webhook, as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None
) -> None:
    """Send webhook.ping and tell what came of it."""
    from rbee_cli.errors import CliError
    from rbee_cli.output import Output

    with _queen(queen_url, api_key) as queen:
        row = queen.post(_path(webhook, "test"), {})
        deadline = time.monotonic() + PING_WAIT_S
        while not row["log"] and time.monotonic() < deadline:
            time.sleep(0.2)
            row = queen.get(_path(webhook, "deliveries", row["id"]))
    if not row["log"]:
        raise CliError(f"nothing was sent in {PING_WAIT_S:g} s: is the Celery worker running? `rbee status`")
    if row["state"] != "delivered":
        raise CliError(f"the endpoint did not accept it: {_cause(row['log'][-1])}")
    last = row["log"][-1]
    Output(as_json=as_json).result(row, f"accepted: HTTP {last['status']} after {last['latency_ms']} ms")


@app.command(epilog="Example:  rbee webhook rotate 0193… --overlap-hours 48")
def rotate(
    webhook: Webhook,
    overlap_hours: Annotated[
        int, typer.Option(help="How long the old secret signs too; 0: not at all.")
    ] = 24,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Give an endpoint another secret. It is shown this once."""
    from rbee_cli.output import Output

    with _queen(queen_url, api_key) as queen:
        made = queen.post(_path(webhook, "rotate"), {"overlap_hours": overlap_hours})
    Output(as_json=as_json).result(made, made["secret"])


@app.command(epilog="Example:  rbee webhook pause 0193…")
def pause(
    webhook: Webhook, as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None
) -> None:
    """Send nothing for a while. What happens meanwhile waits, for three days at most."""
    from rbee_cli.output import Output

    with _queen(queen_url, api_key) as queen:
        row = queen.post(_path(webhook, "pause"), {})
    Output(as_json=as_json).result(row, f"{webhook} is paused; `rbee webhook resume {webhook}` goes on")


@app.command(epilog="Example:  rbee webhook resume 0193…")
def resume(
    webhook: Webhook, as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None
) -> None:
    """Go on with an endpoint that was paused or disabled."""
    from rbee_cli.output import Output

    with _queen(queen_url, api_key) as queen:
        row = queen.post(_path(webhook, "resume"), {})
    Output(as_json=as_json).result(row, f"{webhook} is active")


@app.command(epilog="Example:  rbee webhook delete 0193… --yes")
def delete(
    webhook: Webhook,
    yes: Yes = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Delete an endpoint and the log of its deliveries."""
    from rbee_cli.output import Output

    confirm(f"Delete {webhook} and its log?", yes=yes, as_json=as_json)
    with _queen(queen_url, api_key) as queen:
        queen.delete(_path(webhook))
    Output(as_json=as_json).result({"deleted": webhook}, f"{webhook} is deleted")


@app.command(epilog="Example:  rbee webhook deliveries 0193… --state failed")
def deliveries(
    webhook: Webhook,
    state: Annotated[str, typer.Option(help="queued, delivered or failed.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The newest so many.")] = 50,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """List what was sent to an endpoint in the last 30 days."""
    from rbee_cli.output import Output

    with _queen(queen_url, api_key) as queen:
        rows = queen.rows(_path(webhook, "deliveries"), limit=limit, state=state)
    Output(as_json=as_json).table(rows, DELIVERY_COLUMNS, empty="nothing was sent yet")


@app.command(epilog=REPLAY_EPILOG)
def replay(
    webhook: Webhook,
    delivery: Annotated[str, typer.Option(help="This one, by its DELIVERY column.")] = "",
    since: Annotated[str, typer.Option(help="All from this time on, like 2027-01-31T00:00:00Z.")] = "",
    until: Annotated[str, typer.Option(help="Up to this time.", show_default="now")] = "",
    all_events: Annotated[bool, typer.Option("--all", help="Delivered ones again too.")] = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Send again, under the same ids, so that a receiver knows what it has already."""
    from rbee_cli.errors import UsageError
    from rbee_cli.output import Output

    if bool(delivery) == bool(since):
        raise UsageError("replay takes either --delivery or --since")
    with _queen(queen_url, api_key) as queen:
        if delivery:
            done = queen.post(_path(webhook, "deliveries", delivery, "replay"), {})
        else:
            body: dict[str, Any] = {"since": since, "only_failed": not all_events}
            done = queen.post(_path(webhook, "replay"), body | ({"until": until} if until else {}))
    Output(as_json=as_json).result(done, f"{done['queued']} are sent again")


def _queen(queen_url: str | None, api_key: str | None) -> QueenClient:
    from rbee_cli.client import QueenClient

    return QueenClient("management", queen_url=queen_url, api_key=api_key)


def _path(*parts: str) -> str:
    from urllib.parse import quote

    return "/".join(["/api/v1/webhooks", *(quote(part, safe="") for part in parts)])


def _cause(attempt: dict[str, Any]) -> str:
    return f"HTTP {attempt['status']}" if attempt["status"] else str(attempt["error"]).replace("_", " ")
