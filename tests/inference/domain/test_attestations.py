from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils.timezone import now

from gdpr.domain.audit import Actor
from inference.domain.attestations import (
    LONGEST,
    attest_hive,
    attested_region,
    is_attested,
    withdraw_attestation,
)
from inference.domain.eligibility import in_region
from inference.domain.errors import InvalidInput
from inference.domain.hives import info_of
from inference.models import Hive
from tests.factories.inference import make_hive, make_token
from tests.factories.tenants import unique
from tests.inference.conftest import Api, audit_events

OPERATOR = Actor.key("3kTMd9qZ01ab")


@pytest.fixture
def hive(db: None, redis_url: str) -> Hive:
    return make_hive(token=make_token(region="EU"))[0]


def test_hive_is_where_its_token_said_for_a_year(hive: Hive) -> None:
    assert (attested_region(hive), is_attested(hive)) == ("EU", True)
    assert hive.region_until is not None
    assert timedelta(days=364) < hive.region_until - now() < timedelta(days=366)
    info = info_of(hive)
    assert (info.region, info.current_region, info.region_until_s) == (
        "EU",
        "EU",
        hive.region_until.timestamp(),
    )


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("region", "US"),
        ("region_until", now() + timedelta(days=3000)),
        ("public_key", "AAAA"),
        ("region_signature", b""),
        ("region_signature", b"\x00" * 64),
        ("region_until", None),
    ],
)
def test_what_nobody_signed_counts_for_nothing(hive: Hive, column: str, value: object) -> None:
    Hive.objects.filter(id=hive.id).update(**{column: value})
    hive.refresh_from_db()

    assert (attested_region(hive), is_attested(hive)) == ("", False)
    assert info_of(hive).current_region == ""


def test_the_signature_of_another_hive_is_none(hive: Hive) -> None:
    other, _ = make_hive()
    fields = {name: getattr(hive, name) for name in ("region", "region_until", "region_signature")}
    Hive.objects.filter(id=other.id).update(**fields)
    other.refresh_from_db()

    assert attested_region(other) == ""


def test_hive_that_joins_again_is_remembered_and_not_vouched_for(hive: Hive) -> None:
    again, _ = make_hive(name=hive.name)
    assert (again.id, again.region, attested_region(again)) == (hive.id, "EU", "")

    vouched, _ = make_hive(name=hive.name, token=make_token(region="DE"))
    assert (vouched.id, attested_region(vouched)) == (hive.id, "DE")


def test_operator_attests_and_withdraws(hive: Hive) -> None:
    until = now() + timedelta(days=10)
    attested = attest_hive(hive, region="NL/Amsterdam", until=until, actor=OPERATOR)
    assert (attested_region(attested), attested.region_until) == ("NL/Amsterdam", until)
    withdrawn = withdraw_attestation(hive, actor=OPERATOR)
    assert (withdrawn.region, attested_region(withdrawn), is_attested(withdrawn)) == ("", "", False)

    for wrong in ({"region": ""}, {"region": "E U"}, {"region": "EU", "until": now()},
                  {"region": "EU", "until": now() + LONGEST + timedelta(days=1)}):  # fmt: skip
        with pytest.raises(InvalidInput):
            attest_hive(hive, actor=OPERATOR, **wrong)


def test_attestation_over_rest(home: Api) -> None:
    hive, _ = make_hive(name=unique("hive"))
    path = f"hives/{hive.name}/attestation"

    made = home.put(path, {"region": "EU"})

    assert made.status_code == 200, made.content
    assert (made.json()["region"], made.json()["region_attested"]) == ("EU", True)
    assert home.put(path, {"region": "EU", "until": "2020-01-01T00:00:00Z"}).status_code == 400
    assert home.put("hives/nobody/attestation", {"region": "EU"}).status_code == 404
    assert home.delete(path).json()["region_attested"] is False
    assert audit_events("hive.atte") == ["hive.attested", "hive.attestation_withdrawn"]


@pytest.mark.parametrize(
    ("place", "region", "is_in"),
    [("EU", "EU", True), ("EU/Netherlands", "EU", True), ("DE", "EU", True), ("DE/Berlin", "EU", True),
     ("DE", "DE", True), ("EU", "DE", False), ("EUROPA", "EU", False), ("GB", "EU", False), ("", "EU", False),
     ("US", "", True), ("", "", True), ("eu-west-2", "EU", False)],
)  # fmt: skip
def test_places_and_regions(place: str, region: str, is_in: bool) -> None:
    assert in_region(place, region) is is_in
