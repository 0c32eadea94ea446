"""VAT identification numbers: their shape by python-stdnum, and what the EU's register VIES says of them, if the operator
wants it to be asked. A register that is away holds up nothing: a number of the right shape counts until VIES denies it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final
from uuid import UUID

import msgspec
from django.utils import timezone
from stdnum.eu import vat

from billing.domain.sellers import find_seller
from billing.domain.tax import eu_rates
from billing.models import BillingAccount
from gdpr.domain.audit import Actor, record
from gdpr.fetcher import Bounds, Fetched, FetchFailed, UrlRefused, fetch
from gdpr.scope import colony_tx, tenant_tx

CHECK: Final = "billing.check_vat_ids"  # the chore
VIES: Final = "https://ec.europa.eu/taxation_customs/vies/rest-api/check-vat-number"
PREFIXES: Final = {"GR": "EL"}  # where it is not the country's code
CHECKED_AT_ONCE: Final = 20

Ask = Callable[..., Coroutine[Any, Any, Fetched]]

logger = logging.getLogger(__name__)


class _Answer(msgspec.Struct):
    valid: bool


def compact(vat_id: str, country: str) -> str:
    """As it is kept and printed, such as NL123456782B90. Raises ValueError with what is wrong."""
    number: str = vat.compact(vat_id)
    if country not in eu_rates():
        return number
    if number[:2] != prefix_of(country):
        raise ValueError(f"a VAT id of {country} begins with {prefix_of(country)}")
    if not vat.is_valid(number):
        raise ValueError(f"{number} is no VAT id of {country}: a digit is wrong or missing")
    return number


def prefix_of(country: str) -> str:
    return PREFIXES.get(country, country)


def is_business(account: BillingAccount) -> bool:
    return bool(
        account.vat_id
        and account.vat_is_valid is not False
        and account.vat_id[:2] == prefix_of(account.country)
    )


def check_vat_ids(ask: Ask = fetch) -> int:
    """Those that nobody asked VIES about. How many got an answer; the others wait for the next time."""
    if not find_seller().checks_vat_ids:
        return 0
    with colony_tx("VAT ids to check"):
        waiting = list(
            BillingAccount.objects.exclude(vat_id="")
            .filter(vat_is_valid=None, country__in=list(eu_rates()))
            .order_by("tenant_id")
            .values_list("tenant_id", "vat_id")[:CHECKED_AT_ONCE]
        )
    answered = 0
    try:
        for tenant_id, vat_id in waiting:
            answered += _check(tenant_id, vat_id, ask)
    except FetchFailed as failed:
        logger.warning("VIES does not answer (%s): it is asked again later", failed)
    return answered


def _check(tenant_id: UUID, vat_id: str, ask: Ask) -> bool:
    """Raises FetchFailed: who comes next would wait as long."""
    found = _in_register(vat_id, ask)
    if found is None:
        return False
    with tenant_tx(tenant_id):
        changed = BillingAccount.objects.filter(tenant_id=tenant_id, vat_id=vat_id).update(
            vat_is_valid=found, vat_checked_at=timezone.now()
        )
        if changed:
            record(
                "billing_account.vat_id_checked",
                actor=Actor.system("billing"),
                object_ref=f"tenant:{tenant_id.hex}",
                details={"is_valid": found},
            )
    return True


def _in_register(vat_id: str, ask: Ask) -> bool | None:
    """None: it did not say."""
    body = msgspec.json.encode({"countryCode": vat_id[:2], "vatNumber": vat_id[2:]})
    try:
        answer = asyncio.run(
            ask("POST", VIES, headers={"content-type": "application/json"}, content=body, bounds=Bounds())
        )
        return msgspec.json.decode(answer.body, type=_Answer).valid if answer.status == 200 else None
    except (UrlRefused, msgspec.MsgspecError) as error:
        logger.warning(
            "VIES did not say whether a VAT id is valid (%s): asked again later", type(error).__name__
        )
        return None
