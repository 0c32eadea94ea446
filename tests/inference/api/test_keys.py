"""What a key may do by itself: which models, from where; and what is kept of its use."""

from gdpr.scope import colony_tx
from tenants.domain.keys import rotate_api_key, update_api_key
from tenants.models import ApiKey
from tests.factories.tenants import TESTER, make_key
from tests.inference.api.conftest import Colony
from tests.inference.api.test_answers import error


def test_key_is_for_its_models_of_those_of_its_tenant(business: Colony) -> None:
    business.add_model("other")
    _, secret = make_key(allowed_models=["oth*", "nowhere"])
    client = business.call(secret)

    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["other"]
    assert client.get("/v1/models/m").status_code == 404
    refused = business.ask("x", key=secret)
    assert (refused.status_code, error(refused)["code"]) == (403, "model_not_allowed")


def test_key_is_used_from_its_addresses_only(business: Colony) -> None:
    key, secret = make_key(allowed_ips=["192.0.2.0/24"])

    refused = business.call(secret, **{"x-forwarded-for": "192.0.2.7"}).get("/v1/models")
    assert (refused.status_code, error(refused)["code"]) == (401, "ip_not_authorized")
    assert refused.headers["www-authenticate"] == "Bearer"

    update_api_key(key, {"allowed_ips": ["192.0.2.0/24", "127.0.0.1"]}, actor=TESTER)
    business.wait_for(lambda: business.call(secret).get("/v1/models").status_code == 200, timeout_s=1)


def test_last_use_is_written_later_and_for_each_value(business: Colony) -> None:
    key, old = make_key()
    key, new = rotate_api_key(key, actor=TESTER)
    business.call(old).get("/v1/models")

    def row() -> ApiKey:
        with colony_tx("tests"):
            return ApiKey.objects.get(id=key.id)

    business.wait_for(lambda: row().old_last_used_at is not None, timeout_s=15)
    assert row().last_used_at is None
    business.call(new).get("/v1/models")
    business.wait_for(lambda: row().last_used_at is not None, timeout_s=15)
