"""`rbee policy dry-run`: what a policy would have made of the last tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl
from rbee_cli.commands.policy.files import script_or_rules
from rbee_cli.commands.policy.queen import PATH, Tenant, is_version, open_queen, path_of

EPILOG = """Examples:

  rbee policy dry-run tiers.rhai

  rbee policy dry-run 8 --last 2000 --json
"""
COLUMNS = {"what": "TASKS", "old": "IN FORCE", "new": "THIS ONE"}
CHANGES = {
    "refused": "refused, where they ran",
    "admitted": "let in, where they were refused",
    "code": "refused with another code",
    "worker": "on another worker",
}


def dry_run(
    policy: Annotated[
        str, typer.Argument(help="A script, rules, or a version of the log.", metavar="FILE|VERSION")
    ],
    last: Annotated[int, typer.Option(min=1, max=5000, help="So many of the newest tasks.")] = 500,
    tenant: Tenant = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Decide the last recorded tasks again, by the policy in force and by this one, side by side."""
    from rbee_cli.output import Output

    with open_queen(queen_url, api_key) as queen:
        if is_version(policy):
            found = queen.post(path_of(queen, policy, tenant, "dry-run"), {"last": last})
        else:
            body: dict[str, Any] = script_or_rules(Path(policy)) | {"last": last, "tenant": tenant}
            found = queen.post(f"{PATH}/dry-run", body)
    output = Output(as_json=as_json)
    if as_json:
        output.result(found)
        return
    output.say(_summary(found))
    if found["replayed"]:
        output.table(_rows(found), COLUMNS, empty="")
    for change, examples in found["examples"].items():
        output.say(f"\n{CHANGES[change]}, for example:", "bold")
        for example in examples:
            output.say(
                f"  {example['at'][:19]} {_task(example)}: {_came(example['old'])} -> {_came(example['new'])}"
            )
    for side, name in (("old", "the one in force"), ("new", "this one")):
        for problem in found[side]["problems"]:
            output.say(f"{name} breaks on {problem['count']}: {problem['problem']}", "yellow")


def _summary(found: dict[str, Any]) -> str:
    if not found["replayed"]:
        return "no task was recorded yet, so there is nothing to replay; the script compiles"
    parts = [f"{count} {CHANGES[change]}" for change, count in found["changed"].items() if count]
    cut = {"time": "; there was no time for more", "size": "; more would be too many at once"}
    said = (
        f"replayed {found['replayed']} tasks{cut.get(found['ended_by'], '')}: {found['unchanged']} as before"
    )
    return ", ".join([said, *parts])


def _rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    old, new = found["old"], found["new"]
    rows: list[dict[str, Any]] = []
    for title, counts in (("", "outcomes"), ("code ", "codes"), ("on ", "gpu_types")):
        was, would_be = old[counts], new[counts]
        rows += [
            {"what": title + name, "old": was.get(name, 0), "new": would_be.get(name, 0)}
            for name in dict.fromkeys([*was, *would_be])
        ]
    if old["cost_micros"] is not None:
        rows.append({"what": "cost in micro-units", "old": old["cost_micros"], "new": new["cost_micros"]})
    return rows


def _task(example: dict[str, Any]) -> str:
    task = example["task"]
    return f"{task['customer_id']} ({task['customer_tier']}) {task['model']}"


def _came(side: dict[str, Any]) -> str:
    if side["outcome"] == "routed":
        return f"{side['worker']} ({side['gpu_type']})" if side.get("gpu_type") else str(side["worker"])
    return " ".join(str(side[name]) for name in ("code", "message", "problem") if side.get(name))
