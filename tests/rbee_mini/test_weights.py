import struct

import rbee_mini


def test_weights_fit_into_four_megabytes() -> None:
    files = [path for path in rbee_mini.gguf_path().parent.rglob("*") if path.is_file()]

    assert rbee_mini.gguf_path() in files
    assert rbee_mini.transformers_path() / "model.safetensors" in files
    assert sum(path.stat().st_size for path in files) <= 4 * 1024 * 1024


def test_gguf_has_the_chat_template_of_the_safetensors() -> None:
    template = (rbee_mini.transformers_path() / "chat_template.jinja").read_text(encoding="utf-8")

    assert _gguf_string("tokenizer.chat_template") == template


def _gguf_string(key: str) -> str:
    """A string of the GGUF's header: the key is followed by the type (8 is a string), the length and the text."""
    content = rbee_mini.gguf_path().read_bytes()
    at = content.index(key.encode()) + len(key)
    kind, length = struct.unpack_from("<IQ", content, at)
    assert kind == 8
    return content[at + 12 : at + 12 + length].decode()
