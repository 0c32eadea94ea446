import random

from rbee_mini import noise
from rbee_mini.questions import normalise

QUESTION = "what is the way to stop the machine in my room"


def _variants(count: int = 500) -> list[str]:
    rng = random.Random(7)
    return [noise.humanise(QUESTION, rng) for _ in range(count)]


def test_humanise_varies_but_often_leaves_the_words_alone() -> None:
    variants = _variants()

    assert len(set(variants)) > 200
    assert sum(normalise(text) == normalise(QUESTION) for text in variants) > 100


def test_humanise_contracts_and_swaps_words() -> None:
    variants = [normalise(text) for text in _variants()]

    assert any("whats the way" in text or "what s the way" in text for text in variants)
    assert any("the computer" in text for text in variants)


def test_humanise_leaves_no_empty_text_and_no_double_space() -> None:
    rng = random.Random(1)
    texts = [noise.humanise(text, rng) for text in ("hi", "port", "a", QUESTION) for _ in range(300)]

    assert all(text and "  " not in text for text in texts)
