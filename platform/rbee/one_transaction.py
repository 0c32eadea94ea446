"""django-allauth changes an account and tells by a signal, which writes the audit entry: both in one transaction, or neither."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.permissions import SAFE_METHODS

PREFIXES: Final = ("/accounts/", "/_allauth/")
CALLBACKS: Final = ("/accounts/oidc/", "/accounts/saml/")  # people arrive from their provider by GET
Answer = Callable[[HttpRequest], HttpResponseBase]


def one_transaction(get_response: Answer) -> Answer:
    def answer(request: HttpRequest) -> HttpResponseBase:
        changes = request.method not in SAFE_METHODS or request.path.startswith(CALLBACKS)
        if not (changes and request.path.startswith(PREFIXES)):
            return get_response(request)
        with transaction.atomic():
            response = get_response(request)
            if response.status_code >= 500:
                transaction.set_rollback(True)
        return response

    return answer
