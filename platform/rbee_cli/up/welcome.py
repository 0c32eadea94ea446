"""The last thing that `rbee up` prints: a command that works when it is copied."""

from __future__ import annotations

import json
import shlex

from rbee_cli.up import operator_key
from rbee_cli.up.folders import Folders
from rbee_cli.up.local_hive import MODEL
from rbee_cli.up.options import UpOptions
from rbee_cli.up.screen import Screen

BODY = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "What is rbee?"}]}


def welcome(screen: Screen, options: UpOptions, folders: Folders, took_s: float, new_key: str | None) -> None:
    screen.say()
    screen.say(f"rbee is up in {took_s:.1f} s: {options.mode} mode, {options.public_url}", "bold")
    screen.say(f"  data {folders.data}")
    screen.say(f"  logs {folders.logs}")
    screen.say("  stop with Ctrl-C")
    if options.business:
        _show_business(screen, options, folders, new_key)
    else:
        screen.say(
            "\nAsk it something:\n"
            if options.hive
            else "\n`rbee hive token` lets a hive join; then ask it:\n"
        )
        screen.always(f"{home_curl(options)}\n")


def home_curl(options: UpOptions) -> str:
    """As in the business case: no content type, no key."""
    return f"curl{_trust(options)} {options.local_url}/v1/chat/completions \\\n  -d {shlex.quote(json.dumps(BODY))}"


def business_curl(options: UpOptions, folders: Folders) -> str:
    """The operator's key administers and is no key for /v1. It stays in its file: not in a history, not in a log."""
    key = f'"Authorization: Bearer $(cat {shlex.quote(str(operator_key.path(folders)))})"'
    return f"curl{_trust(options)} {options.local_url}/api/v1/status \\\n  -H {key}"


def _show_business(screen: Screen, options: UpOptions, folders: Folders, new_key: str | None) -> None:
    file = operator_key.path(folders)
    if new_key:
        screen.always(f"\nThe operator's key, shown this once and kept in {file}:\n\n  {new_key}")
    if options.is_in_clear:
        screen.always(
            f"\nKeys that reach {options.host} from other machines travel unencrypted:"
            " give --tls-cert and --tls-key, or put a proxy with TLS in front."
        )
    queen = f" --queen-url {options.local_url}"
    screen.say("\nGive a customer a key:\n")
    if _trust(options):
        screen.say(f"  export SSL_CERT_FILE={shlex.quote(str(options.tls_cert))}")
    screen.say(f"  rbee login{queen} --key-file {shlex.quote(str(file))}")
    screen.say("  rbee tenant create acme --plan pro\n  rbee key create --tenant acme")
    screen.say("\nLook at the colony:\n")
    screen.always(f"{business_curl(options, folders)}\n")


def _trust(options: UpOptions) -> str:
    if options.tls_cert is None:
        return ""
    from rbee_cli.up.tls import is_self_signed

    return f" --cacert {shlex.quote(str(options.tls_cert))}" if is_self_signed(options.tls_cert) else ""
