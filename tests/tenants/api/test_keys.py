from __future__ import annotations

import pytest

from gdpr.scope import colony_tx
from tenants.models import ApiKey
from tests.factories.tenants import make_key, make_project, make_tenant
from tests.inference.conftest import Api, audit_events


def test_key_is_shown_once(operator: Api) -> None:
    made = operator.post("keys", {"name": "app"})

    assert made.status_code == 201
    key = made.json()
    assert key["key"].startswith(f"rbee_live_{key['kid']}_")
    assert (key["tenant"], key["project"], key["scopes"]) == ("operator", "default", ["inference"])
    for path in ("keys", f"keys/{key['kid']}", f"keys/{key['id']}"):
        assert key["key"] not in operator.get(path).content.decode()
    assert audit_events("key.")[-1] == "key.issued"


def test_key_of_a_customer_and_its_end(operator: Api) -> None:
    operator.post("tenants", {"slug": "acme", "plan": "pro", "region": "EU"})
    key = operator.post(
        "keys", {"tenant": "acme", "name": "production", "expires_at": "2099-01-01T00:00:00Z"}
    ).json()
    assert (key["tenant"], key["expires_at"]) == ("acme", "2099-01-01T00:00:00Z")
    assert [row["kid"] for row in operator.get("keys", tenant="acme").json()["data"]] == [key["kid"]]

    assert operator.delete(f"keys/{key['kid']}").status_code == 200
    assert operator.delete(f"keys/{key['kid']}").status_code == 200  # done is done

    assert operator.get("keys", tenant="acme").json()["data"] == []
    (revoked,) = operator.get("keys", tenant="acme", include_revoked=True).json()["data"]
    assert revoked["revoked_at"] is not None
    assert audit_events("key.revoked") == ["key.revoked"]


def test_value_brought_along_is_never_given_back(operator: Api) -> None:
    value = "customer-key-123 with ✓ text"

    made = operator.post("keys", {"name": "brought", "value": value})
    again = operator.post("keys", {"name": "again", "value": value})
    short = operator.post("keys", {"name": "short", "value": "abc"})
    insisted = operator.post("keys", {"name": "short", "value": "abc", "allow_weak": True})

    assert made.json()["key"] == value
    assert made.json()["brought_along"] is True
    assert (again.status_code, again.json()["error"]["param"]) == (400, "value")
    assert made.json()["warning"] is None
    assert (short.status_code, short.json()["error"]["param"]) == (400, "value")
    assert "guessed" in insisted.json()["warning"]
    assert "customer-key" not in operator.get("keys").content.decode()


def test_operator_key_that_was_revoked_is_refused_at_once(operator: Api) -> None:
    other = Api(operator.post("keys", {"name": "second", "scopes": ["manage"]}).json()["key"])
    kid = next(row["kid"] for row in operator.get("keys").json()["data"] if row["name"] == "second")
    assert other.get("keys").status_code == 200

    operator.delete(f"keys/{kid}")

    assert other.get("keys").status_code == 401


PATHS = [
    ("GET", "status"), ("GET", "models"), ("GET", "hives"), ("GET", "keys"), ("GET", "tenants"), ("GET", "projects"),
    ("GET", "policies"), ("GET", "usage"), ("GET", "schema/"), ("POST", "keys"), ("POST", "models"),
    ("POST", "hives/join-tokens"), ("POST", "tenants"), ("POST", "policies"), ("DELETE", "hives/x"),
    ("DELETE", "models/x"), ("DELETE", "keys/x"),
]  # fmt: skip
OPERATORS_ONLY = [
    ("GET", "status"), ("GET", "models"), ("GET", "hives"), ("POST", "models"), ("POST", "hives/join-tokens"),
    ("POST", "tenants"), ("DELETE", "hives/x"), ("DELETE", "models/x"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_inference_key_no_key_and_nonsense_manage_nothing(operator: Api, method: str, path: str) -> None:
    inference = make_key()[1]

    for key, expected in [
        (inference, 403),
        (None, 401),
        ("rbee_live_nonsense", 401),
        ("x" * 5000, 401),
        ("é✓", 401),
    ]:
        answer = call(Api(key), method, path)
        assert answer.status_code == expected, key
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), OPERATORS_ONLY)
def test_management_key_of_a_customer_is_not_the_operators(operator: Api, method: str, path: str) -> None:
    customer = Api(make_key(scopes=["manage"])[1])

    assert call(customer, method, path).status_code == 403


