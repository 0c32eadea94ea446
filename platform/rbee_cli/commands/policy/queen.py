"""Versions of a policy on the queen: how commands name and show them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import typer

if TYPE_CHECKING:
    from rbee_cli.client import QueenClient

PATH: Final = "/api/v1/policies"

Version = Annotated[str, typer.Argument(help="Its VERSION column in `rbee policy log`, or its id.")]
Tenant = Annotated[
    str,
    typer.Option(help="The policy of this tenant.", show_default="your own; the operator's is the colony's"),
]
Expect = Annotated[
    int | None,
    typer.Option(min=0, help="Only if this version is in force, 0 for none.", show_default="whichever it is"),
]


def is_version(text: str) -> bool:
    return re.fullmatch(r"\d{1,9}", text) is not None or _is_id(text)


def open_queen(queen_url: str | None, api_key: str | None) -> QueenClient:
    from rbee_cli.client import QueenClient

    return QueenClient("management", queen_url=queen_url, api_key=api_key, timeout_s=120)


def path_of(queen: QueenClient, version: str, tenant: str, *parts: str) -> str:
    """Raises NotFound and UsageError."""
    return "/".join([PATH, id_of(queen, version, tenant), *parts])


def id_of(queen: QueenClient, version: str, tenant: str) -> str:
    from rbee_cli.errors import NotFound, UsageError

    if _is_id(version):
        return version
    if not is_version(version):
        raise UsageError(f"{version!r} is no version: write its number, as `rbee policy log` shows it")
    rows = queen.rows(PATH, number=int(version), tenant=tenant) if int(version) else []
    if not rows:
        raise NotFound(f"there is no version {version}: `rbee policy log` shows those that there are")
    return str(rows[0]["id"])


def named(row: dict[str, Any]) -> str:
    whose = "the operator's policy" if row["tenant"] is None else f"the policy of {row['tenant']}"
    return f"version {row['number']} of {whose}"


def expecting(expect: int | None) -> dict[str, int]:
    return {} if expect is None else {"expected_active": expect}


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
