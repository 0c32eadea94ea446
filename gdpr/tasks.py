from celery import shared_task

from gdpr.domain import retention
from gdpr.domain.partitions import make_partitions


@shared_task(name="gdpr.make_partitions")  # type: ignore[untyped-decorator]
def make_partitions_ahead() -> None:
    make_partitions()


@shared_task(name=retention.CHORE)  # type: ignore[untyped-decorator]
def apply_retention() -> None:
    retention.apply_retention()
