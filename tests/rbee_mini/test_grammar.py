import random

import pytest

from rbee_mini import grammar


def _all(phrasing: str, slots: dict[str, list[str]] | None = None) -> set[str]:
    parsed = {name: [grammar.parse(text) for text in texts] for name, texts in (slots or {}).items()}
    nodes = grammar.parse(phrasing)
    return {grammar.expand(nodes, parsed, random.Random(seed)) for seed in range(200)}


def test_expand_gives_every_alternative() -> None:
    assert _all("[stop|end] it") == {"stop it", "end it"}


def test_expand_leaves_no_double_space_for_an_empty_alternative() -> None:
    assert _all("a [|very] big [hive|]") == {"a big hive", "a big", "a very big hive", "a very big"}


def test_expand_nests() -> None:
    assert _all("[a[1|2]|b]") == {"a1", "a2", "b"}


def test_expand_fills_slots_that_hold_phrasings() -> None:
    assert _all("my {box}", {"box": ["[big|old] PC", "Mac"]}) == {"my big PC", "my old PC", "my Mac"}


def test_expand_joins_a_comma_to_its_word() -> None:
    assert _all("it died[|, what now]") == {"it died", "it died, what now"}


@pytest.mark.parametrize("phrasing", ["[a|b", "a]b", "a|b", "[a|[b]"])
def test_parse_refuses_unbalanced_brackets(phrasing: str) -> None:
    with pytest.raises(ValueError, match="unbalanced"):
        grammar.parse(phrasing)
