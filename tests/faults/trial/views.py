"""I7: dashboards on `readings:<device>`, what they are shown, and what they must not be."""

import asyncio
import json
import random
import struct
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from schemas.columns import SeriesKey
from schemas.times import to_micros
from tests.faults.trial.account import Account
from tests.faults.trial.checker import NEVER, Finding
from tests.faults.trial.dashboards import ANSWER_S, SILENCE_S, received

RATE = 20
"""Frames a second, at most."""


class Shown(NamedTuple):
    """A value on a dashboard."""

    visit: int
    """Number of the subscription: a new one begins with what is newest, known or not."""
    series: SeriesKey
    us: int
    value: float


@dataclass
class View:
    """Watches the values of one device; comes back whenever the connection ends."""

    url: str
    key: str
    device: str
    chance: random.Random
    shown: list[Shown] = field(default_factory=list)
    visits: int = 0

    async def run(self) -> None:
        """Watch for ever."""
        address = f"{self.url.replace('http', 'ws', 1)}/ws"
        while True:
            try:
                async with connect(
                    address, compression=None, ping_interval=None, proxy=None, open_timeout=ANSWER_S, close_timeout=0.2
                ) as socket:
                    await self._visit(socket)
            except (ConnectionClosed, InvalidHandshake, OSError, EOFError):
                pass
            await asyncio.sleep(self.chance.uniform(0.03, 0.15))

    async def _visit(self, socket: ClientConnection) -> None:
        self.visits += 1
        subscribe = {"channel": f"readings:{self.device}", "data": {"max_rate": RATE}}
        await socket.send(json.dumps({"id": 1, "connect": {"token": self.key}}))
        await socket.send(json.dumps({"id": 2, "subscribe": subscribe}))
        while True:
            for line in (await received(socket, SILENCE_S)).split("\n"):
                reply = json.loads(line)
                if not reply:
                    await socket.send("{}")
                elif "error" in reply:
                    return  # refused for now: PostgreSQL is away
                elif publication := reply.get("push", {}).get("pub"):
                    for each in publication["data"]["readings"]:
                        labels = json.dumps(each["labels"], separators=(",", ":"), ensure_ascii=False)
                        series = SeriesKey(self.device, each["metric"], labels)
                        us = to_micros(datetime.fromisoformat(each["ts"]))
                        self.shown.append(Shown(self.visits, series, us, each["value"]))


def check_views(account: Account, views: Sequence[View]) -> list[Finding]:
    """In one subscription a series goes on in time and never twice over a moment; what it shows was sent."""
    sent: dict[tuple[SeriesKey, int], set[bytes]] = defaultdict(set)
    for request in account.requests:
        if request.kind not in NEVER:
            for reading in request.readings:
                sent[reading.series, reading.us].add(struct.pack("<d", reading.value))
    return [finding for view in views for finding in _check(view, sent)]


def _check(view: View, sent: dict[tuple[SeriesKey, int], set[bytes]]) -> Iterable[Finding]:
    newest: dict[tuple[int, SeriesKey], int] = {}
    for visit, series, us, value in view.shown:
        name = f"{series.device} {series.metric} {series.labels}"
        before = newest.get((visit, series))
        if before is not None and us <= before:
            text = "shown twice" if us == before else "shown after a newer one"
            yield Finding("I7", f"{name} at {us} was {text}", view.device)
        newest[visit, series] = us
        if struct.pack("<d", value) not in sent.get((series, us), set()):
            yield Finding("I7", f"{name} at {us} was shown as {value!r}, which nobody sent", view.device)
