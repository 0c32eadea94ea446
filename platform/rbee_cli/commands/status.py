from __future__ import annotations

from typing import Any

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl

EPILOG = """Examples:

  rbee status

  rbee status --json | jq '.hives[].workers[].status'
"""

COLUMNS = {
    "hive": "HIVE",
    "state": "STATE",
    "region": "REGION",
    "devices": "DEVICES",
    "worker": "WORKER",
    "status": "STATUS",
    "in_flight": "IN FLIGHT",
}


def status(as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None) -> None:
    """Show the colony: the queen, its hives and what their workers do."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    output = Output(as_json=as_json)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        colony = queen.get("/api/v1/status")
    if as_json:
        output.result(colony)
        return
    policy = colony["policy"]
    output.say(f"queen {queen.queen_url}  {colony['mode']} mode  version {colony['version']}", "bold")
    output.say(f"policy {policy['path'] or policy['source']}")
    if colony["queen"]["redis"] != "up":
        output.say("Redis does not answer: no task runs until it does", "red")
    if policy["error"]:
        output.say(f"that policy is not in force: {policy['error']}", "red")
    rows = [row for hive in colony["hives"] for row in hive_rows(hive)]
    output.table(rows, COLUMNS, empty="no hive has joined: `rbee hive token` lets one")


def hive_rows(hive: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each worker; the hive is named in the first only."""
    first = {
        "hive": hive["name"],
        "state": hive.get("state"),
        "region": hive.get("region"),
        "devices": summary(hive.get("devices") or []),
    }
    rows = [
        {
            "worker": worker.get("model") or "-",
            "status": worker_status(worker),
            "in_flight": worker.get("in_flight"),
        }
        for worker in hive.get("workers") or []
    ]
    return [first | rows[0], *({"hive": " ", **row} for row in rows[1:])] if rows else [first]


def summary(devices: list[dict[str, Any]]) -> str:
    """`2x H100, CPU`."""
    counts: dict[str, int] = {}
    for device in devices:
        name = str(device.get("gpu_type") or device.get("name") or device.get("kind"))
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(f"{count}x {name}" if count > 1 else name for name, count in counts.items())


def worker_status(worker: dict[str, Any]) -> str:
    note = worker.get("error") or worker.get("progress")
    return f"{worker.get('status')}: {note}" if note else str(worker.get("status"))
