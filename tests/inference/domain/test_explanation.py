from __future__ import annotations

import re
from pathlib import Path

from inference.enums import LeftBecause
from rbee_cli.commands.task import WHY

POLICIES = Path(__file__).parents[3] / "platform/docs/policies.md"


def test_every_reason_is_in_the_reference_and_has_words_on_the_command_line() -> None:
    (table,) = re.findall(r"<!-- reasons -->(.*?)<!-- end -->", POLICIES.read_text(), re.DOTALL)

    assert set(re.findall(r"`([a-z_]+)`", table)) == set(LeftBecause.values) == set(WHY)
