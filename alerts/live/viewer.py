"""Who views a device's readings, and when each of them may be told again."""

import asyncio
import heapq
import itertools

from alerts.live.board import Board, Reading
from alerts.live.connection import Connection

TICK_S = 0.001  # the resolution of the loop's timers


class Viewer:
    """One subscription of a connection: told at once, or when its interval is over, of what is newest then.

    It makes its frame when the socket takes one. A slow client therefore gets fewer and newer readings, not old ones.
    """

    __slots__ = ("connection", "device", "interval_s", "metrics", "seen")

    def __init__(
        self, connection: Connection, device: "ViewedDevice", interval_s: float, metrics: frozenset[str] | None
    ) -> None:
        self.connection = connection
        self.device: ViewedDevice | None = device
        """None once it has ended."""
        self.interval_s = interval_s
        """At least so long from one frame to the next."""
        self.metrics = metrics
        """None: all."""
        self.seen = 0
        """The board's change up to which it was told."""

    def begin(self) -> None:
        """Be told of what comes from now on."""
        if self.device is not None:
            self.device.begin(self)

    def pull(self) -> str:
        """What changed since the last frame."""
        return "" if self.device is None else self.device.pull(self)


class ViewedDevice:
    """A device with viewers on this node.

    Once it has begun, a viewer is in one of three states: at rest (told at once), waiting for its interval to end, or
    offered to its connection, which has not pulled it yet.
    """

    def __init__(self, name: str, channel: str) -> None:
        self.name = name
        self.board = Board(channel)
        self.viewers: set[Viewer] = set()
        self.ready: asyncio.Task[None] | None = None
        """Ends when the board knows what is stored."""
        self._at_rest: dict[Viewer, None] = {}
        self._waiting: list[tuple[float, int, Viewer]] = []  # a heap by loop seconds
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def begin(self, viewer: Viewer) -> None:
        """Tell somebody of what comes from now on."""
        viewer.seen = self.board.change
        self._at_rest[viewer] = None

    def remove(self, viewer: Viewer) -> None:
        """Tell somebody no more."""
        viewer.device = None
        self.viewers.discard(viewer)
        self._at_rest.pop(viewer, None)
        if not self.viewers and self._timer is not None:
            self._timer.cancel()

    def offer(self, readings: list[Reading]) -> None:
        """Take stored readings, and have those told who are at rest and care."""
        metrics = self.board.offer(readings)
        if not metrics:
            return
        concerned = [each for each in self._at_rest if each.metrics is None or not each.metrics.isdisjoint(metrics)]
        for viewer in concerned:
            del self._at_rest[viewer]
            viewer.connection.offer(viewer)

    def pull(self, viewer: Viewer) -> str:
        """The frame of a viewer that was offered; its interval begins."""
        text = self.board.frame(viewer.seen, viewer.metrics)
        viewer.seen = self.board.change
        if text:
            self._wait(viewer)
        else:
            self._at_rest[viewer] = None
        return text

    def _wait(self, viewer: Viewer) -> None:
        due = self._loop.time() + viewer.interval_s
        heapq.heappush(self._waiting, (due, next(self._numbers), viewer))
        if self._waiting[0][2] is viewer:
            self._set_timer(due)

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._end_intervals)

    def _end_intervals(self) -> None:
        now = self._loop.time() + TICK_S
        while self._waiting and self._waiting[0][0] <= now:
            _, _, viewer = heapq.heappop(self._waiting)
            if viewer.device is None:
                continue
            if self.board.frame(viewer.seen, viewer.metrics):
                viewer.connection.offer(viewer)
            else:
                viewer.seen = self.board.change
                self._at_rest[viewer] = None
        if self._waiting:
            self._set_timer(self._waiting[0][0])
