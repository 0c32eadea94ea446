"""The Rhai scripting language for Python: limited, timed, and fast with host records."""

from collections.abc import Callable, Sequence
from typing import Final, final

__all__ = [
    "Engine",
    "Finding",
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

__version__: Final[str]

class RhaiError(Exception):
    """A script could not be compiled or called.

    `kind` is one of parse, runtime, limit, timeout, missing_field, missing_function, argument, panic.
    `line` and `column` count from 1; None where no place in the source is to blame.
    """

    message: str
    line: int | None
    column: int | None
    kind: str

class RhaiParseError(RhaiError): ...
class RhaiRuntimeError(RhaiError): ...
class RhaiLimitError(RhaiError): ...
class RhaiTimeoutError(RhaiError): ...

@final
class Limits:
    """How much one call of a script may use. Every limit is on; `ValueError` outside 1 to a ceiling."""

    def __new__(
        cls,
        *,
        operations: int = 50_000,
        call_levels: int = 16,
        expr_depth: int = 32,
        function_expr_depth: int = 32,
        string_bytes: int = 1024,
        array_items: int = 256,
        map_items: int = 64,
        variables: int = 64,
        functions: int = 32,
        script_bytes: int = 16_384,
        memory_bytes: int = 8_388_608,
    ) -> Limits: ...
    @property
    def operations(self) -> int: ...
    @property
    def call_levels(self) -> int: ...
    @property
    def expr_depth(self) -> int: ...
    @property
    def function_expr_depth(self) -> int: ...
    @property
    def string_bytes(self) -> int: ...
    @property
    def array_items(self) -> int: ...
    @property
    def map_items(self) -> int: ...
    @property
    def variables(self) -> int: ...
    @property
    def functions(self) -> int: ...
    @property
    def script_bytes(self) -> int: ...
    @property
    def memory_bytes(self) -> int: ...
    @property
    def stack_bytes(self) -> int:
        """What the deepest evaluation that these limits allow can use of the stack.

        A call on a thread that has less left makes a stack of its own, which takes about 10 µs.
        """

    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Engine:
    """Compiles scripts. Immutable; any number of threads may use it.

    `aliases` reads one word as a keyword, `functions` are Python callables with fixed positional parameters, `variables`
    are names that every function of a script may read and each call may give.
    """

    def __new__(
        cls,
        *,
        limits: Limits | None = None,
        aliases: dict[str, str] | None = ...,
        functions: dict[str, Callable[..., object]] | None = None,
        variables: Sequence[str] = ...,
    ) -> Engine: ...
    def compile(self, source: str) -> Script:
        """Raises RhaiParseError, or RhaiLimitError when the source is too large or too deep."""

    @property
    def limits(self) -> Limits: ...

@final
class Script:
    """A compiled source. Immutable; any number of threads may call it at once."""

    @property
    def source(self) -> str: ...
    @property
    def sha256(self) -> str:
        """Of the source in UTF-8, in hex."""

    @property
    def functions(self) -> list[tuple[str, int]]:
        """Name and number of parameters, sorted."""

    def has_function(self, name: str, arity: int) -> bool: ...
    def call(
        self,
        fn: str,
        *args: object,
        variables: dict[str, object] | None = None,
        timeout_ms: float = 20.0,
        cpu_ms: float | None = None,
    ) -> object:
        """Run one function with the GIL released. Raises RhaiError.

        `timeout_ms` is wall-clock time, `cpu_ms` what the thread may compute of it: on a busy machine, or around a host
        function that waits, the first may be generous while the second keeps a script from taking more than its part.

        `variables` are values of those that the engine declares; one that is not given reads as `()`.
        """

    def lint(
        self,
        entry_points: dict[str, Sequence[str | None]],
        kinds: dict[str, dict[str, str | None]],
        lists: dict[str, str] | None = None,
        variables: dict[str, str | None] | None = None,
    ) -> list[Finding]:
        """What is certainly wrong, by place: fields that a kind does not have, functions that exist nowhere.

        `entry_points` has the kinds of the parameters of each function that will be called, `kinds` the fields of each
        kind of record: None for a scalar, "?" for anything, else the kind that the field holds. `lists` has the kind of
        the records in each kind of `Workers`, `variables` the kinds of the engine's variables. Raises ValueError for a
        kind that is not described.
        """

@final
class Finding:
    """Something that is certainly wrong in a script, and where.

    `kind` is missing_field, missing_function or missing_method.
    """

    @property
    def message(self) -> str: ...
    @property
    def line(self) -> int | None: ...
    @property
    def column(self) -> int | None: ...
    @property
    def kind(self) -> str: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Frozen:
    """A value converted once by `freeze`, for any number of calls."""

def freeze(obj: object) -> Frozen:
    """Convert deeply, once. Dicts become read-only objects that scripts share instead of copying."""

@final
class Record:
    """A host object with named fields, read-only to scripts. `kind` is what messages call it."""

    def __new__(cls, kind: str, fields: dict[str, object]) -> Record: ...
    def update(self, **fields: object) -> None:
        """Set fields, all at once for any reader. Calls that run already keep the old values."""

    def get(self, name: str) -> object:
        """Raises KeyError, naming the nearest field."""

    def fields(self) -> dict[str, object]: ...
    @property
    def kind(self) -> str: ...

@final
class Workers:
    """A list of Records as scripts see it; `round_robin` is the counter of `workers.round_robin()`."""

    def __new__(cls, records: Sequence[Record], *, round_robin: int = 0) -> Workers: ...
    def __len__(self) -> int: ...
    def to_list(self) -> list[Record]: ...
    def rows(self, *names: str) -> list[tuple[object, ...]]:
        """These fields of each record. Raises KeyError, naming the nearest field."""

@final
class None_:  # noqa: N801
    """The class of `none`: there is nothing to choose. False in a condition."""

    def __bool__(self) -> bool: ...

none: Final[None_]

@final
class Verdict:
    """What admit() and reject(message, code) answer."""

    def __new__(cls, admitted: bool, message: str | None = None, code: str | None = None) -> Verdict: ...
    @property
    def admitted(self) -> bool: ...
    @property
    def message(self) -> str | None: ...
    @property
    def code(self) -> str | None: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
