"""What llama.cpp counted. Every event carries `timings` of one choice: the tokens of its prompt that were computed
(`prompt_n`) and taken from the cache (`cache_n`), and the tokens produced (`predicted_n`)."""

from __future__ import annotations

import msgspec

from hive_agent.engines.base import Counter, EngineError, Event


class Timings(msgspec.Struct):
    cache_n: int = 0
    prompt_n: int = 0
    prompt_ms: float = 0.0
    predicted_n: int = 0
    predicted_ms: float = 0.0


class Progress(msgspec.Struct):
    cache: int = 0
    processed: int = 0


class Index(msgspec.Struct):
    index: int = 0


class Head(msgspec.Struct):
    """An event as llama.cpp writes it; the choices are looked into only for their index."""

    choices: msgspec.Raw = msgspec.Raw(b"[]")
    timings: Timings | None = None
    prompt_progress: Progress | None = None
    error: EngineError | None = None
    aborted: bool = False


class LlamaCounter(Counter):
    """Sums over the choices. Choices of one prompt share it; prompts of one request (completions) add up, and are told
    apart by `choices_per_prompt`."""

    def __init__(self, choices_per_prompt: int = 1) -> None:
        super().__init__()
        self.choices_per_prompt = max(choices_per_prompt, 1)
        self.timings: dict[int, Timings] = {}

    def read(self, data: bytes) -> Event:
        if data == b"null":  # comes first when a request has several prompts
            return Event()
        head = decode_head(data)
        if head.aborted:  # written by our own server, with the sums in it
            return super().read(data)
        index = _index(head.choices)
        if head.timings is not None and index is not None:
            self.timings[index] = head.timings
            self._sum()
        if head.prompt_progress is not None:
            # Before its first token, only this tells how much of the prompt was computed.
            progress = head.prompt_progress
            if index is not None:
                self.timings[index] = Timings(
                    cache_n=progress.cache, prompt_n=progress.processed - progress.cache
                )
                self._sum()
            return Event(error=head.error)
        return Event(choices=head.choices, error=head.error)

    def _sum(self) -> None:
        counts, all_timings = self.counts, list(self.timings.values())
        counts.completion_tokens = sum(each.predicted_n for each in all_timings)
        prompts = [each for index, each in self.timings.items() if index % self.choices_per_prompt == 0]
        counts.cached_tokens = sum(each.cache_n for each in prompts)
        counts.prompt_tokens = sum(each.cache_n + each.prompt_n for each in prompts)
        counts.engine_ms = round(max(each.prompt_ms + each.predicted_ms for each in all_timings))


def _index(choices: msgspec.Raw) -> int | None:
    raw = bytes(choices)
    if raw == b"[]":
        return None
    return decode_choices(raw)[0].index


decode_head = msgspec.json.Decoder(Head).decode
decode_choices = msgspec.json.Decoder(list[Index]).decode
