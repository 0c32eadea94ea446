from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl, Yes, changes, confirm, names

app = typer.Typer(help="Plans: what the tenants on them may use.", no_args_is_help=True)

COLUMNS = {
    "slug": "PLAN",
    "tier": "TIER",
    "requests_per_minute": "REQUESTS/MIN",
    "tokens_per_minute": "TOKENS/MIN",
    "tokens_per_day": "TOKENS/DAY",
    "concurrent_tasks": "AT ONCE",
    "allowed_models": "MODELS",
    "gpu_classes": "GPUS",
    "region": "REGION",
}
Slug = Annotated[str, typer.Argument(help="Its PLAN column in `rbee plan list`.")]
Setting = Annotated[
    list[str] | None,
    typer.Option("--set", help="A limit, like requests_per_minute=600 or tokens_per_day=1000."),
]
Unset = Annotated[list[str] | None, typer.Option("--unset", help="A limit that ends, like tokens_per_day.")]
Model = Annotated[list[str] | None, typer.Option(help="A model that it allows; * stands for anything.")]
Gpu = Annotated[list[str] | None, typer.Option(help="A GPU class that serves it, like H100.")]
Quantity = Annotated[
    list[str] | None, typer.Option(help="UNIT=NUMBER/day or UNIT=NUMBER/month, like images=100/day.")
]


@app.command("list", epilog="Example:  rbee plan list")
def list_plans(as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None) -> None:
    """List plans. A limit that is not there is none; no models or GPUs means all."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows("/api/v1/plans")
    Output(as_json=as_json).table(rows, COLUMNS, empty="no plan yet: `rbee plan create NAME`")


@app.command(epilog="Example:  rbee plan show pro")
def show(plan: Slug, as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None) -> None:
    """Show one plan."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        Output(as_json=as_json).fields(queen.get(f"/api/v1/plans/{plan}"))


CREATE_EPILOG = """Examples:

  rbee plan create startup --tier pro --set requests_per_minute=600 --set concurrent_tasks=16

  rbee plan create images --model 'sd-*' --gpu A100 --quantity images=500/day
"""


@app.command(epilog=CREATE_EPILOG)
def create(
    plan: Annotated[str, typer.Argument(help="Short name: letters, digits, hyphens.")],
    name: Annotated[str, typer.Option(help="The name in full.", show_default="the short name")] = "",
    tier: Annotated[str, typer.Option(help="What scripts compare.", show_default="the short name")] = "",
    region: Annotated[str, typer.Option(help="Where its tasks run, unless the tenant says otherwise.")] = "",
    setting: Setting = None,
    model: Model = None,
    gpu: Gpu = None,
    quantity: Quantity = None,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Add a plan. A limit that is left out is none."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    texts = {"name": name, "tier": tier, "region": region}
    given = any([*texts.values(), setting, model, gpu])
    body: dict[str, Any] = changes(texts, setting, None, model, gpu) if given else {}
    body |= {"slug": plan} | ({"quantities": _quantities(quantity)} if quantity else {})
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.post("/api/v1/plans", body)
    Output(as_json=as_json).result(made, f"plan {plan} is there; `rbee tenant update TENANT --plan {plan}`")


@app.command(
    epilog="Example:  rbee plan update startup --set requests_per_minute=1200 --unset tokens_per_day"
)
def update(
    plan: Slug,
    name: Annotated[str, typer.Option(help="The name in full.")] = "",
    tier: Annotated[str, typer.Option(help="What scripts compare.")] = "",
    region: Annotated[str, typer.Option(help="Where its tasks run.")] = "",
    setting: Setting = None,
    unset: Unset = None,
    model: Model = None,
    gpu: Gpu = None,
    quantity: Quantity = None,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Change a plan. It holds for the tenants on it within a second. --unset takes limits, models and GPUs away."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    texts = {"name": name, "tier": tier, "region": region}
    body: dict[str, Any] = {"quantities": _quantities(quantity)} if quantity else {}
    if not body or any([*texts.values(), setting, unset, model, gpu]):
        body |= changes(texts, setting, unset, model, gpu)
    body |= {field: [] for field in ("allowed_models", "gpu_classes") if body.get(field, []) is None}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        changed = queen.patch(f"/api/v1/plans/{plan}", body)
    Output(as_json=as_json).result(changed, f"{plan} has changed: {names(body)}")


@app.command(epilog="Example:  rbee plan delete startup --yes")
def delete(
    plan: Slug, yes: Yes = False, as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None
) -> None:
    """Delete a plan that no tenant is on."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    confirm(f"Delete plan {plan}?", yes=yes, as_json=as_json)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        queen.delete(f"/api/v1/plans/{plan}")
    Output(as_json=as_json).result({"deleted": plan}, f"plan {plan} is deleted")


def _quantities(texts: list[str]) -> dict[str, dict[str, int]]:
    from rbee_cli.errors import UsageError

    found: dict[str, dict[str, int]] = {}
    for text in texts:
        unit, _, limit = text.partition("=")
        number, _, period = limit.partition("/")
        if not unit or period not in {"day", "month"} or not number.isdecimal():
            raise UsageError(f"--quantity takes UNIT=NUMBER/day or /month, not {json.dumps(text)}")
        found.setdefault(unit, {})[period] = int(number)
    return found
