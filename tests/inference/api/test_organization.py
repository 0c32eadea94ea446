"""OpenAI's administration through a server: its paths are Django's, beside those of the lane."""

from __future__ import annotations

from typing import Any

import pytest
from openai import AuthenticationError, NotFoundError, OpenAI

from gdpr.models import AuditEntry
from gdpr.scope import colony_tx
from tests.factories.tenants import make_key, make_project
from tests.inference.api.conftest import Colony


@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1"])
def test_one_client_administers_and_calls_models(business: Colony, prefix: str) -> None:
    project = make_project()
    admin_key = make_key(project, scopes=["manage"])[1]

    with OpenAI(
        api_key=make_key(project)[1], admin_api_key=admin_key, base_url=business.url + prefix, max_retries=0
    ) as client:
        listed = client.admin.organization.projects.list()
        account = client.admin.organization.projects.service_accounts.create(listed.data[0].id, name="app")

        assert listed.data[0].id == f"proj_{project.id.hex}"
        assert [one.id for one in client.models.list()] == ["m"]
        answered = client.with_options(api_key=account.api_key.value).chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hello"}]
        )
        assert answered.choices[0].message.content
        business.send_receipts(business.hive, *map(business.hive.receipt, business.hive.bodies))
        (used,) = business.wait_for(lambda: used_by_key(client, account.created_at - 60))
        assert used.api_key_id == account.api_key.id
        with pytest.raises(NotFoundError) as unknown:
            client.get("/organization/nothing", cast_to=object)
        assert unknown.value.code == "unknown_url"


def used_by_key(client: OpenAI, since_s: int) -> list[Any]:
    page = client.admin.organization.usage.completions(start_time=since_s, group_by=["api_key_id"])
    return [result for bucket in page.data for result in bucket.results]


def test_wrong_admin_key_is_refused_as_openai_does(business: Colony) -> None:
    with OpenAI(admin_api_key="sk-admin-wrong", api_key="", base_url=f"{business.url}/v1") as client:
        with pytest.raises(AuthenticationError) as refused:
            client.admin.organization.projects.list()

    assert refused.value.code == "invalid_api_key"


def test_refused_administration_is_in_the_audit_log(business: Colony) -> None:
    project = make_project()
    with business.call(make_key(project)[1]) as client:
        refused = client.get("/v1/organization/users")
        assert refused.status_code == 403

    def entries() -> list[AuditEntry]:
        with colony_tx("tests"):
            return list(AuditEntry.objects.filter(tenant_id=project.tenant_id, event="request.refused"))

    (entry,) = business.wait_for(entries, timeout_s=3)
    assert entry.request_id == refused.headers["x-request-id"]
    assert entry.details["asked"] == "GET /v1/organization/users"
