"""Trains rbee-mini from scratch on two CPU cores and writes its weights.

Example: python -m rbee_mini.train
         python -m rbee_mini.train --steps 600 --withhold --out try   (how well does it generalise?)
"""

import argparse
import math
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

# Threads that wait for each other must not burn a core that somebody else needs.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from rbee_mini import export, facts, tokens
from rbee_mini.questions import Questions, Turn

SEED = 7833
VOCABULARY = 1536
LAYERS, WIDTH, FEED_FORWARD, HEADS = 4, 128, 384, 4

STEPS = 1600
ROWS = 64  # conversations in a step, fewer when they are long
TOKENS = 6_000  # at most in a step, padding included
CHUNK = 24  # steps' worth of conversations that are sorted by length together
WARM_UP_STEPS = 100
INNER_RATE, OUTER_RATE = 3e-3, 2e-3
WEIGHT_DECAY = 0.05

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def main() -> None:
    options = _options()
    torch.manual_seed(SEED)
    torch.set_num_threads(options.threads)
    started = time.monotonic()
    tokenizer = tokens.train_tokenizer(Questions(SEED + 1, withhold=options.withhold), VOCABULARY)
    model = build_model(tokenizer)
    parameters = sum(weight.numel() for weight in model.parameters())
    print(
        f"rbee-mini: {parameters:,} parameters, {len(facts.facts())} facts, {options.steps} steps", flush=True
    )
    train(model, tokenizer, Questions(SEED, withhold=options.withhold), options.steps)
    if options.withhold:
        _report_withheld(model, tokenizer)
    export.write_transformers(model, tokenizer, options.out / "transformers")
    export.write_gguf(model, tokenizer, options.out / "rbee-mini.gguf")
    took, used = time.monotonic() - started, time.process_time()
    print(f"Written to {options.out} after {took:.0f} s ({used:.0f} s of CPU time).", flush=True)


def build_model(tokenizer: Tokenizer) -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=WIDTH,
            intermediate_size=FEED_FORWARD,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS,
            max_position_embeddings=tokens.MAX_LENGTH,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.token_to_id(tokens.END),
            pad_token_id=tokenizer.token_to_id(tokens.PAD),
            attn_implementation="eager",  # 2.4 times as fast as SDPA's backward pass on a CPU
        )
    )


def train(model: LlamaForCausalLM, tokenizer: Tokenizer, questions: Questions, steps: int) -> None:
    optimizers = _optimizers(model)
    started = time.monotonic()
    recent = 0.0
    model.train()
    for step, batch in enumerate(_batches(tokenizer, questions, steps), start=1):
        rate = _rate(step, steps)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_rate"] * rate
        loss = _loss(model, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        recent += loss.item()
        if step % 50 == 0:
            elapsed = time.monotonic() - started
            left = elapsed / step * (steps - step)
            print(
                f"step {step}/{steps}  loss {recent / 50:.4f}  {elapsed:.0f} s, about {left:.0f} s left",
                flush=True,
            )
            recent = 0.0
    model.eval()


def _optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for the embedding and the norms."""
    inner, outer = [], []
    for name, weight in model.named_parameters():
        (inner if weight.ndim == 2 and "layers" in name else outer).append(weight)
    return [
        torch.optim.Muon(
            [{"params": inner, "peak_rate": INNER_RATE}],
            lr=INNER_RATE,
            weight_decay=WEIGHT_DECAY,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(
            [{"params": outer, "peak_rate": OUTER_RATE}], lr=OUTER_RATE, betas=(0.9, 0.98), weight_decay=0.0
        ),
    ]


def _rate(step: int, steps: int) -> float:
    if step < WARM_UP_STEPS:
        return step / WARM_UP_STEPS
    done = (step - WARM_UP_STEPS) / max(1, steps - WARM_UP_STEPS)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


def _loss(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    ids, labels, mask = batch
    learnt = labels != -100
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(input_ids=ids, attention_mask=mask).last_hidden_state
        logits = model.lm_head(hidden[learnt])
    return nn.functional.cross_entropy(logits.float(), labels[learnt])


def _batches(tokenizer: Tokenizer, questions: Questions, steps: int) -> Iterator[Batch]:
    """Fresh questions at every step."""
    rng = random.Random(SEED)
    encoder = tokens.Encoder(tokenizer, rng)
    made = 0
    while made < steps:
        rows = [encoder.encode(talk) for talk in questions.conversations(ROWS * CHUNK)]
        groups = _groups(sorted(rows, key=lambda row: len(row[0])))
        rng.shuffle(groups)
        for group in groups[: steps - made]:
            yield _tensors(group)
        made += len(groups)


def _groups(rows: list[tuple[list[int], int]]) -> list[list[tuple[list[int], int]]]:
    groups: list[list[tuple[list[int], int]]] = [[]]
    for row in rows:  # ordered by length, so this row is the longest of its group
        if len(groups[-1]) == ROWS or (len(groups[-1]) + 1) * len(row[0]) > TOKENS:
            groups.append([])
        groups[-1].append(row)
    return groups


def _tensors(rows: list[tuple[list[int], int]]) -> Batch:
    """Ids, labels shifted by one, and attention mask, each [rows, length]."""
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
    encoder = tokens.Encoder(tokenizer, random.Random(SEED))
    wrong: dict[str, int] = {}
    total = 0
    for fact in (*facts.facts(), facts.offtopic()):
        if len(fact.ways) < 6:
            continue
        talks = [
            [Turn("user", asked.question(fact)), Turn("assistant", fact.answer)] for _ in range(per_fact)
        ]
        ids, labels, mask = _tensors([encoder.encode(talk) for talk in talks])
        guess = model(input_ids=ids, attention_mask=mask).logits.argmax(-1)
        wrong[fact.id] = per_fact - int(((guess == labels) | (labels == -100)).all(dim=1).sum())
        total += per_fact
    worst = sorted(wrong.items(), key=lambda item: -item[1])[:10]
    print(f"withheld phrasings: {total - sum(wrong.values())}/{total} right; worst: {worst}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "weights", help="folder to write to"
    )
    parser.add_argument(
        "--withhold", action="store_true", help="keep every sixth phrasing out, and score on those"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
