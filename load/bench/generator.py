"""The generators: processes that render a plan, wait for the word, and drive it."""

import asyncio
import multiprocessing
import signal
from array import array
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Self

from load.bench.body import Door, render
from load.bench.drive import Drive, Run
from load.bench.plan import Plan
from load.bench.storm import Storm

_spawn = multiprocessing.get_context("spawn")  # a fork would carry our event loop along


class Generators:
    """`count` processes that share the requests of a plan evenly."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._workers: list[tuple[BaseProcess, Connection]] = []

    def __enter__(self) -> Self:
        for number in range(self._count):
            ours, theirs = _spawn.Pipe()
            process = _spawn.Process(target=_work, args=(theirs, number, self._count), daemon=True)
            process.start()
            theirs.close()
            self._workers.append((process, ours))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process, pipe in self._workers:
            pipe.close()  # the end of its pipe is its end
            process.join(1)
            process.kill()
            process.join()

    @property
    def count(self) -> int:
        """How many processes there are."""
        return self._count

    async def render(self, plan: Plan, door: Door) -> None:
        """Have the requests of a plan ready."""
        await self._ask("render", plan, door)

    async def drive(
        self, first: int, until: int, connections: int, rate: float | None = None, to: tuple[str, int] | None = None
    ) -> Run:
        """Send the requests in places first … until; at `rate` a second in all, or as fast as answers come."""
        share = None if rate is None else rate / self._count
        runs = await self._ask("drive", first, until, max(1, connections // self._count), share, to)
        return merge(runs)

    async def storm(
        self,
        connections: int,
        rate: float | None,
        lead_s: float,
        seconds: float,
        devices: int,
        *,
        obey: bool = False,
    ) -> Run:
        """Send requests that were never stored, for so long, and again where they are refused."""
        share = None if rate is None else rate / self._count
        each = max(1, connections // self._count), share, lead_s, seconds, devices // self._count
        return merge(await self._ask("storm", *each, obey))

    async def _ask(self, verb: str, *details: Any) -> list[Any]:
        for _, pipe in self._workers:
            pipe.send((verb, details))
        # In threads: the loop has PostgreSQL and HTTP connections to keep alive meanwhile.
        answers = await asyncio.gather(*(asyncio.to_thread(pipe.recv) for _, pipe in self._workers))
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return list(answers)


def merge(runs: Sequence[Run]) -> Run:
    """Several generators' runs as one."""
    whole = Run(min(run.began for run in runs), max(run.ended for run in runs), sum(run.cpu_s for run in runs))
    whole.latencies = array("d", sorted(latency for run in runs for latency in run.latencies))
    whole.delays = array("d", sorted(delay for run in runs for delay in run.delays))
    whole.statuses = sum((run.statuses for run in runs), Counter())
    whole.answers = sum((run.answers for run in runs), Counter())
    return whole


def _work(pipe: Connection, number: int, count: int) -> None:
    """The life of one generator."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    requests: list[bytes] = []
    address = ("", 0)
    while True:
        try:
            verb, details = pipe.recv()
        except (EOFError, OSError):
            return  # the parent is gone
        try:
            if verb == "render":
                plan, door = details
                requests = []  # the former ones go before the new ones come
                requests, address = render(plan, door, slice(number, None, count)), (door.host, door.port)
                pipe.send(None)
            elif verb == "storm":
                pipe.send(Storm(address, requests, *details[:5], obey=details[5]).run())
                requests = []  # nobody knows which of them are stored
            else:
                first, until, connections, rate, to = details
                mine = requests[_share(first, number, count) : _share(until, number, count)]
                pipe.send(Drive(to or address, mine, connections, rate).run())
        except Exception as error:  # noqa: BLE001  the parent raises it
            pipe.send(error)


def _share(place: int, number: int, count: int) -> int:
    """How many of the places below `place` are this generator's: number, number + count, …"""
    return (place - number + count - 1) // count
