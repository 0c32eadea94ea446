"""What happens to answers that are under way when their key is revoked, and to requests that come after."""

import json
import threading
import time
from datetime import timedelta
from typing import Any

import httpx

from gdpr.scope import colony_tx
from tenants.domain.key_leaks import report_leak
from tenants.domain.keys import revoke_api_key, rotate_api_key
from tenants.models import ApiKey, Tenant
from tests.factories.tenants import TESTER, make_key, make_project, make_tenant
from tests.inference.api.conftest import Colony, chat
from tests.inference.api.test_answers import error

CUT_S = 2.0


class Stream:
    """A slow answer that is read on a thread of its own."""

    def __init__(self, colony: Colony, secret: str, **fields: Any) -> None:
        self._fields = fields
        self.lines: list[str] = []
        self._is_left = False
        self._began = threading.Event()
        self._colony, self._secret = colony, secret
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        assert self._began.wait(10)

    def _read(self) -> None:
        body = chat("slow", stream=True, **self._fields)
        with self._colony.call(self._secret).stream("POST", "/v1/chat/completions", json=body) as answer:
            for line in answer.iter_lines():
                self._began.set()
                if line:
                    self.lines.append(line)
                if self._is_left:
                    break

    def ends_within(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def goes_on(self) -> bool:
        """After a while; then it is left."""
        is_ended = self.ends_within(0.5)
        self._is_left = True
        self._thread.join(10)
        return not is_ended

    @property
    def failure(self) -> dict[str, Any]:
        assert self.lines[-1] == "data: [DONE]"
        failure: dict[str, Any] = json.loads(self.lines[-2].removeprefix("data: "))["error"]
        return failure


def test_stream_of_a_revoked_key_ends_with_an_error_and_its_hive_is_told(business: Colony) -> None:
    (key, secret), (_, other) = make_key(), make_key()
    cut, kept = Stream(business, secret), Stream(business, other)

    revoke_api_key(key, actor=TESTER)

    assert cut.ends_within(CUT_S)
    assert cut.failure["code"] == "invalid_api_key"
    assert "revoked" in cut.failure["message"]
    business.wait_for(lambda: "client_cancelled" in business.hive.stopped.values())  # and is paid so far
    assert kept.goes_on()
    assert business.call(secret).get("/v1/models").status_code == 401


def test_whole_answer_of_a_revoked_key_is_a_401(business: Colony) -> None:
    key, secret = make_key()
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(business.ask("never", key=secret)))
    asking.start()
    business.wait_for(lambda: business.hive.running)

    revoke_api_key(key, actor=TESTER)

    asking.join(CUT_S)
    assert (answers[0].status_code, error(answers[0])["code"]) == (401, "invalid_api_key")


def test_stream_is_cut_without_any_announcement(business: Colony) -> None:
    key, secret = make_key()
    stream = Stream(business, secret)
    with colony_tx("tests"):
        ApiKey.objects.filter(id=key.id).update(revoked_at="2026-01-01T00:00:00Z")

    assert stream.ends_within(CUT_S)


def test_stream_of_a_suspended_tenant_is_cut(business: Colony) -> None:
    tenant = make_tenant()
    _, secret = make_key(make_project(tenant))
    stream = Stream(business, secret)
    with colony_tx("tests"):
        Tenant.objects.filter(id=tenant.id).update(status="suspended")

    assert stream.ends_within(CUT_S)


def test_task_that_waits_for_a_worker_is_refused_when_its_key_is_revoked(business: Colony) -> None:
    (key, secret), (busy_key, busy_secret) = make_key(), make_key()
    small = business.add_hive("narrow", capacity=1)
    business.add_model("narrow")
    busy = threading.Thread(target=lambda: business.ask("never", key=busy_secret, model="narrow"))
    busy.start()
    business.wait_for(lambda: small.running)
    answers: list[httpx.Response] = []
    waiting = threading.Thread(
        target=lambda: answers.append(business.ask("x", key=secret, model="narrow", max_tokens=5))
    )
    waiting.start()
    business.wait_for(lambda: len(business.queen.room))

    revoke_api_key(key, actor=TESTER)

    waiting.join(CUT_S)
    assert (answers[0].status_code, error(answers[0])["code"]) == (401, "invalid_api_key")
    assert not len(business.queen.room)
    assert len(small.bodies) == 1
    revoke_api_key(busy_key, actor=TESTER)
    busy.join(CUT_S)


def test_both_values_of_a_rotated_key_answer_and_one_that_leaked_ends_alone(business: Colony) -> None:
    key, old = make_key()
    key, new = rotate_api_key(key, actor=TESTER)
    old_stream, new_stream = Stream(business, old), Stream(business, new)

    report_leak(old)

    assert old_stream.ends_within(CUT_S)
    assert business.call(old).get("/v1/models").status_code == 401
    assert business.call(new).get("/v1/models").status_code == 200
    assert not new_stream.ends_within(0.5)
    report_leak(new)
    assert new_stream.ends_within(CUT_S)
    business.wait_for(lambda: business.call(new).get("/v1/models").status_code == 401, timeout_s=1)


def test_rotation_without_overlap_ends_the_old_value_and_lets_its_answers_end(business: Colony) -> None:
    key, old = make_key()
    stream = Stream(business, old)

    _, new = rotate_api_key(key, actor=TESTER, overlap=timedelta(0))

    business.wait_for(lambda: business.call(old).get("/v1/models").status_code == 401, timeout_s=1)
    assert business.call(new).get("/v1/models").status_code == 200
    time.sleep(1.2)
    assert stream.goes_on()
