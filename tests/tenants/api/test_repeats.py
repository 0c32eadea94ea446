"""Idempotency-Key on the management API."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from django.db import connections
from django.utils import timezone

from gdpr.scope import colony_tx
from gdpr.secrets import unseal
from tenants.api.base import GONE
from tenants.domain.repeats import LABEL, forget_answers
from tenants.models import ApiKey, KeptAnswer
from tests.factories.tenants import make_key, make_project, unique
from tests.inference.conftest import Api
from tests.tenants.api.people import member_of


def post(api: Api, path: str, body: dict[str, Any], key: str) -> Any:
    return api.client.post(f"/api/v1/{path}", body, "application/json", headers={"Idempotency-Key": key})


def test_repeated_request_is_answered_as_the_first_and_done_once(operator: Api) -> None:
    project = make_project()
    body = {"tenant": project.tenant.slug, "name": "app"}

    first, second = (post(operator, "keys", body, "order-1") for _ in range(2))

    assert (first.status_code, second.status_code) == (201, 201)
    made, repeated = first.json(), second.json()
    secret = made.pop("key").split("_")[3]
    assert (repeated.pop("key"), made.pop("warning"), repeated.pop("warning")) == (None, None, GONE)
    assert made == repeated
    assert ("idempotent-replayed" in first, second["idempotent-replayed"]) == (False, "true")
    with colony_tx("tests"):
        assert ApiKey.objects.filter(project=project).count() == 1
        kept = KeptAnswer.objects.latest("id")
        sealed = bytes(kept.answer_sealed)
    assert made["kid"] in unseal(sealed, LABEL)
    assert made["kid"].encode() not in sealed
    assert secret not in unseal(sealed, LABEL)

    other = post(operator, "keys", {**body, "name": "other"}, "order-1")
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reuse")


SECRETS = {
    "keys": {},
    "keys/{kid}/rotate": {},
    "webhooks": {"url": "https://example.com/hook"},
    "webhooks/{webhook}/rotate": {},
    "invitations": {"email": "eve@example.org"},
    "hives/join-tokens": {},
    "tenants/{tenant}/impersonations": {"reason": "ticket 4711"},
    "/v1/organization/admin_api_keys": {"name": "ci"},
    "/v1/organization/projects/{project}/service_accounts": {"name": "shop"},
}


@pytest.mark.parametrize("path", SECRETS)
def test_secret_is_shown_once_and_not_kept(operator: Api, path: str) -> None:
    if path.startswith("/"):
        project = make_project()
        operator = Api(make_key(project, scopes=["manage"])[1])
    else:
        project = make_project()
    named = {
        "kid": operator.post("keys").json()["kid"],
        "webhook": operator.post("webhooks", SECRETS["webhooks"]).json()["id"],
        "tenant": project.tenant.slug,
        "project": f"proj_{project.id.hex}",
    }
    url = path.format(**named)
    url = url if url.startswith("/") else f"/api/v1/{url}"

    first, second = (
        operator.client.post(url, SECRETS[path], "application/json", headers={"Idempotency-Key": "k"})
        for _ in range(2)
    )

    (shown,) = {name for name in first.json() if first.json()[name] != second.json()[name]} - {"warning"}
    secret = first.json()[shown]
    secret = secret["value"] if isinstance(secret, dict) else secret
    assert (second.json()[shown], second.json()["warning"], second["idempotent-replayed"]) == (
        None, GONE, "true",
    )  # fmt: skip
    with colony_tx("tests"):
        kept = unseal(bytes(KeptAnswer.objects.latest("id").answer_sealed), LABEL)
    assert (secret in first.content.decode(), secret in kept) == (True, False)


def test_password_of_a_request_cannot_be_guessed_by_its_hash(operator: Api) -> None:
    body = {"email": f"{unique('ann')}@example.org", "password": "correct horse battery"}
    assert post(operator, "operators", body, "k").status_code == 201

    with colony_tx("tests"):
        kept = KeptAnswer.objects.latest("id")
    plain = sha256(msgspec.json.encode(body, order="deterministic")).digest()
    assert plain != bytes(kept.body_sha256)


def test_key_is_of_whoever_sends_it_and_of_one_place(operator: Api) -> None:
    tenant = make_project().tenant
    _, one = member_of(tenant, "admin")
    _, two = member_of(tenant, "admin")

    made = post(one, "keys", {"name": "app"}, "k").json()
    other = post(two, "keys", {"name": "app"}, "k").json()
    assert None not in (made["key"], other["key"])
    assert other["kid"] != made["kid"]
    assert post(one, "projects", {"slug": "p"}, "k").status_code == 201


def test_request_that_was_refused_leaves_the_key_free(operator: Api) -> None:
    slug = unique("acme")
    assert post(operator, "tenants", {"slug": slug, "plan": "gold"}, "k").status_code == 400

    assert post(operator, "tenants", {"slug": slug, "plan": "pro"}, "k").status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "bücher"])
def test_key_that_is_none_is_refused(operator: Api, key: str) -> None:
    answer = post(operator, "tenants", {"slug": unique("acme")}, key)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Idempotency-Key")


def test_answers_are_kept_for_a_day(operator: Api) -> None:
    body = {"tenant": make_project().tenant.slug}
    first = post(operator, "keys", body, "k").json()
    with colony_tx("tests"):
        KeptAnswer.objects.update(created_at=timezone.now() - timedelta(hours=25))

    assert post(operator, "keys", body, "k").json()["kid"] != first["kid"]
    assert forget_answers() == 0
    with colony_tx("tests"):
        KeptAnswer.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert forget_answers() == 1


def test_requests_at_the_same_time_make_one(committed_db: None, redis_url: str) -> None:
    project = make_project()
    manage = make_key(project, scopes=["manage"])[1]

    def ask(_: int) -> Any:
        try:
            return post(Api(manage, host="localhost"), "keys", {"name": "app"}, "k").json()
        finally:
            connections["default"].close()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(16)))

    assert len({answer["kid"] for answer in answers}) == 1
    assert sum(answer["key"] is not None for answer in answers) == 1
    with colony_tx("tests"):
        assert ApiKey.objects.filter(project=project).count() == 2


def test_answer_without_a_body_is_repeated_too(operator: Api) -> None:
    """The first version rolled back to the default, once."""
    source = 'fn should_admit(task, customer) { reject("closed") }'
    operator.post("policies", {"source": source, "activate": True})

    first, second = (post(operator, "policies/rollback", {}, "k") for _ in range(2))

    assert (first.status_code, second.status_code, second.content) == (204, 204, b"")
    assert second["idempotent-replayed"] == "true"
    assert operator.post("policies/rollback").status_code == 404
