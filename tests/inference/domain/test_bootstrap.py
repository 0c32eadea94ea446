from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from gdpr.scope import colony_tx
from inference.domain.bootstrap import make_operator_key
from inference.domain.catalog import model_named, remove_model
from inference.domain.hives import join_hive
from tenants.domain.authentication import find_caller
from tenants.domain.keys import revoke_api_key
from tenants.models import ApiKey, Plan, Project
from tests.factories.inference import join_request
from tests.factories.tenants import TESTER

Mode = Callable[[str], Project]


@pytest.fixture
def bootstrap(mode: Mode, tmp_path: Path) -> Callable[..., dict[str, str]]:
    def run(*flags: str, kind: str = "home") -> dict[str, str]:
        mode(kind)
        settings.RBEE = dataclasses.replace(settings.RBEE, data_dir=tmp_path)
        said = StringIO()
        call_command("bootstrap", *flags, stdout=said)
        (line,) = said.getvalue().splitlines()
        return dict(json.loads(line))

    return run


def test_home_needs_nothing_but_a_local_hive(bootstrap: Callable[..., dict[str, str]]) -> None:
    answer = bootstrap("--local-hive")

    joined = join_hive(join_request(token=answer["join_token"], name="local"))
    assert answer | {"join_token": ""} == {"tenant": "home", "project": "default", "join_token": ""}
    assert [worker.hive.id.hex for worker in model_named("rbee-mini").workers.all()] == [joined.hive]


def test_bootstrap_may_run_again_and_leaves_what_is_there(bootstrap: Callable[..., dict[str, str]]) -> None:
    bootstrap("--local-hive")
    Plan.objects.filter(slug="free").update(requests_per_minute=7)
    remove_model(model_named("rbee-mini"), actor=TESTER)

    again = bootstrap("--local-hive")

    joined = join_hive(join_request(token=again["join_token"], name="local"))
    assert Plan.objects.get(slug="free").requests_per_minute == 7
    assert Plan.objects.filter(slug__in=["free", "pro", "enterprise", "home"]).count() == 4
    assert joined.name == "local"
    with colony_tx("tests"):
        assert Project.objects.filter(tenant__slug="home", slug="default").count() == 1


def test_operator_key_is_made_once_and_kept_in_a_private_file(
    bootstrap: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    first = bootstrap("--operator-key", kind="business")
    second = bootstrap("--operator-key", kind="business")

    path = tmp_path / "operator.key"
    assert path.read_text().strip() == first["operator_key"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert "operator_key" not in second
    caller = find_caller(first["operator_key"])
    assert caller is not None
    assert (caller.tenant_slug, caller.scopes) == ("operator", frozenset({"manage", "gdpr"}))
    assert caller.limits.requests_per_minute is None
    assert list(tmp_path.iterdir()) == [path]


def test_key_that_was_committed_before_a_kill_is_found_again(mode: Mode, tmp_path: Path) -> None:
    project = mode("business")
    secret = make_operator_key(project, tmp_path)
    (tmp_path / "operator.key").rename(tmp_path / "operator.unfinished")

    assert make_operator_key(project, tmp_path) == secret
    assert (tmp_path / "operator.key").read_text().strip() == secret


def test_key_that_was_written_but_not_committed_is_made_again(mode: Mode, tmp_path: Path) -> None:
    project = mode("business")
    (tmp_path / "operator.unfinished").write_text("rbee_live_never_committed\n")

    secret = make_operator_key(project, tmp_path)

    assert secret is not None
    assert find_caller(secret) is not None
    assert (tmp_path / "operator.key").read_text().strip() == secret


def test_file_of_another_colony_is_not_overwritten(
    bootstrap: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "operator.key").write_text("rbee_live_of_another\n")

    with pytest.raises(CommandError, match="move it away"):
        bootstrap("--operator-key", kind="business")

    assert (tmp_path / "operator.key").read_text() == "rbee_live_of_another\n"


def test_revoked_operator_key_can_be_replaced(mode: Mode, tmp_path: Path) -> None:
    project = mode("business")
    make_operator_key(project, tmp_path)
    with colony_tx("tests"):
        revoke_api_key(ApiKey.objects.get(tenant=project.tenant, name="operator"), actor=TESTER)
    (tmp_path / "operator.key").unlink()

    assert make_operator_key(project, tmp_path) is not None
