"""Talks to a queen. Every failure becomes a CliError of one line that names the fix."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from rbee_cli.config import DEFAULT_QUEEN_URL, Use, normal_url, read_config
from rbee_cli.errors import CliError, Conflict, NotAuthorised, NotFound, Unreachable, UsageError

TIMEOUT_S = 30
CONNECT_TIMEOUT_S = 5


class QueenClient:
    """`queen_url` and `api_key` are what the command line or the environment gave; the config file fills in."""

    def __init__(
        self,
        use: Use,
        *,
        queen_url: str | None = None,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        config = read_config()
        self.use = use
        self.queen_url = checked_url(queen_url or config.queen_url or DEFAULT_QUEEN_URL)
        self.key = (api_key or "").strip() or config.key_for(use, self.queen_url)
        headers = {"authorization": f"Bearer {_printable(self.key)}"} if self.key else {}
        self._timeout_s = timeout_s
        timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
        self._http = httpx.Client(base_url=self.queen_url, headers=headers, timeout=timeout)

    def __enter__(self) -> QueenClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **params: str | int) -> Any:
        return self._call("GET", path, params=params)

    def rows(self, path: str, *, limit: int = 1000, **params: str | int) -> list[dict[str, Any]]:
        """The items of a list, the first `limit` of them. At most 1000."""
        rows: list[dict[str, Any]] = self.get(path, limit=limit, **params)["data"]
        return rows

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._call("POST", path, json=body)

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        return self._call("PATCH", path, json=body)

    def put(self, path: str, body: dict[str, Any]) -> Any:
        return self._call("PUT", path, json=body)

    def delete(self, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._call("DELETE", path, json=body)

    def download(self, path: str) -> bytes:
        return self._answer("GET", path).content

    def chunks(self, path: str) -> Iterator[bytes]:
        """A file, as it comes."""
        try:
            with self._http.stream("GET", path) as response:
                if response.is_error:
                    response.read()
                    raise self._refused(response)
                yield from response.iter_bytes()
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def upload(self, path: str, file: Path, **params: str) -> Any:
        """A file, a piece at a time."""
        timeout = httpx.Timeout(None, connect=CONNECT_TIMEOUT_S)
        with file.open("rb") as content:
            return self._call(
                "POST", path, params=params, content=content, timeout=timeout,
                headers={"content-type": "application/zip"},
            )  # fmt: skip

    @contextmanager
    def stream(self, path: str, body: dict[str, Any]) -> Iterator[httpx.Response]:
        """An answer that has begun. Tokens may be a long time apart."""
        try:
            timeout = httpx.Timeout(None, connect=CONNECT_TIMEOUT_S)
            with self._http.stream("POST", path, json=body, timeout=timeout) as response:
                if response.is_error:
                    response.read()
                    raise self._refused(response)
                yield response
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def text(self, path: str, **params: str | int) -> Iterator[str]:
        """An answer that is not JSON, as it comes."""
        try:
            with self._http.stream("GET", path, params=params) as response:
                if response.is_error:
                    response.read()
                    raise self._refused(response)
                yield from response.iter_text()
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        response = self._answer(method, path, **arguments)
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError as error:
            raise CliError(
                f"what answers at {self.queen_url} is no queen of rbee: check --queen-url"
            ) from error

    def _answer(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if response.is_error:
            raise self._refused(response)
        return response

    def _unreachable(self, error: httpx.HTTPError) -> CliError:
        if isinstance(error, httpx.ReadTimeout):
            return Unreachable(
                f"the queen at {self.queen_url} did not answer in {self._timeout_s:g} s: see its logs"
            )
        if "CERTIFICATE" in str(error):
            return Unreachable(
                f"the certificate of {self.queen_url} is not trusted: name its authority by SSL_CERT_FILE"
            )
        return Unreachable(
            f"no queen answers at {self.queen_url}: start one by `rbee up`, or name it by --queen-url"
        )

    def _refused(self, response: httpx.Response) -> CliError:
        error = error_of(response)
        if response.status_code in {401, 403} and error.get("code") != "policy_rejected":
            return NotAuthorised(f"{error['message']} ({self._credential()})")
        if response.status_code == 404:
            return NotFound(error["message"])
        if response.status_code == 409:
            return Conflict(error["message"])
        if response.status_code in {400, 422}:
            return UsageError(error["message"])
        return CliError(f"{error['message']} (HTTP {response.status_code})")

    def _credential(self) -> str:
        if self.key:
            return (
                f"the {self.use} key that was sent is not enough: give another by --api-key or `rbee login`"
            )
        return f"no {self.use} key was sent: give one by --api-key, RBEE_API_KEY or `rbee login`"


def error_of(response: httpx.Response) -> dict[str, str]:
    """The error of the envelope, `message` and `code` always there."""
    try:
        error = response.json()["error"]
        return {"message": str(error["message"]), "code": str(error.get("code") or "")}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {
            "message": f"the queen answered HTTP {response.status_code} {response.reason_phrase}",
            "code": "",
        }


def checked_url(url: str) -> str:
    url = normal_url(url)
    try:
        parts = urlsplit(url)
        is_fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_fine = False
    if not is_fine:
        raise UsageError(f"{url!r} is no address of a queen: write it like http://127.0.0.1:7833")
    return url


def _printable(key: str) -> str:
    if not key.isascii() or not key.isprintable():
        raise UsageError("a key has printable ASCII characters only: copy it again")
    return key
