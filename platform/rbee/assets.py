"""Style sheets and scripts of our own pages, as they lie in the package: there is no step that collects them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from asgiref.wsgi import WsgiToAsgi
from django.conf import settings
from whitenoise import WhiteNoise

FOLDER: Final = Path(__file__).resolve().parent / "static"
REMEMBERED_S: Final = 300


def make_assets() -> Any:
    return WsgiToAsgi(
        WhiteNoise(
            _nothing,
            root=str(FOLDER),
            prefix=settings.STATIC_URL,
            max_age=REMEMBERED_S,
            allow_all_origins=False,
            add_headers_function=_add_headers,
        )
    )


def _add_headers(headers: Any, path: str, url: str) -> None:
    headers["X-Content-Type-Options"] = "nosniff"


def _nothing(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "0")])
    return [b""]
