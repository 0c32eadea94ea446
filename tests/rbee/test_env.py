import base64
import contextlib
import ipaddress
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from rbee.env import VARIABLES, read_env

ROOT = Path(__file__).parents[2]
SECRET = bytes(range(32))


def test_defaults_are_a_home_on_loopback() -> None:
    env = read_env({})

    assert (env.mode, env.host, env.port, env.public_url) == (
        "home",
        "127.0.0.1",
        7833,
        "http://127.0.0.1:7833",
    )
    assert (env.task_timeout_s, env.log_level, env.lan_ranges, env.local_hosts) == (600, "info", (), ())
    assert env.scheduler_file == Path.home() / ".config/rbee/scheduler.rhai"
    assert not env.is_business


def test_every_variable_is_read() -> None:
    env = read_env({
        "RBEE_MODE": "Business",
        "RBEE_DATABASE_URL": "postgresql://app:p%40ss@db:5433/rbee",
        "RBEE_DATABASE_OWNER_URL": "postgresql://owner:x@db:5433/rbee",
        "RBEE_REDIS_URL": "redis://default:secret@10.0.0.1:6390/0",
        "RBEE_SECRET_KEY": SECRET.hex(),
        "RBEE_DATA_DIR": "/srv/rbee",
        "RBEE_HOST": "0.0.0.0",
        "RBEE_PORT": " 8000 ",
        "RBEE_LAN_RANGES": "192.168.1.0/24, fd00::/8",
        "RBEE_LOCAL_HOSTS": "Tower.local, nas",
        "RBEE_TRUSTED_PROXIES": "10.1.0.0/16, fd01::1",
        "RBEE_SCHEDULER_FILE": "~/s.rhai",
        "RBEE_LOG_LEVEL": "WARNING",
        "RBEE_TASK_TIMEOUT_S": "30",
        "RBEE_OUTBOUND_HTTP": "1",
        "RBEE_OUTBOUND_ALLOW": "10.20.0.0/16",
        "RBEE_OUTBOUND_PORTS": "443, 9000-9100",
        "RBEE_OUTBOUND_PROXY": "http://proxy:3128",
    })  # fmt: skip
    assert [str(network) for network in env.trusted_proxies] == ["10.1.0.0/16", "fd01::1/128"]
    assert env.outbound_http
    assert env.outbound_allow == (ipaddress.ip_network("10.20.0.0/16"),)
    assert env.outbound_ports == ((443, 443), (9000, 9100))
    assert env.outbound_proxy == "http://proxy:3128"

    assert env.is_business
    assert (env.port, env.public_url) == (8000, "http://127.0.0.1:8000")
    assert env.hive_redis_url == "redis://queen:6390/0"  # without the queen's password
    assert env.celery_broker_url == env.redis_url
    assert env.secret_key == SECRET
    assert env.lan_ranges == (ipaddress.ip_network("192.168.1.0/24"), ipaddress.ip_network("fd00::/8"))
    assert env.local_hosts == ("tower.local", "nas")
    assert (env.data_dir, env.scheduler_file) == (Path("/srv/rbee"), Path.home() / "s.rhai")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RBEE_MODE", "office"),
        ("RBEE_DATABASE_URL", "mysql://u@h/d"),
        ("RBEE_DATABASE_URL", "postgresql://host/rbee"),
        ("RBEE_DATABASE_URL", "postgresql://user@host"),
        ("RBEE_REDIS_URL", "redis://"),
        ("RBEE_REDIS_URL", "redis://host:99999/0"),
        ("RBEE_SECRET_KEY", "short"),
        ("RBEE_SECRET_KEY", "00" * 31),
        ("RBEE_DATA_DIR", "~nobody-of-that-name/rbee"),
        ("RBEE_OUTBOUND_HTTP", "perhaps"),
        ("RBEE_OUTBOUND_ALLOW", "intranet"),
        ("RBEE_OUTBOUND_PORTS", "0"),
        ("RBEE_OUTBOUND_PORTS", "9000-8000"),
        ("RBEE_OUTBOUND_PORTS", "443-70000"),
        ("RBEE_OUTBOUND_PROXY", "socks5://proxy:1080"),
        ("RBEE_HOST", "http://here"),
        ("RBEE_PORT", "0"),
        ("RBEE_PORT", "65536"),
        ("RBEE_PORT", "a port"),
        ("RBEE_PUBLIC_URL", "ftp://here"),
        ("RBEE_LAN_RANGES", "192.168.1.5/24"),
        ("RBEE_LAN_RANGES", "home"),
        ("RBEE_LOCAL_HOSTS", "http://tower"),
        ("RBEE_TRUSTED_PROXIES", "all"),
        ("RBEE_LOG_LEVEL", "loud"),
        ("RBEE_TASK_TIMEOUT_S", "-1"),
        ("RBEE_TASK_TIMEOUT_S", "1.5"),
    ],
)
def test_nonsense_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"^{name} takes ") as refused:
        read_env({name: value})
    assert "\n" not in str(refused.value)
    assert VARIABLES[name].takes in str(refused.value)


def test_secret_is_not_repeated_in_an_error() -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        read_env({"RBEE_SECRET_KEY": "hunter2"})
    assert "hunter2" not in str(refused.value)


@given(
    st.text(st.characters(categories=["L", "N", "P", "S", "Z"]), max_size=40),
    st.sampled_from(sorted(VARIABLES)),
)
def test_any_value_is_taken_or_refused(value: str, name: str) -> None:
    with contextlib.suppress(ImproperlyConfigured):
        read_env({name: value})


