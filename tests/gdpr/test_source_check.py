from pathlib import Path

import pytest
from celery import current_app, shared_task
from django.core.management import CommandError, call_command

from gdpr import log_fields, source_check
from gdpr.registry import PrivacyClass


def test_source_holds_nothing_that_nobody_declared() -> None:
    assert source_check.findings() == []
    assert len(source_check.sources()) > 300


@pytest.mark.parametrize(
    "source",
    [
        'KEY = "rbee:planted"',
        'KEY = f"rbee:planted:{tenant}"',
        'KEY = f"rbee:lim:{tenant}:a:b:c:d:e:f:g:h"',
        'key = f"{hive.prefix}planted"',
        'key = f"{self.prefix}planted:{task}"',
    ],
)
def test_key_that_nobody_declared_is_found(tmp_path: Path, source: str) -> None:
    (tmp_path / "planted.py").write_text(source)

    found = source_check.undeclared_keys([tmp_path / "planted.py"])

    assert len(found) == 1
    assert "is not declared" in found[0]


@pytest.mark.parametrize(
    "source",
    ['KEY = "rbee:epoch"', 'key = f"rbee:slice:{x}"', 'key = f"{hive.prefix}state"', 'print(f"rbee: {error}")',
     '"""rbee:epoch names the life of counters"""', 'PREFIX = "rbee:slice:"'],
)  # fmt: skip
def test_declared_keys_and_sentences_pass(tmp_path: Path, source: str) -> None:
    (tmp_path / "planted.py").write_text(source)

    assert source_check.undeclared_keys([tmp_path / "planted.py"]) == []


def test_chore_with_an_argument_is_found() -> None:
    @shared_task(name="planted.chore")
    def planted(email: str) -> None: ...

    try:
        planted()  # type: ignore[call-arg]
    except TypeError:
        pass
    try:
        assert source_check.chores_with_arguments() == [
            "the chore planted.chore takes email: its messages would hold what is in no data map"
        ]
    finally:
        current_app.tasks.unregister("planted.chore")


def test_log_field_without_a_class_breaks_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "planted.py").write_text(
        '_log.warning("%s asked for %s", type(error).__name__, request.prompt)\n_log.info(f"{prompt}")\n'
    )
    calls = log_fields.calls_in([tmp_path / "planted.py"])

    assert [line.partition(": ")[2] for line in log_fields.unclassified(calls)] == [
        "the log field request.prompt has no privacy class in gdpr.log_fields",
        "a log message is built before it is given: pass what varies as arguments",
    ]
    real = source_check.sources()
    monkeypatch.setattr(source_check, "sources", lambda: [*real, tmp_path / "planted.py"])
    with pytest.raises(CommandError, match=r"request\.prompt"):
        call_command("check_privacy")


def test_class_of_a_log_field_that_no_call_has_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(log_fields.FIELDS, PrivacyClass.SECRET, ("planted.gone",))

    calls = log_fields.calls_in(source_check.sources())

    assert log_fields.unused(calls) == ["gdpr.log_fields: no log call has planted.gone"]


def test_identifiers_are_pseudonyms_and_kinds_of_errors_are_nothing() -> None:
    assert log_fields.class_of("type(error).__name__") is PrivacyClass.NONE
    assert log_fields.class_of("stream.task") is PrivacyClass.PSEUDONYM
    assert log_fields.class_of("request.body") is None
