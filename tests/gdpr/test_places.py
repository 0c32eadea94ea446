from uuid import UUID

import pytest

from gdpr.holding import Identity, Whose
from gdpr.places import DAY_S, Kind, Lifetime, Place, declare, find, keys_of, places
from gdpr.registry import PrivacyClass

TENANT = UUID("01936f1e-5d3a-7c41-9a55-2f0d6c1e8b7a")
PSEUDONYM = "5f" * 16


def make_place(name: str, lasts: int | Lifetime = DAY_S) -> Place:
    return Place(Kind.KEY, name, PrivacyClass.PSEUDONYM, "inference", lasts, "a test")


def test_placeholder_is_one_part_of_a_name() -> None:
    place = make_place("rbee:x:{tenant}:{what=a|b}")

    assert place.matches("rbee:x:7:a")
    assert not place.matches("rbee:x:7:c")
    assert not place.matches("rbee:x:7:8:a")
    assert not place.matches("rbee:x:7:a:more")
    assert make_place("rbee:x:{rest*}").matches("rbee:x:7:8:\n")


def test_beginning_of_a_name_is_told() -> None:
    place = make_place("rbee:x:{tenant}:{what=a|b}")

    for beginning in ("rbee", "rbee:", "rbee:x", "rbee:x:", "rbee:x:0", "rbee:x:0:", "rbee:x:0:0"):
        assert place.begins_with(beginning)
    for other in ("rbee:y", "rbee:x:0:0:0", "rb", ""):
        assert other == "" or not place.begins_with(other)


@pytest.mark.parametrize(
    ("lasts", "words"),
    [(90, "at most 90 seconds"), (900, "at most 15 minutes"), (2 * DAY_S, "at most 2 days"),
     (Lifetime.REDIS, "until Redis restarts")],
)  # fmt: skip
def test_retention_is_said_in_words(lasts: int | Lifetime, words: str) -> None:
    assert make_place("rbee:x", lasts).retention == words


@pytest.mark.parametrize(
    ("name", "privacy", "activity", "said"),
    [
        ("rbee:epoch", "none", "operations", "declared twice"),
        ("rbee:planted", "nonsense", "operations", "nonsense"),
        ("rbee:planted", "none", "nonsense", "not in gdpr.activities"),
    ],
)
def test_what_cannot_be_declared(name: str, privacy: str, activity: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        declare(Kind.KEY, name, privacy, activity, DAY_S, "a test")
    assert find(Kind.KEY, "rbee:planted") is None


def test_keys_of_a_subject_and_of_a_tenant_are_found_by_pattern() -> None:
    of_subject = keys_of(Identity(Whose.SUBJECT, tenant_id=TENANT, subject=PSEUDONYM))
    of_tenant = keys_of(Identity(Whose.TENANT, tenant_id=TENANT))

    assert f"rbee:lim:{TENANT.hex}:*:{PSEUDONYM}:day" in of_subject
    assert all(PSEUDONYM in pattern for pattern in of_subject)
    assert f"rbee:idem:{TENANT.hex}:*:answer" in of_tenant
    assert all(TENANT.hex in pattern for pattern in of_tenant)
    assert keys_of(Identity(Whose.PERSON, id=TENANT)) == []


def test_content_is_in_families_that_end_within_a_day_only() -> None:
    holding = [place for place in places(Kind.KEY) if place.privacy is PrivacyClass.CONTENT]

    assert len(holding) == 3
    assert all(isinstance(place.lasts, int) and place.lasts <= DAY_S for place in holding)
    assert not [place for place in places(Kind.FILE) if place.privacy is PrivacyClass.CONTENT]
