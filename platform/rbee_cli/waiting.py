"""Waits until a model is ready on its hives, and says what happens meanwhile."""

from __future__ import annotations

import time
from typing import Any

from rbee_cli.client import QueenClient
from rbee_cli.errors import CliError
from rbee_cli.output import Output

POLL_EVERY_S = 0.5
FAILED_FOR_S = (
    6.0  # an engine that fails to start is tried again; after this long without another start it has failed
)


def wait_for_model(
    queen: QueenClient, output: Output, model: str, hives: list[str], *, timeout_s: float
) -> None:
    """Raises CliError when it fails on a hive, or is not ready in time."""
    deadline = time.monotonic() + timeout_s
    began = time.monotonic()
    said: dict[str, str] = {}
    failing_since: dict[str, float] = {}
    while True:
        states = {hive: state_of(queen.get("/api/v1/status"), hive, model) for hive in hives}
        for hive, (status, error) in states.items():
            line = f"{status}: {error}" if error else status
            if said.get(hive) != line:
                said[hive] = line
                output.say(f"  {hive}: {line} ({time.monotonic() - began:.0f} s)")
            if not error:
                failing_since.pop(hive, None)
            elif time.monotonic() - failing_since.setdefault(hive, time.monotonic()) > FAILED_FOR_S:
                raise CliError(f"{model} did not start on {hive}: {error}")
        if all(status == "ready" for status, _ in states.values()):
            return
        if time.monotonic() > deadline:
            waiting = ", ".join(hive for hive, (status, _) in states.items() if status != "ready")
            raise CliError(
                f"{model} is not ready on {waiting} after {timeout_s:g} s; it goes on: `rbee status` shows it"
            )
        time.sleep(POLL_EVERY_S)


def state_of(colony: dict[str, Any], hive: str, model: str) -> tuple[str, str]:
    """What the worker is at, and why it failed last."""
    found = next((one for one in colony.get("hives", []) if one["name"].lower() == hive.lower()), None)
    if found is None:
        return "no such hive", ""
    if found.get("state") != "online":
        return f"the hive is {found.get('state')}", ""
    workers = [worker for worker in found.get("workers") or [] if worker.get("model") == model]
    if any(worker["status"] == "ready" for worker in workers):
        return "ready", ""
    if not workers:
        return "waiting for the hive", ""
    return str(workers[0]["status"]), str(workers[0].get("error") or "")
