"""What all of our pages are sent with: a policy under which a browser runs nothing and shows nothing that is not ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.decorators import sync_and_async_middleware

HEADER: Final = "Content-Security-Policy"
DASHBOARD: Final = "/dashboard"
PAGES: Final = (DASHBOARD, "/accounts/")
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
# Not on the pages of accounts: their forms lead to tenants' identity providers.
FORMS: Final = "; form-action 'self'"


def is_page(request: HttpRequest) -> bool:
    return request.path.startswith(PAGES)


def problem(request: HttpRequest, status: int, title: str, message: str) -> HttpResponse:
    shown = {"title": title, "message": message}
    response = render(request, "rbee/problem.html", shown, status=status)
    response["Cache-Control"] = "no-store"
    return response


@sync_and_async_middleware
def content_security_policy(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponse:
            return _protected(request, await cast("Awaitable[HttpResponse]", get_response(request)))

        return answer_async

    def answer(request: HttpRequest) -> HttpResponse:
        return _protected(request, get_response(request))

    return answer


def _protected(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    if is_page(request):
        policy = POLICY + FORMS if request.path.startswith(DASHBOARD) else POLICY
        response.headers.setdefault(HEADER, policy)
    return response
