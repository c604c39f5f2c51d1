"""A storm: more requests than are taken, for a given time; what is refused is sent again, as devices do."""

import gc
import heapq
import re
import time
from collections import deque
from collections.abc import Sequence

from load.bench.drive import Drive, Line, Run

_RETRY_AFTER = re.compile(rb"\r\nretry-after: *(\d+)", re.IGNORECASE)
_STEP_S = 0.05  # between two looks at the clock, at most
LAST_S = 8.0  # for the answers that are still owed in the end


class Storm(Drive):
    """Device k of n has the requests k, k + n, k + 2n …: the next one is sent when the one before is stored.

    `rate` requests are due a second (None: as many as answers come); what is due and finds no connection, or no device
    that is ready, is dropped. Devices take turns.

    With `obey`, a device that was refused rests for as long as `Retry-After` says; else it asks again at once.
    Latencies are counted from sending. What is answered in the first `lead_s`, while queues fill, does not count; ends
    `seconds` after that, or when nothing is left to send.
    """

    def __init__(
        self,
        address: tuple[str, int],
        requests: Sequence[bytes],
        connections: int,
        rate: float | None,
        lead_s: float,
        seconds: float,
        devices: int,
        *,
        obey: bool,
    ) -> None:
        super().__init__(address, requests, connections)
        self._pace_s = 0.0 if rate is None else 1 / rate
        self._lead_s, self._seconds, self._obey = lead_s, seconds, obey
        self._devices = devices
        # Each device by the place of its next request.
        self._ready = deque(range(min(devices, len(requests))))
        self._carried: dict[Line, int] = {}
        self._resting: list[tuple[float, int]] = []
        self._due = 0.0

    def run(self) -> Run:
        """Send until the time is over; then wait for what is owed, which does not count."""
        run = self._run
        gc.disable()
        self._due = time.perf_counter()
        self._send_until(self._due + self._lead_s)
        run.statuses.clear()
        del run.latencies[:]
        run.began, cpu = time.perf_counter(), time.process_time()
        self._send_until(run.began + self._seconds)
        run.ended, run.cpu_s = time.perf_counter(), time.process_time() - cpu
        counted = run.statuses.copy(), len(run.latencies)
        while self._carried and time.perf_counter() < run.ended + LAST_S:
            self._take_answers(_STEP_S)
        gc.enable()
        run.statuses = counted[0]
        del run.latencies[counted[1] :]
        for line in self._lines.values():
            line.socket.close()
        self._epoll.close()
        return run

    def _send_until(self, until: float) -> None:
        while (now := time.perf_counter()) < until and (self._ready or self._resting or self._carried):
            self._send_due(now)
            self._take_answers(min(_STEP_S, until - now))

    def _take_answers(self, within_s: float) -> None:
        is_short = self._free and self._ready
        wait_s = min(within_s, max(0.0, self._due - time.perf_counter())) if is_short else within_s
        for number, event in self._wait(wait_s):
            if number in self._lines:
                self._handle(self._lines[number], event)

    def _send_due(self, now: float) -> None:
        while self._resting and self._resting[0][0] <= now:
            self._ready.append(heapq.heappop(self._resting)[1])
        while self._free and self._ready and self._due <= now:
            line, place = self._free.popleft(), self._ready.popleft()
            self._carried[line] = place
            line.since = now
            self._due += self._pace_s
            self._send(line, memoryview(self._requests[place]))
        self._due = max(self._due, now - _STEP_S)

    def _answered(self, line: Line, status: int, body: bytes) -> None:
        place = self._carried.pop(line)
        found = _RETRY_AFTER.search(line.inbox) if self._obey and status != 200 else None
        if found:
            heapq.heappush(self._resting, (time.perf_counter() + int(found[1]), place))
        elif status != 200:
            self._ready.appendleft(place)
        elif place + self._devices < len(self._requests):
            self._ready.append(place + self._devices)
        super()._answered(line, status, body)

    def _broken(self, line: Line) -> None:
        if (place := self._carried.pop(line, None)) is not None:
            self._ready.appendleft(place)
        super()._broken(line)
