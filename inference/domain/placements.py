"""Which hive is to run which model. A hive reads its own list when it is told that it changed, and by itself."""

from __future__ import annotations

from collections.abc import Sequence

from hive_agent import protocol
from inference.domain import notices
from inference.domain.erasures import erasures_of
from inference.models import Hive, Model, Worker


def place_models(hive: Hive, model_names: Sequence[str]) -> list[Worker]:
    """Those that are placed there already, or were removed since, are passed over. In a transaction of the caller,
    which records it."""
    models = Model.objects.filter(name__in=model_names, removed_at=None)
    return [worker for model in models if (worker := place_model(model, hive)) is not None]


def place_model(model: Model, hive: Hive) -> Worker | None:
    """None when it is placed there already. In a transaction of the caller, which records it."""
    worker, created = Worker.objects.get_or_create(model=model, hive=hive)
    if not created:
        return None
    notices.tell_hives([hive], protocol.ControlKind.PLACEMENTS)
    return worker


def placements_of(hive: Hive) -> protocol.Placements:
    workers = Worker.objects.filter(hive=hive).select_related("model").order_by("id")
    return protocol.Placements(
        version=protocol.VERSION,
        placements=[_placement(worker) for worker in workers],
        forget=erasures_of(hive),
    )


def _placement(worker: Worker) -> protocol.Placement:
    model = worker.model
    return protocol.Placement(
        worker=worker.id.hex,
        model=model.name,
        engine=model.engine,
        source=model.source,
        capability=model.capability,
        options=model.options,
    )
