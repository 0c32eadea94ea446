"""What Celery and Django keep for every app."""

from gdpr.chores import KEY_PREFIX, QUEUE
from gdpr.places import Kind, Lifetime, declare

_BROKER = "names of chores that are to be done, with no argument"

declare(Kind.QUEUE, QUEUE, "none", "operations", Lifetime.TAKEN, _BROKER)
declare(Kind.KEY, f"{KEY_PREFIX}{QUEUE}", "none", "operations", Lifetime.TAKEN, _BROKER)
declare(Kind.KEY, KEY_PREFIX + "_kombu.binding.{queue}", "none", "operations", Lifetime.REDIS, "names of queues")
declare(Kind.KEY, KEY_PREFIX + "{what=unacked|unacked_index|unacked_mutex}", "none", "operations", Lifetime.TAKEN,
        _BROKER)  # fmt: skip
