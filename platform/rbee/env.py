"""What the queen reads from its environment, each variable checked when the settings are read.

A variable that nobody knows, or a value that makes no sense, stops the start with one line that names the variable and
what it takes. What is missing stops it only where it is needed (`Env.require`): `manage.py makemigrations` and the type
checker read the settings without a database. Secrets may stand in a file: `RBEE_SECRET_KEY_FILE` and so on.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

import platformdirs
from django.core.exceptions import ImproperlyConfigured

from gdpr.roots import parse_roots, secret_bytes

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SECRET_BYTES = 32
SMTP_TLS = ("starttls", "tls", "none")
HIVE_SIDE_HOST = "queen"  # in a URL for hives: the host by which the hive reached the queen

# Read by the `rbee` command, a hive, the acceptance tests and the benchmark, which may share our environment.
OTHER_PROGRAMS = (
    "RBEE_API_KEY",
    "RBEE_QUEEN_URL",
    "RBEE_CONFIG_PATH",
    "RBEE_HIVE_DIR",
    "RBEE_HIVE_AGENT_PID",
)
OTHER_PREFIXES = ("RBEE_ACCEPT_", "RBEE_BENCH_")


@dataclass(frozen=True, kw_only=True, slots=True)
class Env:
    """An empty URL or secret was not given; `require` says so in words."""

    mode: str
    database_url: str
    database_owner_url: str
    redis_url: str
    hive_redis_url: str
    celery_broker_url: str
    secret_key: bytes
    secret_key_previous: tuple[bytes, ...]
    secret_key_file: Path | None  # which names the ones of before too, and changes while we run: `gdpr.roots`
    pseudonym_key: bytes
    key_file: Path | None
    kms_keys: tuple[str, ...]
    kms_endpoint: str
    data_dir: Path
    host: str
    port: int
    public_url: str
    lan_ranges: tuple[Network, ...]
    local_hosts: tuple[str, ...]
    trusted_proxies: tuple[Network, ...]
    scheduler_file: Path
    log_level: str
    task_timeout_s: int
    outbound_http: bool
    outbound_allow: tuple[Network, ...]
    outbound_ports: tuple[tuple[int, int], ...]
    outbound_proxy: str
    queue_timeout_s: int
    signup: str
    smtp_url: str
    email_from: str
    decision_days: int
    decision_headers: bool
    grace_account_days: int
    grace_tenant_days: int
    grace_subject_days: int
    export_days: int
    content_days_max: int
    backup_days: int
    erasure_ledger: Path | None
    audit_dir: Path
    audit_copy: str
    audit_key: str
    audit_signer: str
    audit_origin: str
    audit_witness: str
    audit_witness_key: str
    audit_database_url: str
    stripe_secret_key: str
    stripe_webhook_secret: tuple[str, ...]
    stripe_api_url: str
    stripe_tax: bool
    stripe_topup_range: tuple[int, int]
    stripe_fee_basis_points: int
    siem_url: str
    siem_format: str
    siem_ca: str
    audit_archive_dir: Path | None

    @property
    def is_business(self) -> bool:
        return self.mode == "business"

    def require(self, *names: str) -> None:
        """Raises ImproperlyConfigured for the first of `names` (fields) that was not given."""
        for name in names:
            if not getattr(self, name):
                raise ImproperlyConfigured(
                    f"RBEE_{name.upper()} is not set; it takes {VARIABLES[f'RBEE_{name.upper()}'].takes}"
                )


@dataclass(frozen=True, slots=True)
class Variable:
    read: Callable[[str], Any]
    takes: str
    default: str = ""
    is_secret: bool = False  # may stand in a file named by <NAME>_FILE


def read_env(environ: Mapping[str, str]) -> Env:
    """Raises ImproperlyConfigured with one line."""
    _refuse_unknown(environ)
    values = {
        name.removeprefix("RBEE_").lower(): _value(name, variable, environ)
        for name, variable in VARIABLES.items()
    }
    values["audit_dir"] = values["audit_dir"] or values["data_dir"] / "audit"
    if values["secret_key_previous"] and not values["pseudonym_key"]:
        raise ImproperlyConfigured(
            "RBEE_SECRET_KEY_PREVIOUS needs RBEE_PSEUDONYM_KEY, or end users get other pseudonyms;"
            " platform/docs/compliance/vault.md says how to get it"
        )
    values["secret_key_file"] = _path_or_none(environ.get("RBEE_SECRET_KEY_FILE", "").strip())
    values["hive_redis_url"] = values["hive_redis_url"] or _as_hives_see(values["redis_url"])
    values["celery_broker_url"] = values["celery_broker_url"] or values["redis_url"]
    values["signup"] = values["signup"] or ("invitation" if values["mode"] == "business" else "closed")
    if values["signup"] == "open" and not values["smtp_url"]:
        raise ImproperlyConfigured(
            "RBEE_SIGNUP=open confirms addresses by e-mail: name a server by RBEE_SMTP_URL"
        )
    if values["decision_headers"] is None:
        values["decision_headers"] = values["mode"] == "home"
    values["public_url"] = values["public_url"] or f"http://{_url_host(values['host'])}:{values['port']}"
    return Env(**values)


@contextmanager
def exit_on_misconfiguration() -> Iterator[None]:
    """For entry points: one line on stderr and exit code 2 in place of a traceback."""
    try:
        yield
    except ImproperlyConfigured as error:
        print(f"rbee: {error}", file=sys.stderr)
        sys.exit(2)


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = {*VARIABLES, *OTHER_PROGRAMS, *(f"{name}_FILE" for name, v in VARIABLES.items() if v.is_secret)}
    for name in environ:
        if not name.startswith("RBEE_") or name in known or name.startswith(OTHER_PREFIXES):
            continue
        # Without the prefix that all share, else everything is near.
        short = {known_name.removeprefix("RBEE_"): known_name for known_name in known}
        nearest = difflib.get_close_matches(name.removeprefix("RBEE_"), short, n=1, cutoff=0.7)
        hint = f"; did you mean {short[nearest[0]]}?" if nearest else ""
        raise ImproperlyConfigured(f"{name} is not a setting of rbee{hint}")


def _value(name: str, variable: Variable, environ: Mapping[str, str]) -> Any:
    text = environ.get(name, "").strip()
    file = environ.get(f"{name}_FILE", "").strip() if variable.is_secret else ""
    if text and file:
        raise ImproperlyConfigured(f"{name} and {name}_FILE are both set; keep one")
    if file:
        text = _file_text(f"{name}_FILE", file)
    try:
        return variable.read(text or variable.default)
    except ValueError:
        shown = "what it holds" if variable.is_secret else repr(text)
        raise ImproperlyConfigured(f"{name} takes {variable.takes}, not {shown}") from None


def _file_text(name: str, path: str) -> str:
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise ImproperlyConfigured(f"{name} names {path}, which cannot be read: {reason}") from None
    if not text:
        raise ImproperlyConfigured(f"{name} names {path}, which is empty")
    return text


def _choice(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError
        return text.lower()

    return read


def _url(*schemes: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not text:
            return ""
        parts = urlsplit(text)
        if (
            parts.scheme not in schemes or not parts.hostname or parts.port == 0
        ):  # `.port` raises beyond 65535
            raise ValueError
        return text

    return read


def _host_and_port(*schemes: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text and (urlsplit(_url(*schemes)(text)).port is None or urlsplit(text).path.strip("/")):
            raise ValueError
        return text

    return read


def _smtp_url(text: str) -> str:
    url = _url("smtp")(text)
    if url and parse_qs(urlsplit(url).query).get("tls", ["starttls"])[0] not in SMTP_TLS:
        raise ValueError
    return url


def _email_from(text: str) -> str:
    _, address = parseaddr(text)
    if "@" not in address or not text.isprintable():
        raise ValueError
    return text


def _database_url(text: str) -> str:
    url = _url("postgresql", "postgres")(text)
    if url and (not urlsplit(url).username or not urlsplit(url).path.strip("/")):
        raise ValueError
    return url


def _secret_key(text: str) -> bytes:
    """The one that makes things; the file may hold those of before too."""
    return parse_roots(text).roots[0] if text else b""


def _previous(text: str) -> tuple[bytes, ...]:
    return tuple(secret_bytes(part.strip()) for part in text.split(",") if part.strip())


def _names(text: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if any(not part.isascii() or not part.isprintable() or " " in part for part in found):
        raise ValueError
    return found


def _one_secret(text: str) -> bytes:
    return secret_bytes(text) if text else b""


def _between(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise ValueError
        return number

    return read


def _starts_with(*prefixes: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text and not (text.startswith(prefixes) and text.isascii() and text.isprintable()):
            raise ValueError
        return text

    return read


def _secrets(text: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if any(not part.startswith("whsec_") or not part.isascii() for part in found):
        raise ValueError
    return found


def _range(least: int, most: int) -> Callable[[str], tuple[int, int]]:
    def read(text: str) -> tuple[int, int]:
        low, _, high = text.partition("-")
        bounds = (int(low), int(high))
        if not least <= bounds[0] <= bounds[1] <= most:
            raise ValueError
        return bounds

    return read


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def _ports(text: str) -> tuple[tuple[int, int], ...]:
    """`80,8000-8999` as its first and last ones."""
    found = []
    for part in filter(None, map(str.strip, text.split(","))):
        low, _, high = part.partition("-")
        bounds = (int(low), int(high or low))
        if not 1 <= bounds[0] <= bounds[1] <= 65535:
            raise ValueError
        found.append(bounds)
    return tuple(found)


def _switch(text: str) -> bool:
    return _choice("0", "1")(text) == "1"


def _switch_or_none(text: str) -> bool | None:
    return _switch(text) if text else None


def _hosts(text: str) -> tuple[str, ...]:
    hosts = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    if any("/" in host or " " in host for host in hosts):
        raise ValueError
    return hosts


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:  # ~somebody who is not on this machine
        raise ValueError from error


def _path_or_none(text: str) -> Path | None:
    return _path(text) if text else None


def _audit_copy(text: str) -> str:
    if text.startswith("s3://"):
        return _url("s3")(text)
    return str(_path(text)) if text else ""


def _host(text: str) -> str:
    if "/" in text or " " in text:
        raise ValueError
    return text


def _default_data_dir() -> str:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return "/var/lib/rbee"
    return platformdirs.user_data_dir("rbee", appauthor=False)


def _as_hives_see(redis_url: str) -> str:
    """Without the queen's own password: each hive is told its own user."""
    if not redis_url:
        return ""
    parts = urlsplit(redis_url)
    return urlunsplit((parts.scheme, f"{HIVE_SIDE_HOST}:{parts.port or 6379}", parts.path, "", ""))


