"""The tokenizer (byte-level BPE, trained on the generated questions) and the chat template."""

import random
from collections.abc import Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from rbee_mini import facts
from rbee_mini.questions import Questions, Turn

PAD, END = "<pad>", "</s>"
ROLES = ("system", "user", "assistant")
SPECIAL_TOKENS = [PAD, END, *(f"<|{role}|>" for role in ROLES)]
MAX_LENGTH = 1024

# "developer" is OpenAI's newer name of "system"; a tool's output is read as the user's words.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message.role == 'assistant' -%}<|assistant|>"
    "{%- elif message.role in ['system', 'developer'] -%}<|system|>"
    "{%- else -%}<|user|>{%- endif -%}"
    "{{- (message.content or '') | trim -}}</s>"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)

_DROPOUT = 0.08


def train_tokenizer(questions: Questions, vocab_size: int) -> Tokenizer:
    """Byte-level BPE that knows the answers well: they are what the model has to write."""
    texts = [turn.text for talk in questions.conversations(40_000) for turn in talk if turn.role == "user"]
    texts += [fact.answer for fact in facts.facts()] * 20
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def for_transformers(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped


class Encoder:
    """Conversations to token ids and labels; questions are cut with BPE dropout, answers never."""

    def __init__(self, tokenizer: Tokenizer, rng: random.Random) -> None:
        self._exact = tokenizer
        self._loose = Tokenizer.from_str(tokenizer.to_str())
        self._loose.model.dropout = _DROPOUT
        self._rng = rng
        self._end = tokenizer.token_to_id(END)
        self._role = {role: tokenizer.token_to_id(f"<|{role}|>") for role in ROLES}

    def encode(self, turns: Sequence[Turn]) -> tuple[list[int], int]:
        """The ids, and where the last answer begins: only it is learnt."""
        ids: list[int] = []
        begin = 0
        for turn in turns:
            is_answer = turn.role == "assistant"
            cut = self._exact if is_answer or self._rng.random() < 0.4 else self._loose
            ids.append(self._role[turn.role])
            begin = len(ids)
            ids += [*cut.encode(turn.text).ids, self._end]
        return ids, begin
