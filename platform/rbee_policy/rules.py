"""Rules in YAML, for people who do not write code: they are written out as a script, which is what runs.

    rules:
      - name: Short answers for free customers
        when: {customer.tier: free, task.max_tokens: {gt: 4000}}
        then: {reject: Free answers have at most 4000 tokens, code: invalid_value}
      - name: Free customers use A100s
        when: {task.customer_tier: free}
        use: {gpu_type: A100}

Of the rules with `then` the first that fits admits or rejects, of those with `use` the first that fits routes. When none
fits, the task is admitted, and the least loaded worker serves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from rbee_policy.codes import REJECTION_CODES
from rbee_policy.documents import Document, Path, read_document
from rbee_policy.language import PolicyInvalid, compile_policy
from rbee_policy.problems import hint
from rbee_policy.quoting import comment, quoted
from rbee_policy.world import CUSTOMER, TASK, WORKER, Field

MAX_RULES: Final = 50
MAX_CONDITIONS: Final = 12
MAX_CHOICES: Final = 60  # of one list
MAX_TEXT_BYTES: Final = 500

RULE_KEYS: Final = ("name", "when", "then", "use")
PICKS: Final = ("least_loaded", "round_robin", "most_vram_free", "first", "sticky")
STICKY_BY: Final = "session"

_COMPARISONS: Final = {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_TEXT_TESTS: Final = {"starts_with": "starts_with", "ends_with": "ends_with", "contains": "contains"}
_TYPE_NAMES: Final = {
    "text": "a text",
    "integer": "a whole number",
    "number": "a number",
    "bool": "true or false",
    "list": "a text",
    "map": "a text, a number, true or false",
}


def script_of_rules(text: str) -> str:
    """The rules as Rhai. Raises DocumentInvalid."""
    document = read_document(text)
    rules = _rules(document)
    admission: list[str] = []
    routing: list[str] = []
    for number, rule in enumerate(rules):
        path: Path = ("rules", number)
        if not isinstance(rule, dict):
            document.blame(path, f"a rule has {', '.join(RULE_KEYS)}")
            continue
        _only(document, path, rule, RULE_KEYS)
        if ("then" in rule) == ("use" in rule):
            document.blame(path, "a rule has either then (admit or reject) or use (which workers)")
            continue
        lines = admission if "then" in rule else routing
        lines += _written(document, path, rule, number + 1)
    document.done()
    return _checked(document, _script(admission, routing))


def _rules(document: Document) -> list[Any]:
    value = document.value
    if not isinstance(value, dict) or not isinstance(value.get("rules"), list) or not value["rules"]:
        document.blame((), "write a list of rules under the name rules")
        document.done()
    _only(document, (), value, ("rules",))
    if len(value["rules"]) > MAX_RULES:
        document.blame(("rules",), f"there are more than {MAX_RULES} rules; write a script")
        document.done()
    rules: list[Any] = value["rules"]
    return rules


def _written(document: Document, path: Path, rule: dict[str, Any], number: int) -> list[str]:
    name = rule.get("name", "")
    if not isinstance(name, str):
        document.blame((*path, "name"), "a name is a text")
        name = ""
    records = {"task": TASK, "customer": CUSTOMER} if "then" in rule else {"task": TASK}
    condition = _conditions(document, (*path, "when"), rule.get("when", {}), _dotted(records))
    outcome = _then(document, path, rule["then"]) if "then" in rule else _use(document, path, rule["use"])
    lines = [comment(f"rule {number}: {name}" if name else f"rule {number}")]
    if condition:
        lines += [f"if {condition} {{", *(f"    {line}" for line in outcome), "}"]
    else:
        lines += ["{", *(f"    {line}" for line in outcome), "}"]
    return lines


def _then(document: Document, path: Path, then: Any) -> list[str]:
    path = (*path, "then")
    if then == "admit":
        return ["return admit();"]
    if not isinstance(then, dict) or "reject" not in then:
        document.blame(path, "write admit, or reject with a message")
        return []
    _only(document, path, then, ("reject", "code"))
    message = _text(document, (*path, "reject"), then["reject"])
    if "code" not in then:
        return [f"return reject({quoted(message)});"]
    code = _text(document, (*path, "code"), then["code"])
    if code not in REJECTION_CODES:
        document.blame((*path, "code"), f"there is no code {code!r}; {hint(code, REJECTION_CODES)}")
    return [f"return reject({quoted(message)}, {quoted(code)});"]


def _use(document: Document, path: Path, use: Any) -> list[str]:
    """One choice, or a list of them of which the first that leaves a worker is taken."""
    path = (*path, "use")
    if isinstance(use, dict):
        return [f"return {_choice(document, path, use)};"]
    if not isinstance(use, list) or not use or not all(isinstance(choice, dict) for choice in use):
        document.blame(path, "write what the workers must be, such as gpu_type: A100, or a list of such")
        return []
    lines = []
    for at, choice in enumerate(use):
        written = _choice(document, (*path, at), choice)
        if at == len(use) - 1:
            lines.append(f"return {written};")
        else:
            lines += [f"let chosen = {written};", "if chosen != none { return chosen; }"]
    return lines


def _choice(document: Document, path: Path, choice: dict[str, Any]) -> str:
    workers = {name: value for name, value in choice.items() if name != "pick"}
    condition = _conditions(document, path, workers, _worker_fields())
    filtered = f"workers.filter(|w| {condition})" if condition else "workers"
    pick = choice.get("pick", PICKS[0])
    if isinstance(pick, dict) and set(pick) == {"sticky"}:
        by = pick["sticky"]
        if by not in TASK or TASK[by].type != "text":
            document.blame((*path, "pick", "sticky"), f"a task has no text {by!r}; {hint(by, TASK)}")
        return f"{filtered}.sticky(task.{by})"
    if pick not in PICKS:
        document.blame((*path, "pick"), f"there is no choice {pick!r}; {hint(pick, PICKS)}")
        return filtered
    return f"{filtered}.sticky(task.{STICKY_BY})" if pick == "sticky" else f"{filtered}.{pick}()"


Resolve = Callable[
    [str], tuple[str, Field] | str
]  # what is written -> its expression and field, or what is wrong


def _dotted(records: Mapping[str, Mapping[str, Field]]) -> Resolve:
    """`task.model`, and `customer.tier` where a customer is seen."""

    def resolve(name: str) -> tuple[str, Field] | str:
        record, dot, field = name.partition(".")
        if not dot or record not in records:
            owner = next((known for known, fields in records.items() if name in fields), None)
            if record == "customer" and dot:
                return "rules with use see the task only, such as task.customer_tier"
            return (
                f"write {owner}.{name}"
                if owner
                else f"write {' or '.join(f'{known}.…' for known in records)}"
            )
        found = records[record].get(field)
        if found is None:
            return f"a {record} has no field {field!r}; {hint(field, records[record])}"
        return f"{record}.{field}", found

    return resolve


def _worker_fields() -> Resolve:
    """`gpu_type`, `labels.rack`, `geo.latitude`."""

    def resolve(name: str) -> tuple[str, Field] | str:
        field, dot, key = name.partition(".")
        found = WORKER.get(field)
        if found is None:
            return f"a worker has no field {field!r}; {hint(field, WORKER)}"
        if found.type == "map":
            return (f"w.{field}.get({quoted(key)})", found) if key else f"write which: {field}.…"
        return f"a worker has no field {name!r}" if dot else (f"w.{name}", found)

    return resolve


def _conditions(document: Document, path: Path, conditions: Any, resolve: Resolve) -> str:
    if not isinstance(conditions, dict):
        document.blame(path, "write fields and what they must be, such as task.model: rbee-mini")
        return ""
    if len(conditions) > MAX_CONDITIONS:
        document.blame(path, f"there are more than {MAX_CONDITIONS} conditions")
        return ""
    written = []
    for name, wanted in conditions.items():
        here: Path = (*path, name)
        if name == "percent" and "when" in path:
            written.append(_percent(document, here, wanted))
            continue
        resolved = resolve(name)
        if isinstance(resolved, str):
            document.blame(here, resolved)
            continue
        written.append(_condition(document, here, *resolved, wanted))
    return " && ".join(each for each in written if each)


def _percent(document: Document, path: Path, wanted: Any) -> str:
    """Of the tasks, the same whenever the same task is asked about."""
    if isinstance(wanted, bool) or not isinstance(wanted, int) or not 0 <= wanted <= 100:
        document.blame(path, "write a whole number from 0 to 100")
        return ""
    return f"bucket(task.id, 100) < {wanted}"


def _condition(document: Document, path: Path, place: str, field: Field, wanted: Any) -> str:
    if isinstance(wanted, dict):
        if not wanted:
            document.blame(path, "write how it is compared")
        tests = [_test(document, (*path, how), place, field, how, value) for how, value in wanted.items()]
        return " && ".join(test for test in tests if test)
    if field.type == "list":
        return _test(document, path, place, field, "contains", wanted)
    return _equals(document, path, place, field, wanted)


def _test(document: Document, path: Path, place: str, field: Field, how: str, value: Any) -> str:
    if how == "not":
        return f"!({_equals(document, path, place, field, value)})"
    if how in _COMPARISONS and field.type in {"integer", "number", "map"}:
        number = _value(document, path, field if field.type != "map" else _NUMBER, value)
        return f"{place} {_COMPARISONS[how]} {quoted(number)}"
    if how == "contains" and field.type == "list":
        return f"{quoted(_text(document, path, value))} in {place}"
    if how in _TEXT_TESTS and field.type == "text":
        return f"{place}.{_TEXT_TESTS[how]}({quoted(_text(document, path, value))})"
    ways = {
        "text": ["not", *_TEXT_TESTS],
        "bool": ["not"],
        "list": ["contains"],
    }.get(field.type, ["not", *_COMPARISONS])
    document.blame(path, f"it cannot be compared so; there are {', '.join(ways)}")
    return ""


def _equals(document: Document, path: Path, place: str, field: Field, wanted: Any) -> str:
    """A value, or one of a list."""
    if not isinstance(wanted, list):
        return f"{place} == {quoted(_value(document, path, field, wanted))}"
    if not wanted or len(wanted) > MAX_CHOICES:
        document.blame(path, f"a list has from 1 to {MAX_CHOICES} values")
        return ""
    values = [_value(document, (*path, at), field, item) for at, item in enumerate(wanted)]
    return f"{place} in [{', '.join(map(quoted, values))}]"


_NUMBER: Final = Field("number", 0, "")


def _value(document: Document, path: Path, field: Field, value: Any) -> str | int | float | bool:
    if field.type in {"text", "list"}:
        return _text(document, path, value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        "integer": is_number,
        "number": is_number,
        "bool": isinstance(value, bool),
        "map": isinstance(value, str | int | float | bool),
    }[field.type]
    if not fits:
        document.blame(path, f"it is {_TYPE_NAMES[field.type]}, not {_shown(value)}")
        return 0
    if isinstance(value, str):
        return _text(document, path, value)
    known: int | float | bool = value
    return known


def _text(document: Document, path: Path, value: Any) -> str:
    if not isinstance(value, str):
        document.blame(path, f"it is a text, not {_shown(value)}; put it in quotes")
        return ""
    if len(value.encode()) > MAX_TEXT_BYTES:
        document.blame(path, f"a text has at most {MAX_TEXT_BYTES} bytes")
    return value


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "names and values"
    return "nothing" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)


def _only(document: Document, path: Path, found: dict[str, Any], known: tuple[str, ...]) -> None:
    for name in found:
        if name not in known:
            document.blame((*path, name), f"there is no such name; {hint(name, known)}")


def _script(admission: list[str], routing: list[str]) -> str:
    parts = ["// Written from rules in YAML: change those."]
    if admission:
        parts.append(_function("should_admit(task, customer)", [*admission, "admit()"]))
    if routing:
        parts.append(_function("route_task(task, workers)", routing))
    return "\n\n".join(parts) + "\n"


def _function(signature: str, lines: list[str]) -> str:
    return "\n".join([f"fn {signature} {{", *(f"    {line}" for line in lines), "}"])


def _checked(document: Document, script: str) -> str:
    """What is left to go wrong is their number and size together."""
    try:
        compile_policy(script)
    except PolicyInvalid as invalid:
        document.blame(("rules",), f"they make a script that cannot be kept: {invalid.problem}")
        document.done()
    return script
