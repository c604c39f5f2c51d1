"""A proxy in a thread of its own: what the trial's clients compute must not look like a slow network."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import NamedTuple, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

import uvloop

from tests.conftest import HOST
from tests.proxy import Proxy

START_S = 10.0
Result = TypeVar("Result")


class Crossing:
    """A `Proxy` while it is entered, told what to do from any thread."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._proxy: Proxy | None = None
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="crossing", daemon=True)
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(START_S):
            raise TimeoutError("the proxy did not start")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_S)

    def stall(self) -> None:
        """Pass nothing on, in either direction, and lose nothing."""
        self._do(Proxy.stall)

    def go_on(self) -> None:
        """Undo `stall` and both drops."""
        self._do(Proxy.go_on)

    def reset(self) -> None:
        """Cut every connection that is open."""
        self._do(Proxy.reset)

    def drop(self, *, answers: bool = False, requests: bool = False) -> None:
        """Swallow one direction."""

        def act(proxy: Proxy) -> None:
            proxy.drop_answers, proxy.drop_requests = answers, requests

        self._do(act)

    def cut_after(self, count: int | None) -> None:
        """Pass on so many bytes more of what clients send, then cut every connection, once; None: never."""
        self._do(lambda proxy: proxy.cut_after(count))

    def lead_to(self, host: str, port: int) -> None:
        """Connect to this address from now on."""
        self._do(lambda proxy: proxy.lead_to(host, port))

    def swallow_the_answer_to(self, request: bytes, *, reset: bool = False) -> None:
        """Let the next such request through, and keep its answer; cut the connection then, or leave it silent."""
        self._do(lambda proxy: proxy.swallow_the_answer_to(request, reset=reset))

    def triggered(self) -> bool:
        """Whether such an answer was kept."""
        return self._do(lambda proxy: proxy.triggered.is_set())

    def _do(self, act: Callable[[Proxy], Result]) -> Result:
        assert self._loop is not None
        assert self._proxy is not None
        proxy, done = self._proxy, concurrent.futures.Future[Result]()
        self._loop.call_soon_threadsafe(lambda: done.set_result(act(proxy)))
        return done.result(START_S)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with Proxy(*self._address) as self._proxy:
            self.port = self._proxy.port
            self._ready.set()
            await self._stop.wait()


class Ways(NamedTuple):
    """By which workers reach what they work with."""

    postgres: Crossing
    redis: Crossing
    standby: Crossing | None = None
    """The second host of PostgreSQL's URL, where it has one."""


def through(url: str, *crossings: Crossing) -> str:
    """The same URL by way of a proxy, or of one for each of several hosts."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    query = "target_session_attrs=read-write" if len(crossings) > 1 else parts.query
    hosts = ",".join(f"{HOST}:{each.port}" for each in crossings)
    return urlunsplit(parts._replace(netloc=f"{user}{at}{hosts}", query=query))
