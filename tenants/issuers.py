"""What a tenant's issuer answers, checked before django-allauth takes it at its word: a server of strangers that is away,
slow or talks nonsense is their trouble, told to who logs in, and none of ours."""

from __future__ import annotations

import logging
import time
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
import requests
from allauth.core.exceptions import ImmediateHttpResponse
from django.http import HttpResponse

TIMEOUT_S: Final = 5  # for a word, and for all of them
ANSWER_BYTES_MAX: Final = 1 << 20
RETRY_AFTER_S: Final = 60
DISCOVERY: Final = "/.well-known/openid-configuration"
AWAY: Final = (
    "The server where you log in is away, or answers what makes no sense. Try again in a minute; if it stays so, tell who"
    " looks after your organization's log-in."
)

Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s\x00]+$")]
Text = Annotated[str, msgspec.Meta(max_length=1000)]
Subject = Annotated[
    str, msgspec.Meta(min_length=1, max_length=191)
]  # so long are identifiers in the database
Email = Annotated[str, msgspec.Meta(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)]

logger = logging.getLogger(__name__)


class Configuration(msgspec.Struct):
    issuer: Url
    authorization_endpoint: Url
    token_endpoint: Url
    userinfo_endpoint: Url
    jwks_uri: Url
    token_endpoint_auth_methods_supported: list[str] = []


class Tokens(msgspec.Struct):
    access_token: str
    expires_in: int | None = None
    id_token: str | None = None
    refresh_token: str | None = None


class Keys(msgspec.Struct):
    keys: list[dict[str, Any]]


class Person(msgspec.Struct):
    sub: Subject
    email: Email | None = None
    name: Text | None = None
    given_name: Text | None = None
    family_name: Text | None = None
    preferred_username: Text | None = None


class IssuerSession(requests.Session):
    """Raises ImmediateHttpResponse, which allauth answers with."""

    def request(self, method: str, url: str | bytes, *args: Any, **options: Any) -> requests.Response:
        try:
            answer = super().request(method, url, *args, **{"timeout": TIMEOUT_S, **options, "stream": True})
            _read(answer)
            _check(answer, is_post=method == "POST")
        except (requests.RequestException, ValueError) as error:
            host = urlsplit(str(url)).hostname
            logger.warning("the issuer at %s lets nobody log in: %s", host, _reason(error))
            response = HttpResponse(AWAY, status=503, headers={"Retry-After": str(RETRY_AFTER_S)})
            raise ImmediateHttpResponse(response) from None
        return answer


def _read(answer: requests.Response) -> None:
    """Raises ValueError for one that has no end. `content` is what a response keeps of what was read."""
    ends, read = time.monotonic() + TIMEOUT_S, bytearray()
    with answer:
        for part in answer.iter_content(1 << 16):
            read += part
            if len(read) > ANSWER_BYTES_MAX or time.monotonic() > ends:
                raise ValueError("an answer without an end")
    answer._content = bytes(read)


def _check(answer: requests.Response, *, is_post: bool) -> None:
    """Raises RequestException, and ValueError for what makes no sense."""
    if is_post and 400 <= answer.status_code < 500:
        return  # the code that somebody came back with is refused: allauth says so
    answer.raise_for_status()
    if b"\\u0000" in answer.content:
        raise ValueError("U+0000 in a text")
    found = msgspec.json.decode(answer.content, type=dict[str, Any])
    if is_post:
        shape: type[msgspec.Struct] = Tokens
    elif urlsplit(answer.url).path.endswith(DISCOVERY):
        shape = Configuration
    else:
        shape = Keys if "keys" in found else Person
    msgspec.convert(found, shape, strict=False)
    answer.headers["content-type"] = "application/json"  # some leave it out


def _reason(error: Exception) -> str:
    """Without what was sent: a token may be in it."""
    if isinstance(error, msgspec.ValidationError):
        return str(error)
    return type(error).__name__
