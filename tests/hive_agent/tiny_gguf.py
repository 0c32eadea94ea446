"""A language model of 0.5 MB with random weights, written as llama.cpp reads it. It says nonsense, for as long as asked."""

import random
import struct
from array import array
from pathlib import Path

CONTEXT_TOKENS = 2048
WIDTH, FEED_FORWARD, LAYERS, HEADS = 64, 128, 2, 2
SPECIAL = ["<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>"]
CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
NORMAL, CONTROL = 1, 3
ALIGNMENT = 32


def write_tiny_gguf(path: Path) -> Path:
    tokens = SPECIAL + [chr(code) for code in byte_alphabet()]
    fields = [
        string_field("general.architecture", "llama"),
        *(
            number_field(f"llama.{name}", value)
            for name, value in {
                "context_length": CONTEXT_TOKENS,
                "embedding_length": WIDTH,
                "block_count": LAYERS,
                "feed_forward_length": FEED_FORWARD,
                "attention.head_count": HEADS,
                "attention.head_count_kv": HEADS,
                "rope.dimension_count": WIDTH // HEADS,
                "vocab_size": len(tokens),
            }.items()
        ),
        text("llama.attention.layer_norm_rms_epsilon") + struct.pack("<If", F32, 1e-5),
        string_field("tokenizer.ggml.model", "gpt2"),
        string_field("tokenizer.ggml.pre", "gpt-2"),
        array_field("tokenizer.ggml.tokens", STRING, [text(token) for token in tokens]),
        array_field(
            "tokenizer.ggml.token_type",
            I32,
            [struct.pack("<i", CONTROL if token in SPECIAL else NORMAL) for token in tokens],
        ),
        array_field("tokenizer.ggml.merges", STRING, [text("a b")]),
        number_field("tokenizer.ggml.bos_token_id", 1),
        number_field("tokenizer.ggml.eos_token_id", 2),
        number_field("tokenizer.ggml.padding_token_id", 0),
        text("tokenizer.ggml.add_bos_token") + struct.pack("<I?", BOOL, False),
        string_field("tokenizer.chat_template", CHAT_TEMPLATE),
    ]
    tensors = weights(len(tokens))
    infos, data = b"", b""
    for name, (shape, values) in tensors.items():
        infos += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), 0, len(data))
        data += values.tobytes()
        data += b"\0" * (-len(data) % ALIGNMENT)
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(fields)) + b"".join(fields) + infos
    path.write_bytes(head + b"\0" * (-len(head) % ALIGNMENT) + data)
    return path


def weights(vocabulary: int) -> dict[str, tuple[tuple[int, ...], "array[float]"]]:
    rng = random.Random(0)

    def noise(*shape: int) -> tuple[tuple[int, ...], "array[float]"]:
        size = shape[0] * shape[1]
        return shape, array("f", (rng.gauss(0, 0.05) for _ in range(size)))

    def ones(size: int) -> tuple[tuple[int, ...], "array[float]"]:
        return (size,), array("f", [1.0] * size)

    tensors = {
        "token_embd.weight": noise(vocabulary, WIDTH),
        "output_norm.weight": ones(WIDTH),
        "output.weight": noise(vocabulary, WIDTH),
    }
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        tensors |= {f"{block}{name}.weight": ones(WIDTH) for name in ("attn_norm", "ffn_norm")}
        tensors |= {f"{block}attn_{name}.weight": noise(WIDTH, WIDTH) for name in ("q", "k", "v", "output")}
        tensors |= {f"{block}ffn_{name}.weight": noise(FEED_FORWARD, WIDTH) for name in ("gate", "up")}
        tensors[f"{block}ffn_down.weight"] = noise(WIDTH, FEED_FORWARD)
    return tensors


def byte_alphabet() -> list[int]:
    """How GPT-2 writes each byte as a printable character."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [byte if byte in printable else next(others) for byte in range(256)]


def text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def string_field(name: str, value: str) -> bytes:
    return text(name) + struct.pack("<I", STRING) + text(value)


def number_field(name: str, value: int) -> bytes:
    return text(name) + struct.pack("<II", U32, value)


def array_field(name: str, kind: int, values: list[bytes]) -> bytes:
    return text(name) + struct.pack("<IIQ", ARRAY, kind, len(values)) + b"".join(values)
