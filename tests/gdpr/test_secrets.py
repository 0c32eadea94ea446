import dataclasses

import pytest
from django.conf import LazySettings
from django.core.exceptions import ImproperlyConfigured

from gdpr.secrets import derive, derive_from


def test_each_label_has_a_secret_of_its_own(settings: LazySettings) -> None:
    made = {derive(label) for label in ("django", "api-key-pepper", "envelope", "subject")}

    assert len(made) == 4
    assert {len(secret) for secret in made} == {32}
    assert settings.RBEE.secret_key not in made


def test_secret_is_that_of_the_root_and_stays() -> None:
    assert derive_from(b"r" * 32, "django") != derive_from(b"s" * 32, "django")
    assert (
        derive_from(b"r" * 32, "django").hex()
        == "47b8710916af0bd6cf8bee89e1c8a7a08397b0e70a6f49bc41b8541bc8063682"
    )


def test_nothing_is_derived_without_a_root(settings: LazySettings) -> None:
    settings.RBEE = dataclasses.replace(settings.RBEE, secret_key=b"")

    with pytest.raises(ImproperlyConfigured, match="RBEE_SECRET_KEY is not set"):
        derive("django")
