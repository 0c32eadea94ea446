from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from gdpr import roots
from tenants.api.addresses import asked_by

Answer = Callable[[HttpRequest], HttpResponseBase]


def know_roots(get_response: Answer) -> Answer:
    """Middleware, before all others: what Django signs and reads by is what the root secrets are at this moment."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        roots.current()
        return get_response(request)

    return middleware


def remember_source(get_response: Answer) -> Answer:
    """Middleware: from where an audit entry says that somebody asked, while their request is answered."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        with asked_by(request):
            return get_response(request)

    return middleware
