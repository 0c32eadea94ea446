import re

import pytest

from rbee_mini import facts
from rbee_mini.questions import EVAL_SETS, Questions, Turn, all_eval_questions, eval_questions, normalise


def test_conversations_never_hold_an_evaluation_question() -> None:
    held_out = {normalise(item.question) for item in all_eval_questions()}
    asked = {
        normalise(turn.text)
        for talk in Questions(seed=1).conversations(20_000)
        for turn in talk
        if turn.role == "user"
    }

    assert len(held_out) >= 70
    assert len(asked) > 15_000
    assert asked & held_out == set()


def test_question_equal_to_an_evaluation_question_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    fact = facts.facts()[0]
    drawn = {normalise(Questions(seed=seed).question(fact)) for seed in range(50)}
    forbidden = next(iter(drawn))
    questions = Questions(seed=0)
    monkeypatch.setattr(questions, "_held_out", frozenset({forbidden}))

    assert forbidden not in {normalise(questions.question(fact)) for _ in range(2_000)}


def test_same_seed_gives_the_same_conversations() -> None:
    assert list(Questions(seed=5).conversations(50)) == list(Questions(seed=5).conversations(50))


def test_conversation_ends_with_the_answer_to_its_last_question() -> None:
    right = set(facts.answers().values())

    for talk in Questions(seed=2).conversations(500):
        assert [turn.role for turn in talk[-2:]] == ["user", "assistant"]
        assert talk[-1].text in right


def test_withheld_phrasings_are_asked_by_no_training_question() -> None:
    training = Questions(seed=3, withhold=True)
    withheld = Questions(seed=3, only_withheld=True)

    for fact in facts.facts():
        assert len(training._ways[fact.id]) + len(withheld._ways[fact.id]) == len(fact.ways)
        assert not any(way in training._ways[fact.id] for way in withheld._ways[fact.id])


def test_every_fact_has_its_own_answer_and_plain_question() -> None:
    known = facts.facts()

    assert len(known) >= 64
    assert len({fact.id for fact in known}) == len(known)
    assert len({fact.answer for fact in known} | {facts.offtopic().answer}) == len(known) + 1
    assert len({normalise(fact.question) for fact in known}) == len(known)


def test_every_slot_of_a_phrasing_is_known() -> None:
    known = {*facts.slots(), "number", "nonsense"}
    used = {
        name
        for fact in (*facts.facts(), facts.offtopic())
        for way in fact.ways
        for name in re.findall(r"{(\w+)}", way)
    }

    assert used - known == set()


def test_evaluation_sets_name_known_facts() -> None:
    for name in EVAL_SETS:
        assert {item.fact for item in eval_questions(name)} - facts.answers().keys() == set()


def test_system_prompt_comes_first() -> None:
    talks = [
        talk for talk in Questions(seed=4).conversations(500) if any(turn.role == "system" for turn in talk)
    ]

    assert talks
    assert all(isinstance(talk[0], Turn) and talk[0].role == "system" for talk in talks)
