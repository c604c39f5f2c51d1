"""Rules drawn at random, made on the server once for many examples: to be loaded costs every example half a second."""

import asyncio
import itertools
import random
import time
from dataclasses import dataclass
from typing import Any

from alerts.matching import WatchingRule, ready
from schemas.rules import Rule
from tests.acceptance.dashboard import connection
from tests.conftest import Server

METRICS = ("u", "v")
SEVERITIES = ("info", "warning", "critical")
LOADED_S = 20.0
PROBE = {
    "name": "Probe",
    "device": "probe-*",
    "metric": "p",
    "condition": {"type": "threshold", "levels": [{"severity": "info", "above": 0}]},
}


@dataclass(frozen=True, slots=True)
class Watch:
    """A few rules about the same devices."""

    number: int
    rules: tuple[WatchingRule, ...]
    documents: tuple[dict[str, Any], ...]

    def device(self, name: str) -> str:
        """The name of a device that these rules watch, and no others."""
        return f"w{self.number}-{name}"


async def make_watches(server: Server, count: int, chance: random.Random) -> list[Watch]:
    """Make one to three rules for each of `count` watches; every worker knows them on return."""
    watches = []
    for number in range(count):
        documents = [draw_rule(chance, number) for _ in range(chance.choice((1, 1, 2, 3)))]
        rules = []
        for document in documents:
            status, body = await server.call("POST", "/v1/rules", document)
            assert status == 201, body
            rules.append(ready(Rule.model_validate(body)))
        watches.append(Watch(number, tuple(rules), tuple(documents)))
    status, body = await server.call("POST", "/v1/rules", PROBE)
    assert status == 201, body
    await known_everywhere(server)
    return watches


def draw_rule(chance: random.Random, number: int) -> dict[str, Any]:
    """Draw any rule about values from 0 to 100 that come seconds apart."""
    return {
        "name": f"watch {number}",
        "device": f"w{number}-*",
        "metric": chance.choice((*METRICS, "?")),
        "condition": draw_condition(chance),
        "for_s": chance.choice((0, 0, 0, 0.25, 1, 3, 8)),
        "keep_firing_for_s": chance.choice((0, 0, 0, 0.25, 1, 3, 8)),
    }


def draw_condition(chance: random.Random) -> dict[str, Any]:
    """Draw a condition: mostly a threshold."""
    match chance.choice(("threshold", "threshold", "threshold", "range", "rate")):
        case "range":
            low = chance.randint(5, 60)
            return {"type": "range", "outside": [low, chance.randint(low, 95)], "severity": chance.choice(SEVERITIES)}
        case "rate":
            return {
                "type": "rate",
                "window_s": chance.choice((1, 2, 5, 20, 90, 600)),
                "levels": draw_levels(chance, range(1, 30), range(-30, 0)),
            }
        case kind:
            return {"type": kind, "levels": draw_levels(chance, range(45, 96), range(5, 56))}


def draw_levels(chance: random.Random, upper: range, lower: range) -> list[dict[str, Any]]:
    """Draw one to three levels on one side, or on both; each with or without hysteresis."""
    levels: list[dict[str, Any]] = []
    sides = chance.choice((("above",), ("above",), ("below",), ("above", "below")))
    for side in sides:
        severities = sorted(chance.sample(SEVERITIES, chance.randint(1, 3)), key=SEVERITIES.index)
        limits = sorted(chance.sample(upper if side == "above" else lower, len(severities)), reverse=side == "below")
        back = -1 if side == "above" else 1
        for severity, limit in zip(severities, limits, strict=True):
            clear = chance.choice((None, None, 0, 3, 10, 40))
            more = {} if clear is None else {"clear": limit + back * clear}
            levels.append({"severity": severity, side: limit, **more})
    chance.shuffle(levels)
    return levels


async def known_everywhere(server: Server) -> None:
    """Wait until each worker raises an alert by the rule that was made last: then it knows the others too."""
    missing = set(server.supervisor.pids)
    numbers = itertools.count()
    deadline = time.monotonic() + LOADED_S
    while missing:
        assert time.monotonic() < deadline, f"{missing} know no rules"
        async with connection(server.url) as (session, worker):
            while worker in missing:
                device = f"probe-{worker}-{next(numbers)}"
                reading = {"ts": time.time_ns() // 1_000_000, "metric": "p", "value": 1.0}
                body = {"device": device, "readings": [reading]}
                async with session.post(f"{server.url}/v1/readings", json=body, headers=server.headers()) as response:
                    assert response.status == 200, await response.text()
                    await response.read()
                # Any of its probes: a worker with a defect may answer before it stores.
                if await server.fetch("SELECT FROM alert_events WHERE device LIKE $1", f"probe-{worker}-%"):
                    missing.discard(worker)
                assert time.monotonic() < deadline, f"{missing} know no rules"
                await asyncio.sleep(0.02)
