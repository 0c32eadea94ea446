from tests.rbee_cli.conftest import SecureSystem


def test_balance_is_shown(secure: SecureSystem) -> None:
    secure.run("tenant", "create", "saver")

    rows = secure.run_json("billing", "balance", "--tenant", "saver")

    assert [(row["tenant"], row["mode"], row["balance_micros"], row["available_micros"]) for row in rows] == [
        ("saver", "postpaid", 0, None)
    ]
    shown = secure.run("billing", "balance", "--tenant", "saver").stdout.splitlines()
    assert shown[1].split() == [
        "saver",
        "postpaid",
        "active",
        "0.000000",
        "EUR",
        "0.000000",
        "EUR",
        "no",
        "limit",
    ]
    absent = secure.run("billing", "balance", "--tenant", "nobody", check=False)
    assert (absent.returncode, len(absent.stderr.splitlines())) == (5, 1)
