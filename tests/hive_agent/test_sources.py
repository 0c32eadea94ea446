from pathlib import Path

import pytest

from hive_agent.errors import SourceUnavailable
from hive_agent.sources import choose_file, find_model


@pytest.mark.parametrize(
    ("names", "wanted", "chosen"),
    [
        (["a-Q8_0.gguf", "a-Q4_K_M.gguf", "a-f16.gguf", "README.md"], "", "a-Q4_K_M.gguf"),
        (["a-q8_0.gguf", "a-Q2_K.gguf"], "", "a-q8_0.gguf"),
        (["only-IQ2.gguf"], "", "only-IQ2.gguf"),
        (["a-Q8_0.gguf", "a-Q4_K_M.gguf"], "a-Q8_0.gguf", "a-Q8_0.gguf"),
        (
            ["b-Q4_K_M-00002-of-00002.gguf", "b-Q4_K_M-00001-of-00002.gguf"],
            "",
            "b-Q4_K_M-00001-of-00002.gguf",
        ),
    ],
)
def test_file_that_most_machines_can_hold_is_chosen(names: list[str], wanted: str, chosen: str) -> None:
    assert choose_file(names, wanted) == chosen


def test_repository_without_a_gguf_file_is_explained() -> None:
    with pytest.raises(SourceUnavailable, match="it has no GGUF file"):
        choose_file(["model.safetensors"])


def test_named_file_that_is_not_there_is_explained_by_what_is() -> None:
    with pytest.raises(SourceUnavailable, match=r"its GGUF files: a-Q8_0\.gguf"):
        choose_file(["a-Q8_0.gguf"], "a-Q4_0.gguf")


async def test_path_is_taken_as_it_is(tiny_gguf: Path) -> None:
    assert await find_model(str(tiny_gguf), print) == tiny_gguf


@pytest.mark.parametrize("source", ["model.gguf", "Qwen/Qwen3", "builtin:other"])
async def test_source_of_no_known_kind_is_explained(source: str) -> None:
    with pytest.raises(SourceUnavailable, match="is neither an absolute path, nor hf:ORG/NAME"):
        await find_model(source, print)


async def test_download_without_a_network_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # else it asks for 24 s

    with pytest.raises(
        SourceUnavailable, match="cannot reach Hugging Face for org/name: give the hive a network"
    ):
        await find_model("hf:org/name", print)
