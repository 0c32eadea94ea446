from __future__ import annotations

from celery import shared_task

from gdpr.duties import unrecorded
from inference.domain import costs, decision_sweep, hives, kept_content, reconcile, slice_keeper
from inference.domain.errors import RedisUnreachable


@shared_task(
    name="inference.sweep_join_tokens", audits=unrecorded("tokens that are used or too old open nothing")
)  # type: ignore[untyped-decorator]
def sweep_join_tokens() -> int:
    return hives.sweep_join_tokens()


@shared_task(
    name="inference.restore_hive_acls", audits=unrecorded("it gives Redis back what PostgreSQL says")
)  # type: ignore[untyped-decorator]
def restore_hive_acls() -> int:
    """Redis keeps users in memory. The queens restore them when they notice that it was lost; this is the second look."""
    return hives.restore_hive_acls()


@shared_task(
    name="inference.sweep_decisions", audits=unrecorded("decisions go after the time that the data map says")
)  # type: ignore[untyped-decorator]
def sweep_decisions() -> int:
    return decision_sweep.sweep_decisions()


@shared_task(name="inference.sweep_content", audits="content.expired")  # type: ignore[untyped-decorator]
def sweep_content() -> int:
    return kept_content.sweep_content()


@shared_task(name="inference.reconcile_books", audits="books.reconciled")  # type: ignore[untyped-decorator]
def reconcile_books() -> int:
    """How many nights."""
    return len(reconcile.reconcile_missed_nights())


@shared_task(name="inference.note_gpus", audits=unrecorded("a measurement"))  # type: ignore[untyped-decorator]
def note_gpus() -> int:
    try:
        return costs.note_present_gpus()
    except RedisUnreachable:
        return 0  # nobody was seen in this minute


@shared_task(
    name="inference.keep_slices",
    audits=("budget_slice.granted", "budget_slice.closing", "budget_slice.closed", "budget_slice.lost"),
)  # type: ignore[untyped-decorator]
def keep_slices() -> int:
    return slice_keeper.keep_slices()
