"""What one machine of the operator keeps in its data folder, and Django's cache."""

from gdpr.places import DAY_S, Kind, Lifetime, declare
from rbee.accounts import CACHE_PREFIX

declare(Kind.KEY, CACHE_PREFIX + ":{version}:{rest*}", "pseudonym", "security", DAY_S,
        "how often somebody tried to log in, by a hash of address, account or code")  # fmt: skip

for _name, _class, _activity, _lasts, _holds in (
    ("postgres/{rest*}", "personal", "operations", Lifetime.TABLES, "the database"),
    (
        "redis/redis.conf",
        "secret",
        "operations",
        Lifetime.MACHINE,
        "how Redis runs: without a file of its own",
    ),
    ("logs/{process}.log", "pseudonym", "security", Lifetime.ROTATED, "lines of a process: gdpr.log_fields"),
    ("logs/{process}.log.1", "pseudonym", "security", Lifetime.ROTATED, "the file before"),
    ("run/{rest*}", "none", "operations", Lifetime.MACHINE, "ports, processes, the lock"),
    ("secrets/{name}", "secret", "operations", Lifetime.MACHINE, "passwords and the root secret"),
    ("operator.key", "secret", "operations", Lifetime.MACHINE, "the operator's first key"),
    ("audit/{rest*}", "pseudonym", "audit", Lifetime.MACHINE, "the audit log as tiles, and its checkpoints"),
    ("audit-archive/{rest*}", "pseudonym", "audit", Lifetime.MACHINE, "closed months of the audit log"),
    ("lib/{rest*}", "none", "operations", Lifetime.MACHINE, "programs"),
):
    declare(Kind.FILE, _name, _class, _activity, _lasts, _holds)
