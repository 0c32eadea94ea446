"""The command line's own settings: where the queen is, and the keys for it.

    queen_url = "http://127.0.0.1:7833"
    [management]
    api_key = "rbee_live_…"     # administers the colony
    [inference]
    api_key = "rbee_live_…"     # calls /v1

Keys are sent to the queen that they were stored for and to no other.
"""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rbee_cli.errors import CliError, UsageError

DEFAULT_QUEEN_URL = "http://127.0.0.1:7833"

Use = Literal["management", "inference"]


@dataclass
class Config:
    queen_url: str = ""
    management_key: str = ""
    inference_key: str = ""

    def key_for(self, use: Use, queen_url: str) -> str:
        if queen_url != (self.queen_url or DEFAULT_QUEEN_URL):
            return ""
        return self.management_key if use == "management" else self.inference_key


def config_path() -> Path:
    chosen = os.environ.get("RBEE_CONFIG_PATH", "")
    return Path(chosen).expanduser() if chosen else Path("~/.config/rbee/config.toml").expanduser()


def read_config() -> Config:
    path = config_path()
    try:
        table = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    return Config(
        queen_url=normal_url(_text(table, "queen_url")),
        management_key=_text(table.get("management"), "api_key"),
        inference_key=_text(table.get("inference"), "api_key"),
    )


def write_config(config: Config) -> Path:
    """Whole or not at all, readable by its owner only."""
    lines = [f"queen_url = {json.dumps(config.queen_url)}"]
    for section, key in (("management", config.management_key), ("inference", config.inference_key)):
        if key:
            lines += ["", f"[{section}]", f"api_key = {json.dumps(key)}"]
    path = config_path()
    unfinished = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write("\n".join(lines) + "\n")
        unfinished.replace(path)
    except OSError as error:
        raise CliError(f"cannot write {path} ({error.strerror}): name another by RBEE_CONFIG_PATH") from error
    return path


def normal_url(url: str) -> str:
    url = url.strip().rstrip("/")
    if not url:
        return ""
    return url if "://" in url else f"http://{url}"


def _text(table: object, name: str) -> str:
    value = table.get(name, "") if isinstance(table, dict) else ""
    return value if isinstance(value, str) else ""