def _url_host(host: str) -> str:
    if host in ("0.0.0.0", "::", ""):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


_REDIS = "a URL such as redis://user:password@host:6379/0"
_POSTGRES = "a URL such as postgresql://user:password@host:5432/rbee"

VARIABLES: dict[str, Variable] = {
    "RBEE_MODE": Variable(_choice("home", "business"), "home or business", "home"),
    "RBEE_DATABASE_URL": Variable(_database_url, f"{_POSTGRES}, of the application role", is_secret=True),
    "RBEE_DATABASE_OWNER_URL": Variable(
        _database_url, f"{_POSTGRES}, of the role that owns the tables", is_secret=True
    ),
    "RBEE_REDIS_URL": Variable(_url("redis", "rediss"), _REDIS, is_secret=True),
    "RBEE_HIVE_REDIS_URL": Variable(
        _url("redis", "rediss"), "a URL such as redis://queen:6379/0 that hives are told"
    ),
    "RBEE_CELERY_BROKER_URL": Variable(
        _url("redis", "rediss", "amqp", "amqps"), "the URL of a Redis or RabbitMQ", is_secret=True
    ),
    "RBEE_SECRET_KEY": Variable(
        _secret_key,
        f"at least {SECRET_BYTES} random bytes in hex or base64 (openssl rand -hex 32)",
        is_secret=True,
    ),
    # While one takes the place of another: what the other ones made is still read.
    "RBEE_SECRET_KEY_PREVIOUS": Variable(
        _previous, "root secrets of before, in hex or base64, with commas between them", is_secret=True
    ),
    # Left out: derived from the oldest root secret.
    "RBEE_PSEUDONYM_KEY": Variable(
        _one_secret,
        f"{SECRET_BYTES} bytes in hex or base64, which pseudonyms of end users are made by",
        is_secret=True,
    ),
    # Left out: derived from the root secret.
    "RBEE_KEY_FILE": Variable(_path_or_none, "the file of the keys that wrap the keys of people's details"),
    # Left out: the file, or else what is derived.
    "RBEE_KMS_KEYS": Variable(
        _names, "keys of AWS KMS by id, ARN or alias, the one that wraps first, with commas between them"
    ),
    "RBEE_KMS_ENDPOINT": Variable(_url("http", "https"), "the URL of what speaks the protocol of AWS KMS"),
    "RBEE_DATA_DIR": Variable(_path, "a folder", _default_data_dir()),
    "RBEE_HOST": Variable(_host, "an address to listen on", "127.0.0.1"),
    "RBEE_PORT": Variable(_between(1, 65535), "a port from 1 to 65535", "7833"),
    "RBEE_PUBLIC_URL": Variable(_url("http", "https"), "the URL by which clients and hives reach the queen"),
    "RBEE_LAN_RANGES": Variable(_networks, "networks such as 192.168.1.0/24, with commas between them"),
    "RBEE_LOCAL_HOSTS": Variable(_hosts, "host names, with commas between them"),
    "RBEE_TRUSTED_PROXIES": Variable(
        _networks, "networks of reverse proxies such as 10.0.0.0/24, with commas between them"
    ),
    "RBEE_SCHEDULER_FILE": Variable(_path, "a path", "~/.config/rbee/scheduler.rhai"),
    "RBEE_LOG_LEVEL": Variable(
        _choice("debug", "info", "warning", "error"), "debug, info, warning or error", "info"
    ),
    "RBEE_QUEUE_TIMEOUT_S": Variable(
        _between(0, 3600), "seconds from 0 to 3600 that a task waits for a free worker; 0: none waits", "30"
    ),
    "RBEE_TASK_TIMEOUT_S": Variable(_between(1, 86_400), "seconds from 1 to 86400", "600"),
    # Requests to URLs that customers name: webhooks.
    "RBEE_OUTBOUND_HTTP": Variable(_switch, "1 to call http:// URLs of customers too, or 0", "0"),
    "RBEE_OUTBOUND_ALLOW": Variable(
        _networks,
        "internal networks that customers' URLs may lead to, such as 10.20.0.0/16, with commas between them",
    ),
    "RBEE_OUTBOUND_PORTS": Variable(_ports, "ports such as 443,8000-8999", "80,443,8000-8999"),
    "RBEE_OUTBOUND_PROXY": Variable(
        _url("http"), "the URL of a proxy that knows CONNECT, such as http://proxy:3128", is_secret=True
    ),
    # Left out: invitation in business mode, closed at home.
    "RBEE_SIGNUP": Variable(_choice("", "closed", "invitation", "open"), "closed, invitation or open"),
    "RBEE_SMTP_URL": Variable(
        _smtp_url, "a URL such as smtp://user:password@host:587?tls=starttls (or tls, none)", is_secret=True
    ),
    "RBEE_EMAIL_FROM": Variable(_email_from, "an address such as rbee@example.org", "rbee@localhost"),
    "RBEE_DECISION_DAYS": Variable(_between(1, 730), "days from 1 to 730 that decisions are kept", "30"),
    # Left out: 1 at home, 0 in business mode.
    "RBEE_DECISION_HEADERS": Variable(
        _switch_or_none, "1 to tell clients which worker and policy served them, or 0"
    ),
    "RBEE_GRACE_ACCOUNT_DAYS": Variable(
        _between(0, 365), "days from 0 to 365 in which a person takes back that their account is erased", "7"
    ),
    "RBEE_GRACE_TENANT_DAYS": Variable(
        _between(0, 365), "days from 0 to 365 in which a deleted tenant is restored", "30"
    ),
    "RBEE_GRACE_SUBJECT_DAYS": Variable(
        _between(0, 365), "days from 0 to 365 before an end user of a tenant is erased", "0"
    ),
    "RBEE_EXPORT_DAYS": Variable(_between(1, 90), "days from 1 to 90 that an export is kept", "7"),
    "RBEE_CONTENT_DAYS_MAX": Variable(
        _between(0, 400),
        "days from 0 to 400 that a tenant may have its prompts and outputs kept; 0: nobody may",
        "400",
    ),
    "RBEE_BACKUP_DAYS": Variable(
        _between(1, 365), "days from 1 to 365 after which your backups are overwritten", "35"
    ),
    "RBEE_ERASURE_LEDGER": Variable(
        _path_or_none, "a file outside of the database that keeps what was erased; left out: in RBEE_DATA_DIR"
    ),
    "RBEE_AUDIT_DIR": Variable(
        _path_or_none, "a folder for the files of the audit log, the same for every queen"
    ),
    "RBEE_AUDIT_COPY": Variable(_audit_copy, "a folder on another host, or a URL such as s3://bucket/rbee"),
    # For the sequencer alone.
    "RBEE_AUDIT_KEY": Variable(
        _starts_with("PRIVATE+KEY+"),
        "a signing key as PRIVATE+KEY+NAME+ID+KEY, unless RBEE_AUDIT_SIGNER names where it is",
        is_secret=True,
    ),
    "RBEE_AUDIT_SIGNER": Variable(
        _starts_with("kms:", "command:"),
        "where the signing key is: kms:KEY or command:PROGRAM, such as kms:alias/rbee-audit",
    ),
    "RBEE_AUDIT_ORIGIN": Variable(
        str, "the name of the signing key that RBEE_AUDIT_SIGNER names, such as rbee.example.org/audit"
    ),
    "RBEE_AUDIT_WITNESS": Variable(
        _url("http", "https"), "the URL of a witness, such as https://witness.example.org"
    ),
    "RBEE_AUDIT_WITNESS_KEY": Variable(str, "the key of that witness as NAME+ID+KEY"),
    "RBEE_AUDIT_DATABASE_URL": Variable(
        _database_url, f"{_POSTGRES}, of a member of the role rbee_sequencer", is_secret=True
    ),
    "RBEE_STRIPE_SECRET_KEY": Variable(
        _starts_with("sk_", "rk_"), "a secret or restricted key of Stripe, such as sk_live_…", is_secret=True
    ),
    # Several while one takes the place of another.
    "RBEE_STRIPE_WEBHOOK_SECRET": Variable(
        _secrets, "signing secrets of Stripe, such as whsec_…, with commas between them", is_secret=True
    ),
    "RBEE_STRIPE_API_URL": Variable(_url("http", "https"), "the URL of a stand-in for Stripe"),
    "RBEE_STRIPE_TAX": Variable(_switch, "1 to let Stripe work out taxes, or 0", "0"),
    "RBEE_STRIPE_TOPUP_RANGE": Variable(
        _range(1, 1_000_000),
        "the least and the most of a top-up in whole units of its currency, such as 5-10000",
        "5-10000",
    ),
    "RBEE_STRIPE_FEE_BASIS_POINTS": Variable(
        _between(0, 10_000), "the platform's share of what is sold for others, from 0 to 10000", "3000"
    ),
    # Where the audit log is sent as it grows.
    "RBEE_SIEM_URL": Variable(
        _host_and_port("tcp", "tls"), "the address of a syslog receiver, such as tls://siem.example.org:6514"
    ),
    "RBEE_SIEM_FORMAT": Variable(_choice("json", "cef"), "json or cef", "json"),
    "RBEE_SIEM_CA": Variable(str, "the path of a file of certificate authorities for tls://"),
    # Best a folder that nobody can change what is in: a mount with object lock, or WORM storage.
    "RBEE_AUDIT_ARCHIVE_DIR": Variable(_path_or_none, "a folder for closed months of the audit log"),
}
