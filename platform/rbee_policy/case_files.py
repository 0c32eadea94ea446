"""Reading cases from YAML.

    workers:
      - {id: cheap, gpu_type: A100}
      - {id: dear, gpu_type: H100}
    cases:
      - name: Free customers get the A100
        task: {customer_tier: free}
        expect: cheap
      - name: Nobody else may have an H100
        workers: [{gpu_type: H100}]
        task: {customer_tier: free}
        expect: none

A case says what matters to it; `rbee_policy.world` has the rest. The `task`, `customer`, `workers` and `models` beside
`cases` are those of every case that does not say otherwise. Workers of a case are those that are offered: what the host
narrows by, such as regions, is not part of a case.
"""

from __future__ import annotations

from typing import Any, Final

import rhai_py

from rbee_policy.cases import WORDS, Case, CaseWorker, Expected
from rbee_policy.codes import REJECTION_CODES, code_of
from rbee_policy.documents import Document, Path, read_document
from rbee_policy.problems import hint
from rbee_policy.regions import region_is_eu
from rbee_policy.world import KINDS, NO_LIMIT, SHARED_FIELDS, Field, defaults

MAX_CASES: Final = 500
MAX_WORKERS: Final = 200
TOP_KEYS: Final = ("cases", "task", "customer", "workers", "models")
CASE_KEYS: Final = ("name", "task", "customer", "workers", "models", "turn", "expect")
EXPECT_KEYS: Final = ("admit", "reject", "worker", "workers", "none", "no_opinion", "cost_micros")
REJECT_KEYS: Final = ("message", "code", "status")


def read_cases(text: str) -> list[Case]:
    """Raises DocumentInvalid."""
    document = read_document(text)
    if not isinstance(document.value, dict) or not isinstance(document.value.get("cases"), list):
        document.blame((), "write a list of cases under the name cases")
        document.done()
    top: dict[str, Any] = document.value
    _only(document, (), top, TOP_KEYS)
    if not 0 < len(top["cases"]) <= MAX_CASES:
        document.blame(("cases",), f"there are from 1 to {MAX_CASES} cases")
        document.done()
    cases = [
        case
        for number, written in enumerate(top["cases"])
        if (case := _case(document, ("cases", number), written, top)) is not None
    ]
    document.done()
    return cases


def _case(document: Document, path: Path, written: Any, top: dict[str, Any]) -> Case | None:
    if not isinstance(written, dict):
        document.blame(path, f"a case has {', '.join(CASE_KEYS)}")
        return None
    _only(document, path, written, CASE_KEYS)
    name = written.get("name", f"case {int(path[-1]) + 1}")
    if not isinstance(name, str):
        document.blame((*path, "name"), "a name is a text")
    task, customer = _task_and_customer(document, path, written, top)
    at: Path = path if "workers" in written else ()
    workers = written.get("workers", top.get("workers"))
    offered = None if workers is None else _workers(document, (*at, "workers"), workers, task)
    turn = written.get("turn", 0)
    if isinstance(turn, bool) or not isinstance(turn, int) or turn < 0:
        document.blame((*path, "turn"), "where workers.round_robin() stands: a whole number from 0")
        turn = 0
    if "expect" not in written:
        document.blame(path, "say what you expect")
        return None
    expected = _expected(document, (*path, "expect"), written["expect"], offered)
    if expected is None:
        return None
    models = _models(document, path, written, top) | {str(task["model"])}
    models |= {str(worker.record.get("model")) for worker in offered or ()}
    return Case(
        str(name),
        document.line_of(path),
        rhai_py.Record("task", task),
        rhai_py.Record("customer", customer),
        offered,
        models,
        turn,
        expected,
    )


