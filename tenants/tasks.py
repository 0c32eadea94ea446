from celery import shared_task

from tenants.domain import deliveries
from tenants.domain.courier import courier
from tenants.domain.outbox import DELIVER


@shared_task(name=DELIVER)  # type: ignore[untyped-decorator]
def deliver_webhooks() -> None:
    """Asked for by whoever publishes an event, and by beat: for retries, and for hints that were lost."""
    courier.nudge()


@shared_task(name="tenants.sweep_webhooks")  # type: ignore[untyped-decorator]
def sweep_webhooks() -> None:
    deliveries.give_up_overdue()
    deliveries.forget_old()
