from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.http import HttpResponse
from django.test import Client
from django.utils.timezone import now

from gdpr.ids import uuid7
from gdpr.models import AuditEntry
from gdpr.scope import colony_tx
from inference.domain.bootstrap import prepare_colony
from inference.models import Hive, Model, Policy, PolicyVersion, Worker
from tenants.domain.keys import issue_api_key
from tenants.models import Project
from tests.factories.tenants import TESTER

_began = uuid7()


class Api:
    """HTTP calls as a program would make them. `key` None: without one."""

    def __init__(self, key: str | None = None, host: str = "localhost:7833", **headers: str) -> None:
        self.key = key
        named = {"host": host, **headers} | ({"authorization": f"Bearer {key}"} if key else {})
        self.client = Client(headers=named)

    def get(self, path: str, **query: Any) -> HttpResponse:
        return self.client.get(f"/api/v1/{path}", query)

    def post(self, path: str, body: Any = None) -> HttpResponse:
        return self.client.post(f"/api/v1/{path}", body if body is not None else {}, "application/json")

    def patch(self, path: str, body: Any = None) -> HttpResponse:
        return self.client.patch(f"/api/v1/{path}", body or {}, "application/json")

    def put(self, path: str, body: Any = None) -> HttpResponse:
        return self.client.put(f"/api/v1/{path}", body or {}, "application/json")

    def delete(self, path: str, body: Any = None) -> HttpResponse:
        return self.client.delete(f"/api/v1/{path}", body or {}, "application/json")


@pytest.fixture
def mode(db: None, redis_url: str) -> Iterator[Callable[[str], Project]]:
    """Call it with home or business: the settings, and the first rows of such a colony."""
    before = django_settings.RBEE

    def choose(mode: str) -> Project:
        django_settings.RBEE = dataclasses.replace(before, mode=mode)
        for left_over in (Hive, Model):  # of tests that commit
            left_over.objects.filter(removed_at=None).update(removed_at=now())
        Worker.objects.all().delete()
        with colony_tx("tests"):
            PolicyVersion.objects.all().delete()
            Policy.objects.all().delete()
        return prepare_colony()

    global _began
    _began = uuid7()
    yield choose
    django_settings.RBEE = before


@pytest.fixture
def home(mode: Callable[[str], Project]) -> Api:
    mode("home")
    return Api()


@pytest.fixture
def operator(mode: Callable[[str], Project]) -> Api:
    """In business mode, with a management key of the operator."""
    project = mode("business")
    return Api(issue_api_key(project, name="operator", scopes=["manage"], actor=TESTER)[1])


def audit_events(prefix: str) -> list[str]:
    """Of this test, oldest first: entries of tests that committed stay for ever."""
    with colony_tx("tests"):
        entries = AuditEntry.objects.filter(event__startswith=prefix, id__gt=_began)
        return list(entries.order_by("id").values_list("event", flat=True))
