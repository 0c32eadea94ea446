"""A real browser, where there is one: Chromium and its driver, on PATH or named by RBEE_CHROMIUM and RBEE_CHROMEDRIVER.
Neither is installed by `make`: that takes a package manager and its rights."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions, ChromeService

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# One for tests: it calls nobody but the page under test.
ARGUMENTS = (
    "--headless=new", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


def find_chromium() -> str | None:
    return os.environ.get("RBEE_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


def find_driver() -> str | None:
    return os.environ.get("RBEE_CHROMEDRIVER") or shutil.which("chromedriver")


def why_not() -> str:
    """Empty where there is all that it takes."""
    if not find_chromium():
        return f"no browser: put one of {', '.join(NAMES)} on PATH, or its path into RBEE_CHROMIUM"
    if not find_driver():
        return "no chromedriver on PATH (Debian: chromium-driver), and none in RBEE_CHROMEDRIVER"
    return ""


@contextmanager
def chromium(profile: Path, *, width: int = 1280, height: int = 900) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = find_chromium() or ""
    for argument in (*ARGUMENTS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # which refuses to run as root
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=ChromeService(find_driver()))
    try:
        driver.implicitly_wait(5)
        yield driver
    finally:
        driver.quit()
