"""Colonies, customers and hostile scripts of tenants, and what must never come of them.

A case is decided by the code that decides tasks, and judged by rules that are written here once more, in Python and by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import rhai_py
from hypothesis import strategies as st

from gdpr.ids import uuid7
from hive_agent import protocol
from hive_agent.protocol import Endpoint
from inference.domain import choice as choice_module
from inference.domain import routing
from inference.domain.admission import admit
from inference.domain.colony import Colony, HiveInfo, HiveView
from inference.domain.decision_reader import Seen
from inference.domain.refusals import NoWorkers, Refused
from inference.domain.trace import Trace
from rbee_policy.functions import Facts
from rbee_policy.world import defaults
from tenants.domain.authentication import Caller, Limits
from tests.inference.domain.scripts import TENANT, Scripts

MODEL = "m"
SLUG = "acme"
STRANGER = "globex"

# What a script says of all that it can reach, as the message of a rejection.
SPY = """
fn route_task(task, workers) {
    let said = "";
    for w in workers {
        said += `|${w.id}|${w.hive}|${w.gpu_name}|${w.dedicated_to}|${w.region}|${w.in_flight}|`;
    }
    for h in hives { said += `|${h.name}|`; }
    for name in %s {
        let found = workers.get(name);
        if found != none { said += `|${found.id}|`; }
        let found = hives.get(name);
        if found != none { said += `|${found.name}|`; }
        let device = gpu_device_name(name);
        if device != () { said += `|${device}|`; }
        if gpu_vram_total(name) != () { said += `|${name}|`; }
        if tenant_usage(name) != () { said += `|usage of ${name}|`; }
    }
    reject(said)
}
"""
BREAKING = {
    "an error": "[task][0].nothing",
    "thrown": "throw 404",
    "no such function": 'Fn("nobody_" + "knows").call(task)',
    "a loop": "loop {}",
    "recursion": "fn f(x) { f(x) } f(1)",
    "a large text": 'let s = "x"; loop { s += s; }',
    "a large list": "let a = [0]; loop { a += a; }",
    "a changed field": 'task.customer_region = "US"; ()',
    "a number": "1",
    "a truth": "true",
    "a text": '"w1"',
    "the task": "task",
    "a map that looks like a worker": '#{id: "w1", hive: "h1"}',
    "an unknown code": 'reject("no", "no_such_" + "code")',
}
BREAKING_ROUTES = {
    **BREAKING,
    "a list with something else": "[task]",
    "a worker and something else": "[workers[0], 1]",
    "a changed worker": 'workers[0].region = "EU"; workers[0]',
}
BREAKING_ADMISSIONS = {**BREAKING, "a list": "[]", "none": "none"}
CHOOSING = (
    "workers",
    "()",
    "none",
    "admit()",
    "workers.first()",
    "workers.least_loaded()",
    "workers.most_vram_free()",
    "workers.round_robin()",
    "workers.max_by(|w| w.in_flight)",
    'workers.min_by(|w| if w.dedicated_to == "" { 1 } else { 0 })',
    'workers.filter(|w| w.region == "US").first()',
    'workers.filter(|w| w.dedicated_to != "").first()',
    "workers.filter(|w| w.in_flight >= w.capacity).first()",
    'workers.get("w1")',
    'workers.get("w2")',
    "workers.sticky(task.id)",
    'workers.exclude("w0")',
    "workers.with_capacity(0)",
    "[workers[0], workers[0]]",
    "workers.sort_by(|w| w.id)[0]",
)


@dataclass
class Machine:
    """A hive with one worker."""

    number: int
    region: str
    dedicated_to: str
    status: str
    in_flight: int
    capacity: int
    model: str

    @property
    def id(self) -> str:
        return f"w{self.number}"

    def names(self) -> list[str]:
        return [self.id, f"h{self.number}", f"gpu of {self.number}"]

    def view(self) -> HiveView:
        info = HiveInfo(
            id=f"{self.number:032x}",
            name=f"h{self.number}",
            prefix=f"h:{self.number}:",
            region=self.region,
            labels={"dedicated_to": self.dedicated_to} if self.dedicated_to else {},
        )
        device = protocol.DeviceReport(
            index=0, kind="cuda", name=f"gpu of {self.number}", gpu_type="A100", vram_total_mib=1, vram_free_mib=1,
            util_pct=0,
        )  # fmt: skip
        worker = protocol.WorkerReport(
            id=self.id, model=self.model, engine="echo", status=self.status, capability="text-gen", devices=[0],
            in_flight=self.in_flight, queue_depth=0, capacity=self.capacity, vram_mib=0, ttft_ms=0, uptime_s=0, pid=1,
        )  # fmt: skip
        heartbeat = protocol.Heartbeat(
            version=protocol.VERSION, hive=info.id, name=info.name, epoch=1, seq=1, at_ms=0, software="", draining=False,
            cpu_pct=0, rss_mib=0, devices=[device], workers=[worker],
        )  # fmt: skip
        found = HiveView(info)
        found.hear(heartbeat)
        return found


@dataclass
class Case:
    machines: list[Machine]
    region: str
    operator_takes: set[str]  # ids that the operator's script leaves
    tenant: str  # the tenant's script
    outcome: str = ""  # id of who serves, or a code
    message: str = ""
    trace: Trace = field(init=False)

    @property
    def operator(self) -> str:
        listed = ", ".join(f'"{each}"' for each in sorted(self.operator_takes))
        return f"fn route_task(task, workers) {{ workers.filter(|w| w.id in [{listed}]) }}"

    def may_serve(self) -> set[str]:
        """By hand: what host and operator allow."""
        return {
            machine.id for machine in self.machines if machine.in_flight < machine.capacity
        } & self.may_see()

    def may_see(self) -> set[str]:
        """Scripts are also asked whether they would wait for one that is full."""
        return {
            machine.id
            for machine in self.machines
            if machine.model == MODEL
            and machine.status == "ready"
            and (not self.region or (machine.region + "/").startswith(self.region + "/"))
            and machine.dedicated_to in ("", SLUG)
            and machine.id in self.operator_takes
        }


@st.composite
def cases(draw: st.DrawFn, scripts: st.SearchStrategy[str]) -> Case:
    count = draw(st.integers(1, 6))
    machines = [
        Machine(
            number=number,
            region=draw(st.sampled_from(["EU", "EU/Netherlands", "US", "EUROPA"])),
            dedicated_to=draw(st.sampled_from(["", "", SLUG, STRANGER])),
            status=draw(st.sampled_from(["ready", "ready", "ready", "loading"])),
            in_flight=draw(st.integers(0, 4)),
            capacity=draw(st.integers(1, 4)),
            model=draw(st.sampled_from([MODEL, MODEL, MODEL, "other"])),
        )
        for number in range(count)
    ]
    return Case(
        machines=machines,
        region=draw(st.sampled_from(["", "EU", "EU/Netherlands", "US"])),
        operator_takes={machine.id for machine in machines if draw(st.integers(0, 3))},
        tenant=draw(scripts),
    )


def spy_on(machines: int) -> str:
    names = [f"{kind}{number}" for kind in ("w", "h") for number in range(machines)]
    names += [f"h{number}:0" for number in range(machines)] + [STRANGER, "b" * 32]
    return SPY % ("[" + ", ".join(f'"{name}"' for name in names) + "]")


def routes(body: str) -> str:
    functions = ""
    if body.startswith("fn "):
        end = body.index("} ") + 1
        functions, body = body[:end] + "\n", body[end:]
    return f"{functions}fn route_task(task, workers) {{ {body} }}"


def admits(body: str) -> str:
    return routes(body).replace("route_task(task, workers)", "should_admit(task, customer)")


def caller(region: str = "") -> Caller:
    return Caller(
        tenant_id=TENANT, tenant_slug=SLUG, tier="pro", plan_slug="pro", project_id="c" * 32, key_id="", kid="",
        scopes=frozenset(), region=region, industry="", gdpr_consent=False, limits=Limits(),
    )  # fmt: skip


def records(region: str = "") -> tuple[rhai_py.Record, rhai_py.Record]:
    task = {
        **defaults("task"),
        "customer_region": region,
        "customer_id": SLUG,
        "tenant_id": TENANT,
        "model": MODEL,
    }
    return (
        rhai_py.Record("task", task),
        rhai_py.Record(
            "customer", {**defaults("customer"), "id": SLUG, "tenant_id": TENANT, "region": region}
        ),
    )


def decide(case: Case) -> Case:
    """By the code that decides tasks."""
    colony = Colony(None, None)  # type: ignore[arg-type]
    colony.hives = {view.info.id: view for view in (machine.view() for machine in case.machines)}
    colony._index()
    task, customer = records(case.region)
    who = caller(case.region)
    case.trace = Trace(uuid7().hex, "req_1", who)
    case.trace.record, case.trace.customer = task, customer
    error: Refused | None = None
    try:
        case.outcome = choice_module.Choice(
            colony, Scripts(case.operator, case.tenant), who, model=MODEL, endpoint=Endpoint.CHAT, record=task,
            trace=case.trace, facts=Facts(customer, lambda name: False),
        )(set()).id  # type: ignore[arg-type]  # fmt: skip
    except Refused as refused:
        error, case.outcome, case.message = refused, refused.code, refused.message
    case.trace.end(error)
    return case


def ask_to_admit(operator: str, tenant: str) -> str:
    """`admitted`, or a code."""
    task, customer = records()
    try:
        admit(Scripts(operator, tenant), TENANT, task, customer, facts=Facts(customer))  # type: ignore[arg-type]
    except Refused as refused:
        return refused.code
    return "admitted"


# ---- judges: what is wrong with a case, in words; empty when nothing is


def judge_choice(case: Case) -> str:
    """Nobody serves whom host code or the operator forbid."""
    allowed = case.may_serve()
    if case.outcome in {machine.id for machine in case.machines} and case.outcome not in allowed:
        return f"{case.outcome} serves, allowed were {sorted(allowed)}"
    return ""


def judge_sight(case: Case) -> str:
    """A script that says all that it sees names nobody whom it may not."""
    allowed = case.may_see()
    for machine in case.machines:
        if machine.id not in allowed:
            leaked = [name for name in machine.names() if f"|{name}|" in case.message]
            if leaked:
                return f"the tenant's script saw {leaked}, allowed were {sorted(allowed)}"
    for stranger in (STRANGER, "b" * 32):
        if f"|usage of {stranger}|" in case.message or f"|{stranger}|" in case.message:
            return "the tenant's script saw another tenant"
    return ""


def judge_closed(case: Case) -> str:
    """A script that breaks refuses with the stable code, where it was asked at all."""
    nobody = ["policy_error", "no_workers", "no_eligible_region", "model_loading"]
    expected = ["policy_error"] if case.may_serve() else nobody
    return "" if case.outcome in expected else f"{case.outcome} in place of {' or '.join(expected)}"


def judge_told(shown: Callable[[Seen], dict[str, Any]], case: Case, seen: Seen) -> str:
    """What the tenant is told of a decision names no worker that the host hid from it, and facts of none that the operator
    took away."""
    told = shown(seen)
    text = repr(told)
    allowed = case.may_serve()
    for machine in case.machines:
        hidden = machine.dedicated_to == STRANGER or machine.model != MODEL
        if hidden and any(repr(name) in text for name in machine.names()):
            return f"{machine.id} is told, which is hidden"
        if machine.id not in allowed and f"'gpu of {machine.number}'" in text:
            return f"facts of {machine.id} are told"
    return ""


def trusting_route(*args: Any, **kwargs: Any) -> Any:
    """A bug to plant: the tenant's script is offered what the operator's took away."""
    policies, tenant_id, task, model, workers = args
    left = routing._ask(
        policies, policies.of_tenant(tenant_id), task, workers, kwargs["facts"], routing.Attempt()
    )
    if not left:
        raise NoWorkers(model)
    chosen = routing.least_loaded(left)
    return chosen, routing.Decision("", "", len(workers), chosen.id, 0)
