"""API keys and what else cannot be made anew without its value, while a root secret takes the place of another."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from django.conf import settings

from gdpr import roots
from gdpr.domain import needles, rotation, signing
from gdpr.domain.audit import Actor
from gdpr.domain.erasure_ledger import read_lines, write_line
from gdpr.domain.rotation import KeyInUse
from gdpr.ids import uuid7
from gdpr.pool import Pool
from gdpr.request_models import DataRequest
from gdpr.scope import colony_tx
from gdpr.secrets import newest_root, root_id
from gdpr.threads import in_thread
from inference.domain.attestations import attested_region, is_attested
from inference.domain.hives import hive_by_credential
from inference.domain.tokens import open_password, seal_password, token_mac
from inference.models import Hive
from rbee.env import read_env
from tenants.domain import impersonation, webhook_signatures
from tenants.domain.authentication import find_caller
from tenants.domain.key_format import key_mac
from tenants.domain.key_use import KEY_USE, KeyUse
from tenants.domain.keys import KeyRefused, issue_api_key, rotate_api_key
from tenants.domain.webhooks import create_endpoint
from tenants.models import ApiKey
from tests.factories.inference import make_hive, make_token
from tests.factories.tenants import TESTER, make_key, make_project, make_tenant

ME = Actor("user", "c" * 32)


@pytest.fixture
def first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of the root secret that everything begins with."""
    path = tmp_path / "root"
    path.write_text("5e" * 32 + "\n")
    of_file = read_env({"RBEE_SECRET_KEY_FILE": str(path)})
    env = dataclasses.replace(
        settings.RBEE,
        secret_key=of_file.secret_key,
        secret_key_file=path,
        celery_broker_url="",
        data_dir=tmp_path,
    )
    monkeypatch.setattr(settings, "RBEE", env)
    monkeypatch.setattr(settings, "SECRET_KEY", settings.SECRET_KEY)
    monkeypatch.setattr(settings, "SECRET_KEY_FALLBACKS", [])
    monkeypatch.setattr(rotation, "KNOWN_EVERYWHERE_S", 0)
    return root_id(roots.current().roots[0])


async def used(pool: Pool) -> None:
    """What the queen writes every few seconds."""
    await KEY_USE.write(pool)


def row(key: ApiKey) -> ApiKey:
    with colony_tx("look"):
        return ApiKey.objects.get(id=key.id)


async def test_a_key_is_made_anew_when_it_is_used_and_then_needs_the_old_root_no_more(
    pool: Pool, first: str
) -> None:
    project = await in_thread(make_project)(await in_thread(make_tenant)())
    key, value = await in_thread(make_key)(project)
    rotated, old_value = await in_thread(make_key)(project)
    rotated, new_value = await in_thread(rotate_api_key)(rotated, actor=TESTER)
    _, unused_value = await in_thread(make_key)(project)
    await in_thread(rotation.rotate_root)(actor=ME)
    assert (await in_thread(row)(key)).mac_root == first

    for one in (value, old_value, new_value):
        assert await in_thread(find_caller)(one) is not None
    await used(pool)
    made = await in_thread(row)(key)
    assert bytes(made.mac) == key_mac(value)
    assert made.mac_root == newest_root() != first
    both = await in_thread(row)(rotated)
    assert (bytes(both.mac), bytes(both.old_mac or b"")) == (key_mac(new_value), key_mac(old_value))
    assert both.old_mac_root == both.mac_root == newest_root()

    with pytest.raises(KeyInUse, match="1 API keys"):
        await in_thread(rotation.retire)(f"secret:{first}", actor=ME)
    await in_thread(rotation.retire)(f"secret:{first}", actor=ME, force=True)
    for one in (value, old_value, new_value):
        assert await in_thread(find_caller)(one) is not None
    assert await in_thread(find_caller)(unused_value) is None


async def test_a_value_that_was_rotated_meanwhile_is_not_written_over(pool: Pool, first: str) -> None:
    key, value = await in_thread(make_key)(await in_thread(make_project)(await in_thread(make_tenant)()))
    await in_thread(rotation.rotate_root)(actor=ME)
    use = KeyUse()
    before = bytes((await in_thread(row)(key)).mac)
    use.remade[before] = key_mac(value)
    _, new_value = await in_thread(rotate_api_key)(key, actor=TESTER)
    await use.write(pool)
    both = await in_thread(row)(key)
    assert (bytes(both.mac), bytes(both.old_mac or b"")) == (key_mac(new_value), key_mac(value))


