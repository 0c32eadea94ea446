from __future__ import annotations

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

from tenants.domain.addresses import Address, Headers, client_text, network_set, parse_address


def client_of(request: HttpRequest) -> str:
    """Whom a request comes from, by the settings of this queen; as it was told."""
    trusted = network_set(settings.RBEE.trusted_proxies)
    return client_text(request.META.get("REMOTE_ADDR"), headers_of(request), trusted)


def address_of(request: HttpRequest) -> Address | None:
    return parse_address(client_of(request))


def headers_of(request: HttpRequest) -> Headers:
    """As the server got them, where it says so: Django joins those that came twice."""
    return request.scope["headers"] if isinstance(request, ASGIRequest) else request.headers
