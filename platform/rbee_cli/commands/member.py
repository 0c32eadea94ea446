from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl, Yes, confirm, until_of

if TYPE_CHECKING:
    from rbee_cli.client import QueenClient

app = typer.Typer(
    help="People of a tenant: owner, admin, developer, billing, viewer, dpo, auditor.", no_args_is_help=True
)

COLUMNS = {
    "email": "E-MAIL",
    "name": "NAME",
    "role": "ROLE",
    "tenant": "TENANT",
    "created_at": "SINCE",
    "until": "UNTIL",
}
Days = Annotated[
    int | None, typer.Option(min=1, max=90, help="Of an auditor, whose time has an end: for so many days.")
]
Tenant = Annotated[str, typer.Option(help="Of which tenant.", show_default="your own")]
Email = Annotated[str, typer.Argument(help="Their E-MAIL column in `rbee member list`.")]


@app.command("list", epilog="Example:  rbee member list --tenant acme")
def list_members(
    tenant: Tenant = "",
    role: Annotated[str, typer.Option(help="Only those who have this role.")] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """List members."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows("/api/v1/members", tenant=tenant, role=role)
    Output(as_json=as_json).table(rows, COLUMNS, empty="no member yet: `rbee member invite E-MAIL`")


@app.command(epilog="Example:  rbee member show ann@acme.com --tenant acme")
def show(
    email: Email,
    tenant: Tenant = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show one member."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        Output(as_json=as_json).fields(find_member(queen, email, tenant))


INVITE_EPILOG = """Examples:

  rbee member invite ann@acme.com --role owner --tenant acme

  rbee member invite eve@auditors.example --role auditor --days 30
"""


@app.command(epilog=INVITE_EPILOG)
def invite(
    email: Annotated[str, typer.Argument(help="Where the invitation goes.")],
    role: Annotated[
        str, typer.Option(help="owner, admin, developer, billing, viewer, dpo or auditor.")
    ] = "viewer",
    days: Days = None,
    tenant: Tenant = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Invite somebody by e-mail. Where none leaves, the link is printed: hand it over yourself."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    body = {"email": email, "role": role, "tenant": tenant} | until_of(days)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.post("/api/v1/invitations", body)
    said = made["link"] or f"{email} is invited to {made['tenant']} as {role}, for seven days"
    Output(as_json=as_json).result(made, said)


INVITED = {
    "email": "E-MAIL",
    "role": "ROLE",
    "tenant": "TENANT",
    "mailed_at": "MAILED",
    "expires_at": "UNTIL",
}


@app.command(epilog="Example:  rbee member invitations --tenant acme")
def invitations(
    tenant: Tenant = "", as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None
) -> None:
    """List invitations that nobody has accepted yet."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows("/api/v1/invitations", tenant=tenant)
    Output(as_json=as_json).table(rows, INVITED, empty="nobody is invited: `rbee member invite E-MAIL`")


@app.command(epilog="Example:  rbee member withdraw ann@acme.com --tenant acme --yes")
def withdraw(
    email: Annotated[str, typer.Argument(help="Who was invited.")],
    tenant: Tenant = "",
    yes: Yes = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Take an invitation back. Its link is void at once."""
    from rbee_cli.client import QueenClient
    from rbee_cli.errors import NotFound
    from rbee_cli.output import Output

    confirm(f"Withdraw the invitation of {email}?", yes=yes, as_json=as_json)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows("/api/v1/invitations", tenant=tenant)
        found = next((row for row in rows if row["email"] == email.strip().lower()), None)
        if found is None:
            raise NotFound(f"{email} is not invited: `rbee member invitations` shows who is")
        queen.delete(f"/api/v1/invitations/{found['id']}")
    Output(as_json=as_json).result({"withdrawn": email}, f"the invitation of {email} is withdrawn")


@app.command(epilog="Example:  rbee member role ann@acme.com developer --tenant acme")
def role(
    email: Email,
    new_role: Annotated[
        str, typer.Argument(metavar="ROLE", help="admin, developer, billing, viewer, dpo or auditor.")
    ],
    days: Days = None,
    tenant: Tenant = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Change what a member may do."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        member = find_member(queen, email, tenant)
        body = {"role": new_role} | until_of(days)
        changed = queen.patch(f"/api/v1/members/{member['id']}", body)
    Output(as_json=as_json).result(changed, f"{email} is {changed['role']} of {changed['tenant']}")


@app.command(epilog="Example:  rbee member remove ann@acme.com --tenant acme --yes")
def remove(
    email: Email,
    tenant: Tenant = "",
    yes: Yes = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Take somebody out of a tenant. Their account stays; keys that they made stay too."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    confirm(f"Remove {email}?", yes=yes, as_json=as_json)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        queen.delete(f"/api/v1/members/{find_member(queen, email, tenant)['id']}")
    Output(as_json=as_json).result({"removed": email}, f"{email} is no member any more")


@app.command(epilog="Example:  rbee member transfer ann@acme.com --tenant acme --yes")
def transfer(
    email: Email,
    tenant: Annotated[str, typer.Option(help="Of which tenant.")],
    yes: Yes = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Make a member the owner; the owner becomes an administrator. For the operator: owners do it logged in."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    confirm(f"Make {email} the owner of {tenant}?", yes=yes, as_json=as_json)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        body = {"member": find_member(queen, email, tenant)["id"], "confirm": tenant}
        answer = queen.post(f"/api/v1/tenants/{tenant}/transfer", body)
    Output(as_json=as_json).result(answer, f"{email} is the owner of {tenant}")


def find_member(queen: QueenClient, email: str, tenant: str) -> dict[str, Any]:
    from rbee_cli.errors import NotFound

    for row in queen.rows("/api/v1/members", tenant=tenant, email=email):
        return row
    raise NotFound(f"{email} is no member: `rbee member list` shows who is")
