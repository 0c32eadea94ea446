"""The process that gives audit entries their places: `python -m rbee.sequencer`. Without Django: it is small, and starts at
once.

It alone holds the key that signs checkpoints and the database role that may number rows; the queen has neither.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from gdpr.log.copies import second_place
from gdpr.log.note import KeyRefused, read_signer
from gdpr.log.sequencer import DatabaseBehind, run
from gdpr.log.store import FolderStore, StoreConflict
from gdpr.log.writer import LogBroken
from rbee.env import exit_on_misconfiguration, read_env
from rbee.logs import QuietFormatter


def main() -> int:
    with exit_on_misconfiguration():
        env = read_env(os.environ)
        env.require("audit_database_url", "audit_key")
        try:
            signer = read_signer(env.audit_key)
            copy = second_place(env.audit_copy)
        except (KeyRefused, ValueError) as error:
            raise ImproperlyConfigured(str(error)) from None
    handler = logging.StreamHandler()
    handler.setFormatter(QuietFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=env.log_level.upper(), handlers=[handler])
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    try:
        run(
            env.audit_database_url, FolderStore(Path(env.audit_dir)), signer, copy=copy, is_over=over.is_set,
            sleep=over.wait,
        )  # fmt: skip
    except (DatabaseBehind, LogBroken, StoreConflict) as error:
        logging.getLogger(__name__).critical("the audit log stands still: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
