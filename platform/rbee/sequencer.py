"""The process that gives audit entries their places: `python -m rbee.sequencer`. Without Django: it is small, and starts at
once.

It alone has the key that signs checkpoints, or may ask where that is, and the database role that may number rows; the
queen has neither.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from gdpr.log.copies import second_place
from gdpr.log.note import KeyRefused, Signer, read_signer
from gdpr.log.sequencer import DatabaseBehind, run
from gdpr.log.signers import signer_at
from gdpr.log.store import FolderStore, StoreConflict
from gdpr.log.witness import Witness, read_witness_key
from gdpr.log.writer import LogBroken
from rbee.env import Env, exit_on_misconfiguration, read_env
from rbee.logs import QuietFormatter


def main() -> int:
    with exit_on_misconfiguration():
        env = read_env(os.environ)
        env.require("audit_database_url")
        try:
            signer = _signer(env)
            copy, witness = second_place(env.audit_copy), _witness(env)
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
            env.audit_database_url, FolderStore(Path(env.audit_dir)), signer, copy=copy, witness=witness, is_over=over.is_set,
            sleep=over.wait,
        )  # fmt: skip
    except (DatabaseBehind, KeyRefused, LogBroken, StoreConflict) as error:
        logging.getLogger(__name__).critical("the audit log stands still: %s", error)
        return 1
    return 0


def _signer(env: Env) -> Signer:
    """Asked for its key at once: one that makes no sense is told before anything else, one that is away is waited for."""
    if not env.audit_signer:
        env.require("audit_key")
        return read_signer(env.audit_key)
    if env.audit_key:
        raise ImproperlyConfigured("RBEE_AUDIT_KEY and RBEE_AUDIT_SIGNER are both set; keep one")
    env.require("audit_origin")
    signer = signer_at(env.audit_signer, env.audit_origin, env.kms_endpoint)
    with suppress(OSError):
        _ = signer.key
    return signer


def _witness(env: Env) -> Witness | None:
    if not env.audit_witness and not env.audit_witness_key:
        return None
    env.require("audit_witness", "audit_witness_key")
    return Witness(env.audit_witness, read_witness_key(env.audit_witness_key))


if __name__ == "__main__":
    sys.exit(main())
