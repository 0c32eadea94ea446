"""The same callers as for the rest of the management API, and a mail server.

inbox       whom rbee wrote to, by SMTP
sign_up     call it with open, invitation or closed: who may make an account
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings as django_settings
from pytest_django.fixtures import Settings

from rbee.email import email_settings
from tests.inference.conftest import Api, home, mode, operator
from tests.tenants.smtp import Inbox, smtp_server

__all__ = ["home", "inbox", "mode", "operator", "sign_up"]


@pytest.fixture
def inbox(settings: Settings, db: None) -> Iterator[Inbox]:
    with smtp_server() as inbox:
        url = f"smtp://127.0.0.1:{inbox.port}?tls=none"
        for name, value in email_settings(url).items():
            setattr(settings, name, value)
        before = django_settings.RBEE
        django_settings.RBEE = dataclasses.replace(before, smtp_url=url)
        yield inbox
        django_settings.RBEE = before


@pytest.fixture
def sign_up(operator: Api) -> Callable[[str], None]:
    def choose(signup: str) -> None:
        django_settings.RBEE = dataclasses.replace(django_settings.RBEE, signup=signup)

    return choose
