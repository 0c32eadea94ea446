from collections.abc import Iterator

import pytest

from tests.acceptance import figures
from tests.system import System, running


@pytest.fixture(scope="session")
def home() -> Iterator[System]:
    """A colony in home mode that is shared by the tests of a run."""
    with running(from_nothing=True) as system:
        yield system


@pytest.fixture(scope="session")
def business() -> Iterator[System]:
    with running(business=True) as system:
        yield system


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # one of several processes of a run
        session.config.workeroutput["figures"] = figures.figures


def pytest_testnodedown(node: object) -> None:
    figures.figures |= getattr(node, "workeroutput", {}).get("figures", {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not figures.figures:
        return
    terminalreporter.section(f"figures (scale {float(figures.SCALE):g}, seed {figures.SEED})")
    for name, value in sorted(figures.figures.items()):
        terminalreporter.write_line(f"{name}: {value}")
