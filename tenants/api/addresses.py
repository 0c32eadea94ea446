from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

from gdpr.domain.audit import Source, asked_from
from tenants.domain.addresses import Address, Headers, client_text, network_set, parse_address


def client_of(request: HttpRequest) -> str:
    """Whom a request comes from, by the settings of this queen; as it was told."""
    trusted = network_set(settings.RBEE.trusted_proxies)
    return client_text(request.META.get("REMOTE_ADDR"), headers_of(request), trusted)


def address_of(request: HttpRequest) -> Address | None:
    return parse_address(client_of(request))


def source_of(request: HttpRequest, *, is_operators: bool = False) -> Source:
    """What the vault keeps of who asks."""
    return Source(client_of(request), request.headers.get("User-Agent", ""), is_operators)


@contextmanager
def asked_by(request: HttpRequest) -> Iterator[None]:
    """What is recorded inside was asked for by this request."""
    token = asked_from.set(source_of(request))
    try:
        yield
    finally:
        asked_from.reset(token)


def headers_of(request: HttpRequest) -> Headers:
    """As the server got them, where it says so: Django joins those that came twice."""
    return request.scope["headers"] if isinstance(request, ASGIRequest) else request.headers
