"""The bodies of `/v1` requests: what is checked before a task is admitted.

Fields that are not named here pass through to the engine untouched, as the whole body does; only wrong types and values
that no engine could take are refused. Every optional field may be null, as OpenAI's own clients send it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from inference.api.errors import invalid
from inference.domain.refusals import Refused

MAX_CHOICES = 16
MAX_TOKENS = 2**31 - 1
BYTES_PER_TOKEN = 4  # of English text, roughly; engines count what is billed
TOKENS_PER_MESSAGE = 4

ModelName = Annotated[str, Meta(min_length=1, max_length=128)]
TokenLimit = Annotated[int, Meta(ge=1, le=MAX_TOKENS)]
Choices = Annotated[int, Meta(ge=1, le=MAX_CHOICES)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
Probability = Annotated[float, Meta(ge=0, le=1)]
Bias = Annotated[float, Meta(ge=-100, le=100)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Stop = str | Annotated[list[str], Meta(max_length=4)]
Subject = Annotated[str, Meta(max_length=512)]
Role = Literal["system", "developer", "user", "assistant", "tool", "function"]
PartType = Literal["text", "image_url", "input_audio", "file", "refusal"]
Priority = Literal["high", "normal", "low"]


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Part(msgspec.Struct):
    """One piece of a message's content."""

    type: PartType
    text: str | None = None
    image_url: dict[str, Any] | str | None = None
    input_audio: dict[str, Any] | None = None
    file: dict[str, Any] | None = None
    refusal: str | None = None


class CalledFunction(msgspec.Struct):
    name: str
    arguments: str


class ToolCall(msgspec.Struct):
    id: str
    type: str
    function: CalledFunction | None = None


class Message(msgspec.Struct):
    role: Role
    content: str | list[Part] | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    function_call: CalledFunction | None = None
    audio: dict[str, Any] | None = None


class FunctionDefinition(msgspec.Struct):
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(msgspec.Struct):
    type: str
    function: FunctionDefinition | None = None


class JsonSchema(msgspec.Struct):
    name: str
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class TextRequest(msgspec.Struct, kw_only=True):
    """What chat and completions share."""

    model: ModelName
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Choices | None = None
    max_tokens: TokenLimit | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, Bias] | None = None
    seed: Seed | None = None
    stop: Stop | None = None
    user: Subject | None = None
    safety_identifier: Subject | None = None

    def check(self) -> None:
        """What types alone cannot say. Raises Refused."""
        if self.stream_options is not None and not self.stream:
            raise invalid("'stream_options' is only allowed when 'stream' is true.", "stream_options")

    @property
    def includes_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def subject(self) -> str:
        """The end user, as the caller names them."""
        return self.safety_identifier or self.user or ""

    @property
    def session(self) -> str:
        """What shares a prompt, as the caller names it; empty where the caller does not."""
        return ""

    @property
    def token_limit(self) -> int | None:
        """For each choice."""
        return self.max_tokens

    @property
    def prompts(self) -> int:
        return 1

    @property
    def answers(self) -> int:
        """That are made, whether the caller gets all or not."""
        return self.n or 1

    @property
    def prompt_tokens_estimate(self) -> int:
        raise NotImplementedError


