from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl, Yes, changes, confirm, names

app = typer.Typer(help="Customers of this colony.", no_args_is_help=True)

COLUMNS = {"slug": "TENANT", "name": "NAME", "plan": "PLAN", "region": "REGION", "status": "STATUS"}
Slug = Annotated[str, typer.Argument(help="Its TENANT column in `rbee tenant list`.")]


@app.command(epilog="Example:  rbee tenant create acme --plan pro --region EU")
def create(
    tenant: Annotated[str, typer.Argument(help="Short name: letters, digits, hyphens.")],
    plan: Annotated[str, typer.Option(help="One of `rbee plan list`.")] = "free",
    name: Annotated[str, typer.Option(help="The name in full.", show_default="the short name")] = "",
    region: Annotated[str, typer.Option(help="Only hives of this region serve it.")] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Add a customer."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    body = {"slug": tenant, "name": name, "plan": plan, "region": region}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.post("/api/v1/tenants", body)
    hint = f"tenant {made['slug']} is there, on plan {made['plan']}; `rbee key create --tenant {made['slug']}` gives it a key"
    Output(as_json=as_json).result(made, hint)


@app.command("list", epilog="Example:  rbee tenant list --json")
def list_tenants(
    status: Annotated[str, typer.Option(help="Only active, suspended, deleting or closed ones.")] = "",
    plan: Annotated[str, typer.Option(help="Only those on this plan.")] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """List customers."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows("/api/v1/tenants", status=status, plan=plan)
    Output(as_json=as_json).table(rows, COLUMNS, empty="no tenant yet: `rbee tenant create NAME`")


@app.command(epilog="Example:  rbee tenant show acme")
def show(tenant: Slug, as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None) -> None:
    """Show one customer: its plan, what it has in place of the plan's, and its state."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        found = queen.get(f"/api/v1/tenants/{tenant}")
    Output(as_json=as_json).fields(found)


UPDATE_EPILOG = """Examples:

  rbee tenant update acme --plan enterprise

  rbee tenant update acme --model 'llama-*' --gpu H100

  rbee tenant update acme --unset allowed_models          what its plan allows

  rbee tenant update acme --require-consent data_processing --end-users-consent data_processing
"""


@app.command(epilog=UPDATE_EPILOG)
def update(
    tenant: Slug,
    plan: Annotated[str, typer.Option(help="One of `rbee plan list`.")] = "",
    name: Annotated[str, typer.Option(help="The name in full.")] = "",
    region: Annotated[str, typer.Option(help="Only hives of this region serve it.")] = "",
    unset: Annotated[
        list[str] | None,
        typer.Option(help="What goes back to the plan's: allowed_models, gpu_classes or required_consents."),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="A model that it may use; * stands for anything.")
    ] = None,
    gpu: Annotated[list[str] | None, typer.Option(help="A GPU class that may serve it, like H100.")] = None,
    require_consent: Annotated[
        list[str] | None, typer.Option("--require-consent", help="A purpose that it must have agreed to.")
    ] = None,
    end_users_consent: Annotated[
        list[str] | None,
        typer.Option("--end-users-consent", help="A purpose that each of its end users must have agreed to."),
    ] = None,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Change a customer. Queens go by it within a second. Its limits: `rbee limit set tenant`."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    purposes = {"required_consents": require_consent, "subject_consents": end_users_consent}
    body = changes(
        {"plan": plan, "name": name, "region": region},
        unset,
        {"allowed_models": model, "gpu_classes": gpu, **purposes},
    )
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        changed = queen.patch(f"/api/v1/tenants/{tenant}", body)
    Output(as_json=as_json).result(changed, f"{tenant} has changed: {names(body)}")


@app.command(epilog="Example:  rbee tenant suspend acme --reason 'the invoice of May is open' --yes")
def suspend(
    tenant: Slug,
    reason: Annotated[str, typer.Option(help="Why; the customer reads it.")] = "",
    yes: Yes = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Refuse a customer's keys within a second. Its people can still look; nothing is deleted."""
    confirm(f"Suspend {tenant}? All of its keys are refused at once.", yes=yes, as_json=as_json)
    _act(tenant, "suspend", f"{tenant} is suspended", as_json, queen_url, api_key, reason=reason)


@app.command(epilog="Example:  rbee tenant resume acme")
def resume(tenant: Slug, as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None) -> None:
    """Take a suspension back."""
    _act(tenant, "resume", f"{tenant} is active", as_json, queen_url, api_key)


@app.command(epilog="Example:  rbee tenant delete acme --grace-days 7 --yes")
def delete(
    tenant: Slug,
    grace_days: Annotated[int, typer.Option(min=0, max=365, help="How long it can be restored.")] = 30,
    yes: Yes = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Delete a customer. Its keys are refused at once; until the time of grace is over it can be restored."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    confirm(f"Delete {tenant}? All of its keys are refused at once.", yes=yes, as_json=as_json)
    body = {"confirm": tenant, "grace_days": grace_days}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        deleted = queen.delete(f"/api/v1/tenants/{tenant}", body)
    said = f"{tenant} is closed in {grace_days} days; `rbee tenant restore {tenant}` takes it back until then"
    Output(as_json=as_json).result(deleted, said)


@app.command(epilog="Example:  rbee tenant restore acme")
def restore(
    tenant: Slug, as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None
) -> None:
    """Take a deletion back, within its time of grace."""
    _act(tenant, "restore", f"{tenant} is back", as_json, queen_url, api_key)


SSO_EPILOG = """Examples:

  rbee tenant sso acme                                   show it

  rbee tenant sso acme --issuer https://login.acme.com --client-id rbee --domain acme.com < secret.txt

  rbee tenant sso acme --issuer https://login.acme.com/saml --saml-url https://login.acme.com/sso --certificate cert.pem --domain acme.com

  rbee tenant sso acme --remove --yes
"""


@app.command(epilog=SSO_EPILOG)
def sso(
    tenant: Slug,
    issuer: Annotated[
        str, typer.Option(help="URL of the OpenID Connect provider, or SAML's entity id.")
    ] = "",
    client_id: Annotated[str, typer.Option(help="What the provider calls rbee.")] = "",
    saml_url: Annotated[str, typer.Option(help="Of SAML: where people log in.")] = "",
    certificate: Annotated[
        Path | None, typer.Option(help="Of SAML: the provider's certificate.", exists=True, dir_okay=False)
    ] = None,
    domain: Annotated[
        list[str] | None, typer.Option(help="A domain of e-mail that you know to be the tenant's.")
    ] = None,
    role: Annotated[str, typer.Option(help="Role of those it brings.")] = "viewer",
    remove: Annotated[bool, typer.Option("--remove", help="Nobody logs in by it any more.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show or set where a customer's people log in, by OpenID Connect or SAML. The secret of OpenID Connect is read from
    standard input."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    path, output = f"/api/v1/tenants/{tenant}/sso", Output(as_json=as_json)
    if remove:
        confirm(f"Let nobody log in to {tenant} by its provider?", yes=yes, as_json=as_json)
    body = _provider(issuer, client_id, saml_url, certificate, domain or [], role) if issuer else {}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        if remove:
            output.result(queen.delete(path), f"the provider of {tenant} is removed")
        elif body:
            output.fields(queen.put(path, body))
        else:
            output.fields(queen.get(path))


def _provider(
    issuer: str, client_id: str, saml_url: str, certificate: Path | None, domains: list[str], role: str
) -> dict[str, Any]:
    from rbee_cli.arguments import secret_from_input
    from rbee_cli.errors import UsageError

    shared = {"issuer": issuer, "domains": domains, "default_role": role}
    if saml_url and certificate and domains:
        return {**shared, "kind": "saml", "sso_url": saml_url, "certificate": certificate.read_text()}
    if not client_id or not domains or saml_url or certificate:
        raise UsageError(
            "--issuer needs --domain, and --client-id of OpenID Connect or --saml-url and --certificate of SAML"
        )
    return {**shared, "client_id": client_id, "client_secret": secret_from_input("Secret of the client")}


IMPERSONATE_EPILOG = """Examples:

  rbee tenant impersonate acme --reason "ticket 4711: no usage shown"

  rbee tenant impersonate acme --reason "ticket 4711" --write --minutes 30 --yes
"""


@app.command(epilog=IMPERSONATE_EPILOG)
def impersonate(
    tenant: Slug,
    reason: Annotated[str, typer.Option(help="Why; the customer reads it.")],
    minutes: Annotated[int, typer.Option(min=1, max=60, help="For how long.")] = 15,
    write: Annotated[bool, typer.Option("--write", help="Change things too.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Print a token that acts in a customer's place. The customer sees it, and each request is in its audit log."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    if write:
        confirm(f"Change things of {tenant} in its place?", yes=yes, as_json=as_json)
    body: dict[str, Any] = {"reason": reason, "minutes": minutes, "write": write}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        visit = queen.post(f"/api/v1/tenants/{tenant}/impersonations", body)
    Output(as_json=as_json).result(visit, visit["token"])


VISITS = {
    "id": "VISIT", "operator": "BY", "reason": "REASON", "write": "WRITES", "requests": "REQUESTS",
    "expires_at": "UNTIL", "ended_at": "ENDED",
}  # fmt: skip
VISITS_EPILOG = """Examples:

  rbee tenant visits acme

  rbee tenant visits acme --end 01936f1e-5d3a-7c41-9a55-2f0d6c1e8b7a
"""


@app.command(epilog=VISITS_EPILOG)
def visits(
    tenant: Slug,
    end: Annotated[str, typer.Option(help="End this one at once.")] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """List when the operator acted in a customer's place, and why; or end a visit."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        if end:
            ended = queen.delete(f"/api/v1/impersonations/{end}")
            Output(as_json=as_json).result(ended, f"the visit to {ended['tenant']} is over")
            return
        rows = queen.rows("/api/v1/impersonations", tenant=tenant)
    Output(as_json=as_json).table(rows, VISITS, empty=f"nobody has acted in the place of {tenant}")


def _act(
    tenant: str,
    action: str,
    said: str,
    as_json: bool,
    queen_url: str | None,
    api_key: str | None,
    **body: str,
) -> None:
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        answer = queen.post(f"/api/v1/tenants/{tenant}/{action}", body)
    Output(as_json=as_json).result(answer, said)
