"""Where the root secrets stand: in the environment, or in the file that RBEE_SECRET_KEY_FILE names.

The file has a line for each root secret, the one that makes things first:

    SECRET                                   as `rbee up` writes it
    SECRET 2026-11-26T05:17:28Z              and since when it makes things
    subjects KEY                             what pseudonyms of end users are made by, once a root secret was replaced

Processes look at the file each second, so that a root secret is replaced while they run: at first it is known to all and
makes nothing, then it makes things, and at the end nothing that the other one made is left.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from gdpr.secrets import LENGTH_BYTES, SUBJECTS, derive_from, root_id

LOOK_EVERY_S = 1.0
SUBJECTS_WORD = "subjects"
MOMENT = "%Y-%m-%dT%H:%M:%SZ"


class RootsFixed(Exception):
    """They stand where this process cannot change them; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Roots:
    roots: tuple[bytes, ...]
    since: tuple[str, ...]  # beside each: since when it makes things; empty: from the beginning, or not yet
    subjects: bytes = b""

    @property
    def is_pending(self) -> bool:
        """The second one is known to all and makes nothing yet: it was made after the first one."""
        return len(self.roots) > 1 and self.since[1] == "pending"


_lock = Lock()
_found: Roots | None = None
_of: Any = None  # the settings that it was read from
_seen: tuple[int, int, int] | None = None
_look_at = 0.0


def current() -> Roots:
    """Raises ImproperlyConfigured when there is none."""
    from django.conf import settings

    env = settings.RBEE
    if _found is not None and env is _of and (env.secret_key_file is None or time.monotonic() < _look_at):
        return _found
    return _look(env)


def look_again() -> Roots:
    """At what the file holds at this moment."""
    from django.conf import settings

    return _look(settings.RBEE)


def roots_of(env: Any) -> Roots:
    """What the settings `env` name. Those of the environment come after those of the file."""
    found = Roots((env.secret_key,), ("",), env.pseudonym_key)
    if env.secret_key_file is not None:
        try:
            found = parse_roots(env.secret_key_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # not at this moment: what was read at the start goes on
            pass
    others = tuple(root for root in env.secret_key_previous if root not in found.roots)
    return Roots(found.roots + others, found.since + ("",) * len(others), env.pseudonym_key or found.subjects)


def _look(env: Any) -> Roots:
    global _found, _of, _seen, _look_at
    from django.conf import settings

    env.require("secret_key")
    with _lock:
        _look_at = time.monotonic() + LOOK_EVERY_S
        seen = _stamp(env.secret_key_file)
        if _found is not None and env is _of and seen in (None, _seen):
            return _found
        is_change = env is _of
        _found, _of, _seen = roots_of(env), env, seen
        # Or Django's keys are from before this process looked for the first time.
        if is_change or settings.SECRET_KEY in django_keys(_found.roots)[1:]:
            _tell_django(_found.roots)
        return _found


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _tell_django(roots: tuple[bytes, ...]) -> None:
    """Which signs sessions and forms by settings of its own."""
    from django.conf import settings

    first, *others = django_keys(roots)
    settings.SECRET_KEY_FALLBACKS = others
    settings.SECRET_KEY = first


def django_keys(roots: tuple[bytes, ...]) -> list[str]:
    return [derive_from(root, "django").hex() for root in roots]


def parse_roots(text: str) -> Roots:
    """Raises ValueError."""
    roots, since, subjects = [], [], b""
    for line in filter(None, map(str.strip, text.splitlines())):
        first, _, rest = line.partition(" ")
        if first == SUBJECTS_WORD:
            subjects = secret_bytes(rest.strip())
        else:
            roots.append(secret_bytes(first))
            since.append(rest.strip())
    if not roots:
        raise ValueError("no root secret")
    return Roots(tuple(roots), tuple(since), subjects)


def secret_bytes(text: str) -> bytes:
    """Of hex or base64. Raises ValueError, also for what is shorter than a secret."""
    # What looks like hex is hex: read as base64, half of it would pass for all of it.
    secret = bytes.fromhex(text) if re.fullmatch(r"[0-9a-fA-F]+", text) else _base64(text)
    if len(secret) < LENGTH_BYTES:
        raise ValueError("too short")
    return secret


def _base64(text: str) -> bytes:
    padded = text.replace("-", "+").replace("_", "/")
    padded += "=" * (-len(padded) % 4)
    try:
        return base64.b64decode(padded, validate=True)
    except binascii.Error as error:
        raise ValueError("neither hex nor base64") from error


def announce_root() -> str:
    """Makes a root secret that everybody knows and that makes nothing yet. One that is announced already is the one.
    Gives back its id. Raises RootsFixed."""
    path, found = _file()
    if found.is_pending:
        return root_id(found.roots[1])
    made = secrets.token_bytes(LENGTH_BYTES)
    subjects = found.subjects or derive_from(found.roots[-1], SUBJECTS)
    _write(
        path,
        Roots(
            (found.roots[0], made, *found.roots[1:]), (found.since[0], "pending", *found.since[1:]), subjects
        ),
    )
    return root_id(made)


def promote_root() -> str:
    """The one that was announced makes things from now on. Idempotent. Raises RootsFixed."""
    path, found = _file()
    if found.is_pending:
        now = datetime.now(UTC).strftime(MOMENT)
        first, second, *others = zip(found.roots, found.since, strict=True)
        lines = [(second[0], now), first, *others]
        found = replace(found, roots=tuple(line[0] for line in lines), since=tuple(line[1] for line in lines))
        _write(path, found)
    return root_id(found.roots[0])


def remove_root(wanted: str) -> None:
    """Raises RootsFixed, also for the one that makes things."""
    path, found = _file()
    ids = [root_id(root) for root in found.roots]
    if wanted not in ids[1:]:
        raise RootsFixed(
            "The newest root secret makes things: rotate first."
            if wanted in ids
            else f"There is no root {wanted}."
        )
    place = ids.index(wanted)
    _write(
        path,
        replace(
            found,
            roots=found.roots[:place] + found.roots[place + 1 :],
            since=found.since[:place] + found.since[place + 1 :],
        ),
    )


def _file() -> tuple[Path, Roots]:
    """Without what the environment adds, which is not the file's to keep."""
    from django.conf import settings

    path: Path | None = settings.RBEE.secret_key_file
    if path is None:
        raise RootsFixed(
            "RBEE_SECRET_KEY stands in the environment: put another there, the one of before into"
            " RBEE_SECRET_KEY_PREVIOUS, and start the queens again, as the docs say."
        )
    try:
        return path, parse_roots(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RootsFixed(f"{path} cannot be read: {type(error).__name__}") from None


def _write(path: Path, found: Roots) -> None:
    """Whole or not at all. Raises RootsFixed."""
    lines = [f"{root.hex()} {since}".strip() for root, since in zip(found.roots, found.since, strict=True)]
    if found.subjects:
        lines.append(f"{SUBJECTS_WORD} {found.subjects.hex()}")
    unfinished = path.with_suffix(".new")
    try:
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write("\n".join(lines) + "\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise RootsFixed(f"{path} cannot be written: {error.strerror}") from None
    look_again()
