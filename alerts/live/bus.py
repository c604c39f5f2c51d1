"""The bell between workers and nodes: Redis pub/sub, which may be away, frozen or deaf at any time.

Nothing depends on a message arriving: what is lost here is found in PostgreSQL by its offset. So nobody ever waits for
Redis, nothing is sent twice, and the one promise is to know quickly that the bell does not ring (`healthy`).
"""

import asyncio
import contextlib
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

AWAY = (RedisError, OSError)
"""What a Redis that is away raises; a `TimeoutError` is an OSError."""

BATCH = 128
"""Messages sent in one round trip."""

Handler = Callable[[bytes], None]
Look = Callable[[], AbstractAsyncContextManager[Callable[[str], Redis]]]
"""Looks where Redis is; what it gives finds, as long as it is entered, the client of the server that has a channel."""


@dataclass(frozen=True, slots=True)
class BusTimes:
    """Seconds. A silent bell is noticed within `stale_s` (and a dead one at once), so that the contract's 2 s hold."""

    deadline_s: float = 0.5
    heartbeat_s: float = 0.5
    stale_s: float = 1.25
    backoff_s: float = 0.05
    max_backoff_s: float = 1.0


class Bus:
    """Messages to all other workers, by topic; each also carries a heartbeat that only says that the bus works.

    `look` is called anew for each session, so that the channel is found where it has gone; `sharded` says that each has
    a server of its own among many. `name` keeps apart the installations that share one Redis. No trouble of Redis is
    ever raised to anybody.
    """

    def __init__(
        self,
        look: Look,
        name: str = "sluice",
        *,
        sharded: bool = False,
        queue_bytes: int = 4 << 20,
        times: BusTimes | None = None,
    ) -> None:
        self.dropped = 0
        """Messages that were not sent, because Redis was away or the queue full."""
        self.reconnects = 0
        self.node = secrets.token_hex(8)
        self._times = times or BusTimes()
        self.channel = f"{name}:bus"
        self._queue_bytes = queue_bytes
        self._queue: deque[bytes] = deque()
        self._queued = 0  # bytes
        self._wake = asyncio.Event()
        self._connected = False
        self._heard = False  # our own heartbeat, in this session
        self._heard_at = 0.0  # monotonic seconds of the last one, or of the session's beginning
        self._told = False  # the log knows that Redis is away
        self._handlers: dict[bytes, Handler] = {}
        self._heartbeat: tuple[bytes, Callable[[], bytes]] = (b"", bytes)
        self._look, self._sharded = look, sharded

    @property
    def healthy(self) -> bool:
        """Whether this node hears itself: what others publish arrives here, and the other way round."""
        return self._heard and not self._silent

    @property
    def _silent(self) -> bool:
        return time.monotonic() - self._heard_at > self._times.stale_s

    @property
    def queued_bytes(self) -> int:
        """What waits to be sent."""
        return self._queued

    def listen(self, topic: str, handler: Handler) -> None:
        """Have `handler` called with every payload other nodes publish on the topic. It must not block or raise."""
        self._handlers[topic.encode()] = handler

    def beat(self, topic: str, payload: Callable[[], bytes]) -> None:
        """Send `payload()` on the topic with each heartbeat."""
        self._heartbeat = (topic.encode(), payload)

    def publish(self, payload: bytes, topic: str = "events") -> None:
        """Send to all other nodes, soon, if Redis is there; never blocks, never raises. Not delivered to this node."""
        frame = b"%s %s %s" % (topic.encode(), self.node.encode(), payload)
        if not self._connected or self._queued + len(frame) > self._queue_bytes:
            self.dropped += 1
            return
        self._enqueue(frame)
        self._wake.set()

    def _enqueue(self, frame: bytes) -> None:
        self._queue.append(frame)
        self._queued += len(frame)

    async def run(self) -> None:
        """Keep the bell ringing, for ever. Ends by cancellation, or by a defect of ours."""
        times = self._times
        backoff_s = times.backoff_s
        while True:
            try:
                async with self._look() as server_of:
                    await self._session(server_of(self.channel))
            except AWAY as error:
                # A session that was one begins the waiting anew: most often Redis was only restarted.
                backoff_s = times.backoff_s if self._connected else min(2 * backoff_s, times.max_backoff_s)
                self._end_session(error)
            await asyncio.sleep(backoff_s)

    def _end_session(self, why: Exception) -> None:
        if not self._told:
            log.warning("redis_away", error=f"{type(why).__name__}: {why}")  # whose `repr` is without its text
            self._told = True
        self.reconnects += self._connected
        self._connected = self._heard = False
        self.dropped += len(self._queue)
        self._queue.clear()
        self._queued = 0

    async def _session(self, redis: Redis) -> None:
        """Serve one pair of connections until either fails. Raises one of AWAY; anything else is a defect."""
        tasks: list[asyncio.Task[None]] = []
        pubsub = redis.pubsub(ignore_subscribe_messages=True)
        try:
            async with asyncio.timeout(self._times.deadline_s):
                await (pubsub.ssubscribe if self._sharded else pubsub.subscribe)(self.channel)
                await pubsub.get_message(timeout=None)  # the confirmation, or that the channel is another server's
                await redis.ping()
            self._connected, self._heard_at = True, time.monotonic()
            tasks += asyncio.create_task(self._receive(pubsub)), asyncio.create_task(self._send(redis))
            # No TaskGroup: one that is cancelled while a task fails raises only the failure, and stays uncancelled.
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await _end(tasks)
            with contextlib.suppress(*AWAY):
                await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _receive(self, pubsub: PubSub) -> None:
        while True:
            # Our own heartbeats come this way: silence means a connection that is only half there.
            message = await pubsub.get_message(timeout=self._times.stale_s)
            if message is not None:
                self._dispatch(message["data"])
            if self._silent:
                raise TimeoutError("no heartbeat came back")

    def _dispatch(self, frame: bytes) -> None:
        topic, _, rest = frame.partition(b" ")
        node, _, payload = rest.partition(b" ")
        if node == self.node.encode():
            if topic == self._heartbeat[0]:
                self._heard, self._heard_at = True, time.monotonic()
                if self._told:
                    log.info("redis_back")
                    self._told = False
        elif handler := self._handlers.get(topic):
            handler(payload)

    async def _send(self, redis: Redis) -> None:
        due = time.monotonic()
        while True:
            now = time.monotonic()
            if now >= due:
                topic, payload = self._heartbeat
                self._enqueue(b"%s %s %s" % (topic, self.node.encode(), payload()))
                due = now + self._times.heartbeat_s
            if self._queue:
                await self._send_batch(redis)
                continue
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(due - now):  # wait_for may swallow a cancellation before Python 3.12
                    await self._wake.wait()

    async def _send_batch(self, redis: Redis) -> None:
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH))]
        self._queued -= sum(map(len, batch))
        async with asyncio.timeout(self._times.deadline_s), redis.pipeline(transaction=False) as pipeline:
            publish = pipeline.spublish if self._sharded else pipeline.publish
            for frame in batch:
                publish(self.channel, frame)
            await pipeline.execute()


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until they end: redis-py writes under wait_for, which before Python 3.12 may swallow it."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=0.1)
    await asyncio.gather(*tasks, return_exceptions=True)
