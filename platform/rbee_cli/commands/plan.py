from __future__ import annotations

from typing import Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl, Yes, confirm, names
from rbee_cli.commands.limit import limits_body

app = typer.Typer(help="Plans: what the tenants on them may use.", no_args_is_help=True)

COLUMNS = {
    "slug": "PLAN",
    "tier": "TIER",
    "requests_per_minute": "REQUESTS/MIN",
    "tokens_per_minute": "TOKENS/MIN",
    "concurrent_tasks": "AT ONCE",
    "quantities": "QUANTITIES",
    "allowed_models": "MODELS",
    "gpu_classes": "GPUS",
    "region": "REGION",
    "required_consents": "CONSENTS",
}
Slug = Annotated[str, typer.Argument(help="Its PLAN column in `rbee plan list`.")]
Limit = Annotated[
    list[str] | None,
    typer.Option(help="A limit as `rbee limit set` takes it, like tokens_per_day=1000; =none takes it away."),
]
Soft = Annotated[bool | None, typer.Option("--soft/--hard", help="Warn, or refuse.", show_default=False)]
Model = Annotated[list[str] | None, typer.Option(help="A model that it allows; * stands for anything.")]
Gpu = Annotated[list[str] | None, typer.Option(help="A GPU class that serves it, like H100.")]
RequireConsent = Annotated[
    list[str] | None, typer.Option("--require-consent", help="A purpose its tenants must have agreed to.")
]
NOTHING: dict[str, Any] = {"quantities": {}, "spend_micros": {}}


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

  rbee plan create startup --tier pro --limit requests_per_minute=600 --limit concurrent_tasks=16

  rbee plan create images --model 'sd-*' --gpu A100 --limit images_per_day=500
"""


@app.command(epilog=CREATE_EPILOG)
def create(
    plan: Annotated[str, typer.Argument(help="Short name: letters, digits, hyphens.")],
    name: Annotated[str, typer.Option(help="The name in full.", show_default="the short name")] = "",
    tier: Annotated[str, typer.Option(help="What scripts compare.", show_default="the short name")] = "",
    region: Annotated[str, typer.Option(help="Where its tasks run, unless the tenant says otherwise.")] = "",
    limit: Limit = None,
    soft: Soft = None,
    model: Model = None,
    gpu: Gpu = None,
    require_consent: RequireConsent = None,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Add a plan. A limit that is left out is none."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    given = _given(name, tier, region, soft, model, gpu, require_consent)
    body = {"slug": plan, **given, **limits_body(NOTHING, limit or [])}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.post("/api/v1/plans", body)
    Output(as_json=as_json).result(made, f"plan {plan} is there; `rbee tenant update TENANT --plan {plan}`")


UPDATE_EPILOG = """Examples:

  rbee plan update startup --limit requests_per_minute=1200 --limit tokens_per_day=none

  rbee plan update startup --any-model --gpu H100 --gpu A100

  rbee plan update startup --require-consent data_processing
"""


@app.command(epilog=UPDATE_EPILOG)
def update(
    plan: Slug,
    name: Annotated[str, typer.Option(help="The name in full.")] = "",
    tier: Annotated[str, typer.Option(help="What scripts compare.")] = "",
    region: Annotated[str, typer.Option(help="Where its tasks run.")] = "",
    limit: Limit = None,
    soft: Soft = None,
    model: Model = None,
    gpu: Gpu = None,
    any_model: Annotated[bool, typer.Option("--any-model", help="Allow all models.")] = False,
    any_gpu: Annotated[bool, typer.Option("--any-gpu", help="Let GPUs of all classes serve it.")] = False,
    require_consent: RequireConsent = None,
    no_consent: Annotated[bool, typer.Option("--no-consent", help="Require no consent.")] = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Change a plan. It holds for the tenants on it within a second."""
    from rbee_cli.client import QueenClient
    from rbee_cli.errors import UsageError
    from rbee_cli.output import Output

    body = _given(name, tier, region, soft, model, gpu, require_consent)
    body |= {"required_consents": []} if no_consent else {}
    body |= {"allowed_models": []} if any_model else {}
    body |= {"gpu_classes": []} if any_gpu else {}
    if not body and not limit:
        raise UsageError("nothing to change: --help shows what can be")
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        body |= limits_body(queen.get(f"/api/v1/plans/{plan}"), limit or [])
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


def _given(
    name: str,
    tier: str,
    region: str,
    soft: bool | None,
    model: list[str] | None,
    gpu: list[str] | None,
    require_consent: list[str] | None,
) -> dict[str, Any]:
    fields = {
        "name": name, "tier": tier, "region": region, "soft": soft, "allowed_models": model, "gpu_classes": gpu,
        "required_consents": require_consent,
    }  # fmt: skip
    return {field: value for field, value in fields.items() if value not in ("", None, [])}
