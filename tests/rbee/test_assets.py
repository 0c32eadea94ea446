from __future__ import annotations

import re

import httpx
import pytest

from rbee.assets import FOLDER, Assets

SHEET = "/static/rbee/rbee.css"


async def ask(path: str, method: str = "GET", **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=Assets())
    async with httpx.AsyncClient(transport=transport, base_url="http://queen") as client:
        return await client.request(method, path, headers={"accept-encoding": "identity", **headers})


@pytest.mark.parametrize(
    ("name", "kind"),
    [("rbee.css", "text/css"), ("rbee.js", "text/javascript"), ("icon.svg", "image/svg+xml")],
)
async def test_asset_is_served_as_it_lies_in_the_package(name: str, kind: str) -> None:
    answer = await ask(f"/static/rbee/{name}")

    assert answer.status_code == 200
    assert answer.content == (FOLDER / "rbee" / name).read_bytes()
    assert answer.headers["content-type"].split(";")[0] == kind
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "max-age=300" in answer.headers["cache-control"]


async def test_asset_is_not_sent_again_to_who_has_it() -> None:
    first = await ask(SHEET)

    again = await ask(SHEET, **{"if-modified-since": first.headers["last-modified"]})
    part = await ask(SHEET, range="bytes=0-9")
    head = await ask(SHEET, "HEAD")

    assert (again.status_code, again.content) == (304, b"")
    assert (part.status_code, part.content) == (206, first.content[:10])
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(first.content)))


@pytest.mark.parametrize(
    "path",
    [
        "/static/rbee/nothing.css",
        "/static/",
        "/static/rbee",
        "/static/../settings.py",
        "/static/%2e%2e/settings.py",
    ],
)
async def test_nothing_else_is_served(path: str) -> None:
    assert (await ask(path)).status_code == 404


async def test_only_get_and_head_are_answered() -> None:
    assert (await ask(SHEET, "POST")).status_code == 405


async def test_pages_name_only_assets_that_there_are() -> None:
    named = {
        name
        for page in (FOLDER.parent / "templates").rglob("*.html")
        for name in re.findall(r"\{% static '([^']+)' %\}", page.read_text())
    }

    assert len(named) >= 4
    assert {name: (await ask(f"/static/{name}")).status_code for name in named} == dict.fromkeys(named, 200)