def test_a_value_that_was_brought_along_is_taken_also_under_another_root(db: None, first: str) -> None:
    project = make_project(make_tenant())
    make_key(project, value="a value of another gateway 81 72")
    rotation.rotate_root(actor=ME)
    with pytest.raises(KeyRefused, match="in use"):
        issue_api_key(
            project, name="x", scopes=["inference"], actor=ME, value="a value of another gateway 81 72"
        )


def test_a_hive_goes_on_and_needs_the_old_root_no_more_once_it_has_asked(db: None, first: str) -> None:
    hive = Hive(
        name="gpu", public_key="x", credential_mac=token_mac("hive", "rbee_hive_x"), redis_username="u"
    )
    hive.redis_password_sealed = seal_password("p4ss", hive.id)
    hive.save()
    rotation.rotate_root(actor=ME)
    found = hive_by_credential("rbee_hive_x")
    assert found is not None
    assert hive_by_credential("rbee_hive_y") is None
    rotation.renew_all()
    hive.refresh_from_db()
    assert hive.credential_root == newest_root()
    rotation.retire(f"secret:{first}", actor=ME, force=True)
    assert open_password(bytes(hive.redis_password_sealed), hive.id) == "p4ss"
    assert hive_by_credential("rbee_hive_x") is not None


def test_what_was_sealed_is_sealed_anew_and_what_no_root_opens_holds_up_nobody(db: None, first: str) -> None:
    tenant = make_tenant()
    made, _ = create_endpoint(tenant.id, url="https://example.org/x", events=["*"], actor=ME)
    broken, _ = create_endpoint(tenant.id, url="https://example.org/y", events=["*"], actor=ME)
    with colony_tx("look"):
        secret = webhook_signatures.unseal(bytes(made.secret_sealed), made.id)
        type(broken).objects.filter(id=broken.id).update(secret_sealed=b"x" * 60)
    rotation.rotate_root(actor=ME)
    holder = rotation._holders["webhooks (secret)"]
    replaced = rotation._replaced(1)
    assert holder.left(replaced) == 1
    assert holder.renew() == 1
    assert (holder.renew(), holder.left(replaced)) == (0, 0)
    rotation.retire(f"secret:{first}", actor=ME, force=True)
    with colony_tx("look"):
        made.refresh_from_db()
        assert webhook_signatures.unseal(bytes(made.secret_sealed), made.id) == secret


def test_documents_and_the_ledger_of_erasures_are_read_when_their_root_is_gone(db: None, first: str) -> None:
    with colony_tx("made"):
        request = DataRequest.objects.create(
            kind="erasure", whose="tenant", state="frozen", tenant_id=uuid7(), requested_by="key:x",
            needles_sealed=needles.sealed(needles.Needles(("Anna Example",))),
        )  # fmt: skip
    write_line(request)
    certificate, key = signing.sign_document({"of": "somebody"}), signing.public_key()
    rotation.rotate_root(actor=ME)
    rotation.renew_all()
    rotation.retire(f"secret:{first}", actor=ME, force=True)

    assert newest_root() != first
    assert [line.request for line in read_lines()] == [request.id.hex]
    assert signing.public_key() == key
    assert signing.open_document(certificate, key) == {"of": "somebody"}
    with colony_tx("look"):
        request.refresh_from_db()
    assert needles.opened(bytes(request.needles_sealed)).texts == ("Anna Example",)


def test_hive_stays_in_its_region_when_the_root_that_signed_it_is_gone(
    db: None, redis_url: str, first: str
) -> None:
    hive = make_hive(token=make_token(region="EU"))[0]
    rotation.rotate_root(actor=ME)
    assert attested_region(hive) == "EU"
    assert rotation._holders["regions of hives"].left(rotation._replaced(1)) == 1
    rotation.renew_all()
    hive.refresh_from_db()
    assert rotation._holders["regions of hives"].left(rotation._replaced(1)) == 0
    rotation.retire(f"secret:{first}", actor=ME, force=True)
    assert is_attested(hive)


def test_a_visit_goes_on_until_the_root_of_its_token_is_gone(db: None, first: str) -> None:
    tenant = make_tenant()
    _, token = impersonation.begin_impersonation(tenant.id, reason="x", minutes=5, writes=False, actor=ME)
    rotation.rotate_root(actor=ME)
    rotation.renew_all()  # the words that were given for it
    assert impersonation.find_impersonator(token) is not None
    with pytest.raises(KeyInUse, match="1 impersonations"):
        rotation.retire(f"secret:{first}", actor=ME)
    rotation.retire(f"secret:{first}", actor=ME, force=True)
    assert impersonation.find_impersonator(token) is None
