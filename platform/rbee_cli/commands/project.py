from __future__ import annotations

from typing import Annotated

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl, Yes, confirm

app = typer.Typer(help="Projects of a tenant: keys and usage belong to one.", no_args_is_help=True)

COLUMNS = {
    "slug": "PROJECT",
    "name": "NAME",
    "tenant": "TENANT",
    "created_at": "CREATED",
    "archived_at": "ARCHIVED",
}
Tenant = Annotated[str, typer.Option(help="Whose it is.", show_default="your own")]
Project = Annotated[str, typer.Argument(help="Its PROJECT column in `rbee project list`.")]


@app.command("list", epilog="Example:  rbee project list --tenant acme")
def list_projects(
    tenant: Annotated[str, typer.Option(help="Only of this tenant.")] = "",
    all_projects: Annotated[bool, typer.Option("--all", help="Archived ones too.")] = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """List projects."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows("/api/v1/projects", tenant=tenant, include_archived=str(all_projects).lower())
    Output(as_json=as_json).table(rows, COLUMNS, empty="no project yet: `rbee project create NAME`")


@app.command(epilog="Example:  rbee project show chatbot --tenant acme")
def show(
    project: Project,
    tenant: Tenant = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show one project; --json has its id too, by which limits are set."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        Output(as_json=as_json).fields(queen.get(_path(project, ""), tenant=tenant))


@app.command(epilog="Example:  rbee project create chatbot --tenant acme")
def create(
    project: Annotated[str, typer.Argument(help="Short name: letters, digits, hyphens.")],
    name: Annotated[str, typer.Option(help="The name in full.", show_default="the short name")] = "",
    tenant: Tenant = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Add a project."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    body = {"slug": project, "name": name, "tenant": tenant}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.post("/api/v1/projects", body)
    Output(as_json=as_json).result(made, f"project {made['slug']} of {made['tenant']} is there")


@app.command(epilog='Example:  rbee project rename chatbot "Chat bot of the shop" --tenant acme')
def rename(
    project: Project,
    name: Annotated[str, typer.Argument(help="The name in full; the short name stays.")],
    tenant: Tenant = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Change what a project is called."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        changed = queen.patch(_path(project, tenant), {"name": name})
    Output(as_json=as_json).result(changed, f"{project} is called {name}")


@app.command(epilog="Example:  rbee project archive chatbot --tenant acme --yes")
def archive(
    project: Project,
    tenant: Tenant = "",
    yes: Yes = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Archive a project and revoke its keys. Its usage stays on record."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    confirm(f"Archive {project}? All of its keys are revoked.", yes=yes, as_json=as_json)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        gone = queen.delete(_path(project, tenant))
    Output(as_json=as_json).result(gone, f"{project} is archived")


def _path(project: str, tenant: str) -> str:
    return f"/api/v1/projects/{project}" + (f"?tenant={tenant}" if tenant else "")
