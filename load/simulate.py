"""`python -m load.simulate`: a fleet of simulated devices that posts to a running server as real ones would."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated, Literal

import aiohttp
import typer

from load.batch import Layout
from load.device import Device, KeyRefusedError, Tally
from load.fleet import Fleet
from load.leashed import die_with_parent
from load.ledger import Ledger
from load.sender import Sender
from load.verdict import Backoff
from schemas.rules import RuleRequest

PROGRESS_S = 5
READY_POLL_S = 0.3
SHORT_TIMEOUT = aiohttp.ClientTimeout(total=5)
"""Seconds; for questions that are not readings."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to simulate, and against whom."""

    url: str
    key: str
    fleet: Fleet
    interval: int
    """Microseconds."""
    history_s: float
    layouts: tuple[Layout, ...]
    """Taken in turn by the senders."""
    compress: bool
    rules: bool
    seed: int


class Simulation:
    """The senders of a fleet, their shared tally, and the line that tells of it."""

    def __init__(self, plan: Plan, session: aiohttp.ClientSession, ledger: Ledger | None) -> None:
        self.tally = Tally()
        self._complained = False
        self._plan = plan
        self._session = session
        self._senders = [
            Sender(members, self._device(n, ledger), plan.interval, plan.history_s)
            for n, members in enumerate(plan.fleet.senders())
        ]

    async def run(self) -> None:
        """Send until cancelled; raises an `ExceptionGroup` of `KeyRefusedError` when the server refuses the key."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell_progress(), name="progress")
            for n, sender in enumerate(self._senders):
                tasks.create_task(sender.run(), name=f"sender {n}")

    def _device(self, n: int, ledger: Ledger | None) -> Device:
        return Device(
            self._session,
            self._plan.url,
            self._plan.key,
            layout=self._plan.layouts[n % len(self._plan.layouts)],
            compress=self._plan.compress,
            backoff=Backoff(random=Random(self._plan.seed * 1_000_003 + n)),
            tally=self.tally,
            on_receipt=ledger.note if ledger is not None else None,
            on_trouble=self._complain,
        )

    def _complain(self, trouble: str) -> None:
        """Show one refusal between two lines of progress; those lines count them all."""
        if not self._complained:
            say(trouble)
        self._complained = True

    async def _tell_progress(self) -> None:
        clock = asyncio.get_running_loop().time
        before, since = self.tally.acknowledged, clock()
        while True:
            await asyncio.sleep(PROGRESS_S)
            count, at = self.tally.acknowledged, clock()
            say(self._progress((count - before) / (at - since)))
            before, since = count, at
            self._complained = False

    def _progress(self, rate: float) -> str:
        tally = self.tally
        parts = [f"{rate:,.0f} readings/s", f"{tally.acknowledged:,} acknowledged", f"{tally.retried:,} retried"]
        if tally.duplicates:
            parts.append(f"{tally.duplicates:,} duplicates")
        if tally.dropped:
            parts.append(f"{tally.dropped:,} refused")
        if trouble := next((sender.device.trouble for sender in self._senders if sender.device.trouble), None):
            parts.append(f"retrying after {trouble[:120]}")
        return " · ".join(parts)


async def wait_until_ready(session: aiohttp.ClientSession, url: str) -> None:
    """Return when the server says that it is ready, however long that takes."""
    for attempt in range(sys.maxsize):
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with session.get(f"{url}/readyz", timeout=SHORT_TIMEOUT) as response:
                if response.status == 200:
                    return
        if attempt == 0:
            say(f"waiting for {url}")
        await asyncio.sleep(READY_POLL_S)


async def create_rules(session: aiohttp.ClientSession, url: str, key: str, rules: Iterable[RuleRequest]) -> None:
    """Create those of the rules whose names do not exist yet; needs a key with scope `admin`.

    Raises `KeyRefusedError` on 401 and 403, `aiohttp.ClientResponseError` on any other refusal.
    """
    headers = {"Authorization": f"Bearer {key}"}
    async with session.get(f"{url}/v1/rules", headers=headers, timeout=SHORT_TIMEOUT) as response:
        await _check(response)
        names = {rule["name"] for rule in (await response.json())["items"]}
    for rule in rules:
        if rule.name in names:
            continue
        document = rule.model_dump(mode="json", exclude_none=True)
        async with session.post(f"{url}/v1/rules", json=document, headers=headers, timeout=SHORT_TIMEOUT) as response:
            await _check(response)
        say(f"rule created: {rule.name}")


async def _check(response: aiohttp.ClientResponse) -> None:
    if response.status in {401, 403}:
        raise KeyRefusedError(f"{response.status} for {response.method} {response.url.path}")
    response.raise_for_status()


async def run(plan: Plan, ledger: Ledger | None) -> int:
    """Simulate until a signal ends it; return the exit code."""
    work = asyncio.create_task(_work(plan, ledger), name="simulation")
    with contextlib.suppress(NotImplementedError):  # not on Windows
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    await asyncio.wait([work])
    code = 0
    if work.cancelled():
        say("stopped")
        return 0
    try:
        work.result()
    except* KeyRefusedError as refusals:
        say(f"stopped, the server refuses the key: {refusals.exceptions[0]}")
        code = 1
    return code


async def _work(plan: Plan, ledger: Ledger | None) -> None:
    # No limit of connections: every device of a fleet has its own.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await wait_until_ready(session, plan.url)
        while plan.rules:
            try:
                await create_rules(session, plan.url, plan.key, plan.fleet.rules)
                break
            except (aiohttp.ClientError, TimeoutError) as error:
                if isinstance(error, aiohttp.ClientResponseError) and error.status < 500:
                    raise
                say(f"rules: {error or 'no answer'}, trying again")
                await asyncio.sleep(1)
        say(f"{len(plan.fleet.members)} devices post to {plan.url}")
        await Simulation(plan, session, ledger).run()


def simulate(
    *,
    url: Annotated[str, typer.Option(help="Where the server listens.")] = "http://127.0.0.1:8000",
    key: Annotated[str | None, typer.Option(envvar="SLUICE_KEY", help="API key, scope ingest.")] = None,
    key_file: Annotated[
        Path | None, typer.Option(help="File that holds the key; goes before --key.", exists=True)
    ] = None,
    devices: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
    interval: Annotated[float, typer.Option(min=0.01, help="Seconds between two readings of a sensor.")] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed tells the same story.")] = 1,
    history: Annotated[float, typer.Option(min=0, help="Minutes before now to fill in first.")] = 0,
    rules: Annotated[bool, typer.Option("--rules", help="Create the demo's rules (scope admin).")] = False,
    layout: Annotated[Literal["rows", "columns", "mixed"], typer.Option(help="Of the request bodies.")] = "mixed",
    gzip: Annotated[bool, typer.Option("--gzip", help="Compress the request bodies.")] = False,
    record: Annotated[Path | None, typer.Option(help="Save what was acknowledged, for load.verifier.")] = None,
) -> None:
    """Post the readings of a simulated fleet, as real devices would, until stopped."""
    die_with_parent()
    if key_file is not None:
        key = key_file.read_text().strip()
    if not key:
        raise typer.BadParameter("a key is needed: --key, --key-file or SLUICE_KEY")
    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter("--url begins with http:// or https://")
    layouts = tuple(Layout) if layout == "mixed" else (Layout(layout),)
    # On whole milliseconds, so that times go out as integers.
    step = max(1, round(interval * 1_000)) * 1_000
    plan = Plan(url.rstrip("/"), key, Fleet(devices, seed), step, history * 60, layouts, gzip, rules, seed)
    ledger = Ledger() if record is not None else None
    code = asyncio.run(run(plan, ledger))
    if ledger is not None and record is not None:
        ledger.save(record)
    raise typer.Exit(code)


def say(line: str) -> None:
    """One line on stderr."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    typer.run(simulate)
