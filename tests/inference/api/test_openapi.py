import json

import pytest
from jsonschema import Draft202012Validator

from inference.api.openapi import _document


@pytest.fixture
def document() -> dict:
    return json.loads(_document(False))


def validator(document: dict, name: str) -> Draft202012Validator:
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return Draft202012Validator(schema)


def test_paths_are_those_that_the_lane_serves(document: dict) -> None:
    assert {path: sorted(set(item) - {"parameters"}) for path, item in document["paths"].items()} == {
        "/v1/models": ["get"],
        "/v1/models/{model}": ["get"],
        "/v1/chat/completions": ["post"],
        "/v1/completions": ["post"],
    }


def test_every_reference_leads_somewhere(document: dict) -> None:
    found = set()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            found.add(value.get("$ref"))
            list(map(walk, value.values()))
        elif isinstance(value, list):
            list(map(walk, value))

    walk(document)
    names = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert found - {None} == names


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({}, True),
        ({"temperature": 2, "stop": ["a"], "n": 16, "extra": {}}, True),
        ({"messages": []}, False),
        ({"n": 17}, False),
        ({"temperature": "hot"}, False),
        ({"messages": [{"role": "robot", "content": "x"}]}, False),
    ],
)
def test_schema_says_what_the_reader_checks(document: dict, fields: dict[str, object], fits: bool) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], **fields}

    assert validator(document, "ChatRequest").is_valid(body) == fits


def test_key_is_optional_at_home_only() -> None:
    assert json.loads(_document(False))["security"] == [{}, {"bearer": []}]
    assert json.loads(_document(True))["security"] == [{"bearer": []}]