def test_every_variable_is_in_the_docs() -> None:
    operating = (ROOT / "platform/docs/operating.md").read_text()

    assert [name for name in VARIABLES if f"`{name}`" not in operating] == []


def test_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ImproperlyConfigured, match="did you mean RBEE_DATABASE_URL"):
        read_env({"RBEE_DATABSE_URL": "x"})
    with pytest.raises(ImproperlyConfigured, match=r"^RBEE_NONSENSE is not a setting of rbee$"):
        read_env({"RBEE_NONSENSE": "1"})
    read_env({"RBEE_API_KEY": "of the command line", "RBEE_ACCEPT_SEED": "1", "PATH": "/bin"})


@pytest.mark.parametrize(
    "text",
    [SECRET.hex(), base64.b64encode(SECRET).decode(), base64.urlsafe_b64encode(SECRET).decode().rstrip("=")],
)
def test_secret_key_in_hex_or_base64(text: str) -> None:
    assert read_env({"RBEE_SECRET_KEY": text}).secret_key == SECRET


def test_secret_key_as_python_makes_them() -> None:
    assert len(read_env({"RBEE_SECRET_KEY": secrets.token_urlsafe(32)}).secret_key) == 32


def test_secret_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(SECRET.hex() + "\n")

    assert read_env({"RBEE_SECRET_KEY_FILE": str(path)}).secret_key == SECRET
    with pytest.raises(ImproperlyConfigured, match="both set"):
        read_env({"RBEE_SECRET_KEY_FILE": str(path), "RBEE_SECRET_KEY": SECRET.hex()})


def test_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        ImproperlyConfigured, match=r"^RBEE_REDIS_URL_FILE names .* cannot be read: No such file"
    ):
        read_env({"RBEE_REDIS_URL_FILE": str(tmp_path / "none")})
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ImproperlyConfigured, match="is empty"):
        read_env({"RBEE_REDIS_URL_FILE": str(tmp_path / "empty")})
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ImproperlyConfigured, match="not text"):
        read_env({"RBEE_REDIS_URL_FILE": str(tmp_path / "binary")})


def test_require_names_what_is_missing() -> None:
    env = read_env({"RBEE_SECRET_KEY": SECRET.hex()})

    env.require("secret_key")
    with pytest.raises(ImproperlyConfigured, match=r"^RBEE_DATABASE_URL is not set; it takes a URL"):
        env.require("secret_key", "database_url")


@pytest.mark.parametrize(
    ("argv", "environ", "said"),
    [
        (["manage.py", "check"], {"RBEE_PORT": "x"}, "rbee: RBEE_PORT takes a port from 1 to 65535, not 'x'"),
        (["manage.py", "migrate"], {}, "rbee: RBEE_DATABASE_URL is not set; it takes"),
        (["-m", "uvicorn", "rbee.asgi:application"], {}, "rbee: RBEE_DATABASE_URL is not set; it takes"),
        (
            ["-m", "celery", "-A", "rbee.celery", "report"],
            {"RBEE_PRT": "1"},
            "rbee: RBEE_PRT is not a setting of rbee",
        ),
    ],
)
def test_programs_stop_with_one_line(argv: list[str], environ: dict[str, str], said: str) -> None:
    base = {name: value for name, value in os.environ.items() if not name.startswith("RBEE_")}
    base["PYTHONPATH"] = f"{ROOT}:{ROOT / 'platform'}"
    done = subprocess.run(
        [sys.executable, *argv],
        cwd=ROOT,
        env={**base, **environ},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("mode", "signup"), [("home", "closed"), ("business", "invitation")])
def test_accounts_are_made_as_the_mode_wants_it(mode: str, signup: str) -> None:
    assert read_env({"RBEE_MODE": mode}).signup == signup
    assert read_env({"RBEE_MODE": mode, "RBEE_SIGNUP": "closed"}).signup == "closed"


def test_sign_up_is_not_open_where_no_address_can_be_confirmed() -> None:
    with pytest.raises(ImproperlyConfigured, match="RBEE_SMTP_URL"):
        read_env({"RBEE_SIGNUP": "open"})
    assert read_env({"RBEE_SIGNUP": "open", "RBEE_SMTP_URL": "smtp://mail.example"}).signup == "open"


def test_stripe_is_read_and_its_secrets_may_stand_in_files(tmp_path: Path) -> None:
    secret = tmp_path / "webhook"
    secret.write_text("whsec_new,whsec_old\n")
    env = read_env({
        "RBEE_STRIPE_SECRET_KEY": "rk_live_x",
        "RBEE_STRIPE_WEBHOOK_SECRET_FILE": str(secret),
        "RBEE_STRIPE_TOPUP_RANGE": "10-500",
    })  # fmt: skip
    assert (env.stripe_secret_key, env.stripe_webhook_secret) == ("rk_live_x", ("whsec_new", "whsec_old"))
    assert (env.stripe_topup_range, env.stripe_fee_basis_points, env.stripe_tax) == ((10, 500), 3000, False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RBEE_STRIPE_SECRET_KEY", "pk_live_x"),
        ("RBEE_STRIPE_WEBHOOK_SECRET", "whsec_a,nothing"),
        ("RBEE_STRIPE_TOPUP_RANGE", "10"),
        ("RBEE_STRIPE_TOPUP_RANGE", "10-5"),
        ("RBEE_STRIPE_FEE_BASIS_POINTS", "10001"),
    ],
)
def test_stripe_that_makes_no_sense_stops_the_start_and_shows_no_secret(name: str, value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=name) as caught:
        read_env({name: value})
    assert "SECRET" not in name or value not in str(caught.value)