def _task_and_customer(
    document: Document, path: Path, written: dict[str, Any], top: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a case says of one of the two it says of the other: `task.customer_tier` is `customer.tier`."""
    task_said = _said(document, path, written, top, "task")
    customer_said = _said(document, path, written, top, "customer")
    for of_task, of_customer in SHARED_FIELDS.items():
        if of_task in task_said and of_customer in customer_said:
            if task_said[of_task] != customer_said[of_customer]:
                problem = f"task.{of_task} and customer.{of_customer} are the same, and differ here"
                document.blame((*path, "task"), problem)
        elif of_task in task_said:
            customer_said[of_customer] = task_said[of_task]
        elif of_customer in customer_said:
            task_said[of_task] = customer_said[of_customer]
    task = defaults("task") | task_said
    customer = defaults("customer") | customer_said
    if "tokens_remaining_today" not in customer_said and customer["daily_limit"] != NO_LIMIT:
        customer["tokens_remaining_today"] = max(0, customer["daily_limit"] - customer["tokens_used_today"])
    if "session" not in task_said:
        task["session"] = task["subject"]
    return task, customer


def _said(
    document: Document, path: Path, written: dict[str, Any], top: dict[str, Any], kind: str
) -> dict[str, Any]:
    return _fields(document, (kind,), top.get(kind, {}), kind) | _fields(
        document, (*path, kind), written.get(kind, {}), kind
    )


def _workers(document: Document, path: Path, workers: Any, task: dict[str, Any]) -> list[CaseWorker]:
    if not isinstance(workers, list) or len(workers) > MAX_WORKERS:
        document.blame(path, f"write a list of at most {MAX_WORKERS} workers; [] is none")
        return []
    found: list[CaseWorker] = []
    for at, written in enumerate(workers):
        fields = _worker_fields(_fields(document, (*path, at), written, "worker"), at, task)
        if any(worker.id == fields["id"] for worker in found):
            document.blame((*path, at), f"another worker has the id {fields['id']!r} too")
        found.append(
            CaseWorker(
                str(fields["id"]),
                str(fields["hive"]),
                fields["in_flight"],
                fields["capacity"],
                rhai_py.Record("worker", fields),
            )
        )
    return found


def _worker_fields(said: dict[str, Any], at: int, task: dict[str, Any]) -> dict[str, Any]:
    """What follows from what is said: a worker offered for a task has its model and does its type of work."""
    fields: dict[str, Any] = defaults("worker") | {
        "id": f"w{at + 1}",
        "hive": f"hive-{at + 1}",
        "model": task["model"],
        "capability": task["type"],
    }
    fields |= said
    if isinstance(said.get("geo"), dict):
        fields["geo"] = {"region": fields["region"], "latitude": 0.0, "longitude": 0.0} | said["geo"]
    capacity, in_flight = fields["capacity"], fields["in_flight"]
    derived = {
        "models": [fields["model"]],
        "instance": f"{fields['hive']}:{fields['gpu_index']}",
        "region_is_eu": region_is_eu(fields["region"]),
        "geo": {"region": fields["region"], "latitude": 0.0, "longitude": 0.0},
        "load": in_flight / capacity if capacity > 0 else 1.0,
    }
    return fields | {name: value for name, value in derived.items() if name not in said}


def _fields(document: Document, path: Path, written: Any, kind: str) -> dict[str, Any]:
    if not isinstance(written, dict):
        document.blame(path, f"write fields of a {kind}")
        return {}
    found = {}
    for name, value in written.items():
        field = KINDS[kind].get(name)
        if field is None:
            document.blame((*path, name), f"a {kind} has no field {name!r}; {hint(name, KINDS[kind])}")
        elif (problem := _misfit(field, value)) is not None:
            document.blame((*path, name), problem)
        else:
            found[name] = value
    return found


def _misfit(field: Field, value: Any) -> str | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if field.type == "text":
        return None if isinstance(value, str) else "it is a text; put it in quotes"
    if field.type == "integer":
        return None if is_number and isinstance(value, int) else "it is a whole number"
    if field.type == "number":
        return None if is_number else "it is a number"
    if field.type == "bool":
        return None if isinstance(value, bool) else "it is true or false"
    if field.type == "list":
        is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
        return None if is_list else "it is a list of texts"
    is_map = isinstance(value, dict) and all(isinstance(item, str | int | float) for item in value.values())
    return None if is_map else "it is names with values"


def _models(document: Document, path: Path, written: dict[str, Any], top: dict[str, Any]) -> frozenset[str]:
    at: Path = path if "models" in written else ()
    models = written.get("models", top.get("models", []))
    if not isinstance(models, list) or not all(isinstance(model, str) for model in models):
        document.blame((*at, "models"), "write a list of names of models that the colony offers")
        return frozenset()
    return frozenset(models)


def _expected(
    document: Document, path: Path, written: Any, workers: list[CaseWorker] | None
) -> Expected | None:
    if isinstance(written, str):
        value: Any = {} if written == "reject" else True
        written = {written: value} if written in WORDS else {"worker": written}
    if not isinstance(written, dict) or not written:
        document.blame(path, f"write the id or the hive of a worker, or {', '.join(WORDS)}")
        return None
    _only(document, path, written, EXPECT_KEYS)
    words = [word for word in WORDS if word in written]
    if len(words) > 1 or (words and words[0] in {"reject", "none"} and len(written) > 1):
        document.blame(path, f"only one of {', '.join(WORDS)} can come of it, and a worker of admit only")
        return None
    for word in words:
        if word != "reject" and written[word] is not True:
            document.blame((*path, word), f"write {word}: true, or expect something else")
    routed = [name for name in ("worker", "workers", "none", "no_opinion", "cost_micros") if name in written]
    if routed and workers is None:
        document.blame(path, f"{routed[0]} speaks of routing: say which workers there are")
    rejection = _rejection(document, (*path, "reject"), written["reject"]) if "reject" in written else None
    names = _names(document, path, written, workers or [])
    cost = written.get("cost_micros")
    if cost is not None and (isinstance(cost, bool) or not isinstance(cost, int)):
        document.blame((*path, "cost_micros"), "it is a whole number of micro-units")
        cost = None
    return Expected(
        _expected_text(words[0] if words else "", rejection, written),
        words[0] if words else "",
        rejection,
        written["worker"] if "worker" in written and names else None,
        written["workers"] if "workers" in written and names else None,
        cost,
    )


def _names(document: Document, path: Path, written: dict[str, Any], workers: list[CaseWorker]) -> list[str]:
    """The workers that are expected, each one that there is; [] when something is wrong with them."""
    known = [name for worker in workers for name in (worker.id, worker.hive)]
    found = []
    for key in ("worker", "workers"):
        names = written.get(key, [])
        if key == "worker" and key in written:
            names = [names]
        if not isinstance(names, list) or (key in written and not names):
            document.blame((*path, key), "write ids or hives of workers")
            continue
        for name in names:
            if name not in known:
                problem = f"there is no worker {name!r}"
                document.blame((*path, key), f"{problem}; {hint(name, known)}" if known else problem)
            else:
                found.append(str(name))
    return found


def _rejection(document: Document, path: Path, written: Any) -> dict[str, str | int]:
    if isinstance(written, str):
        written = {"message": written}
    if not isinstance(written, dict):
        document.blame(path, f"write the message, or {', '.join(REJECT_KEYS)}")
        return {}
    _only(document, path, written, REJECT_KEYS)
    found: dict[str, str | int] = {}
    for name, value in written.items():
        if name == "status" and value not in {status for status, _ in REJECTION_CODES.values()}:
            document.blame((*path, name), "no code has that status")
        elif name == "code" and value not in REJECTION_CODES:
            document.blame((*path, name), f"there is no code {value!r}; {hint(value, REJECTION_CODES)}")
        elif name == "message" and not isinstance(value, str):
            document.blame((*path, name), "a message is a text; put it in quotes")
        else:
            found[name] = value
    return found


def _expected_text(word: str, rejection: dict[str, str | int] | None, written: dict[str, Any]) -> str:
    if rejection is not None:
        status, code = rejection.get("status", ""), rejection.get("code", "")
        if not code and "message" in rejection:
            code = code_of(str(rejection["message"]), None) if not status else ""
        said = " ".join(str(part) for part in ("reject", status, code) if part)
        return f"{said}: {rejection['message']}" if "message" in rejection else said
    parts = [word] if word else []
    parts += [str(written["worker"])] if "worker" in written else []
    parts += [", ".join(map(str, written["workers"]))] if isinstance(written.get("workers"), list) else []
    parts += [f"{written['cost_micros']} micros"] if "cost_micros" in written else []
    return ", ".join(parts)


def _only(document: Document, path: Path, found: dict[str, Any], known: tuple[str, ...]) -> None:
    for name in found:
        if name not in known:
            document.blame((*path, name), f"there is no such name; {hint(name, known)}")
