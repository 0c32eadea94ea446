"""A month in two customers' lives, by the command line, OpenAI's own client and the papers that come of it: the same numbers
wherever one looks, to the micro-unit."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import openai
import pytest
from pypdf import PdfReader

from tests.acceptance.core.test_settlement import usage_events
from tests.acceptance.figures import note
from tests.system import System, running

pytestmark = pytest.mark.timeout(900)

INPUT, OUTPUT = 1000, 2000  # euros for a million: a token costs 1 000 and 2 000 micro-units
MICRO, CENT = 1_000_000, 10_000


@pytest.fixture(scope="module")
def colony() -> Iterator[System]:
    with running(business=True) as system:
        system.run("billing", "seller", "set", "--legal-name", "GPU Farm B.V.", "--address", "Dam 1, 1012 JS Amsterdam",
                   "--country", "NL", "--vat-id", "NL123456782B90", "--iban", "NL91ABNA0417164300",
                   "--payment-term-days", "0")  # fmt: skip
        system.run("model", "add", "builtin:rbee-mini", "--name", "priced", "--input-price", str(INPUT),
                   "--output-price", str(OUTPUT))  # fmt: skip
        yield system


class Customer:
    def __init__(self, system: System, slug: str, mode: str) -> None:
        self.system, self.slug = system, slug
        system.run("tenant", "create", slug)
        system.run("billing", "set", slug, "--mode", mode, "--country", "NL", "--legal-name", f"{slug} B.V.")
        made = system.run_json("key", "create", "--name", "app", "--tenant", slug)
        self.openai = openai.OpenAI(base_url=f"{system.url}/v1", api_key=made["key"], max_retries=0)
        self.tokens: dict[str, tuple[int, int]] = {}  # by task, what the customer was told

    def ask(self) -> None:
        said = self.openai.chat.completions.create(
            model="priced", max_tokens=20, messages=[{"role": "user", "content": "Tell me a story."}]
        )
        assert said.usage is not None
        task = said.id.removeprefix("chatcmpl-")
        self.tokens[task] = (said.usage.prompt_tokens, said.usage.completion_tokens)

    @property
    def cost(self) -> int:
        """By what the customer was told alone."""
        return sum(prompt * INPUT + answer * OUTPUT for prompt, answer in self.tokens.values())

    def account(self) -> Any:
        return self.system.run_json("billing", "show", self.slug)

    @property
    def has(self) -> int:
        """Whether in a slice or not."""
        return sum(each["balance_micros"] + each["reserved_micros"] for each in self.account()["balances"])

    def wait_settled(self) -> None:
        wait_for(lambda: self.tokens.keys() <= usage_events(self.system).keys())

    def pay(self, euros: str, reference: str) -> None:
        self.system.run("billing", "pay", self.slug, "--amount", euros, "--reference", reference)

    def papers(self, kind: str) -> list[dict[str, Any]]:
        return self.system.run_json("invoice", "list", "--tenant", self.slug, "--kind", kind)

    def pdf(self, number: str) -> str:
        path = self.system.data_dir.parent / f"{number}.pdf"
        self.system.run("invoice", "pdf", number, "--output", str(path))
        return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(path.read_bytes())).pages)


def wait_for(is_so: Callable[[], Any], timeout_s: float = 60) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := is_so()):
        assert time.monotonic() < deadline, f"not after {timeout_s} s"
        time.sleep(0.5)
    return found


def euros(micros: int) -> str:
    """As papers have it: the coins of half a cent go to the even one."""
    cents = round(micros / CENT)
    return f"{cents // 100}.{cents % 100:02d}"


def test_who_pays_before_asks_until_the_money_is_used(colony: System) -> None:
    acme = Customer(colony, "acme", "prepaid")
    with pytest.raises(openai.APIStatusError) as refused:
        acme.ask()
    assert (refused.value.status_code, refused.value.code) == (402, "insufficient_quota")

    acme.pay("6.05", "BANK-1")
    (receipt,) = acme.papers("receipt")
    assert (receipt["net_minor"], receipt["tax_minor"], receipt["gross_minor"]) == (500, 105, 605)
    assert acme.has == 5 * MICRO
    ask_until_refused(acme)
    acme.wait_settled()

    # The customer's own sum, the ledger, the usage report and the balance are one number.
    events = {task: event for task, event in usage_events(colony).items() if task in acme.tokens}
    assert {task: (int(event["prompt_tokens"]), int(event["completion_tokens"])) for task, event in events.items()} == (
        acme.tokens
    )  # fmt: skip
    assert sum(int(event["amount"]) for event in events.values()) == acme.cost
    report = colony.run_json(
        "usage", "--month", f"{datetime.now(UTC):%Y-%m}", "--tenant", "acme", "--by", "model"
    )
    assert sum(row["amount_micros"] for row in report) == acme.cost
    assert acme.has == 5 * MICRO - acme.cost
    task = next(iter(acme.tokens))
    assert colony.run_json("billing", "explain", task)["differences"] == []

    (statement,) = colony.run_json("invoice", "issue", "acme")
    assert (statement["kind"], statement["status"]) == ("statement", "paid")
    shown = colony.run_json("invoice", "show", statement["number"])
    quantities = {line["unit"]: line["quantity"] for line in shown["lines"] if line["kind"] == "usage"}
    assert (quantities["prompt_tokens"], quantities["completion_tokens"]) == (
        sum(prompt for prompt, _ in acme.tokens.values()),
        sum(answer for _, answer in acme.tokens.values()),
    )
    stated = sum(line["amount_minor"] for line in shown["lines"])
    assert abs(stated * CENT - acme.cost) <= CENT * len(shown["lines"])
    text = acme.pdf(statement["number"])
    for said in (statement["number"], "acme B.V.", "GPU Farm B.V.", f"{quantities['completion_tokens']:,}"):
        assert said in text
    assert "6.05" in acme.pdf(receipt["number"])
    named = colony.run_json("billing", "explain", task)["invoices"]
    assert [each["number"] for each in named] == [statement["number"]]
    assert acme.has == 5 * MICRO - acme.cost  # a statement asks for nothing
    note("whole story: tasks until 402", len(acme.tokens))
    books_agree(colony)


def ask_until_refused(customer: Customer) -> None:
    def go_on() -> None:
        for _ in range(1000):
            customer.ask()

    with pytest.raises(openai.APIStatusError) as refused:
        go_on()
    assert (refused.value.status_code, refused.value.code) == (402, "insufficient_quota")


def test_who_pays_afterwards_is_reminded_until_the_invoice_is_paid(colony: System) -> None:
    lumon = Customer(colony, "lumon", "postpaid")
    for _ in range(5):
        lumon.ask()
    lumon.wait_settled()
    assert lumon.has == -lumon.cost

    (invoice,) = colony.run_json("invoice", "issue", "lumon")

    assert invoice["status"] == "open"
    assert invoice["gross_minor"] == invoice["net_minor"] + invoice["tax_minor"]
    assert invoice["tax_minor"] == round(invoice["net_minor"] * 21 / 100)
    assert abs(invoice["net_minor"] * CENT - lumon.cost) <= 2 * CENT  # two lines, each to a cent
    assert lumon.has == -invoice["gross_minor"] * CENT
    owed = euros(invoice["gross_minor"] * CENT)
    text = lumon.pdf(invoice["number"])
    assert re.search(rf"Please pay {owed} EUR", text)
    assert "NL91" in text.replace(" ", "")

    # Due at once by the seller's terms: the next look at what is overdue warns, and everything works.
    wait_for(lambda: lumon.account()["state"] == "past_due", timeout_s=120)
    lumon.ask()
    lumon.pay(owed, "BANK-2")
    assert [each["status"] for each in lumon.papers("invoice")] == ["paid"]
    wait_for(lambda: lumon.account()["state"] == "active", timeout_s=60)
    lumon.wait_settled()
    later = list(lumon.tokens.values())[-1]
    assert lumon.has == -(later[0] * INPUT + later[1] * OUTPUT)
    books_agree(colony)


def books_agree(system: System) -> None:
    report = system.run_json("billing", "reconcile", "--day", f"{datetime.now(UTC):%Y-%m-%d}")
    assert (report["differences"], report["rows"]) == (0, [])
