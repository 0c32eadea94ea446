"""Two people who edit the same thing: the second is told, when they say what they have seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.factories.tenants import make_member, make_project
from tests.inference.conftest import Api


def _tenant() -> tuple[str, dict[str, Any], dict[str, Any]]:
    return f"tenants/{make_project().tenant.slug}", {"name": "One"}, {"name": "Two"}


def _project() -> tuple[str, dict[str, Any], dict[str, Any]]:
    return f"projects/{make_project().id}", {"name": "One"}, {"name": "Two"}


def _member() -> tuple[str, dict[str, Any], dict[str, Any]]:
    return f"members/{make_member().id}", {"role": "admin"}, {"role": "dpo"}


def _plan() -> tuple[str, dict[str, Any], dict[str, Any]]:
    return "plans/pro", {"concurrent_tasks": 5}, {"concurrent_tasks": 6}


def _limits() -> tuple[str, dict[str, Any], dict[str, Any]]:
    return f"limits/tenant/{make_project().tenant.slug}", {"concurrent_tasks": 5}, {"concurrent_tasks": 6}


@pytest.mark.parametrize("make", [_tenant, _project, _member, _plan, _limits])
def test_change_of_what_somebody_else_changed_is_refused(
    operator: Api, make: Callable[[], tuple[str, dict[str, Any], dict[str, Any]]]
) -> None:
    path, first, second = make()
    seen = operator.get(path)["ETag"]

    changed = operator.client.patch(f"/api/v1/{path}", first, "application/json", headers={"If-Match": seen})
    assert changed.status_code == 200, changed.content
    late = operator.client.patch(f"/api/v1/{path}", second, "application/json", headers={"If-Match": seen})
    assert (late.status_code, late.json()["error"]["code"]) == (412, "changed_meanwhile")

    assert operator.get(path)["ETag"] == changed["ETag"] != seen
    for header in (changed["ETag"], f'"other", W/{changed["ETag"]}', "*"):
        again = operator.client.patch(
            f"/api/v1/{path}", first, "application/json", headers={"If-Match": header}
        )
        assert again.status_code == 200
    assert operator.patch(path, second).status_code == 200
