import pytest

from rbee_cli.arguments import confirm, pairs
from rbee_cli.errors import UsageError


def test_pairs_become_what_they_look_like() -> None:
    given = ["gpu_type=H100", "slots=4", "ratio=0.5", "flash=true", "rack=007", "note=a=b"]
    assert pairs(given, "label") == {
        "gpu_type": "H100",
        "slots": 4,
        "ratio": 0.5,
        "flash": True,
        "rack": "007",
        "note": "a=b",
    }


@pytest.mark.parametrize("text", ["gpu_type", "=H100"])
def test_pair_without_key_or_value_names_the_form(text: str) -> None:
    with pytest.raises(UsageError, match="--label takes KEY=VALUE"):
        pairs([text], "label")


def test_program_is_not_asked() -> None:
    with pytest.raises(UsageError, match="--yes"):
        confirm("Remove it?", yes=False, as_json=True)
