from celery import shared_task

from billing import stripe_gateway
from billing.domain import dunning, fence, meters, stripe_events
from billing.domain.stripe_outbox import WORK
from billing.domain.stripe_work import worker


@shared_task(name="billing.sweep_fences")  # type: ignore[untyped-decorator]
def sweep_fences() -> None:
    fence.sweep_fences()


@shared_task(name=WORK)  # type: ignore[untyped-decorator]
def stripe_work() -> None:
    """Asked for by whoever wants something of Stripe or hears of it, and by beat: for retries, and for lost hints."""
    worker.nudge()


@shared_task(name="billing.fill_stripe_gaps")  # type: ignore[untyped-decorator]
def fill_stripe_gaps() -> None:
    if stripe_gateway.is_set_up():
        stripe_events.fill_gaps()
        stripe_events.forget_old()


@shared_task(name="billing.report_usage_to_stripe")  # type: ignore[untyped-decorator]
def report_usage_to_stripe() -> None:
    if stripe_gateway.is_set_up():
        meters.report_usage()


@shared_task(name="billing.run_dunning")  # type: ignore[untyped-decorator]
def run_dunning() -> None:
    dunning.run_dunning()
