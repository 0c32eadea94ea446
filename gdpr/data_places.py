"""What Celery and Django keep for every app, and what requests of persons leave in files."""

from gdpr.chores import KEY_PREFIX, QUEUE
from gdpr.places import DAY_S, Kind, Lifetime, declare

_BROKER = "names of chores that are to be done, with no argument"

declare(Kind.FILE, "exports/{request}/{file}", "personal", "compliance", 90 * DAY_S,
        "an export until it expires (RBEE_EXPORT_DAYS), and an archive that is being read in")  # fmt: skip
declare(Kind.FILE, "erasures.ledger", "pseudonym", "compliance", Lifetime.MACHINE,
        "what was erased, so that a backup that is restored does not bring it back")  # fmt: skip

declare(Kind.QUEUE, QUEUE, "none", "operations", Lifetime.TAKEN, _BROKER)
declare(Kind.KEY, f"{KEY_PREFIX}{QUEUE}", "none", "operations", Lifetime.TAKEN, _BROKER)
for _name in ("_kombu.binding.{queue}", "_kombu.binding_permanent.{queue}"):
    declare(Kind.KEY, KEY_PREFIX + _name, "none", "operations", Lifetime.REDIS, "names of queues")
declare(Kind.KEY, KEY_PREFIX + "{what=unacked|unacked_index|unacked_mutex}", "none", "operations", Lifetime.TAKEN,
        _BROKER)  # fmt: skip
