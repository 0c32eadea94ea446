import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbee_policy.documents import DocumentInvalid, read_document


def value(text: str) -> object:
    return read_document(f"a: {text}\n").value["a"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NO", "NO"), ("yes", "yes"), ("on", "on"), ("true", True), ("12:30", "12:30"), ("2026-01-01", "2026-01-01"),
        ("012", "012"), ("0x1f", "0x1f"), ("1_000", "1_000"), ("-7", -7), ("0.5", 0.5), ("1e3", 1000.0), (".5", 0.5),
        ("'7'", "7"), ('"\\ud83d\\ude00"', "😀"), ("~", None), ("", None), ("[1, x]", [1, "x"]), ("{b: c}", {"b": "c"}), ("null", None),
    ],
)  # fmt: skip
def test_a_plain_value_is_what_it_looks_like(text: str, expected: object) -> None:
    assert value(text) == expected
    assert type(value(text)) is type(expected)


@pytest.mark.parametrize(
    ("text", "line", "column", "expected"),
    [
        ("a: 1\nb: 2\na: 3", 3, 1, "'a' stands here twice"),
        ("a: &x 1\nb: *x", 1, 4, "anchors"),
        ("a: &x []\nb: *x", 1, 4, "anchors"),
        ("a: [1\nb: 2", 2, 2, "expected"),
        ("a: !!python/object:os.system x", 1, 4, "tag"),
        ("a: !!int x", 1, 4, "not what its tag says"),
        ("a: 9223372036854775808", 1, 4, "too large"),
        ("a: 1e999", 1, 4, "too large"),
        ('a: "\\ud800"', 1, 4, "half a character"),
        ("? [a]\n: b", 1, 3, "a name is a plain text"),
        ("a: " + "[" * 20 + "]" * 20, 1, 16, "nested too deeply"),
        ("a: " + "[" * 100_000, 1, 1, "nested too deeply"),
        ("a: b\n--- \nc: d", 2, 1, "another document"),
        ("a: \x07", 1, 1, "a character that YAML does not take"),
        ("", 1, 1, "empty"),
        ("x" * (1 << 19), 1, 1, "larger than"),
    ],
)
def test_what_is_not_plain_is_refused_with_its_place(
    text: str, line: int, column: int, expected: str
) -> None:
    with pytest.raises(DocumentInvalid) as caught:
        read_document(text)

    (problem,) = caught.value.problems
    assert expected in problem.message
    assert (problem.line, problem.column) == (line, column)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        document = read_document(text)
    except DocumentInvalid:
        return
    document.blame(("not", "there"), "wrong")
    with pytest.raises(DocumentInvalid) as caught:
        document.done()
    assert caught.value.line is not None


def test_problems_name_their_path_and_come_in_the_order_of_lines() -> None:
    document = read_document("rules:\n  - when:\n      a: 1\n  - {}\n")
    document.blame(("rules", 1, "use"), "second")
    document.blame(("rules", 0, "when", "a"), "first")
    document.blame(("rules", 0, "when", "a"), "first")

    with pytest.raises(DocumentInvalid) as caught:
        document.done()

    assert [(str(problem)) for problem in caught.value.problems] == [
        "line 3, column 7: rules[1].when.a: first",
        "line 4, column 5: rules[2].use: second",
    ]
