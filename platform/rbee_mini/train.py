"""Trains rbee-mini from scratch on two CPU cores and writes its weights.

Example: python -m rbee_mini.train
         python -m rbee_mini.train --steps 600 --withhold --out /tmp/try   (how well does it generalise?)
"""

import argparse
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from rbee_mini import export, facts, tokens
from rbee_mini.questions import Questions, Turn

SEED = 7833
BATCH = 64
CHUNK = 24  # batches that are sorted by length together
WARM_UP_STEPS = 100


def main() -> None:
    options = _options()
    torch.manual_seed(SEED)
    torch.set_num_threads(options.threads)
    started = time.monotonic()
    questions = Questions(SEED, withhold=options.withhold)
    tokenizer = tokens.train_tokenizer(Questions(SEED + 1, withhold=options.withhold), options.vocab)
    model = build_model(tokenizer, options)
    parameters = sum(weight.numel() for weight in model.parameters())
    print(
        f"rbee-mini: {parameters:,} parameters, {len(facts.facts())} facts, {options.steps} steps", flush=True
    )
    train(model, tokenizer, questions, options)
    if options.withhold:
        _report_withheld(model, tokenizer)
    export.write_transformers(model, tokenizer, options.out / "transformers")
    export.write_gguf(model, tokenizer, options.out / "rbee-mini.gguf")
    print(f"Written to {options.out} after {time.monotonic() - started:.0f} s.", flush=True)


def build_model(tokenizer: Tokenizer, options: argparse.Namespace) -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=options.width,
            intermediate_size=options.ffn,
            num_hidden_layers=options.layers,
            num_attention_heads=options.width // 32,
            num_key_value_heads=options.width // 32,
            max_position_embeddings=tokens.MAX_LENGTH,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.token_to_id(tokens.END),
            pad_token_id=tokenizer.token_to_id(tokens.PAD),
            attn_implementation="eager",  # 2.4 times as fast as SDPA's backward pass on a CPU
        )
    )


def train(
    model: LlamaForCausalLM, tokenizer: Tokenizer, questions: Questions, options: argparse.Namespace
) -> None:
    optimizers = _optimizers(model, options)
    batches = _batches(tokenizer, questions, options.steps)
    started = time.monotonic()
    recent = 0.0
    model.train()
    for step, (ids, labels, mask) in enumerate(batches, start=1):
        rate = _rate(step, options.steps)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * rate
        loss = _loss(model, ids, labels, mask)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        recent += loss.item()
        if step % 50 == 0:
            elapsed = time.monotonic() - started
            left = elapsed / step * (options.steps - step)
            print(
                f"step {step}/{options.steps}  loss {recent / 50:.4f}  {elapsed:.0f} s, about {left:.0f} s left",
                flush=True,
            )
            recent = 0.0
    model.eval()


def _loss(
    model: LlamaForCausalLM, ids: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(input_ids=ids, attention_mask=mask).last_hidden_state
        chosen = labels != -100
        logits = model.lm_head(hidden[chosen])
    return nn.functional.cross_entropy(logits.float(), labels[chosen])


def _optimizers(model: LlamaForCausalLM, options: argparse.Namespace) -> list[torch.optim.Optimizer]:
    inner = [weight for name, weight in model.named_parameters() if weight.ndim == 2 and "layers" in name]
    outer = [weight for name, weight in model.named_parameters() if weight.ndim != 2 or "layers" not in name]
    if options.muon:
        return [
            torch.optim.Muon(
                [{"params": inner, "peak_lr": options.muon}],
                lr=options.muon,
                weight_decay=options.decay,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(
                [{"params": outer, "peak_lr": options.rate}],
                lr=options.rate,
                betas=(0.9, 0.98),
                weight_decay=0.0,
            ),
        ]
    return [
        torch.optim.AdamW(
            [
                {"params": inner, "peak_lr": options.rate, "weight_decay": options.decay},
                {"params": outer, "peak_lr": options.rate, "weight_decay": 0.0},
            ],
            lr=options.rate,
            betas=(0.9, 0.98),
        )
    ]


def _rate(step: int, steps: int) -> float:
    if step < WARM_UP_STEPS:
        return step / WARM_UP_STEPS
    done = (step - WARM_UP_STEPS) / max(1, steps - WARM_UP_STEPS)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


def _batches(
    tokenizer: Tokenizer, questions: Questions, steps: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Fresh questions at every step, as (ids, labels shifted by one, attention mask), each [BATCH, length]."""
    rng = random.Random(SEED)
    encoder = tokens.Encoder(tokenizer, rng)
    made = 0
    while made < steps:
        rows = [encoder.encode(talk) for talk in questions.conversations(BATCH * CHUNK)]
        rows.sort(key=lambda row: len(row[0]))
        groups = [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)]
        rng.shuffle(groups)
        for group in groups[: steps - made]:
            yield _tensors(group)
        made += len(groups)


def _tensors(rows: list[tuple[list[int], int]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    length = max(len(ids) for ids, _ in rows) - 1
    batch = torch.zeros(len(rows), length, dtype=torch.long)
    labels = torch.full_like(batch, -100)
    mask = torch.zeros_like(batch)
    for row, (ids, begin) in enumerate(rows):
        size = len(ids) - 1
        batch[row, :size] = torch.tensor(ids[:-1])
        mask[row, :size] = 1
        labels[row, begin - 1 : size] = torch.tensor(ids[begin:])
    return batch, labels, mask


@torch.inference_mode()
def _report_withheld(model: LlamaForCausalLM, tokenizer: Tokenizer, per_fact: int = 6) -> None:
    """Exact answers on phrasings that were kept out of training."""
    asked = Questions(SEED + 2, only_withheld=True)
    encoder = tokens.Encoder(tokenizer, random.Random(0))
    wrong: dict[str, int] = {}
    total = 0
    for fact in (*facts.facts(), facts.offtopic()):
        if len(fact.ways) < 6:
            continue
        rows = [
            encoder.encode([Turn("user", asked.question(fact)), Turn("assistant", fact.answer)])
            for _ in range(per_fact)
        ]
        ids, labels, mask = _tensors(rows)
        guess = model(input_ids=ids, attention_mask=mask).logits.argmax(-1)
        right = ((guess == labels) | (labels == -100)).all(dim=1).sum().item()
        wrong[fact.id] = per_fact - right
        total += per_fact
    worst = sorted(wrong.items(), key=lambda item: -item[1])[:12]
    print(f"withheld phrasings: {total - sum(wrong.values())}/{total} right; worst: {worst}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "weights")
    parser.add_argument(
        "--withhold", action="store_true", help="keep every sixth phrasing out, and score on those"
    )
    parser.add_argument("--vocab", type=int, default=1536)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--ffn", type=int, default=384)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--muon", type=float, default=0.0)
    parser.add_argument("--decay", type=float, default=0.05)
    return parser.parse_args()


if __name__ == "__main__":
    main()
