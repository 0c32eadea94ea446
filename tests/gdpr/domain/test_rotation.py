from __future__ import annotations

import dataclasses
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings

from gdpr import roots
from gdpr.domain import rotation, vault
from gdpr.domain.audit import Actor
from gdpr.domain.keyring import keyring, make_first_keys
from gdpr.domain.rotation import Holder, KeyInUse, NotRotatable
from gdpr.models import AuditEntry, SubjectKey
from gdpr.roots import RootsFixed
from gdpr.scope import colony_tx
from gdpr.secrets import root_id
from rbee.env import read_env

ME = Actor("user", "c" * 32)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of keys and one of root secrets, as `rbee up` makes them; nobody waits for other processes."""
    (tmp_path / "root").write_text("5e" * 32 + "\n")
    env = read_env({"RBEE_SECRET_KEY_FILE": str(tmp_path / "root"), "RBEE_KEY_FILE": str(tmp_path / "keys")})
    monkeypatch.setattr(settings, "RBEE", dataclasses.replace(env, database_url=settings.RBEE.database_url))
    monkeypatch.setattr(settings, "SECRET_KEY", settings.SECRET_KEY)
    monkeypatch.setattr(settings, "SECRET_KEY_FALLBACKS", [])
    monkeypatch.setattr(rotation, "KNOWN_EVERYWHERE_S", 0)
    monkeypatch.setattr(rotation, "BATCH", 5)
    make_first_keys()


@pytest.fixture
def people(db: None, files: None) -> list[tuple[object, bytes]]:
    made = []
    for number in range(2 * rotation.BATCH + 3):
        text = f"address {number}".encode()
        made.append((vault.keep(uuid4() if number % 3 else None, uuid4().hex, "source", text), text))
    return made


def all_read(people: list[tuple[object, bytes]]) -> None:
    with colony_tx("look"):
        assert all(vault.read(item_id) == text for item_id, text in people)  # type: ignore[arg-type]


def test_a_rotation_wraps_everything_anew_and_then_the_old_key_can_go(
    people: list[tuple[object, bytes]],
) -> None:
    old = keyring().newest()
    made = rotation.rotate_details(actor=ME)
    late = (vault.keep(None, "d" * 32, "source", b"late"), b"late")
    assert {row.id: row.uses for row in rotation.list_keys()}[old] == len(people)
    with pytest.raises(KeyInUse, match=f"{len(people)} people"):
        rotation.retire(old, actor=ME)
    with pytest.raises(KeyInUse):
        rotation.retire(old, actor=ME, force=True)  # never details of people
    all_read([*people, late])
    assert rotation.rewrap_all() == len(people)
    assert rotation.rewrap_all() == 0
    rotation.retire(old, actor=ME)
    all_read([*people, late])
    assert next(row.id for row in rotation.list_keys() if row.of == rotation.DETAILS) == made
    with colony_tx("look"):
        events = list(AuditEntry.objects.order_by("id").values_list("event", "object_ref"))
    assert events == [
        ("key_encryption.rotated", f"encryption_key:{made}"),
        ("key_encryption.retired", f"encryption_key:{old}"),
    ]


def test_a_chore_that_is_killed_is_gone_on_with(
    people: list[tuple[object, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rotation.rotate_details(actor=ME)
    real, left = rotation.purpose_of, [rotation.BATCH + 2]

    def kill_later(key: SubjectKey) -> bytes:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return real(key)

    with monkeypatch.context() as patch:
        patch.setattr(rotation, "purpose_of", kill_later)
        with pytest.raises(KeyboardInterrupt):
            rotation.rewrap_all()
    all_read(people)
    assert rotation.rewrap_all() == len(people) - rotation.BATCH
    all_read(people)


def test_a_data_key_that_was_altered_holds_up_nobody(people: list[tuple[object, bytes]]) -> None:
    rotation.rotate_details(actor=ME)
    with colony_tx("look"):
        SubjectKey.objects.filter(pk=SubjectKey.objects.order_by("id")[0].pk).update(wrapped=b"x" * 60)
    assert rotation.rewrap_all() == len(people) - 1
    all_read(people[1:])


def test_a_key_of_a_person_who_is_forgotten_needs_no_key(db: None, files: None) -> None:
    vault.keep(None, "a" * 32, "source", b"x")
    old = keyring().newest()
    rotation.rotate_details(actor=ME)
    vault.destroy_subject(None, "a" * 32)
    assert rotation.rewrap_all() == 0
    rotation.retire(old, actor=ME)


def test_a_root_secret_goes_when_nothing_is_left_of_it(
    db: None, files: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = {"things": 3}
    monkeypatch.setitem(
        rotation._holders, "things", Holder(name="things", left=lambda _: left["things"], renew=lambda: 1)
    )
    old = root_id(roots.current().roots[0])
    made = rotation.rotate_root(actor=ME)
    assert made == f"secret:{root_id(roots.current().roots[0])}" != f"secret:{old}"
    with pytest.raises(KeyInUse, match="3 things"):
        rotation.retire(f"secret:{old}", actor=ME)
    row = next(row for row in rotation.list_keys() if row.id == f"secret:{old}")
    assert row.uses == 3
    assert row.holders == {"things": 3}
    assert not row.is_newest
    assert rotation.renew_all() == 1
    left["things"] = 0
    with pytest.raises(KeyInUse, match="Receipts"):
        rotation.retire(f"secret:{old}", actor=ME)
    with pytest.raises(RootsFixed, match="rotate first"):
        rotation.retire(made, actor=ME, force=True)
    rotation.retire(f"secret:{old}", actor=ME, force=True)
    assert [root_id(root) for root in roots.current().roots] == [made.removeprefix("secret:")]


def test_people_whose_keys_hang_on_a_root_secret_keep_it(
    db: None, files: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no file of keys is named; also by force."""
    monkeypatch.setattr(settings, "RBEE", dataclasses.replace(settings.RBEE, key_file=None))
    item_id = vault.keep(None, "a" * 32, "source", b"x")
    old = f"secret:{root_id(roots.current().roots[0])}"
    rotation.rotate_root(actor=ME)
    with pytest.raises(KeyInUse, match="1 people"):
        rotation.retire(old, actor=ME, force=True)
    assert rotation.renew_all() >= 1
    rotation.retire(old, actor=ME, force=True)
    with colony_tx("look"):
        assert vault.read(item_id) == b"x"


def test_a_colony_that_gets_a_file_of_keys_moves_there(
    db: None, files: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = settings.RBEE
    monkeypatch.setattr(settings, "RBEE", dataclasses.replace(env, key_file=None))
    item_id = vault.keep(None, "a" * 32, "source", b"x")
    monkeypatch.setattr(settings, "RBEE", env)
    assert rotation.renew_all() == 1
    with colony_tx("look"):
        assert SubjectKey.objects.get().wrapped_by.startswith("file:")
        assert vault.read(item_id) == b"x"


def test_what_cannot_be_rotated_here_says_where(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        settings, "RBEE", dataclasses.replace(settings.RBEE, key_file=None, secret_key_file=None)
    )
    with pytest.raises(NotRotatable, match="RBEE_KEY_FILE"):
        rotation.rotate_details(actor=ME)
    with pytest.raises(RootsFixed, match="RBEE_SECRET_KEY_PREVIOUS"):
        rotation.rotate_root(actor=ME)
