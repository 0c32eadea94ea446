from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from django.conf import settings
from django.core import signing
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from gdpr import roots
from gdpr.roots import RootsFixed, announce_root, parse_roots, promote_root, remove_root
from gdpr.secrets import SUBJECTS, derive, derive_from, is_mac, macs, resealed, root_id, seal, stable, unseal
from rbee.env import read_env

FIRST = "5e" * 32


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As `rbee up` writes it."""
    path = tmp_path / "root"
    path.write_text(FIRST + "\n")
    use(path, monkeypatch)
    return path


def use(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = read_env({"RBEE_SECRET_KEY_FILE": str(path)})
    monkeypatch.setattr(settings, "RBEE", env)
    first, *others = roots.django_keys(roots.roots_of(env).roots)
    monkeypatch.setattr(settings, "SECRET_KEY", first)
    monkeypatch.setattr(settings, "SECRET_KEY_FALLBACKS", others)


def test_a_root_secret_is_known_before_it_makes_anything(path: Path) -> None:
    sealed, mac, old = seal("x", "l"), macs("l", b"v")[0], derive("l")
    made = announce_root()
    assert derive("l") == old
    assert len(macs("l", b"v")) == 2
    assert announce_root() == made  # gone on with after a kill
    assert promote_root() == made == promote_root()
    assert derive("l") != old
    assert unseal(sealed, "l") == "x"
    assert macs("l", b"v")[1] == mac
    assert is_mac(mac, "l", b"v")
    again = resealed(sealed, "l")
    assert again is not None
    assert resealed(again, "l") is None
    assert unseal(again, "l") == "x"


def test_what_the_removed_one_made_is_worth_nothing(path: Path) -> None:
    sealed, mac = seal("x", "l"), macs("l", b"v")[0]
    announce_root()
    promote_root()
    first = root_id(bytes.fromhex(FIRST))
    with pytest.raises(RootsFixed, match="rotate first"):
        remove_root(root_id(roots.current().roots[0]))
    with pytest.raises(RootsFixed, match="no root"):
        remove_root("00000000")
    remove_root(first)
    with pytest.raises(ValueError, match="not sealed"):
        unseal(sealed, "l")
    assert not is_mac(mac, "l", b"v")


def test_pseudonyms_of_end_users_never_change(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = stable(SUBJECTS)
    for _ in range(2):
        announce_root()
        assert stable(SUBJECTS) == before
        promote_root()
        remove_root(root_id(roots.current().roots[1]))
        assert stable(SUBJECTS) == before
    use(path, monkeypatch)  # a process that starts after it
    assert stable(SUBJECTS) == before == derive_from(bytes.fromhex(FIRST), SUBJECTS)
    assert FIRST not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_process_that_runs_sees_the_file_change_within_its_second(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = derive("l")
    cookie = signing.dumps("session")
    other = secrets.token_hex(32)
    path.with_suffix(".x").write_text(f"{other} 2026-01-01T00:00:00Z\n{FIRST}\n")
    path.with_suffix(".x").replace(path)
    assert derive("l") == old  # looked a moment ago
    monkeypatch.setattr(roots, "_look_at", 0.0)
    assert derive("l") == derive_from(bytes.fromhex(other), "l")
    assert derive_from(bytes.fromhex(other), "django").hex() == settings.SECRET_KEY
    assert signing.loads(cookie) == "session"


def test_a_file_that_makes_no_sense_for_a_moment_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = derive("l")
    path.write_text("half a lin")
    monkeypatch.setattr(roots, "_look_at", 0.0)
    assert derive("l") == old


def test_root_secrets_of_the_environment_are_changed_there(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = (secrets.token_hex(32) for _ in range(3))
    env = {"RBEE_SECRET_KEY": third, "RBEE_SECRET_KEY_PREVIOUS": f"{second}, {first}"}
    with pytest.raises(ImproperlyConfigured, match="RBEE_PSEUDONYM_KEY"):
        read_env(env)
    monkeypatch.setattr(settings, "RBEE", read_env({"RBEE_SECRET_KEY": first}))
    sealed, subjects = seal("x", "l"), stable(SUBJECTS)
    monkeypatch.setattr(settings, "RBEE", read_env(env | {"RBEE_PSEUDONYM_KEY": subjects.hex()}))
    assert unseal(sealed, "l") == "x"
    assert stable(SUBJECTS) == subjects
    for change in (announce_root, promote_root):
        with pytest.raises(RootsFixed, match="RBEE_SECRET_KEY_PREVIOUS"):
            change()
    # Once the oldest is gone, the key of pseudonyms is named by itself.
    alone = read_env({"RBEE_SECRET_KEY": third, "RBEE_PSEUDONYM_KEY": subjects.hex()})
    monkeypatch.setattr(settings, "RBEE", alone)
    assert stable(SUBJECTS) == subjects


@given(st.lists(st.binary(min_size=32, max_size=40), min_size=1, max_size=4, unique=True))
def test_a_file_says_what_was_written(found: list[bytes]) -> None:
    text = "\n".join(
        [*(f"{root.hex()} 2026-01-01T00:00:00Z" for root in found), f"subjects {found[0].hex()}"]
    )
    read = parse_roots(text)
    assert read.roots == tuple(found)
    assert read.subjects == found[0]


@pytest.mark.parametrize("text", ["", "\n", "short", "subjects " + FIRST, FIRST + "\nshort"])
def test_a_file_without_sense_stops_the_start(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_roots(text)
