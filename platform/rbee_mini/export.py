"""Writes the trained model: fp16 safetensors for transformers and vLLM, Q8_0 GGUF for llama.cpp."""

import json
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from rbee_mini import tokens

_LAYER_TENSORS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_transformers(model: LlamaForCausalLM, tokenizer: Tokenizer, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    half = LlamaForCausalLM(model.config).to(torch.float16)
    half.load_state_dict({name: _as_llama_cpp_sees_it(tensor) for name, tensor in model.state_dict().items()})
    half.config.dtype = torch.float16
    half.generation_config.do_sample = False
    half.generation_config.max_new_tokens = 64
    half.generation_config.eos_token_id = tokenizer.token_to_id(tokens.END)
    half.save_pretrained(folder)
    tokens.for_transformers(tokenizer).save_pretrained(folder)
    _name_the_old_tokenizer_class(folder / "tokenizer_config.json")
    for path in folder.iterdir():
        path.chmod(0o644)


def write_gguf(model: LlamaForCausalLM, tokenizer: Tokenizer, path: Path) -> None:
    config = model.config
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("rbee-mini")
    writer.add_license("GPL-3.0-or-later")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    _add_tokenizer(writer, tokenizer)
    for name, tensor in model.state_dict().items():
        _add_tensor(writer, name, tensor.float().numpy(), config.num_attention_heads)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _as_llama_cpp_sees_it(tensor: torch.Tensor) -> torch.Tensor:
    """Rounded to Q8_0 as in the GGUF, so that both engines decide near ties alike."""
    if tensor.ndim == 1:
        return tensor.half()
    kind = gguf.GGMLQuantizationType.Q8_0
    rounded = gguf.quants.dequantize(gguf.quants.quantize(tensor.float().numpy(), kind), kind)
    return torch.from_numpy(rounded).half()


def _name_the_old_tokenizer_class(path: Path) -> None:
    """transformers 5 writes a class name that 4 does not know; both know this one."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    special = set(tokens.SPECIAL_TOKENS)
    names = [tokenizer.id_to_token(number) for number in range(tokenizer.get_vocab_size())]
    kinds = [gguf.TokenType.CONTROL if name in special else gguf.TokenType.NORMAL for name in names]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(names)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_eos_token_id(tokenizer.token_to_id(tokens.END))
    writer.add_pad_token_id(tokenizer.token_to_id(tokens.PAD))
    writer.add_add_bos_token(False)
    writer.add_chat_template(tokens.CHAT_TEMPLATE)


def _add_tensor(writer: gguf.GGUFWriter, name: str, array: np.ndarray, heads: int) -> None:
    if (
        name == "lm_head.weight"
    ):  # tied to the embedding; llama.cpp falls back to it when there is no output.weight
        return
    if name in {"model.embed_tokens.weight", "model.norm.weight"}:
        target = "token_embd.weight" if "embed" in name else "output_norm.weight"
    else:
        layer, part = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
        target = f"blk.{layer}.{_LAYER_TENSORS[part]}.weight"
    if name.endswith(("q_proj.weight", "k_proj.weight")):
        array = _interleave_rotary_halves(array, heads)
    if array.ndim == 1:
        writer.add_tensor(target, array.astype(np.float32))
        return
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor(target, gguf.quants.quantize(array, kind), raw_dtype=kind)


def _interleave_rotary_halves(array: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp rotates neighbouring rows, transformers the two halves of a head: the rows change places."""
    rows, columns = array.shape
    return array.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
