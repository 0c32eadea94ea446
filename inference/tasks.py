from __future__ import annotations

from celery import shared_task

from inference.domain import decision_sweep, hives, slice_keeper


@shared_task(name="inference.sweep_join_tokens")  # type: ignore[untyped-decorator]
def sweep_join_tokens() -> int:
    return hives.sweep_join_tokens()


@shared_task(name="inference.restore_hive_acls")  # type: ignore[untyped-decorator]
def restore_hive_acls() -> int:
    """Redis keeps users in memory. The queens restore them when they notice that it was lost; this is the second look."""
    return hives.restore_hive_acls()


@shared_task(name="inference.sweep_decisions")  # type: ignore[untyped-decorator]
def sweep_decisions() -> int:
    return decision_sweep.sweep_decisions()


@shared_task(name="inference.keep_slices")  # type: ignore[untyped-decorator]
def keep_slices() -> int:
    return slice_keeper.keep_slices()
