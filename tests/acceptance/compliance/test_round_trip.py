"""What a tenant takes along is all there where it arrives: counts, and the SHA-256 of every table."""

from __future__ import annotations

import dataclasses
import json
import resource
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from billing.models import UsageEvent
from gdpr.domain.exports import archive_of, begin_export
from gdpr.domain.imports import BadArchive, begin_import, new_import_file, read_manifest
from gdpr.domain.requests import RequestRefused, work_requests
from gdpr.domain.signing import public_key
from gdpr.holding import Identity, Whose
from gdpr.ids import uuid7
from gdpr.request_models import DataRequest
from gdpr.scope import colony_tx
from inference.models import Policy, PolicyVersion
from rbee_cli.up.postgres import Postgres
from tenants.models import ApiKey, Plan, Tenant
from tests.acceptance.figures import note, scaled
from tests.conftest import EMPTY, close_connections
from tests.factories.billing import make_event, make_price
from tests.factories.tenants import TESTER, make_key, make_member, make_plan, make_project

USAGE_ROWS = 1_000_000
MINUTES_MAX = 15
SECRETS = {"password", "mac", "old_mac", "last4", "old_last4", "secret_sealed", "salt", "answer_sealed"}

MANY = """
    INSERT INTO billing_usageevent (month, task_id, tenant_id, project_id, key_id, price_id, attempt, request_id, subject,
        endpoint, model, hive_id, worker, region, outcome, usage, amount_micros, currency, decision, admitted_at, began_at,
        first_token_at, ended_at, settled_at, receipt, signature)
    SELECT month, (left(task_id::text, 24) || lpad(to_hex(n), 12, '0'))::uuid, tenant_id, project_id, key_id, price_id,
        attempt, 'req_' || n, md5(n::text), endpoint, model, hive_id, worker, region, outcome, usage, n, currency, decision,
        admitted_at, began_at, first_token_at, ended_at, settled_at, receipt, signature
    FROM billing_usageevent, generate_series(1, %s) AS n WHERE task_id = %s
"""


@pytest.fixture
def folder(committed_db: None) -> Iterator[Path]:
    before = settings.RBEE
    made = Path(tempfile.mkdtemp(prefix="rbee-trip-"))
    settings.RBEE = dataclasses.replace(before, data_dir=made)
    try:
        yield made
    finally:
        settings.RBEE = before
        shutil.rmtree(made)


@pytest.mark.timeout(3600)
def test_tenant_travels_to_a_fresh_rbee(folder: Path, postgres: Postgres) -> None:
    rows = scaled(USAGE_ROWS, least=5000)
    tenant, plan_slug = make_rich_tenant(rows)
    identity = Identity(Whose.TENANT, tenant_id=tenant.id)
    began, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    export = begin_export(identity, format="", actor=TESTER)
    slices = 0
    while export.state not in ("ready", "failed"):
        work_requests(2, only=export.id)  # in slices, as the chore does
        export = fresh(export)
        slices += 1
    took_s = time.monotonic() - began
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) // 1024
    assert export.state == "ready", export.error
    assert took_s < MINUTES_MAX * 60
    archive = archive_of(export)
    assert archive is not None
    manifest = read_manifest(archive, public_key())
    assert manifest["tables"]["billing.UsageEvent"]["rows"] == rows + 1
    no_secret_is_in(archive)
    carried = folder / "carried.zip"
    shutil.copy(archive, carried)

    close_connections()
    with psycopg.connect(postgres.owner_url) as owner:
        owner.execute(EMPTY)
    make_plan(slug=plan_slug)  # with an id of its own
    refused_when_altered(carried, folder)
    began = time.monotonic()
    arrived = bring(carried)
    while arrived.state not in ("ready", "failed"):
        work_requests(2, only=arrived.id)
        arrived = fresh(arrived)
    assert arrived.state == "ready", (arrived.error, arrived.progress)

    again = begin_export(identity, format="json", actor=TESTER)
    work_requests(3600, only=again.id)
    again = fresh(again)
    second = read_manifest(archive_of(again) or Path(), public_key())
    compared = 0
    for label, table in manifest["tables"].items():
        if table["imported"] or table["derived"]:
            name = f"json/{label}.json"
            assert second["tables"][label]["rows"] == table["rows"], label
            assert second["files"][name] == manifest["files"][name], label
            compared += table["rows"]
    with pytest.raises(RequestRefused, match="here already"):
        bring(carried)
    with colony_tx("tests"):
        assert Tenant.objects.get(id=tenant.id).plan.slug == plan_slug
        assert ApiKey.objects.filter(tenant_id=tenant.id).count() == 2
    note("export: usage rows of the tenant", rows)
    note("export: took, at most 15 minutes", f"{took_s:.1f} s in {slices} slices")
    note("export: memory grew by", f"{grown_mib} MiB")
    note("import: took", f"{time.monotonic() - began:.1f} s")
    note("round trip: rows that are the same byte for byte", compared)