class ChatRequest(TextRequest, kw_only=True):
    """Body of `POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    max_completion_tokens: TokenLimit | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: Annotated[list[Tool], Meta(max_length=128)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    functions: list[FunctionDefinition] | None = None
    function_call: str | dict[str, Any] | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    modalities: list[str] | None = None
    service_tier: str | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    prompt_cache_key: str | None = None

    def check(self) -> None:
        super().check()
        if self.top_logprobs is not None and not self.logprobs:
            raise invalid("'top_logprobs' is only allowed when 'logprobs' is true.", "top_logprobs")
        if (
            self.response_format
            and self.response_format.type == "json_schema"
            and not self.response_format.json_schema
        ):
            raise _missing("response_format.json_schema")
        for index, tool in enumerate(self.tools or ()):
            if tool.type == "function" and tool.function is None:
                raise _missing(f"tools[{index}].function")
        for index, message in enumerate(self.messages):
            _check_message(message, f"messages[{index}]")

    @property
    def session(self) -> str:
        return self.prompt_cache_key or ""

    @property
    def token_limit(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def prompt_tokens_estimate(self) -> int:
        return sum(
            TOKENS_PER_MESSAGE + _text_length(message.content) // BYTES_PER_TOKEN for message in self.messages
        )


class CompletionRequest(TextRequest, kw_only=True):
    """Body of `POST /v1/completions`. `prompt`: a text, a list of texts, of tokens, or of lists of tokens."""

    prompt: str | Annotated[list[str | int | list[int]], Meta(min_length=1, max_length=128)]
    best_of: Choices | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    suffix: str | None = None

    def check(self) -> None:
        super().check()
        if isinstance(self.prompt, list) and len({type(item) for item in self.prompt}) > 1:
            raise invalid(
                "'prompt' must be a text, or a list of texts, of tokens or of lists of tokens.", "prompt"
            )
        prompts = self.prompt if isinstance(self.prompt, list) else [self.prompt]
        if any(prompt in ("", []) for prompt in prompts):
            raise invalid("'prompt' must not be empty.", "prompt")
        if self.best_of is not None and self.best_of < (self.n or 1):
            raise invalid("'best_of' must be at least 'n'.", "best_of")
        if self.best_of is not None and self.best_of > 1 and self.stream:
            raise invalid("'best_of' is not allowed when 'stream' is true.", "best_of")

    @property
    def prompts(self) -> int:
        is_one = isinstance(self.prompt, str) or isinstance(self.prompt[0], int)
        return 1 if is_one else len(self.prompt)

    @property
    def answers(self) -> int:
        return max(self.n or 1, self.best_of or 1) * self.prompts

    @property
    def prompt_tokens_estimate(self) -> int:
        if isinstance(self.prompt, str):
            return len(self.prompt) // BYTES_PER_TOKEN + 1
        return sum(_prompt_tokens(item) for item in self.prompt)


R = TypeVar("R", bound=TextRequest)


class Reader:
    """Decodes and checks bodies of one type."""

    def __init__(self, kind: type[Any]) -> None:
        self._decode = msgspec.json.Decoder(kind).decode

    def read(self, body: bytes) -> Any:
        """Raises Refused, naming the field."""
        if not body:
            raise invalid("The request has no body; send JSON.", code="invalid_json")
        try:
            body.decode()  # what passes through unread must be text as well
            request = self._decode(body)
        except msgspec.ValidationError as error:
            raise _explained(str(error)) from None
        except msgspec.DecodeError as error:
            raise invalid(
                f"We could not parse the JSON body of your request: {error}.", code="invalid_json"
            ) from None
        except UnicodeDecodeError:
            raise invalid("The body of your request is not UTF-8.", code="invalid_json") from None
        except RecursionError:
            raise invalid(
                "The JSON body of your request is nested too deeply.", code="invalid_json"
            ) from None
        request.check()
        return request


_TYPE_NAMES = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}


def _explained(text: str) -> Refused:
    """msgspec's sentence in OpenAI's words: ``Expected `int`, got `str` - at `$.n` ``."""
    problem, _, place = text.partition(" - at ")
    param = place.strip("`").removeprefix("$").removeprefix(".")
    named = f"'{param}'" if param else "the body"
    if problem.startswith("Object missing required field "):
        field = problem.rpartition(" ")[2].strip("`")
        return _missing(f"{param}.{field}" if param else field)
    if problem.startswith("Expected ") and ", got " in problem:
        expected, _, got = problem.removeprefix("Expected ").partition(", got ")
        return invalid(
            f"Invalid type for {named}: expected {_type_names(expected)}, but got {_type_names(got)} instead.",
            param or None,
            "invalid_type",
        )
    problem = _plain(problem)
    return invalid(f"Invalid value for {named}: {problem[:1].lower()}{problem[1:300]}.", param or None)


def _missing(param: str) -> Refused:
    return invalid(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def _plain(problem: str) -> str:
    for name, plain in _TYPE_NAMES.items():
        problem = problem.replace(f"`{name}`", plain)
    return problem


def _type_names(text: str) -> str:
    names = [name for name in text.strip("`").split(" | ") if name != "null"] or ["null"]
    return " or ".join(_TYPE_NAMES.get(name, name) for name in names)


def _check_message(message: Message, place: str) -> None:
    content = message.content
    if isinstance(content, list):
        _check_parts(content, place)
    elif content is None and not (
        message.role in {"assistant", "function"}
        and (message.tool_calls or message.function_call or message.refusal or message.audio)
    ):
        raise _missing(f"{place}.content")
    if message.role == "tool" and message.tool_call_id is None:
        raise _missing(f"{place}.tool_call_id")


def _check_parts(parts: list[Part], place: str) -> None:
    if not parts:
        raise invalid(f"Invalid value for '{place}.content': expected at least one part.", f"{place}.content")
    for index, part in enumerate(parts):
        if getattr(part, part.type) is None:
            raise _missing(f"{place}.content[{index}].{part.type}")


def _text_length(content: str | list[Part] | None) -> int:
    if isinstance(content, str):
        return len(content)
    return sum(len(part.text or "") for part in content or ())


def _prompt_tokens(item: str | int | list[int]) -> int:
    if isinstance(item, int):
        return 1
    return len(item) if isinstance(item, list) else len(item) // BYTES_PER_TOKEN + 1
