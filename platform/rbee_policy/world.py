"""What scripts see: every field of a task, a customer, a worker and a hive, in one place.

The queen builds exactly these records, misspelt names are found by it, the cases of `rbee policy test` take what they
leave out from it, and the tables of the reference are written from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Type = Literal["text", "integer", "number", "bool", "list", "map"]
Value = str | int | float | bool | list[str] | dict[str, str | int | float | bool]

NO_LIMIT: Final = 2**63 - 1  # Rhai's largest integer: no use is beyond it


class Field(NamedTuple):
    """`default` is what a case of a test sees that does not say otherwise."""

    type: Type
    default: Value
    text: str
    unit: str = ""


def _text(default: str, text: str) -> Field:
    return Field("text", default, text)


def _integer(default: int, text: str, unit: str = "") -> Field:
    return Field("integer", default, text, unit)


def _number(default: float, text: str, unit: str = "") -> Field:
    return Field("number", default, text, unit)


def _bool(default: bool, text: str) -> Field:
    return Field("bool", default, text)


TASK: Final[Mapping[str, Field]] = {
    "id": _text("task-1", "of this task; no other has it"),
    "type": _text("text-gen", "`text-gen`, `image-gen`, `audio-gen`, `video-gen` or `embedding`"),
    "model": _text("rbee-mini", "the model that is asked for"),
    "endpoint": _text("chat.completions", "`chat.completions` or `completions`"),
    "stream": _bool(False, "the answer is streamed"),
    "priority": _text("normal", "`high`, `normal` or `low`: the header `X-Priority`"),
    "max_tokens": _integer(1024, "the most that the answers may have together", "tokens"),
    "prompt_tokens_estimate": _integer(100, "of what was asked, before an engine counted it", "tokens"),
    "deadline": _integer(1_767_225_900, "when it is given up, as Unix time", "s"),
    "estimated_duration_minutes": _number(
        0, "what the client says in the header `X-Estimated-Duration-Minutes`; 0 when it does not", "min"
    ),
    "hour": _integer(12, "of its arrival in UTC, 0 to 23", "h"),
    "minute": _integer(0, "of its arrival, 0 to 59", "min"),
    "weekday": _integer(3, "of its arrival in UTC, from 1 for Monday to 7 for Sunday"),
    "tenant_id": _text("0" * 32, "of the customer, in hex"),
    "project_id": _text("1" * 32, "of the customer's project, in hex"),
    "customer_id": _text("acme", "the short name of the customer, `customer.id`"),
    "customer_tier": _text("pro", "of the customer's plan"),
    "customer_region": _text("", "where the customer's tasks must stay; empty: anywhere"),
    "customer_industry": _text("", "of the customer"),
    "subject": _text("", "a pseudonym of the end user (`safety_identifier`, else `user`); empty: none named"),
    "session": _text("", "a pseudonym of `prompt_cache_key`, else `subject`: equal for what shares a prompt"),
    "subject_tokens_used_today": _integer(
        0, "by this end user since midnight UTC, tasks that run as reserved; 0 when none is named", "tokens"
    ),
    "subject_requests_this_minute": _integer(
        0, "of this end user in a minute that began with its first, this one not counted", "requests"
    ),
}

CUSTOMER: Final[Mapping[str, Field]] = {
    "id": _text("acme", "the short name of the customer"),
    "tenant_id": _text("0" * 32, "in hex"),
    "tier": _text("pro", "of the plan"),
    "plan": _text("pro", "the short name of the plan"),
    "region": _text("", "where its tasks must stay; empty: anywhere"),
    "industry": _text("", "what the operator or the customer wrote there"),
    "gdpr_consent": _bool(
        False, "its account agreed to what is required of it; where nothing is, to `data_processing`"
    ),
    "tokens_used_today": _integer(
        0, "since midnight UTC, tasks that run as reserved; at most 1 s old", "tokens"
    ),
    "tokens_remaining_today": _integer(NO_LIMIT, "what `daily_limit` leaves, never below 0", "tokens"),
    "daily_limit": _integer(NO_LIMIT, "of a day in UTC", "tokens"),
    "tokens_per_minute": _integer(NO_LIMIT, "the limit", "tokens"),
    "requests_per_minute": _integer(NO_LIMIT, "the limit", "requests"),
    "concurrent_tasks": _integer(NO_LIMIT, "how many may run at the same time", "tasks"),
}

WORKER: Final[Mapping[str, Field]] = {
    "id": _text("w1", "of this worker; no other has it"),
    "hive": _text("hive-1", "the name of its machine"),
    "instance": _text("hive-1:0", "`hive:gpu_index`, for people"),
    "group": _text("", "label `group`"),
    "model": _text("rbee-mini", "that it has loaded"),
    "models": Field("list", ["rbee-mini"], "the same as a list"),
    "engine": _text("llama_cpp", "that runs the model"),
    "status": _text("ready", "`ready`: others are not offered"),
    "capability": _text("text-gen", "as `type` of a task"),
    "gpu_type": _text("A100", "`H100`, `A100`, `RTX4090`, `M2 Ultra`, `CPU`; label `gpu_type` replaces it"),
    "gpu_name": _text("NVIDIA A100-SXM4-80GB", "as the driver names the first device"),
    "gpu_index": _integer(0, "of the first device"),
    "gpus": _integer(1, "how many it spans; label `gpus` replaces it"),
    "backend": _text("cuda", "`cuda`, `rocm`, `metal` or `cpu`; label `backend` replaces it"),
    "region": _text("EU", "`EU`, `EU/Netherlands`, `US`: what the operator said when the hive joined"),
    "region_is_eu": _bool(True, "`region_is_eu(region)`"),
    "geo": Field(
        "map",
        {"region": "EU", "latitude": 0.0, "longitude": 0.0},
        "`region`, `latitude`, `longitude`; labels `latitude` and `longitude`",
        "degrees",
    ),
    "labels": Field("map", {}, "all labels of its hive"),
    "tier": _text("", "label `tier`"),
    "dedicated_to": _text("", "label `dedicated_to`: the customer that alone is offered it; empty: all are"),
    "pinned": _bool(False, "label `pinned`"),
    "cost_per_token": _number(0, "label `cost_per_token`", "currency"),
    "cost_per_hour": _number(0, "label `cost_per_hour`", "currency"),
    "electricity_price": _number(0, "label `electricity_price`", "currency per kWh"),
    "power_w": _number(0, "label `power_w`: what it draws under load", "W"),
    "estimated_time": _number(0, "label `estimated_time`"),
    "in_flight": _integer(0, "tasks that it has, those this queen gave it a moment ago too", "tasks"),
    "queue_depth": _integer(0, "of those, how many wait inside the engine", "tasks"),
    "capacity": _integer(8, "what it takes at once; a full one is not offered", "tasks"),
    "load": _number(0.0, "`in_flight / capacity`, from 0 to 1"),
    "load_s": _integer(0, "until it is ready; 0 for one that is", "s"),
    "ttft_ms": _integer(0, "moving median of the time to the first token; 0 when not known yet", "ms"),
    "cpu_pct": _integer(0, "of its machine", "%"),
    "gpu_util_pct": _integer(0, "of its busiest device", "%"),
    "rss_mb": _integer(0, "memory of the hive's processes", "MiB"),
    "vram_mb": _integer(0, "memory that the model takes on its devices; 0 when not known", "MiB"),
    "vram_free_mb": _integer(40_000, "free on its devices together", "MiB"),
    "total_vram_mb": _integer(81_920, "of its devices together; label `total_vram_mb` replaces it", "MiB"),
    "uptime_s": _integer(3600, "since the model was loaded", "s"),
    "pid": _integer(1, "of the engine on its machine"),
}

HIVE: Final[Mapping[str, Field]] = {
    "id": _text("hive-1", "the name again, for `hives.get(id)`"),
    "name": _text("hive-1", "of the machine, `worker.hive`"),
    "status": _text("ready", "`ready`: others have nothing to offer"),
    "region": _text("EU", "as `worker.region`"),
    "region_is_eu": _bool(True, "as `worker.region_is_eu`"),
    "tier": _text("", "label `tier`"),
    "gpu_type": _text("A100", "of its first worker"),
    "gpus": _integer(1, "of the workers that are offered"),
    "workers": _integer(1, "how many of its workers are offered"),
    "in_flight": _integer(0, "of those together", "tasks"),
    "capacity": _integer(8, "of those together", "tasks"),
    "load": _number(0.0, "`in_flight / capacity`, from 0 to 1"),
    "vram_free_mb": _integer(40_000, "on the devices of those", "MiB"),
    "total_vram_mb": _integer(81_920, "of the devices of those", "MiB"),
}

KINDS: Final[Mapping[str, Mapping[str, Field]]] = {
    "task": TASK,
    "customer": CUSTOMER,
    "worker": WORKER,
    "hive": HIVE,
}
# The same fact under two names.
SHARED_FIELDS: Final = {
    "customer_id": "id",
    "customer_tier": "tier",
    "customer_region": "region",
    "customer_industry": "industry",
    "tenant_id": "tenant_id",
}


def defaults(kind: str) -> dict[str, Value]:
    return {name: field.default for name, field in KINDS[kind].items()}
