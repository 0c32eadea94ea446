"""Official clients of the administration surface, each with an admin key."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from django.test import Client
from openai import OpenAI

from tenants.models import Project
from tests.factories.tenants import make_key, make_project
from tests.inference.conftest import home, mode, operator

__all__ = ["home", "mode", "operator"]

BASE_URL = "http://localhost:7833/v1"


class InProcess(httpx.BaseTransport):
    """In the transaction of the test. The way through a server: tests/inference/api/test_organization.py."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode()
        headers = {name: value for name, value in request.headers.items() if name != "content-length"}
        sent = Client(raise_request_exception=False).generic(
            request.method, path, request.read(), request.headers.get("content-type", ""), headers=headers
        )
        return httpx.Response(sent.status_code, headers=dict(sent.items()), content=sent.content)


def admin_client(key: str, **options: object) -> OpenAI:
    http = httpx.Client(transport=InProcess())
    return OpenAI(
        admin_api_key=key, api_key="", base_url=BASE_URL, http_client=http, max_retries=0, **options
    )


@pytest.fixture
def project(mode: object) -> Project:
    """The only one of a tenant, in business mode."""
    mode("business")
    return make_project()


@pytest.fixture
def client(project: Project) -> Iterator[OpenAI]:
    with admin_client(make_key(project, scopes=["manage"], name="terraform")[1]) as client:
        yield client


@pytest.fixture
def stranger(project: Project) -> Iterator[OpenAI]:
    """Of another organization."""
    with admin_client(make_key(scopes=["manage"])[1]) as client:
        yield client
