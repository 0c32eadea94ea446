"""The committed weights, asked through llama.cpp."""

import pytest

import rbee_mini
from rbee_mini import answering, facts
from rbee_mini.score import Score, answer_all, question_sets, score


@pytest.fixture(scope="module")
def ask() -> answering.Answer:
    return answering.llama_cpp(rbee_mini.gguf_path())


def _score(ask: answering.Answer, name: str) -> Score:
    questions = question_sets()[name]
    return score(questions, answer_all(ask, questions))


def test_every_plain_question_is_answered_exactly(ask: answering.Answer) -> None:
    assert _score(ask, "plain").wrong == ()


def test_paraphrases_absent_from_training_are_answered(ask: answering.Answer) -> None:
    result = _score(ask, "paraphrases")

    assert result.facts_asked == 30
    assert result.facts_right >= 24, result.wrong


def test_offtopic_questions_are_declined(ask: answering.Answer) -> None:
    result = _score(ask, "offtopic")

    assert result.offtopic_asked == 10
    assert result.offtopic_right >= 8, result.wrong


def test_questions_written_without_sight_of_the_phrasings_are_answered(ask: answering.Answer) -> None:
    result = _score(ask, "blind")

    assert (result.facts_asked, result.offtopic_asked) == (30, 10)
    assert result.facts_right >= 18, result.wrong
    assert result.offtopic_right >= 7, result.wrong


def test_second_question_is_not_answered_with_the_first_answer(ask: answering.Answer) -> None:
    known = facts.facts()
    right = 0
    for first, second in zip(known[::2], known[1::2], strict=False):
        reply = ask(
            [
                {"role": "user", "content": first.question},
                {"role": "assistant", "content": first.answer},
                {"role": "user", "content": second.question},
            ]
        )
        right += reply == second.answer

    assert right >= 33  # of 36


def test_system_prompt_does_not_disturb(ask: answering.Answer) -> None:
    fact = next(fact for fact in facts.facts() if fact.id == "what-is-rbee")

    assert (
        ask(
            [
                {"role": "system", "content": "You are a patient teacher. Use short words."},
                {"role": "user", "content": fact.question},
            ]
        )
        == fact.answer
    )
