from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl

EPILOG = """Examples:

  rbee chat                                       a conversation; Ctrl-C ends an answer, Ctrl-D the conversation

  rbee chat "What is rbee?"

  cat notes.txt | rbee chat --model llama-3-70b --system "Summarise."
"""


def chat(
    question: Annotated[str | None, typer.Argument(help="Ask this and end.")] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Who answers.", show_default="rbee-mini, or the only one")
    ] = "",
    system: Annotated[str, typer.Option(help="How to answer.")] = "",
    max_tokens: Annotated[int | None, typer.Option(min=1, help="The longest answer.")] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, max=2, help="0 is always the same answer.")
    ] = None,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Talk to a model. Nothing that is said is kept."""
    from rbee_cli.client import QueenClient
    from rbee_cli.conversation import Conversation, converse, default_model
    from rbee_cli.errors import UsageError
    from rbee_cli.output import print_json

    if question is None and not sys.stdin.isatty():
        question = sys.stdin.read().strip()
    if question is not None and not question.strip():
        raise UsageError("there is no question: give one as an argument or on standard input")
    if question is None and as_json:
        raise UsageError('--json takes one question: rbee chat "What is rbee?" --json')
    settings: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature}
    with QueenClient("inference", queen_url=queen_url, api_key=api_key) as queen:
        conversation = Conversation(
            queen,
            model or default_model(queen),
            system=system,
            settings={name: value for name, value in settings.items() if value is not None},
        )
        if question is None:
            converse(conversation)
        elif as_json:
            print_json(conversation.ask_whole(question))
        else:
            for piece in conversation.ask(question):
                sys.stdout.write(piece)
                sys.stdout.flush()
            sys.stdout.write("\n")
