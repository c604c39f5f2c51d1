"""Connecting to PostgreSQL, where its URL may name several hosts: to the one that may be written to, whichever that is.

asyncpg asks hosts one after the other, all within one time limit, so that a silent first one (no power, cut off,
frozen) uses it up and the others are never asked; and by `target_session_attrs=read-write` it refuses every session
that is read-only by our own settings. So the hosts are asked here, each with a head start before the next.
"""

import asyncio
from collections import deque
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from server.lineage import Lineage, WrongServerError

HEAD_START_S = 0.3
"""Of one host, before the next is asked as well."""
CONNECT_S = 5.0
"""With all hosts, unless said otherwise."""


def split(url: str) -> list[str]:
    """A URL for each host of this one."""
    parts = urlsplit(url)
    user, at, places = parts.netloc.rpartition("@")
    options = dict(parse_qsl(parts.query))
    hosts, ports = options.get("host", "").split(","), options.get("port", "").split(",")
    if places or len(hosts) == 1:
        return [urlunsplit(parts._replace(netloc=f"{user}{at}{place}")) for place in places.split(",")]
    # All named behind the question mark, as sockets have to be: one port each, or one for all.
    ports = ports * len(hosts) if len(ports) == 1 else ports
    if len(ports) != len(hosts):
        return [url]  # asyncpg says what is wrong
    each = (options | {"host": host, "port": port} for host, port in zip(hosts, ports, strict=True))
    queries = (urlencode({name: value for name, value in one.items() if value}) for one in each)
    return [f"{parts.scheme}://{parts.netloc}{parts.path}?{query}" for query in queries]


class Hosts:
    """The hosts of one URL. What it says of `target_session_attrs` is not asked: only a primary will do."""

    def __init__(self, url: str, lineage: Lineage | None = None, *, writes: bool = True) -> None:
        self._urls = split(url)
        self._lineage, self._writes = lineage or Lineage(), writes
        self._best = 0  # the one that was right the last time is asked first

    async def connect(
        self,
        *_: object,
        timeout: float = CONNECT_S,  # noqa: ASYNC109
        **named: Any,
    ) -> asyncpg.Connection:
        """Connect to the primary, within so many seconds; also what a pool calls, with its URL and its keywords.

        Raises one of `AWAY`: WrongServerError where there is only another server.
        """
        async with asyncio.timeout(timeout):
            if len(self._urls) == 1:
                return await self._ask(0, named)
            return await self._ask_all(named)

    async def _ask(self, place: int, named: dict[str, Any]) -> asyncpg.Connection:
        connection: asyncpg.Connection = await asyncpg.connect(
            self._urls[place], target_session_attrs=SessionAttribute.any, **named
        )
        try:
            await self._lineage.admit(connection, writes=self._writes)
        except BaseException:
            connection.terminate()
            raise
        self._best = place
        return connection

    async def _ask_all(self, named: dict[str, Any]) -> asyncpg.Connection:
        waiting = deque(range(len(self._urls)))
        waiting.rotate(-self._best)
        asked: dict[asyncio.Task[asyncpg.Connection], int] = {}
        running: set[asyncio.Task[asyncpg.Connection]] = set()
        errors: list[BaseException] = []
        again: deque[int] = deque()  # what refused, as a standby does, while another is silent: it may be promoted now
        try:
            while waiting or running:
                if waiting:
                    place = waiting.popleft()
                    asked[task := asyncio.create_task(self._ask(place, named), name="host")] = place
                    running.add(task)
                done, running = await asyncio.wait(
                    running,
                    timeout=HEAD_START_S if waiting or again else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not done and not waiting:
                    waiting, again = again, deque()
                for task in done:
                    place = asked.pop(task)
                    if (error := task.exception()) is None:
                        return task.result()
                    errors.append(error)
                    again.append(place)
        finally:
            for task in asked:
                task.add_done_callback(_give_up)
                task.cancel()
        # What a server says (of a wrong password, that it is a standby) tells more than that another one is away.
        said = (error for error in errors if isinstance(error, asyncpg.PostgresError | WrongServerError))
        raise next(said, errors[-1])


def _give_up(task: "asyncio.Task[asyncpg.Connection]") -> None:
    """Another host was faster, or nobody waits any more."""
    if not task.cancelled() and task.exception() is None:
        task.result().terminate()


async def connect(url: str, within_s: float = CONNECT_S) -> asyncpg.Connection:
    """One connection to the primary. Raises as `Hosts.connect` does."""
    return await Hosts(url).connect(timeout=within_s)
