"""How people really type: openers and closers, casing, punctuation, missing little words, typing errors."""

import random
import tomllib
from pathlib import Path

_TEXTS = tomllib.loads((Path(__file__).parent / "texts" / "noise.toml").read_text(encoding="utf-8"))
_KEYS = "qwertyuiop asdfghjkl zxcvbnm"


def humanise(text: str, rng: random.Random) -> str:
    """The same question as somebody in a hurry might type it."""
    if rng.random() < 0.15:
        text = _swap_synonym(text, rng)
    if rng.random() < 0.25:
        text = _contract(text, rng)
    if rng.random() < 0.10:
        text = _drop_little_word(text, rng)
    if rng.random() < 0.22:
        text = f"{rng.choice(_TEXTS['openers'])} {text}"
    if rng.random() < 0.16:
        text = f"{text} {rng.choice(_TEXTS['closers'])}".replace(" ,", ",").replace(" ?", "?")
    for _ in range(rng.choices((0, 1, 2), (85, 12, 3))[0]):
        text = _mistype(text, rng)
    text = _case(text, rng)
    if text[-1:] in "?!.":
        return text
    return text + rng.choices(("?", "", ".", "!", " ?", "??"), (58, 30, 6, 2, 3, 1))[0]


def _swap_synonym(text: str, rng: random.Random) -> str:
    words = text.split(" ")
    places = [place for place, word in enumerate(words) if word in _TEXTS["synonyms"]]
    if places:
        place = rng.choice(places)
        words[place] = rng.choice(_TEXTS["synonyms"][words[place]])
    return " ".join(words)


def _contract(text: str, rng: random.Random) -> str:
    for long, short in _TEXTS["contractions"].items():
        if long in text:
            return text.replace(long, rng.choice(short), 1)
    return text


def _drop_little_word(text: str, rng: random.Random) -> str:
    words = text.split(" ")
    places = [place for place, word in enumerate(words) if word in _TEXTS["little_words"]]
    if places and len(words) > 3:
        del words[rng.choice(places)]
    return " ".join(words)


def _mistype(text: str, rng: random.Random) -> str:
    places = [
        place for place in range(1, len(text) - 1) if text[place].isalpha() and text[place - 1].isalpha()
    ]
    if len(places) < 4:
        return text
    at = rng.choice(places)
    kind = rng.randrange(4)
    if kind == 0:
        return text[:at] + text[at + 1 :]
    if kind == 1:
        return text[:at] + text[at] + text[at:]
    if kind == 2:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    near = _KEYS.find(text[at].lower())
    return text[:at] + _KEYS[max(0, near - 1)].strip() + text[at + 1 :]


def _case(text: str, rng: random.Random) -> str:
    chance = rng.random()
    if chance < 0.30:
        return text.lower()
    if chance < 0.32:
        return text.upper()
    if chance < 0.40:
        return text
    return text[:1].upper() + text[1:]
