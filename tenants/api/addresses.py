from __future__ import annotations

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

from tenants.domain.addresses import Address, Headers, client_address


def address_of(request: HttpRequest) -> Address | None:
    """Whom a request comes from, by the settings of this queen."""
    return client_address(request.META.get("REMOTE_ADDR"), headers_of(request), settings.RBEE.trusted_proxies)


def headers_of(request: HttpRequest) -> Headers:
    """As the server got them, where it says so: Django joins those that came twice."""
    return request.scope["headers"] if isinstance(request, ASGIRequest) else request.headers
