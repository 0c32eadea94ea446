"""`rbee price` against a running colony, and the section of the docs about it, run as it stands there."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from rbee_cli.commands.price.cards import moment, said_prices
from rbee_cli.commands.price.files import contents
from rbee_cli.commands.price.terms import changed, tiers
from rbee_cli.errors import UsageError
from tests.rbee_cli.conftest import SecureSystem

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "platform/docs/billing.md").read_text()
SECTION = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1]
EXAMPLE = ROOT / "platform/docs/examples/prices/prices.yaml"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", SECTION, re.DOTALL | re.MULTILINE)


def test_the_file_of_the_docs_is_the_example() -> None:
    assert blocks("yaml") == [EXAMPLE.read_text()]


def test_commands_of_the_docs_do_what_they_say(secure: SecureSystem) -> None:
    shutil.copy(EXAMPLE, secure.home)
    commands = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("rbee ")]
    assert len(commands) > 15
    told = {command: secure.run(*shlex.split(command)[1:]).stdout for command in commands}

    shown = told["rbee price show --versions"]
    assert re.search(r"whisper +audio_ms 0\.30 EUR per audio hour +2 +2099-01-01 00:00:00 +future", shown)
    assert re.search(r"whisper +audio_ms 0\.36 EUR per audio hour +1 .* current", shown)
    assert re.search(r"metered-usd +metered-usd +USD +metered", told["rbee price cards"])
    assert "360000000 1.20 USD per GPU hour, above 1.00 USD" in told["rbee price terms metered-usd"]
    assert re.search(r"15% +two years in advance", told["rbee price discount initech"])
    assert re.search(r"flux +new|terms +new", told["rbee price import prices.yaml --dry-run"])
    assert (
        "graduated,llama-3-405b,prompt_tokens,,0.50,EUR,1M tokens,10000000,"
        in told["rbee price export --csv"]
    )
    assert secure.run("price", "import", "prices.yaml").stdout.startswith("default says all of that already")

    future = next(
        row
        for row in secure.run_json("price", "show", "--versions", "--model", "whisper")
        if row["state"] == "future"
    )
    assert secure.run("price", "withdraw", future["id"], "--yes").returncode == 0
    assert secure.run("price", "withdraw", future["id"], "--yes", check=False).returncode == 6


def test_a_month_is_compared(secure: SecureSystem) -> None:
    secure.run("price", "create", "what-if-card", "--plan", "pro")
    secure.run("tenant", "create", "compared", "--plan", "pro")
    key = secure.run_json("key", "create", "--tenant", "compared")["key"]
    secure.run("price", "set", "rbee-mini", "requests=0.02", "--card", "what-if-card")
    secure.run("price", "terms", "what-if-card", "--minimum", "0")  # its own: the default's may have one
    month = secure.run_json("price", "show", "what-if-card", "--versions")[0]["valid_from"][:7]
    paid = secure.run_json("price", "list", "--tenant", "compared")["data"]
    assert [row["shown"] for row in paid if row["model"] == "rbee-mini"] == [
        {"requests": "0.02 EUR per request"}
    ]
    secure.run_as(key, "chat", "Hi", "--max-tokens", "3")

    (secure.home / "dearer.yaml").write_text("prices: [{model: rbee-mini, requests: 0.03}]\n")
    arguments = ("price", "what-if", "dearer.yaml", "--month", month, "--tenant", "compared")
    for _ in range(50):
        compared = secure.run_json(*arguments)
        if compared["rows"]:
            break
    assert compared["rows"] == [
        {"tenant": "compared", "model": "rbee-mini", "was_micros": 20_000, "would_be_micros": 30_000, "difference_micros": 10_000}
    ]  # fmt: skip
    assert re.search(r"all +- +0\.02 +0\.03 +0\.01", secure.run(*arguments).stdout)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["set", "m"], 2),
        (["set", "m", "prompt_tokens"], 2),
        (["set", "m", "prompt_tokens=0.00000001"], 2),
        (["set", "m", "prompt_tokens=1", "--from", "yesterday"], 2),
        (["set", "m", "--free", "--card", "no-such"], 5),
        (["create", "x", "--plan", "no-such"], 2),
        (["terms", "--discount", "200%"], 2),
        (["terms", "--from", "2099-01-01"], 2),
        (["discount", "no-such", "5%", "--reason", "x"], 5),
        (["discount", "operator", "5%"], 2),
        (["import", "no-such.yaml"], 2),
        (["import", "prices.toml"], 2),
        (["what-if", "no-such.csv", "--month", "2026-10"], 2),
        (["withdraw", "no-uuid", "--yes"], 5),
    ],
)
def test_what_makes_no_sense_is_one_line(secure: SecureSystem, arguments: list[str], code: int) -> None:
    done = secure.run("price", *arguments, check=False)

    assert (done.returncode, len(done.stderr.splitlines()), done.stdout) == (code, 1, ""), done.stderr


def test_words_of_the_command_line_are_taken_apart(tmp_path: Path) -> None:
    assert said_prices(["images=0.04 per image"]) == {"images": "0.04 per image"}
    assert (moment("2027-01-01"), moment("2027-01-01T12:00:00Z")) == (
        "2027-01-01T00:00:00Z",
        "2027-01-01T12:00:00Z",
    )
    assert tiers("0.5 up to 10, 0.4") == [{"price": "0.5", "up_to": "10"}, {"price": "0.4"}]
    for twice in (["images=1", "images=2"], ["=1"]):
        with pytest.raises(UsageError):
            said_prices(twice)
    (tmp_path / "binary.csv").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="cannot be read"):
        contents(str(tmp_path / "binary.csv"))


def test_terms_that_are_not_named_stay() -> None:
    said = dict.fromkeys(("subscription", "minimum", "discount"), "")
    one = {"model": "m", "unit": "images", "mode": "volume", "tiers": [{"price": "1"}]}
    last = {"discount": "5%", "minimum": "9.00", "tiered": [one]}

    assert changed(last, said | {"discount": "none"}, ["*:images=5"], None, None) == {
        "minimum": "9.00",
        "tiered": [one],
        "included": [{"model": "*", "unit": "images", "quantity": "5"}],
    }
    assert changed(last, said, None, ["m:images=2"], None)["tiered"] == [
        {**one, "mode": "graduated", "tiers": [{"price": "2"}]}
    ]
    assert "tiered" not in changed(last, said, None, None, ["m:images=none"])
    with pytest.raises(UsageError, match="MODEL:UNIT"):
        changed(last, said, ["images=5"], None, None)
