"""Erasing a tenant, and an end user of one: nothing of theirs is left outside of what the certificate declares, all of the
others' is still there; through kills, planted bugs and a backup that is restored."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from django.utils import timezone

from gdpr.domain import tables
from gdpr.domain.erasure import begin_erasure
from gdpr.domain.erasure_ledger import LedgerBroken, ledger_path, lines_behind
from gdpr.domain.exports import begin_export
from gdpr.domain.replays import replay
from gdpr.domain.requests import work_requests
from gdpr.domain.signing import public_key
from gdpr.holding import Identity, Whose
from gdpr.ids import uuid7
from gdpr.pseudonyms import subject_pseudonym
from gdpr.request_models import DataRequest
from gdpr.scanner import Scanner
from gdpr.scope import colony_tx
from hive_agent.spool import Spool
from inference.domain.erasures import RedisKeys, erasures_of, note_forgotten
from inference.models import Decision, Hive
from rbee_cli.documents import checked_document
from rbee_cli.errors import CliError
from rbee_cli.up.postgres import Postgres
from tenants.domain.tenant_life import delete_tenant
from tenants.models import Alert
from tests.acceptance.compliance.planted_canaries import Everywhere, Garden, flush, is_in, plant, tables_kept
from tests.acceptance.figures import note
from tests.conftest import close_connections
from tests.factories.billing import make_event, make_price
from tests.factories.inference import make_hive
from tests.factories.tenants import TESTER, make_project

ROOT = Path(__file__).parents[3]
BYPASS = "ALTER ROLE rbee_owner {};\n\n"


class Place:
    """A machine of an operator, with a hive on it."""

    def __init__(self, postgres: Postgres, redis_url: str, data_dir: Path) -> None:
        self.postgres, self.redis_url, self.data_dir = postgres, redis_url, data_dir
        self.everywhere = Everywhere(postgres, redis_url, data_dir)
        (data_dir / "hive").mkdir()
        self.spool = data_dir / "hive" / "spool.db"
        Hive.objects.filter(removed_at=None).update(removed_at=timezone.now())
        self.hive, _ = make_hive()

    def plant(self) -> Garden:
        garden = plant(self.data_dir, self.redis_url, self.spool)
        begin_export(garden.identity, format="", actor=TESTER)
        work_requests(60)
        return garden

    def found(self, garden: Garden) -> dict[str, set[str]]:
        """Where each of its canaries was seen."""
        seen: dict[str, set[str]] = {}
        for hit, place in self.everywhere.hits(garden.scanner):
            seen.setdefault(hit.name, set()).add(place)
        return seen

    def hive_forgets(self) -> None:
        """As its agent does, with what came with its placements."""
        asked, spool = erasures_of(self.hive), Spool(self.spool)
        done = [each.id for each in asked if spool.forget_whose(each.whose)]
        spool.shut()
        for request_id in note_forgotten(self.hive, done):  # type: ignore[arg-type]
            due(request_id)

    def finish(self, request: DataRequest) -> DataRequest:
        due(request.id)
        work_requests(60)
        self.hive_forgets()
        work_requests(60)
        return fresh(request)

    def environment(self) -> dict[str, str]:
        others = {name: value for name, value in os.environ.items() if not name.startswith("RBEE_")}
        return others | {
            "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
            "DJANGO_SETTINGS_MODULE": "rbee.settings",
            "RBEE_DATABASE_URL": self.postgres.app_url,
            "RBEE_REDIS_URL": self.redis_url,
            "RBEE_DATA_DIR": str(self.data_dir),
            "RBEE_SECRET_KEY": settings.RBEE.secret_key.hex(),
        }


@pytest.fixture
def place(committed_db: None, postgres: Postgres, redis_url: str, settings: Any) -> Iterator[Place]:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # nobody guesses here
    before = settings.RBEE
    folder = Path(tempfile.mkdtemp(prefix="rbee-erasure-"))
    settings.RBEE = dataclasses.replace(before, data_dir=folder)
    try:
        flush(postgres, BYPASS.format("BYPASSRLS"))  # pg_dump sees all or nothing
        with colony_tx("requests of other tests"):
            DataRequest.objects.all().delete()
        yield Place(postgres, redis_url, folder)
    finally:
        flush(postgres, BYPASS.format("NOBYPASSRLS"))
        settings.RBEE = before
        shutil.rmtree(folder)


def fresh(request: DataRequest) -> DataRequest:
    with colony_tx("tests"):
        return DataRequest.objects.get(id=request.id)


def due(request_id: Any) -> None:
    with colony_tx("tests"):
        DataRequest.objects.filter(id=request_id).update(next_at=timezone.now() - timedelta(seconds=1))


def ask(garden: Garden) -> DataRequest:
    delete_tenant(garden.tenant_id, actor=TESTER, grace_days=0)
    with colony_tx("tests"):
        return DataRequest.objects.exclude(state="cancelled").get(tenant_id=garden.tenant_id, kind="erasure")


def outside(garden: Garden, seen: dict[str, set[str]], certificate: dict[str, Any]) -> dict[str, set[str]]:
    """Canaries of which the certificate does not say that their column is kept, or that are elsewhere too."""
    declared = {f"{entry['what']}.{column}" for entry in certificate["kept"] for column in entry["columns"]}
    kept = tables_kept(certificate)
    found = {
        word: {place for place in places if garden.planted[word] not in declared or not is_in(place, kept)}
        for word, places in seen.items()
    }
    return {word: places for word, places in found.items() if places}


@pytest.mark.timeout(600)
def test_erased_tenant_leaves_nothing_and_the_other_everything(place: Place) -> None:
    gone, other = place.plant(), place.plant()
    flush(place.postgres)
    before, others_before = place.found(gone), place.found(other)
    missing = {word: where for word, where in gone.planted.items() if word not in before}
    assert missing == {}, "the scanner has to find all that was planted"
    assert set(others_before) == set(other.planted)
    forms = {hit.form.rstrip("+012") for hit, _ in place.everywhere.hits(gone.scanner)}
    assert {
        "plain",
        "lower",
        "swapped",
        "hex",
        "url",
        "base64",
        "utf-16-le",
        "utf-16-be",
        "gzip plain",
    } <= forms
    total = len(gone.planted) + len(other.planted)
    assert total >= 60

    request = ask(gone)
    work_requests(60)
    request = fresh(request)
    assert (request.state, request.progress["waiting"]) == ("erasing", {"hives": [place.hive.name]})
    request = place.finish(request)

    assert request.state == "erased", (request.state, request.progress, request.error)
    certificate = checked_document(request.result["certificate"], public_key())
    flush(place.postgres)
    seen = place.found(gone)
    assert outside(gone, seen, certificate) == {}
    kept_words = {word: places for word, places in place.found(other).items() if word in other.planted}
    assert set(kept_words) == set(other.planted), "what is the other's is still there"
    assert all(kept_words[word] >= others_before[word] for word in other.planted)
    altered = {**request.result["certificate"], "document": {**certificate, "kept": []}}
    with pytest.raises(CliError, match="altered"):
        checked_document(altered, public_key())
    note("erasure: canaries planted in two tenants", total)
    note("erasure: found before", f"{len(before) + len(others_before)} of {total}")
    note("erasure: of the erased tenant's outside of the kept list", 0)
    note("erasure: of the other's still there", f"{len(kept_words)} of {len(other.planted)}")


@pytest.mark.timeout(300)
def test_erased_end_user_is_gone_from_its_tenant_only(place: Place) -> None:
    mine, theirs = make_project(), make_project()
    price = make_price()
    day = timezone.now().date()
    users = {
        "gone": subject_pseudonym(mine.tenant_id.hex, "user-4711"),
        "same name elsewhere": subject_pseudonym(theirs.tenant_id.hex, "user-4711"),
        "colleague": subject_pseudonym(mine.tenant_id.hex, "user-4712"),
    }
    with redis.Redis.from_url(place.redis_url) as client:
        for project, user in [(mine, "gone"), (theirs, "same name elsewhere"), (mine, "colleague")]:
            pseudonym, tenant = users[user], project.tenant_id.hex
            make_event(
                project, price, day, subject=pseudonym, receipt=b"r " + pseudonym.encode(), signature=b"s"
            )
            client.set(f"rbee:lim:{tenant}:of:{pseudonym}:day", 5)
            client.set(f"rbee:lim:{tenant}:subject:{pseudonym}:requests", 5)
            task_id = uuid7()
            with colony_tx("tests"):
                Decision.objects.create(
                    month=day.replace(day=1), task_id=task_id, tenant=project.tenant, request_id="", at=timezone.now(),
                    outcome="routed", code="", task={"subject": pseudonym}, customer={}, operator_sha256="",
                    tenant_sha256="", attempts=[], worker="", micros=1,
                )  # fmt: skip
    (place.data_dir / "logs").mkdir()
    (place.data_dir / "logs" / "queen.log").write_text("\n".join(users.values()))
    scanner = Scanner(users)
    before = {(hit.name, where) for hit, where in place.everywhere.hits(scanner)}
    assert {name for name, _ in before} == set(users)

    identity = Identity(Whose.SUBJECT, tenant_id=mine.tenant_id, subject=users["gone"])
    request = place.finish(begin_erasure(identity, grace=timedelta(), actor=TESTER))

    assert request.state == "erased", (request.state, request.progress, request.error)
    flush(place.postgres)
    after = {(hit.name, where) for hit, where in place.everywhere.hits(scanner)}
    # The books lose the end user; requests of the tenant and the log of what was done name the pseudonym of an erasure.
    where_left = {re.sub(r"_\d{4}_\d\d$", "", where) for name, where in after if name == "gone"}
    assert where_left <= {"gdpr_datarequest", "gdpr_auditentry", "inference_hiveerasure", "files"}
    assert {hit for hit in after if hit[0] != "gone"} == {hit for hit in before if hit[0] != "gone"}


@pytest.mark.timeout(300)
def test_planted_bugs_are_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place that is passed over fails the verification, and is seen; one whose verification is blind too is found by the
    scanner."""
    garden = place.plant()
    with monkeypatch.context() as patched:
        patched.setattr(RedisKeys, "erase", lambda *_: tables.Erased())
        request = place.finish(ask(garden))
        for _ in range(5):
            place.finish(request)
    assert (request.state, request.error) == ("failed", "StillThere")
    assert request.progress["remains"] == ["redis: keys in Redis"]
    with colony_tx("tests"):
        assert Alert.objects.filter(tenant=None, object_ref=f"request:{request.id.hex}").exists()

    blind = place.plant()
    passed_over = "tenants.Invitation"
    plan = tables.data_map.plan
    with monkeypatch.context() as patched:
        patched.setattr(
            tables.data_map,
            "plan",
            lambda whose: [step for step in plan(whose) if step.holding.label != passed_over],
        )
        request = place.finish(ask(blind))
    assert request.state == "erased"
    left = outside(blind, place.found(blind), request.result["certificate"]["document"])
    assert {blind.planted[word] for word in left} == {f"{passed_over}.email"}
    note("erasure: planted bugs found", "2 of 2")


