from celery import shared_task

from gdpr.domain import rotation, vault
from gdpr.domain.partitions import make_partitions


@shared_task(name="gdpr.make_partitions")  # type: ignore[untyped-decorator]
def make_partitions_ahead() -> None:
    make_partitions()


@shared_task(name="gdpr.sweep_vault")  # type: ignore[untyped-decorator]
def sweep_vault() -> None:
    vault.sweep()


@shared_task(name=rotation.RENEW)  # type: ignore[untyped-decorator]
def renew_keys() -> None:
    """Asked for by whoever rotates a key, and by beat: what a killed worker left is taken up by the next one."""
    rotation.renew_all()
