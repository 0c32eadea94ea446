"""Asks rbee-mini through the real engines, greedily."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

MAX_TOKENS = 64
CONTEXT_TOKENS = 512

Message = dict[str, str]
Answer = Callable[[list[Message]], str]


def llama_cpp(path: Path) -> Answer:
    """llama.cpp in this process, reading the GGUF at `path` with its own chat template."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = 1
    params.cpuparams.n_threads = 1  # more than one only thrashes: the model is smaller than a core's cache
    params.cpuparams_batch.n_threads = 1
    params.n_gpu_layers = 0
    params.warmup = False
    params.verbosity = -1
    server = xllamacpp.Server(params)

    def answer(messages: list[Message]) -> str:
        reply: dict[str, Any] = server.handle_chat_completions(
            {"messages": messages, "temperature": 0, "max_tokens": MAX_TOKENS}
        )
        if "choices" not in reply:
            raise RuntimeError(f"llama.cpp refused: {reply}")
        text: str = reply["choices"][0]["message"]["content"]
        return text

    return answer


def transformers(folder: Path) -> Answer:
    """transformers in float32 on the CPU, reading the safetensors in `folder`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    def answer(messages: list[Message]) -> str:
        ids = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            output = model.generate(**ids, do_sample=False, max_new_tokens=MAX_TOKENS)
        text: str = tokenizer.decode(output[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
        return text

    return answer
