"""From the source of a placement to a file on this machine."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

from hive_agent.errors import SourceUnavailable

BUILTIN = "builtin:rbee-mini"
HUGGING_FACE = "hf:"
_PREFERRED = ("Q4_K_M", "Q8_0", "Q5_K_M", "Q4_0", "F16", "BF16")
_SHARD = re.compile(r"-(\d{5})-of-\d{5}\.gguf$", re.IGNORECASE)

Say = Callable[[str], None]


async def find_model(source: str, say: Say) -> Path:
    """`say` is told of progress, in words for the operator. Raises SourceUnavailable."""
    if source == BUILTIN:
        return _builtin()
    if source.startswith(HUGGING_FACE):
        return await asyncio.to_thread(_download, source.removeprefix(HUGGING_FACE), say)
    return _local(Path(source))


def choose_file(names: list[str], wanted: str = "") -> str:
    """Of a repository's files, the GGUF to run: the one that was named, else a quantisation that most machines can
    hold. Of a model in parts, the first: llama.cpp finds the others. Raises SourceUnavailable."""
    candidates = sorted(name for name in names if name.lower().endswith(".gguf") and not _is_later_part(name))
    if wanted:
        if wanted in names:
            return wanted
        raise SourceUnavailable(
            f"it has no file {wanted!r}; its GGUF files: {', '.join(candidates) or 'none'}"
        )
    for quantisation in _PREFERRED:
        for name in candidates:
            if quantisation in name.upper():
                return name
    if not candidates:
        raise SourceUnavailable(
            "it has no GGUF file: name a repository that has, such as hf:Qwen/Qwen3-0.6B-GGUF"
        )
    return candidates[0]


def _builtin() -> Path:
    try:
        import rbee_mini
    except ImportError:
        raise SourceUnavailable("rbee-mini is not installed here: install rbee or rbee-hive again") from None
    path = Path(rbee_mini.gguf_path())
    if not path.is_file():
        raise SourceUnavailable(f"the weights of rbee-mini are missing: {path}")
    return path


def _local(path: Path) -> Path:
    if not path.is_absolute():
        raise SourceUnavailable(f"{str(path)!r} is neither an absolute path, nor hf:ORG/NAME, nor {BUILTIN}")
    if not path.is_file():
        raise SourceUnavailable(f"there is no file {path} on this hive")
    return path


def _download(repository: str, say: Say) -> Path:
    from huggingface_hub import HfApi, hf_hub_download

    repository, _, wanted = repository.partition(":")
    say(f"asking Hugging Face for {repository}")
    try:
        names = HfApi().list_repo_files(repository)
        paths = []
        for part in _parts(names, choose_file(names, wanted)):
            say(f"downloading {repository}/{part}")
            paths.append(hf_hub_download(repository, part, tqdm_class=_progress(say, part)))
    except SourceUnavailable as error:
        raise SourceUnavailable(f"{repository}: {error}") from None
    except ValueError as error:  # a name that cannot be one
        raise SourceUnavailable(f"{repository!r} is not a Hugging Face id: {error}") from None
    except Exception as error:  # noqa: BLE001 -- its HTTP library, and so its errors, change between releases
        raise SourceUnavailable(_no_download(repository, error)) from None
    return Path(paths[0])


def _no_download(repository: str, error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in {401, 403, 404}:
        return f"Hugging Face has no {repository} for this hive ({status}): check the name, or set HF_TOKEN"
    return f"cannot reach Hugging Face for {repository}: give the hive a network, or a path to a .gguf file"


def _is_later_part(name: str) -> bool:
    part = _SHARD.search(name)
    return part is not None and int(part[1]) > 1


def _parts(names: list[str], first: str) -> list[str]:
    if not _SHARD.search(first):
        return [first]
    stem = _SHARD.sub("", first)
    return sorted(name for name in names if _SHARD.search(name) and _SHARD.sub("", name) == stem)


def _progress(say: Say, name: str) -> type:
    from tqdm import tqdm  # type: ignore[import-untyped]

    class Progress(tqdm):  # type: ignore[misc]
        def display(self, *_: object, **__: object) -> None:
            if self.total:
                say(f"downloading {name}: {100 * self.n / self.total:.0f} %")

    return Progress
