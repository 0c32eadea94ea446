from typing import Any

import pytest

from gdpr.models import AuditEntry
from gdpr.scope import colony_tx, tenant_tx
from inference.domain.bootstrap import prepare_colony
from tenants.domain.keys import issue_api_key
from tests.factories.tenants import TESTER, make_member, make_project, make_user, unique
from tests.inference.conftest import Api

PATH = "/gdpr/audit/subscribers"


class Caller(Api):
    def __init__(self, tenant: Any, project: Any) -> None:
        with tenant_tx(tenant.id):
            super().__init__(issue_api_key(project, name="x", scopes=["manage"], actor=TESTER)[1])
        self.tenant = tenant
        self.member = make_member(tenant, "admin", user=make_user(email=f"{unique('ann')}@example.org"))

    def listed(self) -> list[dict[str, Any]]:
        return list(self.client.get(PATH).json()["data"])

    def name_member(self, member: Any) -> Any:
        return self.client.post(PATH, {"member": str(member.id)}, content_type="application/json")


@pytest.fixture
def api(committed_db: None, redis_url: str) -> Caller:
    prepare_colony()
    project = make_project()
    return Caller(project.tenant, project)


def test_member_is_named_once_and_taken_out(api: Caller) -> None:
    assert api.listed() == []
    first, again = api.name_member(api.member), api.name_member(api.member)
    assert (first.status_code, again.json()) == (201, first.json())
    assert api.listed() == [first.json()]
    assert first.json()["email"] == api.member.user.email

    for _ in range(2):
        assert api.client.delete(f"{PATH}/{api.member.id}").status_code == 200
    assert api.listed() == []
    with colony_tx("tests"):
        told = AuditEntry.objects.filter(object_ref=f"member:{api.member.id.hex}").order_by("id")
        assert list(told.values_list("event", flat=True)) == ["audit.subscribed", "audit.unsubscribed"]


def test_member_of_another_is_as_absent_as_one_that_is_not_there(api: Caller) -> None:
    project = make_project()
    other = Caller(project.tenant, project)
    other.name_member(other.member)

    foreign = [api.name_member(other.member), api.client.delete(f"{PATH}/{other.member.id}")]
    absent = api.client.delete(f"{PATH}/01936f1e-5d3a-7c41-9a55-2f0d6c1e8b7a")

    assert api.client.post(PATH, {}, content_type="application/json").status_code == 400
    assert {each.status_code for each in [*foreign, absent]} == {404}
    assert {each.json()["error"]["message"] for each in [*foreign, absent]} == {"There is no such member."}
    assert [row["member"] for row in other.listed()] == [str(other.member.id)]
    assert api.listed() == []
