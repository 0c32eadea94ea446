"""Where a region is. It is what the operator wrote: `EU`, `EU/Netherlands`, `DE`, `US`."""

from __future__ import annotations

from typing import Final

# ISO 3166-1 of the members of the European Union, and EL, as the Union itself writes Greece.
EU_MEMBERS: Final = frozenset(
    "AT BE BG CY CZ DE DK EE EL ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split()  # noqa: SIM905 - it is a list to read
)


def region_is_eu(region: str) -> bool:
    """By its first part. A cloud's zone such as eu-west-2 is no answer: that one is London."""
    first = region.partition("/")[0].strip().upper()
    return first == "EU" or first in EU_MEMBERS
