"""A real receiver of webhooks on loopback, that answers as it is told and checks every signature."""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

KEY = "a key that both sides know"


@dataclass
class Receiver:
    """What arrived, and what it answers. Paths are targets: `/hook` unless said otherwise."""

    port: int = 0
    events: list[int] = field(default_factory=list)
    """`X-Sluice-Event` of every request, in the order they came."""
    paths: list[str] = field(default_factory=list)
    documents: list[dict[str, Any]] = field(default_factory=list)
    answers: list[int | str | web.Response | Callable[[web.Request], Awaitable[web.StreamResponse]]] = field(
        default_factory=list
    )
    """For the next requests: a status, `hang`, `close`, or a response; 200 when it is empty. `/hangs` always hangs."""
    in_flight: dict[str, int] = field(default_factory=dict)
    most_in_flight: int = 0
    """Requests to one path at one time, at most."""
    most_at_all: int = 0
    came: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the first request."""

    def url(self, path: str = "/hook") -> str:
        """A target."""
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def told(self) -> list[str]:
        """Device, status and severity of every request."""
        return [
            f"{each['commonLabels']['device']} {each['status']} {each['commonLabels']['severity']}"
            for each in self.documents
        ]

    async def take(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        body = await request.read()
        stamp = request.headers["X-Sluice-Timestamp"]
        expected = hmac.new(KEY.encode(), stamp.encode() + b"." + body, "sha256").hexdigest()
        assert request.headers["X-Sluice-Signature"] == f"sha256={expected}"
        assert request.content_type == "application/json"
        self.in_flight[request.path] = self.in_flight.get(request.path, 0) + 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight[request.path])
        self.most_at_all = max(self.most_at_all, sum(self.in_flight.values()))
        try:
            self.events.append(int(request.headers["X-Sluice-Event"]))
            self.paths.append(request.path)
            self.came.set()
            self.documents.append(json.loads(body))
            return await self._answer(request)
        finally:
            self.in_flight[request.path] -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        answer = "hang" if request.path == "/hangs" else self.answers.pop(0) if self.answers else 200
        if answer == "hang":
            await asyncio.sleep(60)
            return web.Response()
        if answer == "close":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if isinstance(answer, web.StreamResponse):
            return answer
        if callable(answer):
            return await answer(request)
        return web.Response(status=int(answer))


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver that listens, and its end."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        await runner.cleanup()
