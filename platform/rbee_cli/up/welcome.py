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
    if new_key:
        screen.always(
            f"\nOperator's key, shown this once and kept in {operator_key.path(folders)}:\n\n  {new_key}"
        )
    if options.hive:
        screen.say("\nAsk it something:\n")
    else:
        screen.say("\nNo hive runs here. `rbee hive token` lets one join; then ask it something:\n")
    screen.always(f"{curl(options, folders)}\n")


def curl(options: UpOptions, folders: Folders) -> str:
    """Like the business case: no content type, and at home no key. The key itself stays in its file."""
    url = f"{options.public_url}/v1/chat/completions"
    lines = [f"curl {url}"]
    if options.business:
        key_file = shlex.quote(str(operator_key.path(folders)))
        lines.append(f'  -H "Authorization: Bearer $(cat {key_file})"')
    lines.append(f"  -d {shlex.quote(json.dumps(BODY))}")
    return " \\\n".join(lines)
