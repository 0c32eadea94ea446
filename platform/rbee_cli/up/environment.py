"""The environment of the processes: built from nothing, so that a shell's leftovers change no run.

The operator's own RBEE_* settings pass through; what the command line said goes over them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import rbee_cli
from rbee_cli.errors import UsageError
from rbee_cli.up.options import UpOptions

OF_THE_COMMAND_LINE = frozenset({"RBEE_API_KEY", "RBEE_QUEEN_URL", "RBEE_CONFIG_PATH"})
OF_THE_SEQUENCER = (
    "RBEE_LOG_LEVEL", "RBEE_AUDIT_DIR", "RBEE_AUDIT_COPY", "RBEE_KMS_ENDPOINT", "RBEE_AUDIT_WITNESS", "RBEE_AUDIT_WITNESS_KEY",
)  # fmt: skip
WHO_SIGNS = ("RBEE_AUDIT_KEY", "RBEE_AUDIT_KEY_FILE", "RBEE_AUDIT_SIGNER", "RBEE_AUDIT_ORIGIN")
OF_THE_SYSTEM = ("HOME", "USER", "LOGNAME", "TMPDIR", "TZ")
OF_ENGINES = (
    "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "LD_LIBRARY_PATH",
    "HF_HOME", "HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "XDG_CACHE_HOME",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE",
)  # fmt: skip


def base_environment() -> dict[str, str]:
    environment = {name: os.environ[name] for name in OF_THE_SYSTEM if name in os.environ}
    programs = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join([programs, os.environ.get("PATH", os.defpath)])
    environment |= {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}
    if sources := _checkout():
        environment["PYTHONPATH"] = os.pathsep.join(sources)
    return environment


def setting(name: str) -> str:
    """A setting that the operator gave, by itself or as a file."""
    if value := os.environ.get(name, ""):
        return value
    file = os.environ.get(f"{name}_FILE", "")
    if not file:
        return ""
    try:
        return Path(file).expanduser().read_text().strip()
    except OSError as error:
        raise UsageError(f"{name}_FILE names {file}, which cannot be read: {error.strerror}") from error


def queen_environment(
    options: UpOptions, *, database_url: str, redis_url: str, secret_key_file: Path, key_file: Path
) -> dict[str, str]:
    ours = {
        "RBEE_MODE": options.mode,
        "RBEE_DATABASE_URL": database_url,
        "RBEE_REDIS_URL": redis_url,
        "RBEE_DATA_DIR": str(options.data_dir),
        "RBEE_HOST": options.host,
        "RBEE_PORT": str(options.port),
        "RBEE_PUBLIC_URL": options.public_url,
        "DJANGO_SETTINGS_MODULE": "rbee.settings",
    }
    if not setting("RBEE_SECRET_KEY"):
        ours["RBEE_SECRET_KEY_FILE"] = str(secret_key_file)
    if not os.environ.get("RBEE_KEY_FILE"):
        ours["RBEE_KEY_FILE"] = str(key_file)
    if not options.is_loopback and not options.is_wildcard and not options.business:
        # A call from this machine to the address that it listens on comes from that address.
        ours["RBEE_LAN_RANGES"] = _joined(os.environ.get("RBEE_LAN_RANGES", ""), options.host)
        ours["RBEE_LOCAL_HOSTS"] = _joined(os.environ.get("RBEE_LOCAL_HOSTS", ""), options.host)
    return base_environment() | _of_kms() | _theirs(ours) | ours


def sequencer_environment(
    queen: Mapping[str, str], options: UpOptions, *, database_url: str, key_file: Path | None
) -> dict[str, str]:
    """What the queen has, but for her secrets; and what she has not: the key that signs, the role that numbers, and the way
    into a bucket."""
    kept = {name: value for name, value in queen.items() if not name.startswith("RBEE_")}
    kept |= {name: queen[name] for name in OF_THE_SEQUENCER if name in queen}
    kept |= {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    signs = {name: os.environ[name] for name in WHO_SIGNS if name in os.environ}
    return kept | {
        "RBEE_DATA_DIR": str(options.data_dir),
        "RBEE_AUDIT_DATABASE_URL": database_url,
        **(signs if key_file is None else {"RBEE_AUDIT_KEY_FILE": str(key_file)}),
    }


def hive_environment(trust: Path | None = None) -> dict[str, str]:
    """`trust` is a file of the authorities by which the hive checks the queen's certificate."""
    environment = base_environment() | {name: os.environ[name] for name in OF_ENGINES if name in os.environ}
    return environment | ({"SSL_CERT_FILE": str(trust)} if trust else {})


def _of_kms() -> dict[str, str]:
    """By what a KMS knows us, where one is named: for the queen's processes, never for a hive's."""
    if not os.environ.get("RBEE_KMS_KEYS"):
        return {}
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


def _theirs(ours: dict[str, str]) -> dict[str, str]:
    """The owner's URL is not among them: only migrations have business with it. Nor what is the sequencer's alone."""
    withheld = OF_THE_COMMAND_LINE | {f"{name}_FILE" for name in ours}
    for name in ("RBEE_DATABASE_OWNER_URL", "RBEE_AUDIT_DATABASE_URL", *WHO_SIGNS):
        withheld |= {name, f"{name}_FILE"}
    return {
        name: value for name, value in os.environ.items() if name.startswith("RBEE_") and name not in withheld
    }


def _joined(*parts: str) -> str:
    return ",".join(part for part in parts if part)


def _checkout() -> list[str]:
    """The source roots, when we run from a checkout and not from an installed wheel."""
    platform = Path(rbee_cli.__file__).resolve().parents[1]
    return [str(platform.parent), str(platform)] if (platform.parent / "manage.py").exists() else []