def make_rich_tenant(rows: int) -> tuple[Tenant, str]:
    project = make_project()
    tenant = project.tenant
    make_key(project, name="=SUM(A1)")
    make_key(project, name="ключ 🔑")
    make_member(tenant, "owner")
    make_member(tenant, "viewer")
    with colony_tx("tests"):
        policy = Policy.objects.create(tenant=tenant)
        PolicyVersion.objects.create(
            tenant=tenant, policy=policy, number=1, source="fn should_admit(t, c) {\n  admit() // ünï\n}", sha256="0" * 64,
            origin="api",
        )  # fmt: skip
    event = make_event(
        project, make_price(), timezone.now().date(), receipt=b"\x00\xffbytes", signature=b"s" * 64,
        usage={"prompt_tokens": 2**52}, decision={"why": "ünï", "n": [1, 2]},
    )  # fmt: skip
    with colony_tx("tests"), connection.cursor() as cursor:
        cursor.execute(MANY, [rows, event.task_id])
        assert UsageEvent.objects.filter(tenant=tenant).count() == rows + 1
    return tenant, Plan.objects.get(id=tenant.plan_id).slug


def fresh(request: DataRequest) -> DataRequest:
    with colony_tx("tests"):
        return DataRequest.objects.get(id=request.id)


def bring(archive: Path) -> DataRequest:
    request_id, path = new_import_file()
    shutil.copy(archive, path)
    return begin_import(request_id, key=public_key(), actor=TESTER)


def refused_when_altered(archive: Path, folder: Path) -> None:
    """Each file, the manifest, one more, one less; and another colony's key."""
    with zipfile.ZipFile(archive) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    name = "json/tenants.Project.json"
    manifest: dict[str, Any] = json.loads(parts["manifest.json"])
    manifest["document"]["tenant"] = str(uuid7())
    for altered in (
        {**parts, name: parts[name].replace(b"project", b"Project")},
        {**parts, "manifest.json": json.dumps(manifest).encode()},
        {**parts, "json/more.json": b"[]"},
        {part: content for part, content in parts.items() if part != name},
        {part: content for part, content in parts.items() if part != "manifest.json"},
    ):
        path = folder / "altered.zip"
        with zipfile.ZipFile(path, "w") as target:
            for part, content in altered.items():
                target.writestr(part, content)
        with pytest.raises(BadArchive):
            bring(path)
    with pytest.raises(BadArchive, match="another key"):
        read_manifest(archive, public_key()[::-1])
    assert [each for each in (folder / "exports").iterdir() if (each / "altered.zip").exists()] == []


def no_secret_is_in(archive: Path) -> None:
    with zipfile.ZipFile(archive) as whole:
        for name in whole.namelist():
            if name.startswith("schema/"):
                columns = json.loads(whole.read(name))["items"]["properties"]
                assert not SECRETS & set(columns), name
        csv = whole.read("csv/tenants.ApiKey.csv").decode()
    assert "'=SUM(A1)" in csv  # a spreadsheet runs nothing of it
    assert "ключ" in csv
