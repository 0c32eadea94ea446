"""A conversation with a model over the OpenAI API. It lives in memory and ends with the process."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from rbee_cli.client import QueenClient
from rbee_cli.errors import CliError, NotFound

PATH = "/v1/chat/completions"
EMBEDDED = "rbee-mini"
HELP = "/new begins again, /model NAME changes who answers, /exit or Ctrl-D ends; Ctrl-C ends an answer"


class Conversation:
    """`settings` go into each request."""

    def __init__(
        self, queen: QueenClient, model: str, *, system: str = "", settings: dict[str, Any] | None = None
    ) -> None:
        self.queen = queen
        self.model = model
        self.settings = settings or {}
        self._system = [{"role": "system", "content": system}] if system else []
        self._said: list[dict[str, str]] = []

    def ask(self, question: str) -> Iterator[str]:
        """Pieces of the answer as they come. What came of one that was broken off stays in the conversation."""
        answer = ""
        try:
            with self.queen.stream(PATH, self._body(question, stream=True)) as response:
                for line in response.iter_lines():
                    if piece := _piece(line):
                        answer += piece
                        yield piece
        finally:
            if answer:
                self._remember(question, answer)

    def ask_whole(self, question: str) -> dict[str, Any]:
        """The answer's JSON."""
        whole: dict[str, Any] = self.queen.post(PATH, self._body(question, stream=False))
        self._remember(question, whole["choices"][0]["message"].get("content") or "")
        return whole

    def begin_again(self) -> None:
        self._said.clear()

    def _body(self, question: str, *, stream: bool) -> dict[str, Any]:
        messages = [*self._system, *self._said, {"role": "user", "content": question}]
        return {"model": self.model, "messages": messages, "stream": stream, **self.settings}

    def _remember(self, question: str, answer: str) -> None:
        self._said += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def converse(conversation: Conversation) -> None:
    """At a terminal, until Ctrl-D."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 -- arrow keys and earlier lines; kept in memory only
    console = Console(highlight=False)
    console.print(f"[bold]{conversation.model}[/] at {conversation.queen.queen_url}. {HELP}.", soft_wrap=True)
    while True:
        try:
            line = input("> ").strip()
        except EOFError:
            console.print()
            return
        except KeyboardInterrupt:
            console.print("\n(Ctrl-D ends the conversation)", style="dim")
            continue
        if line in {"/exit", "/quit", "/bye"}:
            return
        if line.startswith("/"):
            _obey(conversation, console, line)
        elif line:
            _answer(conversation, console, line)


def default_model(queen: QueenClient) -> str:
    names = [str(model["id"]) for model in queen.get("/v1/models").get("data", [])]
    if not names:
        raise NotFound("no model is served yet: `rbee model add` adds one")
    return EMBEDDED if EMBEDDED in names else names[0]


def _answer(conversation: Conversation, console: Console, question: str) -> None:
    try:
        for piece in conversation.ask(question):
            console.file.write(piece)
            console.file.flush()
        console.print()
    except KeyboardInterrupt:
        console.print(" (ended)", style="dim")
    except CliError as error:
        console.print(f"{error}", style="red", markup=False)


def _obey(conversation: Conversation, console: Console, line: str) -> None:
    command, _, argument = line.partition(" ")
    if command == "/new":
        conversation.begin_again()
        console.print("(a new conversation)", style="dim")
    elif command == "/model" and argument.strip():
        conversation.model = argument.strip()
        console.print(f"({conversation.model} answers)", style="dim", markup=False)
    else:
        console.print(HELP, style="dim")


def _piece(line: str) -> str:
    """The text in one line of the event stream. Raises CliError for an error that came after the answer began."""
    data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
    if not data or data == "[DONE]":
        return ""
    try:
        event = json.loads(data)
        if error := event.get("error"):
            raise CliError(f"the answer broke off: {error.get('message')}")
        return "".join(
            (choice.get("delta") or {}).get("content") or "" for choice in event.get("choices", [])
        )
    except (ValueError, AttributeError, TypeError) as error:
        raise CliError("the answer broke off: what came is no event of a chat") from error
