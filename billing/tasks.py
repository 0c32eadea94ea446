from celery import shared_task

from billing.domain import fence


@shared_task(name="billing.sweep_fences")  # type: ignore[untyped-decorator]
def sweep_fences() -> None:
    fence.sweep_fences()
