from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from tenants.api.addresses import asked_by

Answer = Callable[[HttpRequest], HttpResponseBase]


def remember_source(get_response: Answer) -> Answer:
    """Middleware: from where an audit entry says that somebody asked, while their request is answered."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        with asked_by(request):
            return get_response(request)

    return middleware