@pytest.mark.timeout(600)
def test_worker_that_is_killed_at_each_step_is_followed_by_another(place: Place) -> None:
    garden = place.plant()
    request = ask(garden)
    killed = 0
    close_connections()
    for step in ("database", "redis", "files", "logs"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.acceptance.compliance.erasure_worker", step], env=place.environment(), cwd=ROOT,
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == -9, done.stderr
        killed += 1
        with colony_tx("tests"):
            held = DataRequest.objects.get(id=request.id)
            assert held.lease_until is not None
            assert step not in held.progress["done"]
            DataRequest.objects.filter(id=request.id).update(lease_until=timezone.now())  # it runs out
    request = place.finish(request)

    assert request.state == "erased", (request.state, request.progress, request.error)
    flush(place.postgres)
    assert outside(garden, place.found(garden), request.result["certificate"]["document"]) == {}
    note("erasure: kill -9 survived", killed)


@pytest.mark.timeout(600)
def test_backup_that_is_restored_brings_nobody_back(place: Place) -> None:
    gone, other = place.plant(), place.plant()
    backup = place.data_dir.parent / f"{place.data_dir.name}.dump"
    program = {
        name: place.postgres._program(name, place.postgres._major()) for name in ("pg_dump", "pg_restore")
    }
    subprocess.run(
        [program["pg_dump"], "--format=custom", f"--file={backup}", place.postgres.owner_url],
        check=True,
        cwd="/",
    )
    try:
        request = place.finish(ask(gone))
        assert request.state == "erased"
        assert lines_behind() == []

        close_connections()
        subprocess.run(
            [program["pg_restore"], "--clean", "--if-exists", f"--dbname={place.postgres.owner_url}", backup],
            check=False, cwd="/", capture_output=True,
        )  # fmt: skip
        resurrected = [word for word, where in gone.planted.items() if "redis" not in where]
        assert len(set(place.found(gone)) & set(resurrected)) > 30, "it was a backup of before"
        assert [line.request for line in lines_behind()] == [request.id.hex]
        replayed = replay(actor=TESTER)
        assert [each.id for each in replayed] == [request.id]
        again = place.finish(replayed[0])
        assert again.state == "erased", (again.state, again.progress, again.error)
        assert lines_behind() == []

        flush(place.postgres)
        left = outside(gone, place.found(gone), again.result["certificate"]["document"])
        assert left == {}
        assert set(other.planted) <= set(place.found(other))
        note("erasure: resurrected after a restored backup and replay", len(left))
    finally:
        backup.unlink(missing_ok=True)


def test_ledger_that_was_tampered_with_is_noticed(place: Place) -> None:
    for _ in range(3):
        tenant = make_project().tenant
        delete_tenant(tenant.id, actor=TESTER, grace_days=0)
    work_requests(60)
    whole = ledger_path().read_bytes()
    lines = whole.splitlines(keepends=True)
    assert len(lines) == 3

    for altered in (
        b"".join(lines[1:]),
        lines[0] + lines[2],
        whole.replace(b'"whose":"tenant"', b'"whose":"person"', 1),
    ):
        ledger_path().write_bytes(altered)
        with pytest.raises(LedgerBroken):
            lines_behind()
    ledger_path().write_bytes(whole[:-10])  # its writer died within a line
    assert lines_behind() == []
