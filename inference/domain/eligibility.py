"""What no script and no hive can widen: who may serve a customer at all.

Asked before scripts see anybody, of what they choose, and again when the task leaves for its hive: an attestation ends at
a moment of its own.
"""

from __future__ import annotations

from typing import Final

from inference.domain.worker import WorkerView
from rbee_policy.regions import region_is_eu
from tenants.domain.authentication import Caller

EU: Final = "EU"


def may_serve(worker: WorkerView, caller: Caller) -> bool:
    """The customer's region and GPU classes, and workers that are somebody else's."""
    return (
        in_region(worker.region, caller.region)
        and owner_of(worker) in {"", caller.tenant_slug}
        and (not caller.gpu_classes or worker.fields["gpu_type"] in caller.gpu_classes)
    )


def in_region(place: str, region: str) -> bool:
    """`EU/Netherlands` and `DE` are in `EU`; every place is in the empty region, and the empty place in no other."""
    if not region or place == region or place.startswith(f"{region}/"):
        return True
    return region == EU and region_is_eu(place)


def owner_of(worker: WorkerView) -> str:
    """The tenant that the operator dedicated its hive to, by the label `dedicated_to`."""
    return str(worker.fields["dedicated_to"])
