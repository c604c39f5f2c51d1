"""Sends prepared requests over raw keep-alive sockets and takes the time of every answer. One thread, epoll."""

import gc
import re
import select
import socket
import time
from array import array
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

SILENT_S = 30.0
"""Without any answer for so long, what is in flight is given up."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_READ = 65_536
_RESOLUTION_S = 1e-5  # nearer than this, it is time


@dataclass(slots=True)
class Run:
    """What came back."""

    began: float
    """Seconds of the monotonic clock, which all processes share."""
    ended: float = 0.0
    cpu_s: float = 0.0
    """Of the generator itself."""
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    """Seconds, of the answers that were 200 or 204; in the open loop from the time the request was due."""
    delays: "array[float]" = field(default_factory=lambda: array("d"))
    """Open loop: seconds by which the generator itself was late, a request being due and a connection free."""
    statuses: Counter[int] = field(default_factory=Counter)
    """0 is a broken connection."""
    answers: Counter[bytes] = field(default_factory=Counter)
    """Bodies of the 200s."""


class Line:
    """A connection with one request in flight at most."""

    __slots__ = ("free_since", "inbox", "since", "socket", "unsent")

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.inbox = b""
        self.unsent: memoryview | None = None
        self.since = self.free_since = 0.0


def parse_answer(data: bytes) -> tuple[int, bytes] | None:
    """Status and body of a whole answer, None while there is not all of it."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    status = int(data[9:12])
    found = _LENGTH.search(data, 0, end + 2)
    length = int(found[1]) if found else 0
    body = data[end + 4 :]
    return (status, body) if len(body) >= length else None


class Drive:
    """One run: closed loop without `rate` (each connection waits for its answer), open loop with it."""

    def __init__(
        self, address: tuple[str, int], requests: Sequence[bytes], connections: int, rate: float | None = None
    ) -> None:
        self._address = address
        self._requests = requests
        self._rate = rate
        self._epoll = select.epoll()
        self._lines: dict[int, Line] = {}
        self._free: deque[Line] = deque()
        self._next = 0
        self._done = 0
        for _ in range(min(connections, len(requests))):
            self._connect()
        self._run = Run(0.0)

    def run(self) -> Run:
        """Send everything, return when everything is answered."""
        run = self._run
        gc.disable()
        cpu = time.process_time()
        run.began = time.perf_counter()
        try:
            while self._done < len(self._requests):
                wait_s = self._feed()
                events = self._wait(wait_s)
                if not events and wait_s >= SILENT_S:
                    run.statuses[0] += len(self._requests) - self._done
                    break
                for number, event in events:
                    self._handle(self._lines[number], event)
        finally:
            run.ended = time.perf_counter()
            run.cpu_s = time.process_time() - cpu
            gc.enable()
            for line in self._lines.values():
                line.socket.close()
            self._epoll.close()
        return run

    def _wait(self, timeout_s: float) -> list[tuple[int, int]]:
        if self._rate is not None and timeout_s < 1:
            # epoll rounds up to milliseconds, select does not.
            select.select([self._epoll], [], [], timeout_s)
            timeout_s = 0
        return self._epoll.poll(timeout_s)

    def _feed(self) -> float:
        """Send what is due on the connections that are free; returns for how long there is nothing else to do."""
        while self._free and self._next < len(self._requests):
            now = due = time.perf_counter()
            if self._rate is not None:
                due = self._run.began + self._next / self._rate
                if due > now + _RESOLUTION_S:
                    return due - now
            line = self._free.popleft()
            if self._rate is not None:
                self._run.delays.append(max(0.0, now - max(due, line.free_since)))
            request = self._requests[self._next]
            self._next += 1
            line.since = due
            self._send(line, memoryview(request))
        return SILENT_S

    def _send(self, line: Line, data: memoryview) -> None:
        try:
            sent = line.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._broken(line)
            return
        if sent < len(data):
            if line.unsent is None:
                self._epoll.modify(line.socket, select.EPOLLIN | select.EPOLLOUT)
            line.unsent = data[sent:]
        elif line.unsent is not None:
            line.unsent = None
            self._epoll.modify(line.socket, select.EPOLLIN)

    def _handle(self, line: Line, event: int) -> None:
        if event & select.EPOLLOUT and line.unsent is not None:
            self._send(line, line.unsent)
        if not event & ~select.EPOLLOUT:
            return
        try:
            data = line.socket.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._broken(line)
            return
        line.inbox = line.inbox + data if line.inbox else data
        answer = parse_answer(line.inbox)
        if answer is not None:
            self._answered(line, *answer)

    def _answered(self, line: Line, status: int, body: bytes) -> None:
        run = self._run
        run.statuses[status] += 1
        line.free_since = time.perf_counter()
        if status in (200, 204):
            run.latencies.append(line.free_since - line.since)
            run.answers[body] += 1
        self._done += 1
        if line.unsent is not None or b"\r\nconnection: close" in line.inbox:  # refused before it was read
            self._replace(line)
            return
        line.inbox = b""
        self._free.append(line)

    def _broken(self, line: Line) -> None:
        """Count what was in flight as lost. An idle connection that is closed costs nothing but a new one."""
        if line not in self._free:
            self._run.statuses[0] += 1
            self._done += 1
        else:
            self._free.remove(line)
        self._replace(line)

    def _replace(self, line: Line) -> None:
        del self._lines[line.socket.fileno()]
        line.socket.close()
        self._connect()

    def _connect(self) -> None:
        line = Line(self._address)
        self._lines[line.socket.fileno()] = line
        self._epoll.register(line.socket, select.EPOLLIN)
        self._free.append(line)
