"""The key that signs checkpoints of the audit log: made once, and kept where no database reaches it."""

from __future__ import annotations

import ipaddress
import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from rbee_cli.errors import UpFailed
from rbee_cli.up import environment
from rbee_cli.up.folders import Folders, make_secret
from rbee_cli.up.options import UpOptions

NAME = "audit-key"


def ensure(folders: Folders, options: UpOptions) -> Path | None:
    """Its file; None when the operator has it elsewhere. Raises UpFailed when it is missing and a log was signed by it."""
    from gdpr.log.note import make_signer

    if os.environ.get("RBEE_AUDIT_KEY") or os.environ.get("RBEE_AUDIT_SIGNER"):
        return None
    path = Path(os.environ.get("RBEE_AUDIT_KEY_FILE") or folders.secrets / NAME).expanduser()
    if path.exists() or environment.setting("RBEE_AUDIT_KEY"):
        return path
    log = Path(environment.setting("RBEE_AUDIT_DIR") or folders.data / "audit")
    if (log / "checkpoint").exists():
        raise UpFailed(
            f"{path} is missing, and the audit log in {log} was signed by it: put it back from a backup, or go on under"
            f" another one, which everybody who checks the log has to be told of: rbee audit keygen NAME --out {path}"
        )
    make_secret(folders, NAME, make_signer(_name(options)).secret_text())
    return path


def _name(options: UpOptions) -> str:
    """A name that no other log has: by the public host, or at random."""
    host = urlsplit(options.public_url).hostname or "localhost"
    try:
        is_known_elsewhere = ipaddress.ip_address(host).is_global
    except ValueError:
        is_known_elsewhere = "." in host
    return f"{host if is_known_elsewhere else f'rbee-{secrets.token_hex(4)}'}/audit"
