"""Devices that send, true to the contract's status table, and enter every answer in the account."""

import asyncio
import json
import random
import time
from dataclasses import dataclass, field

import aiohttp

from load.device import RECEIPT
from load.verdict import Backoff, Verdict, retry_after_s, verdict
from tests.acceptance.nginx import TRIED
from tests.faults.trial.account import Account, Attempt, Request
from tests.faults.trial.scripts import Script, single

PATH = "/v1/readings"
TIMEOUT = aiohttp.ClientTimeout(total=20, sock_connect=5)
"""Well beyond what the server promises: a request that takes longer is a finding."""
IMPATIENCE = 0.1
"""Of the seconds in `Retry-After` so much is waited: sooner than the server asked for, and it must bear that."""
PULSE_S = 0.04
"""Between two requests of the pulse, which never waits for an answer."""
PULSES = 60
"""Of them under way at once."""
EXPECTED = {"new", "again", "twins", "overlap", "replace", "partial", "late", "series", "pulse", "storm"}
"""Kinds of requests that are good, so that no refusal is."""


class Courier:
    """Posts requests, and keeps the account."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str, account: Account) -> None:
        self.session, self._url, self._key, self._account = session, url + PATH, key, account

    async def post(self, request: Request, key: str | None = None) -> tuple[Attempt, float]:
        """Send once; gives the attempt, and how long the server asks to wait."""
        headers = {"Authorization": f"Bearer {key or self._key}", "Content-Type": "application/json"}
        sent, wait_s, receipt, repeated = time.monotonic(), 0.0, None, False
        try:
            async with self.session.post(
                self._url, data=json.dumps(request.document), params=request.params, headers=headers, timeout=TIMEOUT
            ) as response:
                text, status = await response.text(), response.status
                wait_s, repeated = retry_after_s(response.headers), "," in response.headers.get(TRIED, "")
                if status in (429, 503) and not wait_s:
                    self._account.trouble.append(f"{request}: {status} without Retry-After")
                if status == 200:
                    receipt = RECEIPT.validate_json(_counts(text))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            status, text = 0, repr(error)
        except asyncio.CancelledError:
            request.attempts.append(Attempt(sent, time.monotonic(), 0, "given up"))
            raise
        attempt = Attempt(sent, time.monotonic(), status, text if status != 200 else "", repeated)
        request.attempts.append(attempt)
        request.receipt = receipt or request.receipt
        self._account.statuses[status] += 1
        if status == 500:
            self._account.trouble.append(f"{request}: 500, which is always a defect: {text}")
        return attempt, wait_s


def _counts(text: str) -> bytes:
    answer = json.loads(text)
    return json.dumps({name: answer.get(name) for name in ("accepted", "duplicates")}).encode()


@dataclass
class Device:
    """Sends what its script says, each request until its fate is known."""

    courier: Courier
    account: Account
    script: Script
    chance: random.Random
    pace_s: float
    stopping: asyncio.Event
    acknowledged: int = 0
    """Batches so far."""
    _backoff: Backoff = field(default_factory=lambda: Backoff(0.02, 0.4))

    async def run(self) -> None:
        """Until it is to stop; what it holds then is brought home first."""
        for requests in self.script.requests():
            if self.stopping.is_set():
                return
            for request in requests:
                self.account.open(request)
            await asyncio.gather(*map(self.deliver, requests))
            await asyncio.sleep(self.pace_s * self.chance.uniform(0.5, 1.5))

    async def deliver(self, request: Request) -> None:
        """Send it until the contract says that it is done with."""
        while True:
            attempt, wait_s = await self.courier.post(request)
            match verdict(attempt.status) if attempt.status else Verdict.RETRY:
                case Verdict.DONE:
                    self.acknowledged += 1
                    self._backoff.reset()
                    return
                case Verdict.RETRY:
                    await asyncio.sleep(self._backoff.pause_s(wait_s * IMPATIENCE))
                case _:
                    if request.kind in EXPECTED:
                        self.account.trouble.append(f"{request}: refused with {attempt.status} {attempt.text[:200]}")
                    return


@dataclass
class Pulse:
    """One reading at an even pace, sent once whatever comes: by it is measured how long an outage lasts."""

    courier: Courier
    account: Account
    device: str
    stopping: asyncio.Event
    _count: int = 0
    _us: int = 0

    async def run(self) -> None:
        """Until it is to stop; waits for the answers that are still to come."""
        async with asyncio.TaskGroup() as group:
            under_way: set[asyncio.Task[object]] = set()
            while not self.stopping.is_set():
                if len(under_way) < PULSES:
                    task = group.create_task(self._beat())
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                await asyncio.sleep(PULSE_S)

    async def _beat(self) -> None:
        self._count += 1
        self._us = max(self._us + 1_000, time.time_ns() // 1_000_000 * 1_000)  # two may begin in one millisecond
        request = single(self.device, self._count, self._us, self._count)
        self.account.open(request)
        await self.courier.post(request)


@dataclass
class Intruder:
    """Tries what its keys do not allow: another device, and a scope it lacks."""

    courier: Courier
    account: Account
    device: str
    """Not one of `bound`'s."""
    bound: str
    reader: str
    """Keys: may write to other devices only; may read only."""
    stopping: asyncio.Event
    unclear: frozenset[int] = frozenset({0, 503})
    """What they may be answered besides 403."""
    pace_s: float = 0.1
    attempts: int = 0

    async def run(self) -> None:
        """Until it is to stop."""
        while not self.stopping.is_set():
            for key in (self.bound, self.reader):
                self.attempts += 1
                us = time.time_ns() // 1_000
                request = single(self.device, self.attempts, us, 1.0, kind="forbidden", metric="intrusion")
                self.account.open(request)
                attempt, _ = await self.courier.post(request, key)
                if attempt.status not in self.unclear | {403}:
                    self.account.trouble.append(f"{request}: a key without the right was answered {attempt.status}")
            await asyncio.sleep(self.pace_s)
