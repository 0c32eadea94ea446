"""The pages in a real browser, with a queen that runs: what only a browser shows, such as whether our own policy lets our
own scripts run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from tests.factories.tenants import PASSWORD, make_key, make_member, make_project
from tests.inference.api.conftest import Colony, _business, _database, business
from tests.rbee.dashboard.chromium import chromium, why_not

__all__ = ["_business", "_database", "business"]

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    with chromium(tmp_path) as driver:
        yield driver


def field(browser: Chrome, label: str):  # type: ignore[no-untyped-def]
    """As people and screen readers find it."""
    found = browser.find_element(By.XPATH, f"//label[normalize-space()='{label}']")
    return browser.find_element(By.ID, found.get_attribute("for"))


def press(browser: Chrome, text: str) -> None:
    browser.find_element(By.XPATH, f"//main//*[self::button or self::a][normalize-space()='{text}']").click()


def says(browser: Chrome, text: str) -> bool:
    return bool(browser.find_elements(By.XPATH, f"//main//*[contains(., '{text}')]"))


def log_in(browser: Chrome, colony: Colony, email: str) -> None:
    browser.get(f"{colony.url}/dashboard/keys")
    browser.find_element(By.NAME, "login").send_keys(email)
    browser.find_element(By.NAME, "password").send_keys(PASSWORD, "\n")
    assert says(browser, "API keys")


def test_key_is_made_copied_used_filtered_and_revoked(business: Colony, browser: Chrome) -> None:
    project = make_project()
    other = make_project(project.tenant)
    make_key(other, name="of another project")
    log_in(browser, business, make_member(project.tenant, "developer").user.email)

    press(browser, "Make a key")
    press(browser, "Make the key")
    assert says(browser, "Nothing was saved")
    assert field(browser, "Name").get_attribute("aria-invalid") == "true"
    field(browser, "Name").send_keys("from a browser")
    Select(field(browser, "Project")).select_by_value(project.slug)
    press(browser, "Make the key")

    secret = field(browser, "The key").get_attribute("value")
    assert business.call(secret).get("/v1/models").status_code == 200
    press(browser, "Copy")
    Colony.wait_for(lambda: says(browser, "Copied"))
    browser.refresh()  # sends the form again
    assert says(browser, "done before")
    assert secret not in browser.page_source

    press(browser, "Go to from a browser")
    browser.get(f"{business.url}/dashboard/keys")
    assert says(browser, "of another project")
    Select(field(browser, "Project")).select_by_value(project.slug)  # no button is pressed
    Colony.wait_for(lambda: not browser.find_elements(By.LINK_TEXT, "of another project"))
    assert f"project={project.slug}" in browser.current_url
    browser.find_element(By.LINK_TEXT, "from a browser").click()
    press(browser, "Revoke")
    press(browser, "Revoke for good")
    assert says(browser, "revoked")
    assert business.call(secret).get("/v1/models").status_code == 401
    kept = browser.execute_script("return JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert secret not in kept
    assert "from a browser" not in kept
    assert problems(browser) == []


def problems(browser: Chrome) -> list[str]:
    """What the browser complains of, such as a script that our policy does not let run. Answers with an error are no
    complaint."""
    return [
        entry["message"]
        for entry in browser.get_log("browser")
        if entry["level"] in {"SEVERE", "WARNING"} and "status of 4" not in entry["message"]
    ]
