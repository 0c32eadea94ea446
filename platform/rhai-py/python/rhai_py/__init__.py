"""The Rhai scripting language for Python: limited, timed, and fast with host records."""

from rhai_py._native import (
    Engine,
    Frozen,
    Limits,
    None_,
    Record,
    RhaiError,
    RhaiLimitError,
    RhaiParseError,
    RhaiRuntimeError,
    RhaiTimeoutError,
    Script,
    Verdict,
    Workers,
    __version__,
    freeze,
    none,
)

__all__ = [
    "Engine",
    "Frozen",
    "Limits",
    "None_",
    "Record",
    "RhaiError",
    "RhaiLimitError",
    "RhaiParseError",
    "RhaiRuntimeError",
    "RhaiTimeoutError",
    "Script",
    "Verdict",
    "Workers",
    "__version__",
    "freeze",
    "none",
]
