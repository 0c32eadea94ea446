"""As a customer checks us: by what the API says, the key that they kept, and no trust."""

import dataclasses
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings as django_settings

from gdpr.log.checkpoint import open_checkpoint
from gdpr.log.note import read_verify_key
from gdpr.log.proof import check_proof
from gdpr.log.tree import verify_consistency
from gdpr.scope import tenant_tx
from inference.domain.bootstrap import prepare_colony
from rbee_cli.up.postgres import Postgres
from tenants.domain.keys import issue_api_key
from tenants.models import Project
from tests.factories.audit import SIGNER, make_entries, sequence
from tests.factories.tenants import TESTER, make_project
from tests.inference.conftest import Api


class Log:
    def __init__(self, postgres: Postgres, folder: Path) -> None:
        self.postgres = postgres
        self.folder = folder

    def sequence(self) -> int:
        return sequence(self.postgres.sequencer_url, self.folder)


@pytest.fixture
def log(committed_db: None, redis_url: str, postgres: Postgres, tmp_path: Path) -> Iterator[Log]:
    before = django_settings.RBEE
    folder = LOGS.setdefault("folder", tmp_path / "log")  # of the module, as its rows are
    django_settings.RBEE = dataclasses.replace(before, mode="business", audit_dir=folder)
    yield Log(postgres, folder)
    django_settings.RBEE = before


LOGS: dict[str, Path] = {}


class Caller(Api):
    def ask(self, path: str, **query: Any) -> Any:
        return self.client.get(f"/gdpr/audit/{path}", query)


@pytest.fixture
def tenant(log: Log) -> Any:
    return make_project().tenant


@pytest.fixture
def api(tenant: Any) -> Caller:
    with tenant_tx(tenant.id):
        project = Project.objects.get()
    return Caller(issue_api_key(project, name="manage", scopes=["manage"], actor=TESTER)[1])


def test_own_entry_is_proved(log: Log, tenant: Any, api: Caller) -> None:
    mine = make_entries(3, tenant_id=tenant.id)[1]
    make_entries(300)
    size = log.sequence()
    key = read_verify_key(api.ask("key").content.decode())
    assert key == SIGNER.key

    answer = api.ask("proof", entry=str(mine.id)).json()
    proof, checkpoint = check_proof(answer["proof"], [key])

    assert answer["object"] == "audit.inclusion_proof"
    assert proof.entry.decode() == answer["entry"]
    assert f'"id":"{mine.id}"' in answer["entry"]
    assert (proof.index, checkpoint.size) == (answer["index"], size)
    assert api.ask("proof", index=answer["index"]).json() == answer
    assert open_checkpoint(api.ask("checkpoint").content, [key]) == checkpoint
    assert api.ask("checkpoint")["content-type"] == "text/plain; charset=utf-8"


def test_log_is_proved_to_have_only_grown(log: Log, tenant: Any, api: Caller) -> None:
    make_entries(5, tenant_id=tenant.id)
    log.sequence()
    kept = open_checkpoint(api.ask("checkpoint").content, [SIGNER.key])
    make_entries(700)
    log.sequence()
    newest = open_checkpoint(api.ask("checkpoint").content, [SIGNER.key])

    answer = api.ask("proof", **{"from": kept.size}).json()
    hashes = [b64decode(each) for each in answer["hashes"]]
    assert (answer["old_size"], answer["new_size"]) == (kept.size, newest.size)
    assert verify_consistency(kept.size, newest.size, hashes, kept.root, newest.root)
    assert api.ask("proof", **{"from": kept.size, "to": newest.size}).json() == answer


def test_entries_of_others_are_as_absent_as_those_that_are_not_there(log: Log, api: Caller) -> None:
    theirs = make_entries(1, tenant_id=make_project().tenant.id)[0]
    colonys = make_entries(1)[0]
    log.sequence()
    absent = api.ask("proof", entry=str(uuid4()))
    for entry in (theirs, colonys):
        answer = api.ask("proof", entry=str(entry.id))
        assert (answer.status_code, answer.content) == (404, absent.content)
    size = open_checkpoint(api.ask("checkpoint").content, [SIGNER.key]).size
    assert {api.ask("proof", index=index).status_code for index in (size - 1, size - 2, size, 2**53 - 1)} == {
        404
    }


def test_entry_that_is_not_published_yet_is_soon(log: Log, tenant: Any, api: Caller) -> None:
    log.sequence()
    mine = make_entries(1, tenant_id=tenant.id)[0]

    answer = api.ask("proof", entry=str(mine.id))

    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "not_published"
    assert int(answer["retry-after"]) >= 1
    log.sequence()
    assert api.ask("proof", entry=str(mine.id)).status_code == 200


def test_damaged_files_prove_nothing(
    log: Log, tenant: Any, api: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    mine = make_entries(1, tenant_id=tenant.id)[0]
    log.sequence()
    bundles = [path for path in (log.folder / "tile/entries").rglob("*") if path.is_file()]
    kept = {path: path.read_bytes() for path in bundles}
    for path, raw in kept.items():
        path.write_bytes(raw.replace(b'"ok"', b'"no"'))
    try:
        answer = api.ask("proof", entry=str(mine.id))
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "audit_log_damaged")
        assert "audit log is damaged" in caplog.text
    finally:
        for path, raw in kept.items():
            path.write_bytes(raw)
    assert api.ask("proof", entry=str(mine.id)).status_code == 200


def test_log_that_has_nothing_yet_is_soon(log: Log, api: Caller, tmp_path: Path) -> None:
    django_settings.RBEE = dataclasses.replace(django_settings.RBEE, audit_dir=tmp_path / "none")

    for path in ("checkpoint", "key"):
        answer = api.ask(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_published")


@pytest.mark.parametrize(
    "query",
    [
        {}, {"entry": "x"}, {"index": "-1"}, {"index": str(2**80)}, {"from": "9", "to": "3"}, {"from": "0", "to": "999999"},
        {"entry": str(uuid4()), "index": "1"}, {"to": "3"}, {"index": "1", "mistyped": "1"}, {"from": "1.5"},
    ],
)  # fmt: skip
def test_question_that_makes_no_sense_is_refused(log: Log, api: Caller, query: dict[str, str]) -> None:
    log.sequence()
    answer = api.ask("proof", **query)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_value"


def test_nobody_without_a_key_and_no_key_for_inference_is_told(log: Log, tenant: Any) -> None:
    inference = Caller(issue_api_key(make_project(), name="x", scopes=["inference"], actor=TESTER)[1])
    for path in ("checkpoint", "key", "proof?index=0"):
        assert Caller().ask(path).status_code == 401
        assert inference.ask(path).status_code == 403


def test_operator_sees_all(log: Log, tenant: Any) -> None:
    operator = Caller(issue_api_key(prepare_colony(), name="operator", scopes=["manage"], actor=TESTER)[1])
    entry = make_entries(1, tenant_id=tenant.id)[0]
    log.sequence()

    assert operator.ask("proof", entry=str(entry.id)).status_code == 200
