from io import StringIO

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import models

from gdpr import registry
from gdpr.registry import PrivacyClass, findings, privacy_of, unclassified
from tenants.models import ApiKey, User


def test_every_column_has_a_privacy_class() -> None:
    assert findings() == []

    output = StringIO()
    call_command("check_privacy", stdout=output)
    assert output.getvalue() == "Every column, key, chore and log field is in the data map.\n"


def test_column_without_a_class_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Planted(models.Model):  # noqa: DJ008
        nickname = models.TextField()

        class Meta:
            app_label = "planted"
            managed = False

        class Privacy:
            none = ("id", "gone")

    try:
        assert unclassified(Planted) == [
            "planted.Planted.nickname has no privacy class",
            "planted.Planted.gone has a privacy class but is no column",
        ]
        monkeypatch.setattr(registry.apps, "get_models", lambda **options: [User, Planted])
        with pytest.raises(CommandError, match=r"Planted\.nickname has no"):
            call_command("check_privacy")
    finally:
        del apps.all_models["planted"]


def test_planted_column_of_a_known_model_is_found() -> None:
    declared = vars(ApiKey)["Privacy"]
    names = declared.content
    declared.content = ()
    try:
        assert findings() == ["tenants.ApiKey.name has no privacy class"]
    finally:
        declared.content = names


def test_two_classes_for_one_column_are_refused() -> None:
    with pytest.raises(ValueError, match="two privacy classes"):
        registry.classify("x.Y", none=("id",), personal=("id",))
    with pytest.raises(ValueError, match="nonsense"):
        registry.classify("x.Y", nonsense=("id",))


def test_tables_that_join_are_pseudonym() -> None:
    through = User.groups.through

    assert privacy_of(through) == dict.fromkeys(("id", "user", "group"), PrivacyClass.PSEUDONYM)
