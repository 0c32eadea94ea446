"""Style sheets and scripts of our own pages, as they lie in the package: there is no step that collects them.

WhiteNoise knows what to answer, conditional requests and ranges included, and speaks WSGI. Between servers that speak ASGI
and that, asgiref's bridge runs on the one thread that Django's synchronous code shares, which is not ours to wait for.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import django_htmx
from django.conf import settings
from whitenoise import WhiteNoise
from whitenoise.responders import StaticFile

FOLDER: Final = Path(__file__).resolve().parent / "static"
FOLDERS: Final = (
    FOLDER,
    Path(django_htmx.__file__).resolve().parent / "static",
)  # htmx, as its package has it
REMEMBERED_S: Final = 300

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]
NOTHING: Final[Answer] = (404, [(b"content-type", b"text/plain"), (b"content-length", b"0")], b"")


class Assets:
    def __init__(self) -> None:
        found = WhiteNoise(
            None, max_age=REMEMBERED_S, allow_all_origins=False, add_headers_function=_add_headers
        )
        for folder in FOLDERS:
            found.add_files(str(folder), prefix=settings.STATIC_URL)
        self._files: dict[str, StaticFile] = found.files

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        found = self._files.get(scope["path"])
        status, headers, body = NOTHING if found is None else await asyncio.to_thread(_answer, found, scope)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _answer(found: StaticFile, scope: Any) -> Answer:
    asked = {
        f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}": value.decode("latin-1")
        for name, value in scope["headers"]
    }
    response = found.get_response(scope["method"], asked)
    headers = [(name.lower().encode(), str(value).encode("latin-1")) for name, value in response.headers]
    if response.file is None:
        return response.status, headers, b""
    with response.file as file:
        return response.status, headers, file.read()


def _add_headers(headers: Any, path: str, url: str) -> None:
    headers["X-Content-Type-Options"] = "nosniff"
