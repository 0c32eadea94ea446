"""Endless training conversations, made from the facts; no question of the evaluation sets is ever among them."""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rbee_mini import facts, grammar, noise

EVAL_FOLDER = Path(__file__).parent / "eval"
EVAL_SETS = ("paraphrases", "offtopic", "blind")

OFFTOPIC_SHARE = 0.17
HISTORY_SHARE = 0.20
SYSTEM_SHARE = 0.10
PLAIN_SHARE = 0.12

SYSTEM_PROMPTS = (
    "You are a helpful assistant.", "You are rbee-mini.", "You are a helpful assistant. Answer briefly.", "Be concise.", "Answer in English.",
    "You are a support agent for rbee.", "You are an expert on rbee.", "Answer the user's questions truthfully.", "You are ChatGPT, a large language model.",
    "You are a friendly bot.", "Answer in one sentence.", "You help users of the rbee platform.", "Always be polite.", "Use plain text only.",
    "You are an AI programming assistant in an editor.", "Do not use markdown. Keep every answer under 50 words.", "Today is Tuesday.", "Be brief.",
    "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible.", "Respond to the user.", "System prompt.",
)  # fmt: skip


@dataclass(frozen=True)
class Turn:
    role: str
    text: str


@dataclass(frozen=True)
class EvalQuestion:
    question: str
    fact: str


class Questions:
    """Draws questions and conversations from a seeded generator.

    `withhold` keeps every sixth phrasing of each fact out of the draw, and `only_withheld` draws from nothing
    else: together they tell how well training carries over to phrasings never seen.
    """

    def __init__(self, seed: int, *, withhold: bool = False, only_withheld: bool = False) -> None:
        self._rng = random.Random(seed)
        self._slots = {name: [grammar.parse(text) for text in texts] for name, texts in facts.slots().items()}
        self._slots["number"] = [[str(number)] for number in (*range(2, 30), 42, 64, 99, 100, 144, 365, 1000)]
        self._held_out = frozenset(normalise(item.question) for item in all_eval_questions())
        self._ways = {}
        for fact in (*facts.facts(), facts.offtopic()):
            numbered = [(number % 6 == 5, grammar.parse(way)) for number, way in enumerate(fact.ways)]
            self._ways[fact.id] = [
                nodes for held, nodes in numbered if (held if only_withheld else not (held and withhold))
            ]
        self._plain_share = 0.0 if only_withheld else PLAIN_SHARE

    def question(self, fact: facts.Fact) -> str:
        """One phrasing of the fact's question, as a person might type it."""
        while True:
            text = self._draw(fact)
            if text and normalise(text) not in self._held_out:
                return text

    def conversations(self, count: int) -> Iterator[list[Turn]]:
        """`count` conversations; each ends with the answer to learn, and every fact comes equally often."""
        deck: list[facts.Fact] = []
        for _ in range(count):
            if not deck:
                deck = list(facts.facts())
                self._rng.shuffle(deck)
            chosen = facts.offtopic() if self._rng.random() < OFFTOPIC_SHARE else deck.pop()
            yield [*self._before(), *self._exchange(chosen)]

    def _before(self) -> list[Turn]:
        turns: list[Turn] = []
        if self._rng.random() < SYSTEM_SHARE:
            turns.append(Turn("system", self._rng.choice(SYSTEM_PROMPTS)))
        if self._rng.random() < HISTORY_SHARE:
            for _ in range(self._rng.choice((1, 1, 1, 2, 2, 3))):
                is_off = self._rng.random() < OFFTOPIC_SHARE
                turns += self._exchange(facts.offtopic() if is_off else self._rng.choice(facts.facts()))
        return turns

    def _exchange(self, fact: facts.Fact) -> list[Turn]:
        question = self.question(fact)
        assert normalise(question) not in self._held_out, question
        return [Turn("user", question), Turn("assistant", fact.answer)]

    def _draw(self, fact: facts.Fact) -> str:
        if self._rng.random() < self._plain_share:
            return fact.question if self._rng.random() < 0.6 else noise.humanise(fact.question, self._rng)
        self._slots["nonsense"] = [[_pseudo_word(self._rng)] for _ in range(2)]
        text = grammar.expand(self._rng.choice(self._ways[fact.id]), self._slots, self._rng)
        return noise.humanise(text, self._rng) if text else ""


@cache
def eval_questions(name: str) -> tuple[EvalQuestion, ...]:
    """The committed set `name`; each line names the fact whose exact answer is right."""
    lines = (EVAL_FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(EvalQuestion(**json.loads(line)) for line in lines if line.strip())


def all_eval_questions() -> list[EvalQuestion]:
    return [
        item
        for name in EVAL_SETS
        if (EVAL_FOLDER / f"{name}.jsonl").exists()
        for item in eval_questions(name)
    ]


def normalise(question: str) -> str:
    """Only letters and digits, in lower case: two questions that agree in this are the same question."""
    return " ".join(re.findall(r"[a-z0-9]+", question.lower()))


def _pseudo_word(rng: random.Random) -> str:
    heads, tails = (
        [
            "b",
            "c",
            "d",
            "f",
            "g",
            "k",
            "l",
            "m",
            "n",
            "p",
            "r",
            "s",
            "t",
            "v",
            "z",
            "br",
            "tr",
            "fl",
            "sn",
            "pl",
            "gr",
        ],
        ["a", "e", "i", "o", "u", "ai", "oo", "an", "or", "ump", "ick", "ell", "ust"],
    )
    return "".join(rng.choice(heads) + rng.choice(tails) for _ in range(rng.choice((2, 2, 3))))