def test_customer_sees_and_ends_only_what_is_its_own(operator: Api) -> None:
    mine, theirs = make_project(), make_project()
    key, secret = make_key(mine, scopes=["manage"])
    foreign, _ = make_key(theirs)
    customer = Api(secret)

    assert [row["kid"] for row in customer.get("keys").json()["data"]] == [key.kid]
    assert [row["slug"] for row in customer.get("tenants").json()["data"]] == [mine.tenant.slug]
    assert [row["slug"] for row in customer.get("projects").json()["data"]] == [mine.slug]
    for absent, foreign_path in [
        ("keys/nosuchkey", f"keys/{foreign.kid}"),
        ("keys/nosuchkey", f"keys/{foreign.id}"),
        ("tenants/no-such", f"tenants/{theirs.tenant.slug}"),
    ]:
        here, there = customer.get(absent), customer.get(foreign_path)
        assert (here.status_code, here.content) == (there.status_code, there.content) == (404, here.content)
    assert customer.delete(f"keys/{foreign.kid}").status_code == 404
    for path in ("keys", "projects", "usage", "policies"):
        here, there = customer.get(path, tenant="no-such"), customer.get(path, tenant=theirs.tenant.slug)
        assert (here.status_code, here.content) == (there.status_code, there.content) == (404, here.content)
    absent_tenant = customer.post("keys", {"tenant": "no-such"})
    foreign_tenant = customer.post("keys", {"tenant": theirs.tenant.slug})
    assert (absent_tenant.status_code, absent_tenant.content) == (404, foreign_tenant.content)
    assert customer.post("keys", {"project": theirs.slug}).status_code == 404
    with colony_tx("tests"):
        assert ApiKey.objects.get(id=foreign.id).revoked_at is None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "a\u0007b"}, "name"),
        ({"scopes": ["root"]}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"scopes": "manage"}, "scopes"),
        ({"value": "rbee_live_forged"}, "value"),
        ({"value": ""}, "value"),
        ({"value": "a\nb"}, "value"),
        ({"value": "x" * 513}, "value"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"tenant": "a b"}, "tenant"),
        ({"secret": "x"}, "secret"),
    ],
)
def test_key_that_makes_no_sense_is_refused_by_name(
    operator: Api, body: dict[str, object], param: str
) -> None:
    answer = operator.post("keys", {"name": "k", **body})

    assert answer.status_code == 400, answer.content
    assert (answer.json()["error"]["param"] or "").partition(".")[0] == param


def test_tenant_has_a_slug_of_its_own_and_a_plan_that_exists(operator: Api) -> None:
    made = operator.post(
        "tenants", {"slug": "acme", "name": "Acme B.V.", "plan": "pro", "region": "EU/Netherlands"}
    )

    assert made.status_code == 201
    assert {k: made.json()[k] for k in ("slug", "name", "plan", "tier", "region", "status")} == {
        "slug": "acme", "name": "Acme B.V.", "plan": "pro", "tier": "pro", "region": "EU/Netherlands",
        "status": "active",
    }  # fmt: skip
    assert [row["slug"] for row in operator.get("projects", tenant="acme").json()["data"]] == ["default"]
    assert audit_events("tenant.")[-1] == "tenant.created"
    again = operator.post("tenants", {"slug": "acme"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "name_taken")
    for body, param in [
        ({"slug": "home"}, "slug"), ({"slug": "operator"}, "slug"), ({"slug": "A b"}, "slug"),
        ({"slug": "a\n"}, None), ({"slug": "b", "plan": "gold"}, "plan"), ({"slug": "b", "region": "E U"}, "region"),
    ]:  # fmt: skip
        answer = operator.post("tenants", body)
        if param is None:
            assert answer.json()["slug"] == "a"
        else:
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), body


REFUSED = {
    "DNS rebinding": {"host": "evil.example:7833"},
    "foreign origin": {"origin": "https://evil.example"},
    "null origin": {"origin": "null"},
    "reverse proxy": {"x-forwarded-for": "127.0.0.1"},
}


@pytest.mark.parametrize("case", REFUSED)
def test_keyless_call_of_a_web_page_or_proxy_is_refused(home: Api, case: str) -> None:
    assert Api().get("keys").status_code == 200

    assert Api(**REFUSED[case]).get("keys").status_code == 401
    assert Api(**REFUSED[case]).post("keys", {"name": "x"}).status_code == 401


def test_keyless_call_acts_as_the_home_tenant(home: Api) -> None:
    made = home.post("keys", {"name": "laptop"}).json()

    assert (made["tenant"], made["key"][:10]) == ("home", "rbee_home_")
    assert home.get("status").json()["mode"] == "home"


def test_suspended_tenants_key_is_refused(operator: Api) -> None:
    tenant = make_tenant(status="suspended")
    _, secret = make_key(make_project(tenant), scopes=["manage"])

    assert Api(secret).get("keys").status_code == 401


def call(api: Api, method: str, path: str):  # type: ignore[no-untyped-def]
    return {"GET": api.get, "POST": api.post, "DELETE": api.delete}[method](path)
