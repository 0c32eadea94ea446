"""How many sequences a request makes llama.cpp compute."""

from __future__ import annotations

import msgspec


class Shape(msgspec.Struct):
    n: int = 1
    prompt: msgspec.Raw = msgspec.Raw(b'""')

    @property
    def slots(self) -> int:
        return max(self.n, 1) * self._prompts()

    def _prompts(self) -> int:
        """A list of token numbers is one prompt; a list of strings, or of lists, is several."""
        if not bytes(self.prompt).startswith(b"["):
            return 1
        parts: list[object] = msgspec.json.decode(self.prompt)
        return len(parts) if parts and not isinstance(parts[0], int) else 1


def shape(request: bytes) -> Shape:
    try:
        return decode(request)
    except msgspec.DecodeError:
        return Shape()  # llama.cpp will say what is wrong with it


decode = msgspec.json.Decoder(Shape).decode
