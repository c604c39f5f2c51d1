"""One connection as those who write to it see it: what it listens to, what waits for it, and why it is to be closed."""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import structlog

from alerts.live import protocol
from alerts.live.limits import Limits
from alerts.live.protocol import Disconnect
from schemas.keys import Holder

if TYPE_CHECKING:
    from alerts.live.viewer import Viewer

log = structlog.get_logger(__name__)

Write = Callable[[str], bool]
"""Puts text straight on the socket; False where the socket takes none now."""


class Source(Protocol):
    """What makes a frame at the moment it can be sent, so that it is never out of date."""

    def pull(self) -> str:
        """A push, or nothing."""


@dataclass(slots=True, eq=False)
class Subscription:
    """One channel of one connection."""

    channel: str
    device: str | None
    """Whose events it carries; None for everybody's."""
    cursor: int
    """The last offset the connection got or does not need, while it is not yet live."""
    live: bool
    """Whether broadcasts reach it; until then its connection's writer reads what it missed."""


class Connection:
    """One socket as the broadcaster sees it: a queue bounded in bytes, and a wish to be closed."""

    def __init__(self, limits: Limits, on_close: Callable[[], None], write: Write | None = None) -> None:
        self.id = str(uuid.uuid4())
        self.holder: Holder | None = None
        """What let it in; None before."""
        self.expires_at: float | None = None
        """Loop seconds at which its token expires; None where it has none that does."""
        self.subscriptions: dict[str, Subscription] = {}
        """Those that have a place in the sequence of events, by channel."""
        self.viewers: dict[str, Viewer] = {}
        """Those of readings, by channel."""
        self.closing: Disconnect | None = None
        self.sending_since: float | None = None
        """Loop seconds, while the writer waits for the socket to take a frame."""
        self._limits = limits
        self._on_close = on_close
        self._write = write
        self._frames: deque[str] = deque()
        self._sources: deque[Source] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()

    @property
    def waiting_bytes(self) -> int:
        """What was queued and not yet taken."""
        return self._bytes

    @property
    def channels(self) -> int:
        """How many it has."""
        return len(self.subscriptions) + len(self.viewers)

    @property
    def behind(self) -> Subscription | None:
        """A subscription that still has to catch up."""
        return next((each for each in self.subscriptions.values() if not each.live), None)

    def send(self, text: str) -> None:
        """Queue ASCII text. One byte too much, and the connection is closed as slow instead: the queue never grows."""
        if self.closing is not None:
            return
        # Nearly always nothing waits: no task has to be woken then.
        if self._write and not self._frames and self.sending_since is None and self._write(text):
            return
        if self._bytes + len(text) > self._limits.queue_bytes:
            self.close(protocol.SLOW)
            return
        self._frames.append(text)
        self._bytes += len(text)
        self._wake.set()

    def offer(self, source: Source) -> None:
        """Have the source pulled as soon as the socket takes more. Call it once for each time it is pulled."""
        if self.closing is None:
            self._sources.append(source)
            self._wake.set()

    def take(self) -> str:
        """Take what waits, joined into a frame of about `frame_bytes`; empty where nothing does."""
        size, texts = 0, []
        while self._frames and size < self._limits.frame_bytes:
            texts.append(self._frames.popleft())
            size += len(texts[-1])
        self._bytes -= size
        while self._sources and size < self._limits.frame_bytes:
            if text := self._sources.popleft().pull():
                texts.append(text)
                size += len(text)
        return "\n".join(texts)

    def close(self, why: Disconnect) -> None:
        """Have the connection closed, soon. The first reason stays."""
        if self.closing is not None:
            return
        self.closing = why
        if why is not protocol.CONNECTION_CLOSED:
            log.info("closed", client=self.id, code=why.code, reason=why.reason)
        self._sources.clear()
        if why is protocol.SLOW:
            self._frames.clear()
            self._bytes = 0
        self._wake.set()
        self._on_close()

    async def wait(self) -> None:
        """Wait until something is queued, the connection is to be closed, or `wake` was called."""
        if not self._frames and not self._sources and self.closing is None:
            self._wake.clear()
            await self._wake.wait()

    def wake(self) -> None:
        """Have the writer look again."""
        self._wake.set()
