from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Final

from django.db import connections
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api.base import ManagementView
from tenants.api.throttles import AddressThrottle
from tenants.domain.key_format import BROUGHT_ALONG_MAX
from tenants.domain.key_leaks import report_leak
from tenants.rules import Capability

ANSWERED_AFTER_S: Final = 0.3  # longer than it takes

_log = logging.getLogger(__name__)
_worker = ThreadPoolExecutor(max_workers=2, thread_name_prefix="leaks")


class LeakedKey(serializers.Serializer[Any]):
    key = serializers.CharField(max_length=BROUGHT_ALONG_MAX, trim_whitespace=False)


class LeakReported(serializers.Serializer[Any]):
    object = serializers.CharField(default="key.leak_report")
    received = serializers.BooleanField(default=True)


class ReportLeak(ManagementView):
    """The kill switch. The answer is the same, and comes after the same time, whether or not there is such a key: this
    tells nobody more than they know."""

    capabilities = {"POST": Capability.PUBLIC}
    audits = {"POST": "key.leak_reported"}
    throttle_classes = [AddressThrottle]
    calls_per_minute = 10

    def perform_authentication(self, request: Request) -> None:
        """Nobody has to be anybody: the header may well hold the very key that is reported."""
        request.user = request.auth = None  # type: ignore[assignment]

    @extend_schema(operation_id="report_leaked_key", request=LeakedKey, responses={202: LeakReported})
    def post(self, request: Request) -> Response:
        """Revokes the key for good. Whoever has it may; no other credential is needed."""
        value = self.read_body(LeakedKey)["key"]
        began = time.monotonic()
        reporting = _worker.submit(_report, value)
        wait([reporting], ANSWERED_AFTER_S)
        time.sleep(max(0.0, began + ANSWERED_AFTER_S - time.monotonic()))
        try:
            reporting.result(0)
        except TimeoutError:
            _log.warning("a report of a leaked key takes longer than its answer")
        return Response(
            LeakReported({"object": "key.leak_report", "received": True}).data, status.HTTP_202_ACCEPTED
        )


def _report(value: str) -> None:
    try:
        report_leak(value)
    finally:
        connections.close_all()
