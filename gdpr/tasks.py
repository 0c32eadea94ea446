from celery import shared_task

from gdpr.domain.partitions import make_partitions


@shared_task(name="gdpr.make_partitions")
def make_partitions_ahead() -> None:
    make_partitions()
