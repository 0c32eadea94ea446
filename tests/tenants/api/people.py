"""People who are logged in, as their programs call the management API."""

from __future__ import annotations

from random import randrange

from django.test import Client

from tenants.models import Member, Tenant, User
from tests.factories.tenants import PASSWORD, make_member
from tests.inference.conftest import Api


class Someone(Api):
    """By a session of allauth's app client. `tenant`: what X-Tenant says."""

    def __init__(self, user: User, tenant: str = "", password: str = PASSWORD) -> None:
        self.user = user
        self.token = log_in(user.email, password)
        super().__init__(**({"X-Session-Token": self.token} | ({"X-Tenant": tenant} if tenant else {})))


def log_in(email: str, password: str = PASSWORD) -> str:
    answer = Client(REMOTE_ADDR=some_address()).post(
        "/_allauth/app/v1/auth/login", {"email": email, "password": password}, "application/json"
    )
    assert answer.status_code == 200, answer.content
    return answer.json()["meta"]["session_token"]


def some_address() -> str:
    """Attempts from one address are counted."""
    return f"10.{randrange(256)}.{randrange(256)}.{randrange(1, 255)}"


def member_of(tenant: Tenant, role: str) -> tuple[Member, Someone]:
    member = make_member(tenant, role)
    return member, Someone(member.user)
