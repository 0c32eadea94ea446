"""The `rbee` command.

Exit codes: 0 done · 1 failed · 2 wrong usage · 3 no queen answers · 4 not authorised · 5 not found · 6 conflict ·
130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Annotated

import typer

from rbee_cli import __version__
from rbee_cli.commands import (
    alert,
    audit,
    audit_mail,
    audit_proofs,
    billing,
    billing_stripe,
    breach,
    chat,
    cost,
    gdpr,
    hive,
    invoice,
    key,
    limit,
    login,
    member,
    model,
    plan,
    policy,
    price,
    project,
    status,
    task,
    tenant,
    up,
    usage,
    user,
    webhook,
)
from rbee_cli.errors import CliError, UsageError
from rbee_quiet.install import be_quiet
from rbee_quiet.scrub import scrub

EPILOG = """Examples:

  rbee up                                    start everything on this machine

  rbee chat "What is rbee?"                  ask the colony

  rbee model add Qwen/Qwen3-0.6B-GGUF --hive gpu-node-01

  rbee hive token --region EU                let another machine join

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no queen answers, 4 not authorised, 5 not found, 6 conflict.
"""

app = typer.Typer(
    name="rbee",
    help="Turn the GPUs of many machines into one OpenAI-compatible API.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=up.EPILOG)(up.up)
app.command(epilog=status.EPILOG)(status.status)
app.command(epilog=login.EPILOG)(login.login)
app.command(epilog=chat.EPILOG)(chat.chat)
app.add_typer(alert.app, name="alert")
audit_proofs.add_to(audit.app)
audit_mail.add_to(audit.app)
billing_stripe.add_to(billing.app)
app.add_typer(billing.app, name="billing")

app.add_typer(breach.app, name="breach")
app.add_typer(cost.app, name="cost")
app.add_typer(model.app, name="model")
app.add_typer(hive.app, name="hive")
app.add_typer(key.app, name="key")
app.add_typer(limit.app, name="limit")
app.add_typer(policy.app, name="policy")
app.add_typer(price.app, name="price")
app.add_typer(task.app, name="task")
app.add_typer(tenant.app, name="tenant")
app.add_typer(webhook.app, name="webhook")
app.add_typer(project.app, name="project")
app.add_typer(member.app, name="member")
app.add_typer(plan.app, name="plan")
app.add_typer(user.app, name="user")
app.add_typer(audit.app, name="audit")
app.add_typer(gdpr.app, name="gdpr")
app.add_typer(invoice.app, name="invoice")
app.command(epilog=usage.EPILOG)(usage.usage)


@app.command()
def version(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Print the version of this command."""
    print(json.dumps({"version": __version__}) if as_json else f"rbee {__version__}")


def run() -> None:
    be_quiet()
    try:
        code = app(prog_name="rbee", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except CliError as error:
        _tell(error)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 -- nobody wants to read a traceback at a prompt
        sys.exit(_tell_unforeseen(error))


def _tell_unforeseen(error: Exception) -> int:
    """What Typer found wrong with the arguments has `format_message`; anything else is ours."""
    if type(error).__name__ == "NoArgsIsHelpError":  # a group without a command: the help is the message
        error.show()  # type: ignore[attr-defined]
        return 2
    if hasattr(error, "format_message"):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "rbee"
        _tell(UsageError(f"{error.format_message().rstrip('.')}: `{command} --help` shows how"))
        return 2
    if os.environ.get("RBEE_LOG_LEVEL", "").lower() == "debug":
        print(scrub(traceback.format_exc()), file=sys.stderr)
    # What is pasted into a bug report holds nobody's key.
    said = scrub(f"{type(error).__name__}: {error}")
    _tell(CliError(f"this is a bug in rbee: {said} (RBEE_LOG_LEVEL=debug shows where)"))
    return 1


def _tell(error: CliError) -> None:
    if "--json" in sys.argv[1:]:
        said = {"error": {"message": str(error), "exit_code": error.exit_code}}
        print(json.dumps(said, ensure_ascii=False), file=sys.stderr)
        return
    print(f"rbee: {error}", file=sys.stderr)
    if error.detail:
        print("\n".join(f"  {line}" for line in error.detail.splitlines()), file=sys.stderr)


if __name__ == "__main__":
    run()
