"""Scores rbee-mini by exact answers, through llama.cpp and, where torch is installed, transformers.

Example: python -m rbee_mini.score
         python -m rbee_mini.score --wrong          (also print what was answered wrongly)
"""

import argparse
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import rbee_mini
from rbee_mini import answering, facts
from rbee_mini.questions import EVAL_SETS, EvalQuestion, eval_questions


@dataclass(frozen=True)
class Score:
    """How many questions of a set got exactly the right answer; facts and off-topic questions apart."""

    facts_right: int
    facts_asked: int
    offtopic_right: int
    offtopic_asked: int
    wrong: tuple[tuple[EvalQuestion, str], ...]

    def __str__(self) -> str:
        parts = []
        if self.facts_asked:
            parts.append(f"{self.facts_right}/{self.facts_asked} right")
        if self.offtopic_asked:
            parts.append(f"{self.offtopic_right}/{self.offtopic_asked} off-topic declined")
        return ", ".join(parts)


def main() -> None:
    options = _options()
    engines = {"llama.cpp Q8_0": answering.llama_cpp(options.weights / "rbee-mini.gguf")}
    if importlib.util.find_spec("torch"):
        engines["transformers"] = answering.transformers(options.weights / "transformers")
    texts: dict[str, list[str]] = {}
    for name, ask in engines.items():
        texts[name] = []
        for title, questions in question_sets().items():
            replies = answer_all(ask, questions)
            texts[name] += replies
            result = score(questions, replies)
            print(f"{name:<15} {title:<12} {result}", flush=True)
            if options.wrong:
                for item, reply in result.wrong:
                    print(f"    {item.fact}: {item.question!r} -> {reply!r}")
    if len(texts) == 2:
        first, second = texts.values()
        same = sum(a == b for a, b in zip(first, second, strict=True))
        print(f"same text in both engines: {same}/{len(first)}")


def question_sets() -> dict[str, tuple[EvalQuestion, ...]]:
    """Every set by its name; "plain" holds each fact's question in its plain wording."""
    plain = tuple(EvalQuestion(fact.question, fact.id) for fact in facts.facts())
    return {"plain": plain} | {name: eval_questions(name) for name in EVAL_SETS}


def answer_all(ask: answering.Answer, questions: tuple[EvalQuestion, ...]) -> list[str]:
    return [ask([{"role": "user", "content": item.question}]) for item in questions]


def score(questions: tuple[EvalQuestion, ...], replies: list[str]) -> Score:
    expected = facts.answers()
    pairs = list(zip(questions, replies, strict=True))
    wrong = tuple((item, reply) for item, reply in pairs if reply != expected[item.fact])
    offtopic_asked = sum(item.fact == facts.OFFTOPIC for item in questions)
    offtopic_wrong = sum(item.fact == facts.OFFTOPIC for item, _ in wrong)
    facts_asked = len(questions) - offtopic_asked
    facts_right = facts_asked - (len(wrong) - offtopic_wrong)
    return Score(facts_right, facts_asked, offtopic_asked - offtopic_wrong, offtopic_asked, wrong)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--weights", type=Path, default=rbee_mini.gguf_path().parent, help="folder of the weights"
    )
    parser.add_argument("--wrong", action="store_true", help="also print the questions answered wrongly")
    return parser.parse_args()


if __name__ == "__main__":
    main()
