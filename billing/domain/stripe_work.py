"""All that is to be done about Stripe, one round after another until nothing is. Stripe may be slow: one thread of a process
does it beside its other chores, which never wait for it."""

from __future__ import annotations

import logging
import threading

from django.db import connection

from billing import stripe_gateway as gateway
from billing.domain.auto_recharge import charge_low_balances
from billing.domain.stripe_events import apply_due
from billing.domain.stripe_operations import OPERATIONS
from billing.domain.stripe_outbox import send_due

logger = logging.getLogger(__name__)


def work_off() -> int:
    """Returns how much was done."""
    if not gateway.is_set_up():
        return 0
    done = apply_due()
    done += charge_low_balances()
    return done + send_due(OPERATIONS)


class Worker:
    """One per process. `nudge` returns at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_running = False
        self._is_wanted = False

    def nudge(self) -> None:
        with self._lock:
            self._is_wanted = True
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="stripe", daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._is_wanted:
                    self._is_running = False
                    return
                self._is_wanted = False
            try:
                work_off()
            except Exception:
                # Leases run out, and beat nudges again.
                logger.exception("the work about Stripe was not done")
            finally:
                connection.close()


worker = Worker()
