"""Colonies whose hives say more than they may, scripts that want them, and the way of a task through both to a hive.

A case is decided and dispatched by the code that does so for customers, on a clock that moves between each two of its
steps. What is true of a hive is written here once more, by hand.
"""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import rhai_py

from gdpr.ids import uuid7
from hive_agent import protocol
from hive_agent.protocol import Endpoint, TaskError
from inference.domain import attestations
from inference.domain.choice import Choice
from inference.domain.colony import Colony, HiveView
from inference.domain.dispatch import Dispatcher
from inference.domain.failures import TaskFailed, worker_lost
from inference.domain.hives import info_of
from inference.domain.refusals import Refused
from inference.domain.reserve import Delivery
from inference.domain.trace import Trace
from inference.domain.waiting_room import WaitingRoom
from inference.models import Hive
from rbee_policy.functions import Facts
from rbee_policy.world import defaults
from tenants.domain.authentication import Caller, Limits
from tests.acceptance.policy.power import BREAKING_ROUTES, CHOOSING, routes
from tests.inference.domain.lane import MODEL, make_task
from tests.inference.domain.scripts import TENANT, Scripts

EPOCH_S = 1_800_000_000.0
PLACES = [
    "EU",
    "EU/Netherlands",
    "DE",
    "NL/Amsterdam",
    "US",
    "US/Ohio",
    "EUROPA",
    "GB/London",
    "eu-west-2",
    "",
]
IN_THE_UNION = {"EU", "EU/Netherlands", "DE", "NL/Amsterdam"}  # by hand
WISHES = [
    'workers.filter(|w| w.region != "EU").first()',
    "workers.filter(|w| !w.region_is_eu).first()",
    'workers.filter(|w| w.gpu_type == "EU").first()',
    'workers.max_by(|w| if w.region == "US" { 1 } else { 0 })',
    'workers.get("w0")',
    'workers[0].region = "EU"; workers[0]',
    "hives.online()[0]",
]
WANTED = [
    *CHOOSING,
    *WISHES,
    *(body for name, body in BREAKING_ROUTES.items() if "loop" not in name and "large" not in name),
]


HARMLESS = ["()", "workers", "workers.least_loaded()"]


class Clock:
    """In place of the module `time`, where a worker is asked for its region."""

    def __init__(self) -> None:
        self.now_s = EPOCH_S
        self.after_script: Callable[[], None] = lambda: None

    def time(self) -> float:
        return self.now_s


@dataclass
class Machine:
    """A hive, what its row says, and what is true."""

    hive: Hive
    place: str  # where the operator vouched for, until `until_s`; empty: nowhere, whatever the row says
    until_s: float
    view: HiveView = field(init=False)

    def is_in_the_union(self, at_s: float) -> bool:
        return self.place in IN_THE_UNION and at_s < self.until_s


def machine(number: int, chance: random.Random) -> Machine:
    place = chance.choice(PLACES if chance.random() < 0.5 else sorted(IN_THE_UNION))
    until_s = EPOCH_S + chance.choice([-3600, 0, 0.3, 0.5, 1.0, 1.5, 2.5, 3600, 86_400, 86_400])
    hive = Hive(id=uuid7(), name=f"h{number}", public_key=_some_key(chance), labels={}, region="")
    if place:
        attestations.sign_region(hive, place, datetime.fromtimestamp(until_s, UTC))
    made = Machine(hive, place, until_s)
    if chance.random() < 0.3:
        chance.choice(FORGERIES)(made, chance)
    made.view = HiveView(info_of(hive))
    made.view.hear(_boasting(number, hive, chance))
    return made


def say_elsewhere(made: Machine, chance: random.Random) -> None:
    """A row that says EU under the signature of something else."""
    if made.place not in IN_THE_UNION:
        made.hive.region, made.place = "EU", ""
    else:
        made.hive.region, made.place = "US", ""


def say_longer(made: Machine, chance: random.Random) -> None:
    if made.hive.region_until:
        made.hive.region_until = datetime.fromtimestamp(EPOCH_S + 10 * 86_400, UTC)
        made.place = ""


def be_another_machine(made: Machine, chance: random.Random) -> None:
    made.hive.public_key, made.place = _some_key(chance), ""


def borrow(made: Machine, chance: random.Random) -> None:
    """The signature of a hive that is in the Union."""
    other = Hive(id=uuid7(), name="other", public_key=made.hive.public_key, region="")
    attestations.sign_region(other, "EU", datetime.fromtimestamp(EPOCH_S + 86_400, UTC))
    made.hive.region, made.hive.region_until = other.region, other.region_until
    made.hive.region_signature, made.place = other.region_signature, ""


def sign_by_itself(made: Machine, chance: random.Random) -> None:
    made.hive.region, made.place = "EU", ""
    made.hive.region_until = datetime.fromtimestamp(EPOCH_S + 86_400, UTC)
    made.hive.region_signature = chance.choice([b"", chance.randbytes(64), chance.randbytes(10)])


FORGERIES = [say_elsewhere, say_longer, be_another_machine, borrow, sign_by_itself]


