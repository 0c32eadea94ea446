"""The pages of data protection in a real browser, with a queen that runs and somebody who works on requests."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from django.conf import settings
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from gdpr.domain.requests import go_on, work_requests
from inference.domain.erasures import erasures_of, note_forgotten
from tests.factories.tenants import make_member, make_project
from tests.inference.api.conftest import Colony, _business, _database, business
from tests.rbee.dashboard.chromium import chromium, why_not
from tests.rbee.dashboard.test_chromium import field, log_in, press, problems, says

__all__ = ["_business", "_database", "business"]

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


@pytest.fixture
def folder(business: Colony, tmp_path: Path) -> Iterator[Path]:
    before = settings.RBEE
    settings.RBEE = dataclasses.replace(before, data_dir=tmp_path / "data")
    yield tmp_path
    settings.RBEE = before


@pytest.fixture
def browser(folder: Path) -> Iterator[Chrome]:
    with chromium(folder / "profile") as driver:
        driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)}
        )
        yield driver


def test_end_user_is_exported_and_erased_while_the_page_looks(
    business: Colony, browser: Chrome, folder: Path
) -> None:
    tenant = make_project().tenant
    log_in(browser, business, make_member(tenant, "owner").user.email)
    browser.find_element(By.LINK_TEXT, "Personal data").click()

    field(browser, "Name of the end user").send_keys("ada@example.com")
    press(browser, "Export the end user")
    assert says(browser, "made in the background")
    work_requests(60)  # nobody reloads the page
    Colony.wait_for(lambda: says(browser, "Download the archive"))
    press(browser, "Download the archive")
    Colony.wait_for(lambda: list(folder.glob("rbee-export-*.zip")))
    with zipfile.ZipFile(next(folder.glob("rbee-export-*.zip"))) as archive:
        assert "manifest.json" in archive.namelist()

    browser.find_element(By.LINK_TEXT, "Personal data").click()
    press(browser, "Erase an end user")
    field(browser, "Name of the end user").send_keys("ada@example.com")
    field(browser, "Write it once more to confirm").send_keys("eve@example.com")
    press(browser, "Erase the end user")
    assert says(browser, "This is another name.")
    again = field(browser, "Write it once more to confirm")
    again.clear()
    again.send_keys("ada@example.com")
    press(browser, "Erase the end user")
    work_requests(60)
    Colony.wait_for(lambda: says(browser, business.hive.row.name))  # it is waited for
    for hive in business.hives:
        for request_id in note_forgotten(hive.row, [UUID(one.id) for one in erasures_of(hive.row)]):
            go_on(request_id)
    work_requests(60)
    Colony.wait_for(lambda: says(browser, "Download the certificate"))

    browser.find_element(By.LINK_TEXT, "Personal data").click()
    Select(field(browser, "Kind")).select_by_value("export")  # no button is pressed
    Colony.wait_for(lambda: len(browser.find_elements(By.CSS_SELECTOR, "#found tbody tr")) == 1)
    assert problems(browser) == []
