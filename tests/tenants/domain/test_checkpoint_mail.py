"""Checkpoints by a real mail server: what is attached is what `rbee audit verify` takes."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from gdpr.scope import colony_tx
from rbee.email import email_settings
from rbee_cli.up.postgres import Postgres
from tenants.domain.checkpoint_mail import mail_checkpoints, subscribe, unsubscribe
from tenants.domain.members import remove_member
from tenants.domain.tenancy import StateRefused
from tenants.models import CheckpointMail, Member
from tests.factories.audit import SIGNER, make_entries, sequence
from tests.factories.tenants import TESTER, make_member, make_tenant, make_user, unique
from tests.tenants.smtp import Inbox, smtp_server


@pytest.fixture
def folder(committed_db: None, redis_url: str, tmp_path: Path) -> Iterator[Path]:
    before = settings.RBEE
    settings.RBEE = dataclasses.replace(before, audit_dir=tmp_path / "log")
    with colony_tx("tests"):
        CheckpointMail.objects.all().delete()
    yield tmp_path / "log"
    settings.RBEE = before


@pytest.fixture
def inbox(folder: Path) -> Iterator[Inbox]:
    before = {name: getattr(settings, name, None) for name in email_settings("smtp://host")}
    with smtp_server() as inbox:
        url = f"smtp://127.0.0.1:{inbox.port}?tls=none"
        settings.RBEE = dataclasses.replace(settings.RBEE, smtp_url=url)
        for name, value in email_settings(url).items():
            setattr(settings, name, value)
        yield inbox
    for name, value in before.items():
        setattr(settings, name, value)


@pytest.fixture
def member(folder: Path) -> Member:
    return make_member(make_tenant(), "admin", user=make_user(email=f"{unique('ann')}@example.org"))


def attachment(message: Any) -> tuple[str, bytes]:
    (found,) = message.iter_attachments()
    return str(found.get_filename()), bytes(found.get_content())


def test_attached_note_verifies_the_log_that_grew(
    inbox: Inbox, member: Member, folder: Path, postgres: Postgres, tmp_path: Path
) -> None:
    subscribe(member, actor=TESTER)
    make_entries(3)
    assert mail_checkpoints() == 0  # nothing is signed yet
    size = sequence(postgres.sequencer_url, folder)

    assert mail_checkpoints() == 1
    assert mail_checkpoints() == 0

    ((to, message),) = inbox.messages
    name, note = attachment(message)
    assert (to, name) == (member.user.email, f"checkpoint-{size}.txt")
    assert note == (folder / "checkpoint").read_bytes()
    assert note.decode() in inbox.text_to(to).replace("\r\n", "\n")
    (tmp_path / name).write_bytes(note)
    make_entries(4)
    sequence(postgres.sequencer_url, folder)
    verify = [sys.executable, "-m", "rbee_cli", "audit", "verify", str(folder), "--key", str(SIGNER.key),
              "--checkpoint", str(tmp_path / name)]  # fmt: skip
    assert subprocess.run(verify, timeout=60, check=False, capture_output=True).returncode == 0
    (tmp_path / name).write_bytes(note.replace(b"\n%d\n" % size, b"\n%d\n" % (size - 1)))
    assert subprocess.run(verify, timeout=60, check=False, capture_output=True).returncode == 1


def test_each_day_has_its_mail(inbox: Inbox, member: Member, folder: Path, postgres: Postgres) -> None:
    subscribe(member, actor=TESTER)
    make_entries(1)
    sequence(postgres.sequencer_url, folder)
    assert mail_checkpoints() == 1

    with colony_tx("tests"):
        CheckpointMail.objects.update(mailed_at=timezone.now() - timedelta(days=1))

    assert mail_checkpoints() == 1
    assert len(inbox.messages) == 2


def test_who_is_no_member_or_was_taken_out_is_mailed_nothing(
    inbox: Inbox, member: Member, folder: Path, postgres: Postgres
) -> None:
    other = make_member(member.tenant, "viewer")
    for each in (member, other):
        subscribe(each, actor=TESTER)
    make_entries(1)
    sequence(postgres.sequencer_url, folder)

    unsubscribe(member, actor=TESTER)
    unsubscribe(member, actor=TESTER)
    remove_member(other, actor=TESTER)

    assert mail_checkpoints() == 0
    with pytest.raises(StateRefused, match="no more"):
        subscribe(other, actor=TESTER)


def test_nothing_is_mailed_without_a_server(member: Member, folder: Path, postgres: Postgres) -> None:
    subscribe(member, actor=TESTER)
    make_entries(1)
    sequence(postgres.sequencer_url, folder)

    assert mail_checkpoints() == 0
    with colony_tx("tests"):
        assert CheckpointMail.objects.get().mailed_at is None
