from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.scope import colony_tx
from inference.domain import policies
from inference.domain.catalog import models_in_catalog
from inference.domain.errors import InvalidInput, RedisUnreachable
from inference.domain.heartbeats import read_epoch
from inference.domain.scheduler_file import read_file
from inference.enums import VersionStatus
from inference.models import PolicyVersion
from inference.rest.colony import Colony
from inference.rest.fields import StatusOut
from tenants.api.base import ManagementView
from tenants.rules import Capability


class Status(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ}

    @extend_schema(operation_id="get_status", responses=StatusOut)
    def get(self, request: Request) -> Response:
        colony = Colony()
        models = models_in_catalog()
        return Response(
            {
                "mode": settings.RBEE.mode,
                "version": _version(),
                "queen": {
                    "url": settings.RBEE.public_url,
                    "redis": "up" if colony.is_redis_up else "down",
                    "epoch": _epoch(),
                },
                "policy": policy_in_force(),
                "counts": colony.counts(models),
                "hives": [colony.hive(hive) for hive in colony.hives],
                "models": colony.models(models),
            }
        )


def policy_in_force() -> dict[str, Any]:
    """Where the operator's script comes from, and what is wrong with it. Compiles the file: queens do that on their own,
    and this one may not serve tasks at all."""
    path = settings.RBEE.scheduler_file
    if path.exists():
        return {"source": "file", "path": str(path), **_file_state(path)}
    with colony_tx("policy in force"):
        active = PolicyVersion.objects.filter(tenant=None, status=VersionStatus.ACTIVE).first()
    source = "database" if active else "default"
    return {"source": source, "path": None, "sha256": active.sha256 if active else None, "error": None}


def _file_state(path: Path) -> dict[str, str | None]:
    try:
        source = read_file(path)
        sha256 = policies.sha256_of(source)
        error = policies.problem_of_file(sha256)
        if error is None:
            policies.compile_policy(source)
    except InvalidInput as invalid:
        return {"sha256": None, "error": invalid.message}
    except (OSError, ValueError) as unreadable:
        return {"sha256": None, "error": str(unreadable)}
    return {"sha256": None if error else sha256, "error": error}


def _version() -> str:
    try:
        return version("rbee")
    except PackageNotFoundError:  # from a checkout that is not installed
        return "0"


def _epoch() -> str | None:
    try:
        return read_epoch()
    except RedisUnreachable:
        return None
