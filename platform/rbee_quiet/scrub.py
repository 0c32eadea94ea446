"""Text without what nobody may read in a log: keys and tokens, passwords, e-mail addresses. What names a thing stays: a
key's kid, a URL's host."""

from __future__ import annotations

import re
from typing import Final

SECRET: Final = "[secret]"  # noqa: S105 -- what stands in place of one
ADDRESS: Final = "[e-mail]"

# One expression, so that a line is read through once. The first alternative that fits at a place is taken.
_FOUND: Final = re.compile(
    r"""
      (?P<pem>-----BEGIN\ [A-Z ]*PRIVATE\ KEY-----.*?(?:-----END\ [A-Z ]*PRIVATE\ KEY-----|\Z))
    | (?P<url>\b[a-z][a-z0-9+.-]{0,20}://[^\s/:@"'<>]{0,200}:)[^\s/@"'<>]{1,500}(?=@)
    | (?P<key>rbee_(?:live|home)_[0-9A-Za-z]{4,16})_[0-9A-Za-z]{8,}(?:_[0-9A-Za-z]{1,8})?
    | (?P<token>rbee_(?:imp|inv|join|hive))_[0-9A-Za-z._-]{8,}
    | \b(?P<stripe>(?:sk|rk|pk)_(?:live|test)|whsec|hf|ghp|github_pat|xox[abprs])_[0-9A-Za-z_+/=-]{6,}
    | \b(?P<openai>sk)-[0-9A-Za-z_-]{16,}
    | \b(?P<jwt>eyJ)[0-9A-Za-z_-]{6,}\.[0-9A-Za-z_-]{6,}\.[0-9A-Za-z_-]*
    | \b(?P<scheme>[Bb]earer|BEARER|[Bb]asic|BASIC)\s+(?!\[secret\])[0-9A-Za-z._~+/=-]{8,}
    | (?P<name>\b(?:[A-Za-z]{1,20}[_-]){0,4}(?:password|passwd|secret|token|api[_-]?key|secret[_-]key|sessionid|cookie|authorization)
        ["']?\s?[=:]\s?)(?P<quote>["'])(?P<quoted>(?:(?!(?P=quote)).)+)(?P=quote)
    | (?P<assigned>\b(?:[A-Za-z]{1,20}[_-]){0,4}(?:password|passwd|secret|token|api[_-]?key|secret[_-]key|sessionid)=)[^\s&"',;\[\]]+
    | (?P<mail>[0-9A-Za-z._%+~'-]{1,64}(?:@|%40)(?:[0-9A-Za-z](?:[0-9A-Za-z-]*[0-9A-Za-z])?\.)+[A-Za-z][0-9A-Za-z-]*)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
# Most lines hold none of these, which is found out faster.
_HINT: Final = re.compile(
    r"[@%]|rbee_[a-z]+_|[srp]k[_-]|whsec_|hf_|ghp_|github_|xox|eyj|bearer|basic|passw|secret|token|api|session|cookie|authori|private",
    re.IGNORECASE,
)


def scrub(text: str) -> str:
    """The same object when there is nothing to take out."""
    if _HINT.search(text) is None:
        return text
    return _FOUND.sub(_instead, text)


def _instead(found: re.Match[str]) -> str:
    named = found.groupdict()
    if named["mail"]:
        return ADDRESS
    if named["url"]:
        return f"{named['url']}{SECRET}"
    if named["name"]:
        return f"{named['name']}{named['quote']}{SECRET}{named['quote']}"
    if named["assigned"]:
        return f"{named['assigned']}{SECRET}"
    if named["scheme"]:
        return f"{named['scheme']} {SECRET}"
    for name in ("key", "token", "stripe", "openai", "jwt"):
        if named[name]:
            return f"{named[name]}_{SECRET}"
    return SECRET
