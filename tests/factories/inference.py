"""Hives and models for tests, made the way an operator makes them, with names that no other test has."""

from __future__ import annotations

import base64
import os
from typing import Any

from hive_agent import protocol
from inference.domain.catalog import NewModel, add_model
from inference.domain.hives import create_join_token, join_hive
from inference.models import Hive, Model
from tests.factories.tenants import TESTER, unique


def make_token(**fields: Any) -> str:
    return create_join_token(**{"actor": TESTER, **fields})[1]


def join_request(**fields: Any) -> protocol.JoinRequest:
    given = {
        "version": protocol.VERSION,
        "name": unique("hive"),
        "public_key": base64.b64encode(os.urandom(32)).decode(),
        "software": "rbee/test",
        **fields,
    }
    return protocol.JoinRequest(**{"token": given.pop("token", "") or make_token(), **given})


def make_hive(**fields: Any) -> tuple[Hive, protocol.JoinAnswer]:
    answer = join_hive(join_request(**fields))
    return Hive.objects.get(id=answer.hive), answer


def make_model(**fields: Any) -> Model:
    new = NewModel(
        **{"source": "builtin:rbee-mini", "name": unique("model"), "hives": [], "is_free": True, **fields}
    )
    return add_model(new, actor=TESTER)[0]


def heartbeat(hive: Hive, **fields: Any) -> protocol.Heartbeat:
    return protocol.Heartbeat(
        **{
            "version": protocol.VERSION, "hive": hive.id.hex, "name": hive.name, "epoch": 1, "seq": 1, "at_ms": 0,
            "software": "rbee/test", "draining": False, "cpu_pct": 3, "rss_mib": 100, "devices": [], "workers": [],
            **fields,
        }
    )  # fmt: skip