def _boasting(number: int, hive: Hive, chance: random.Random) -> protocol.Heartbeat:
    """All that a hive can say of itself, and it says that it is in the EU."""
    device = protocol.DeviceReport(
        index=0, kind="EU", name="region EU", gpu_type="EU", vram_total_mib=1, vram_free_mib=1, util_pct=0
    )
    worker = protocol.WorkerReport(
        id=f"w{number}", model=MODEL, engine="EU", status="ready", capability="text-gen", devices=[0],
        in_flight=chance.randrange(3), queue_depth=0, capacity=100, vram_mib=0, ttft_ms=0, uptime_s=0, pid=1,
    )  # fmt: skip
    return protocol.Heartbeat(
        version=protocol.VERSION, hive=hive.id.hex, name="EU", epoch=1, seq=1, at_ms=0, software="EU", draining=False,
        cpu_pct=0, rss_mib=0, devices=[device], workers=[worker],
    )  # fmt: skip


class Case:
    """One task of a tenant that is bound to the EU. `delivered` is where it went; `wrong` what was wrong with that."""

    def __init__(self, number: int, clock: Clock) -> None:
        self.chance = random.Random(number)
        self.clock = clock
        clock.now_s = EPOCH_S
        clock.after_script = self.pass_time
        self.machines = [machine(each, self.chance) for each in range(self.chance.randint(1, 6))]
        self.scripts = compiled(
            *(self.chance.choice(HARMLESS if self.chance.random() < 0.6 else WANTED) for _ in "ot")
        )
        self.is_anybody_there = any(each.is_in_the_union(clock.now_s) for each in self.machines)
        self.delivered: list[Machine] = []
        self.wrong = ""
        self.code = ""

    async def run(self) -> None:
        colony = Colony(None, None)  # type: ignore[arg-type]
        colony.hives = {each.view.info.id: each.view for each in self.machines}
        colony._index()
        fields = {**defaults("task"), "customer_region": "EU", "tenant_id": TENANT, "model": MODEL}
        record = rhai_py.Record("task", fields)
        task = make_task(CALLER)
        choice = Choice(
            colony, self.scripts, CALLER, model=MODEL, endpoint=Endpoint.CHAT, record=record,
            trace=Trace(task.id, "req_1", CALLER), facts=Facts(None, lambda name: False),
        )  # type: ignore[arg-type]  # fmt: skip
        post = Post(self)
        post.dispatcher = dispatcher = Dispatcher(
            post, post, colony, post, fence=post.fence, settle_lost=post.settle,
            room=WaitingRoom(colony, timeout_s=0),
        )  # type: ignore[arg-type]  # fmt: skip

        def choose(tried: set[str]) -> Any:
            worker = choice(tried)
            self.pass_time()
            return worker

        try:
            await dispatcher.start(task, choose)
        except (Refused, TaskFailed) as error:
            self.code = error.code

    def pass_time(self) -> None:
        """An attestation may end in it, and the operator may look again."""
        self.clock.now_s += self.chance.choice([0, 0, 0.4, 1.1])
        if self.chance.random() < 0.05:
            moved = self.chance.choice(self.machines)
            attestations.sign_region(moved.hive, "US", datetime.fromtimestamp(EPOCH_S + 86_400, UTC))
            moved.place = "US"
            moved.view.info = info_of(moved.hive)
            moved.view.refresh()

    def deliver(self, delivery: Delivery) -> None:
        went = next(each for each in self.machines if delivery.queue.startswith(each.hive.prefix))
        self.delivered.append(went)
        if not went.is_in_the_union(self.clock.now_s):
            self.wrong = (
                f"{went.hive.name} got the task: {went.place or 'nowhere'} until {went.until_s - EPOCH_S}"
            )


class Post:
    """Redis and all that reads it, as far as a dispatcher looks: each hive refuses the task, falls silent with it, or
    fails it."""

    queen = "q"
    is_connected = True
    headers: dict[str, str] = {}

    def __init__(self, case: Case) -> None:
        self.case = case
        self.dispatcher: Any = None

    async def reserve(self, task_id: str, limits: object, delivery: Delivery, *, if_late: object) -> Post:
        self.take(task_id, delivery)
        return self

    async def dispatch(self, task_id: str, delivery: Delivery) -> None:
        self.take(task_id, delivery)

    def take(self, task_id: str, delivery: Delivery) -> None:
        self.case.deliver(delivery)
        self.case.pass_time()
        stream = self.dispatcher.live[task_id]
        what = self.case.chance.choice(["refuse", "lose", "fail"])
        if what == "refuse":
            stream.refused = TaskError(503, "service_unavailable", "no_workers", "I am full.")
        elif what == "lose":
            stream.lose()
        else:
            stream.fail(worker_lost())

    async def fence(self, *_: object) -> bool:
        self.case.pass_time()
        return True

    async def settle(self, *_: object) -> None:
        pass

    def expect(self, *_: object) -> None:
        pass

    def forget(self, *_: object) -> None:
        pass

    def send(self, *_: object) -> None:
        pass

    def release(self, *_: object, **__: object) -> None:
        pass

    def call(self, *_: object) -> asyncio.Future[None]:
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


@lru_cache(maxsize=4096)
def compiled(operator: str, tenant: str) -> Scripts:
    return Scripts(routes(operator), routes(tenant))


def _some_key(chance: random.Random) -> str:
    return base64.b64encode(chance.randbytes(32)).decode()


CALLER = Caller(
    tenant_id=TENANT, tenant_slug="acme", tier="pro", plan_slug="pro", project_id="c" * 32, key_id="", kid="",
    scopes=frozenset(), region="EU", industry="", gdpr_consent=False, limits=Limits(),
)  # fmt: skip
