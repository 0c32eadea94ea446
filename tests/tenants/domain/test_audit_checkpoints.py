import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings as django_settings

from gdpr.log.checkpoint import open_checkpoint
from gdpr.scope import colony_tx
from rbee_cli.up.postgres import Postgres
from tenants.domain.audit_checkpoints import tell_checkpoint
from tenants.domain.webhooks import create_endpoint
from tenants.models import WebhookEvent
from tests.factories.audit import SIGNER, make_entries, sequence
from tests.factories.tenants import TESTER, make_tenant


@pytest.fixture
def folder(committed_db: None, redis_url: str, tmp_path: Path) -> Iterator[Path]:
    before = django_settings.RBEE
    django_settings.RBEE = dataclasses.replace(before, audit_dir=tmp_path / "log")
    yield tmp_path / "log"
    django_settings.RBEE = before


def test_who_listens_is_told_once_a_day(folder: Path, postgres: Postgres) -> None:
    listening, deaf, silent = make_tenant(), make_tenant(), make_tenant()
    create_endpoint(listening.id, url="https://example.org/a", actor=TESTER, events=["audit.*", "key.*"])
    create_endpoint(deaf.id, url="https://example.org/b", actor=TESTER, events=["key.*"])
    make_entries(3)
    assert tell_checkpoint() == 0  # nothing is signed yet
    size = sequence(postgres.sequencer_url, folder)

    assert tell_checkpoint() == 1
    assert tell_checkpoint() == 0

    with colony_tx("tests"):
        events = list(WebhookEvent.objects.filter(type="audit.checkpoint"))
    assert [event.tenant_id for event in events] == [listening.id]
    assert silent.id != listening.id
    assert open_checkpoint(events[0].data["note"], [SIGNER.key]).size == events[0].data["size"] == size
