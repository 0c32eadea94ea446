"""A customer tops up: the command prints a page, a real browser pays on it, and the balance has the money.

The page and the webhook are emulate's. It leaves out of a session what was paid and by which payment, and of an event its
envelope; what stands between adds these, as Stripe documents them, and signs again. Everything of rbee's is as it runs.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import httpx
import pytest
from aiohttp import web

from tests.acceptance.figures import SCALE
from tests.billing.stripe.proxy import proxy_to
from tests.billing.stripe.standins import SECRET_KEY, WEBHOOK_SECRET, browser, emulate
from tests.factories.stripe import event, signed
from tests.system import System, free_port

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(SCALE < 1, reason="a browser and a colony: `make accept-billing` starts them"),
]

PAY = """
import sys
from playwright.sync_api import sync_playwright
with sync_playwright() as p:
    browser = p.chromium.launch(executable_path=sys.argv[1], args=["--no-sandbox"])
    page = browser.new_page()
    page.goto(sys.argv[2])
    print(page.locator(".checkout-total").inner_text())
    page.fill("input[name=email]", "buyer@example.org")
    page.click("button.checkout-pay-btn")
    page.wait_for_url("**checkout=paid**")
    print(page.url)
    browser.close()
"""


class StripeSystem(System):
    stripe_url = ""

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "RBEE_STRIPE_SECRET_KEY": SECRET_KEY,
            "RBEE_STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "RBEE_STRIPE_API_URL": self.stripe_url,
        }


class Relay:
    """Takes emulate's webhooks, gives them an envelope, and delivers each three times to the queen."""

    def __init__(self) -> None:
        self.queen = ""
        self.statuses: list[int] = []

    async def handle(self, request: web.Request) -> web.Response:
        told = json.loads(await request.read())
        body, signature = signed(event(told["type"], told["data"]["object"]))
        async with httpx.AsyncClient() as client:
            for _ in range(3):
                answer = await client.post(
                    f"{self.queen}/stripe/webhook", content=body, headers={"stripe-signature": signature}
                )
                self.statuses.append(answer.status_code)
        return web.Response()


@contextmanager
def relay() -> Iterator[tuple[Relay, str]]:
    relay, port, loop, ready = Relay(), free_port(), asyncio.new_event_loop(), threading.Event()

    def run() -> None:
        asyncio.set_event_loop(loop)
        application = web.Application()
        application.router.add_post("/", relay.handle)
        runner = web.AppRunner(application, access_log=None)
        loop.run_until_complete(runner.setup())
        loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", port).start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield relay, f"http://127.0.0.1:{port}/"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


class Prices:
    """emulate knows prices by their names only: a price that is given whole is made there first."""

    def __init__(self) -> None:
        self.target = ""
        self.amounts: list[int] = []

    def change(self, path: str, body: bytes) -> bytes:
        if path != "/v1/checkout/sessions":
            return body
        said = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        line = "line_items[0][price_data]"
        self.amounts.append(int(said[f"{line}[unit_amount]"]))
        auth = {"authorization": f"Bearer {SECRET_KEY}"}
        with httpx.Client(base_url=self.target, headers=auth) as stripe:
            product = stripe.post("/v1/products", data={"name": said[f"{line}[product_data][name]"]}).json()[
                "id"
            ]
            made = stripe.post("/v1/prices", data={"product": product, "currency": said[f"{line}[currency]"],
                                                   "unit_amount": said[f"{line}[unit_amount]"]}).json()  # fmt: skip
        kept = {name: value for name, value in said.items() if not name.startswith(line)}
        return urlencode({**kept, "line_items[0][price]": made["id"]}).encode()

    def amend(self, path: str, answer: dict[str, Any]) -> dict[str, Any]:
        if not path.startswith("/v1/checkout/sessions/") or answer.get("status") != "complete":
            return answer
        intent = {"id": f"pi_{answer['id']}", "object": "payment_intent", "payment_method": "pm_emulate",
                  "setup_future_usage": "off_session"}  # fmt: skip
        return {**answer, "amount_total": self.amounts[-1], "currency": "eur", "payment_intent": intent,
                "total_details": {"amount_tax": 0}}  # fmt: skip


def test_page_is_paid_in_a_browser_and_the_balance_has_it_once() -> None:
    chromium, python = browser()
    prices = Prices()
    with relay() as (hook, hook_url), emulate(hook_url) as url:
        prices.target = url
        with (
            proxy_to(url, change=prices.change, amend=prices.amend) as proxy,
            tempfile.TemporaryDirectory(prefix="rbee-") as folder,
        ):
            Path(folder).chmod(0o755)
            system = StripeSystem(Path(folder) / "data", business=True)
            system.stripe_url = proxy.url
            try:
                hook.queen = system.start().url
                pay(system, chromium, python)
            finally:
                system.stop()
    assert hook.statuses
    assert set(hook.statuses) == {200}


def pay(system: System, chromium: str, python: str) -> None:
    system.run("tenant", "create", "acme")
    page = system.run("billing", "topup", "25", "--save-card", "--tenant", "acme").stdout.strip()
    done = subprocess.run(
        [python, "-c", PAY, chromium, page], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    total, led_to = done.stdout.splitlines()
    assert "25.00" in total
    assert led_to.startswith(system.url)
    deadline = time.monotonic() + 60
    while not (payments := system.run_json("billing", "payments", "--tenant", "acme")):
        assert time.monotonic() < deadline, system.output[-3000:]
        time.sleep(0.5)
    time.sleep(3)  # for what is told twice
    payments = system.run_json("billing", "payments", "--tenant", "acme")
    assert isinstance(payments, list)
    assert [(one["amount_micros"], one["status"], one["currency"]) for one in payments] == [
        (25_000_000, "succeeded", "EUR")
    ]
    # The card is there for later.
    system.run(
        "billing",
        "auto-recharge",
        "--below",
        "10",
        "--amount",
        "50",
        "--month-max",
        "200",
        "--tenant",
        "acme",
    )
    said = system.run_json("billing", "auto-recharge", "--tenant", "acme")
    assert isinstance(said, dict)
    assert said["on"] is True
