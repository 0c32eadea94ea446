"""What hives report is booked once, and only what they may report."""

import msgspec
import pytest

from billing.models import LedgerTransfer, UsageEvent
from gdpr.scope import colony_tx
from hive_agent import protocol
from hive_agent.protocol import Outcome, TaskBody
from tests.inference.api.conftest import Colony
from tests.inference.api.hive import USAGE
from tests.inference.api.test_answers import error


@pytest.fixture
def body(home: Colony) -> TaskBody:
    """A task that the hive has run."""
    assert home.ask("x").status_code == 200
    return home.hive.bodies[-1]


def test_receipt_becomes_one_usage_event_however_often_it_comes(home: Colony, body: TaskBody) -> None:
    receipt = home.hive.receipt(body)

    answers = [answered(home.send_receipts(home.hive, receipt, receipt)) for _ in range(2)]

    assert [set(answer.settled) for answer in answers] == [{body.task}] * 2
    assert [answer.refused for answer in answers] == [[], []]
    event = only_event(body.task)
    assert (event.outcome, event.usage, event.attempt) == ("completed", USAGE, body.attempt)
    assert event.receipt == receipt.payload
    assert event.hive_id == home.hive.row.id
    with colony_tx("tests"):
        assert LedgerTransfer.objects.filter(id=body.task).count() == 1


def test_every_outcome_is_booked(home: Colony) -> None:
    for outcome in Outcome:
        home.ask("x")
        body = home.hive.bodies[-1]

        answer = answered(home.send_receipts(home.hive, home.hive.receipt(body, outcome=outcome)))

        assert answer.settled == [body.task]
        assert only_event(body.task).outcome == outcome


def test_signature_of_another_hive_is_refused_for_good(home: Colony, body: TaskBody) -> None:
    other = home.add_hive("m")
    forged = other.receipt(body, hive=home.hive.row.id.hex)

    answer = answered(home.send_receipts(home.hive, forged))

    assert [(refused.task, refused.code) for refused in answer.refused] == [(body.task, "bad_signature")]
    assert events(body.task) == 0


def test_hive_settles_no_task_of_another(home: Colony, body: TaskBody) -> None:
    other = home.add_hive("m")

    answer = answered(home.send_receipts(other, other.receipt(body)))

    assert [refused.code for refused in answer.refused] == ["bad_envelope"]
    assert events(body.task) == 0


UNFIT = [
    ({"task": "0" * 32}, "bad_envelope"),
    ({"attempt": 9}, "bad_envelope"),
    ({"envelope": b""}, "bad_envelope"),
    ({"envelope": b"\x00" * 200}, "bad_envelope"),
    ({"outcome": "splendid"}, "bad_receipt"),
    ({"usage": {"prompt_tokens": -1}}, "bad_receipt"),
    ({"usage": {"prompt_tokens": 2**60}}, "bad_receipt"),
    ({"ended_at_ms": 2**60}, "bad_receipt"),
]


def test_receipt_that_does_not_fit_its_task_is_refused(home: Colony, body: TaskBody) -> None:
    for fields, code in UNFIT:
        answer = answered(home.send_receipts(home.hive, home.hive.receipt(body, **fields)))

        assert answer.settled == []
        assert [refused.code for refused in answer.refused] == [code]
        assert events(body.task) == 0


def test_bad_receipt_holds_back_no_good_one(home: Colony) -> None:
    for _ in range(12):
        home.ask("x")
    bodies = home.hive.bodies
    bad = home.hive.receipt(bodies[0], usage={"x": -1})
    altered = protocol.SignedReceipt(home.hive.receipt(bodies[1]).payload, b"\x00" * 64)

    answer = answered(home.send_receipts(home.hive, bad, altered, *map(home.hive.receipt, bodies[2:])))

    assert set(answer.settled) == {body.task for body in bodies[2:]}
    assert {refused.task for refused in answer.refused} == {bodies[0].task, bodies[1].task}


def test_payload_that_is_no_receipt_is_refused(home: Colony) -> None:
    payloads = [b"", b"\xff", b"[]", b"\x91\x01"]
    receipts = [protocol.SignedReceipt(payload, home.hive.key.sign(payload)) for payload in payloads]

    refused = answered(home.send_receipts(home.hive, *receipts)).refused

    assert [each.code for each in refused] == ["bad_receipt"] * 4


def test_body_that_is_no_batch_is_a_400(home: Colony) -> None:
    client = home.call(home.credentials[home.hive.row.id.hex])
    for content in (b"", b"{}", b"\xc1", b"\x92\x01\x90\x00", msgspec.msgpack.encode([1, ["x"]])):
        answer = client.post("/hive/v1/receipts", content=content)

        assert answer.status_code == 400
        assert error(answer)["code"] == "invalid_msgpack"


def test_another_version_of_the_protocol_is_named(home: Colony) -> None:
    answer = home.send_receipts(home.hive, version=99)

    assert (answer.status_code, error(answer)["code"]) == (400, "unsupported_version")


def test_only_hives_may_send_receipts(home: Colony) -> None:
    for key in (None, "rbee_hive_nobody", home.key_of()):
        answer = home.call(key).post(
            "/hive/v1/receipts", content=protocol.encode(protocol.ReceiptBatch(1, []))
        )

        assert (answer.status_code, error(answer)["code"]) == (401, "invalid_api_key")


def answered(answer: object) -> protocol.ReceiptAnswer:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/msgpack"
    return protocol.decode_receipt_answer(answer.content)


def only_event(task: str) -> UsageEvent:
    with colony_tx("tests"):
        return UsageEvent.objects.get(task_id=task)


def events(task: str) -> int:
    with colony_tx("tests"):
        return UsageEvent.objects.filter(task_id=task).count()
