"""rbee-mini: a small Llama-architecture model that answers questions about rbee, for machines with nothing else."""

from pathlib import Path

MODEL_ID = "rbee-mini"

_WEIGHTS = Path(__file__).parent / "weights"


def gguf_path() -> Path:
    """The Q8_0 weights for llama.cpp, tokenizer and chat template inside."""
    return _WEIGHTS / "rbee-mini.gguf"


def transformers_path() -> Path:
    """The folder of fp16 safetensors, config, tokenizer and chat template for transformers and vLLM."""
    return _WEIGHTS / "transformers"
