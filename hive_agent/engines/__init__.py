"""The engines, by name. Each is a folder of the same shape:

    __init__.py   ENGINE, an instance of `base.Engine`: how to start it, what to send it, what it counted
    serve.py      the program of its process, where the engine brings none of its own

An engine's own library is imported by its process only.
"""

from __future__ import annotations

import importlib

from hive_agent.engines.base import Engine
from hive_agent.errors import EngineFailed

NAMES = ("llama_cpp", "echo")


def load_engine(name: str) -> Engine:
    if name not in NAMES:
        raise EngineFailed(f"there is no engine {name!r}: this hive has {', '.join(NAMES)}")
    engine: Engine = importlib.import_module(f"hive_agent.engines.{name}").ENGINE
    return engine
