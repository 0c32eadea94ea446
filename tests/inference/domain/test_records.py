import re
from pathlib import Path

import pytest

from hive_agent.protocol import Endpoint
from inference.domain.records import customer_record, task_record
from tests.inference.domain.lane import Lane, make_task

PAGE = Path(__file__).resolve().parents[3] / "platform" / "docs" / "policies.md"


def documented(kind: str) -> set[str]:
    """The names before anything in parentheses, in the paragraph of that kind."""
    paragraph = PAGE.read_text().split(f"**{kind}**:")[1].split("\n\n")[0]
    return set(re.findall(r"`([a-z_]+)`", re.sub(r"\([^)]*\)", "", paragraph)))


async def test_every_field_of_a_worker_is_in_the_docs(lane: Lane) -> None:
    assert set(lane.colony.workers[0].record.fields()) == documented("worker")


def test_every_field_of_a_task_and_a_customer_is_in_the_docs() -> None:
    task = make_task()

    assert set(task_record(task, kind="text-gen", priority="normal").fields()) == documented("task")
    assert set(customer_record(task.caller, tokens_used_today=0).fields()) == documented("customer")


@pytest.mark.parametrize("endpoint", Endpoint)
def test_every_endpoint_is_in_the_docs(endpoint: Endpoint) -> None:
    assert f"`{endpoint}`" in PAGE.read_text()
