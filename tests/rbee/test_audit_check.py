"""Nothing is forgotten: each kind of way to change something is found when it says nothing of the audit log."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import _state, shared_task
from django.core.management import call_command
from django.core.management.base import CommandError
from django.urls import path
from django.views import View

from gdpr.duties import owes, unrecorded, what_is_wrong
from rbee import audit_check
from tenants.models import Tenant


class Silent(View):
    def post(self, request: Any) -> None: ...


class Half(View):
    audits = {"POST": "thing.made"}

    def post(self, request: Any) -> None: ...
    def delete(self, request: Any) -> None: ...


@owes(POST=unrecorded("it changes nothing"))
def told(request: Any) -> None: ...


def untold(request: Any) -> None: ...


def wrong(ways: Any) -> list[str]:
    return [f"{way.name} {why}" for way in ways if (why := what_is_wrong(way.duty))]


def test_this_tree_forgets_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("check_audit")

    assert len(audit_check.routes()) > 100
    assert len(list(audit_check.tasks())) > 20
    assert {way.name for way in audit_check.commands()} >= {"manage.py migrate", "manage.py bootstrap"}


def test_view_that_says_nothing_fails_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = [
        path("silent", Silent.as_view()),
        path("half", Half.as_view()),
        path("told", told),
        path("untold", untold),
    ]

    assert wrong(audit_check.routes(planted)) == [
        "POST /silent says nothing of audit entries",
        "DELETE /half says nothing of audit entries",
        "POST /untold says nothing of audit entries",
    ]
    monkeypatch.setattr(audit_check, "routes", lambda: [audit_check.Way("POST /silent", None)])
    with pytest.raises(CommandError, match="POST /silent says nothing"):
        call_command("check_audit")


def test_task_that_says_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_state, "_on_app_finalizers", set(_state._on_app_finalizers))  # it goes with the test

    @shared_task(name="tenants.planted_and_silent")
    def planted() -> None: ...

    assert wrong(audit_check.tasks()) == ["task tenants.planted_and_silent says nothing of audit entries"]


def test_what_an_administrator_may_is_declared_too() -> None:
    def freeze() -> None: ...

    admin = SimpleNamespace(actions=[freeze], audits={"add": "tenant.created", "change": "tenant.changed"})
    site = SimpleNamespace(_registry={Tenant: admin})

    assert wrong(audit_check.admin_actions(site)) == [
        "admin tenants.Tenant delete says nothing of audit entries",
        "admin tenants.Tenant freeze says nothing of audit entries",
    ]


def test_command_that_goes_where_no_route_is_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "rbee_cli"
    folder.mkdir()
    (folder / "good.py").write_text('queen.post(f"/api/v1/keys/{key}/rotate", {})\n')
    (folder / "nowhere.py").write_text('queen.post("/api/v1/nowhere", {})\n')
    (folder / "method.py").write_text('queen.delete("/api/v1/usage")\n')
    (folder / "beside.py").write_text("import httpx\nhttpx.post('/api/v1/keys')\n")
    known = {way.name for way in audit_check.routes()}

    assert list(audit_check.unknown_to(known, folder)) == [
        "rbee_cli/beside.py reaches the queen beside QueenClient",
        "rbee_cli/method.py calls DELETE, and no path that it names takes it",
        "rbee_cli/nowhere.py names /api/v1/nowhere, which is no route",
        "rbee_cli/nowhere.py calls POST, and no path that it names takes it",
    ]


@pytest.mark.parametrize("duty", [None, (), "issued", "Key.Issued", 7, ("key.issued", "x")])
def test_declarations_that_say_nothing_are_refused(duty: object) -> None:
    assert what_is_wrong(duty)


def test_why_has_to_be_said() -> None:
    with pytest.raises(ValueError, match="say why"):
        unrecorded(" ")
