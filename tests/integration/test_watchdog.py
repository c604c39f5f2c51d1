"""When a silent worker is given up: at once where it hangs, later where the machine does not let it run."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from server import watchdog
from server.watchdog import SILENT_S, START_S, STARVED_S, Running, is_over, is_stillborn, wait_for_silence

SIGN = "import os, signal, sys, time; os.write(int(sys.argv[1]), b'.'); "
SLEEPS, STOPS = SIGN + "time.sleep(60)", SIGN + "os.kill(os.getpid(), signal.SIGSTOP)"
COMPUTES = SIGN + "exec('while True: pass')"
NEVER_S = 1e6


@contextmanager
def worker(code: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process that gives one sign of life, and the end of the pipe where it comes."""
    reading, writing = os.pipe()
    process = subprocess.Popen([sys.executable, "-c", code, str(writing)], pass_fds=[writing])
    os.close(writing)
    try:
        yield process, reading
    finally:
        process.kill()
        process.wait()
        os.close(reading)


@pytest.mark.parametrize("code", [SLEEPS, STOPS, COMPUTES], ids=["asleep", "stopped", "computing"])
async def test_one_that_hangs_is_given_up_at_once(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    for name, value in (("SILENT_S", 0.5), ("STARVED_S", NEVER_S), ("STARVED_CPU_S", 0.2)):
        monkeypatch.setattr(watchdog, name, value)
    with worker(code) as (process, descriptor):
        async with asyncio.timeout(30):
            await wait_for_silence(descriptor, process.pid)


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="needs Linux' scheduling classes")
async def test_one_that_is_not_let_run_has_more_time() -> None:
    core = min(os.sched_getaffinity(0))
    with worker(COMPUTES) as (burning, _), worker(COMPUTES) as (process, descriptor):
        await asyncio.to_thread(os.read, descriptor, 1)
        for pid in (burning.pid, process.pid):
            os.sched_setaffinity(pid, {core})
        os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))
        then = Running.of(process.pid)
        await asyncio.sleep(1.5)
        now = Running.of(process.pid)
        assert now.state == "R"
        assert not is_over(STARVED_S - 0.1, then, now)
        assert is_over(STARVED_S + 0.1, then, now), "for ever is too long"


def test_one_that_computes_for_itself_is_given_up_at_once() -> None:
    assert is_over(SILENT_S + 0.1, Running("R", 5.0), Running("R", 5.0 + watchdog.STARVED_CPU_S))
    assert not is_over(SILENT_S - 0.1, Running("R", 5.0), Running("R", 6.0))
    assert is_over(SILENT_S + 0.1, Running("", 0.0), Running("", 0.0)), "where the kernel does not say"


def test_one_that_starts_on_a_machine_that_hardly_lets_it_has_more_time() -> None:
    assert not is_stillborn(START_S - 0.1, Running("S", 60.0))
    assert is_stillborn(START_S + 0.1, Running("S", 60.0)), "it had its time, and did something else with it"
    assert not is_stillborn(START_S + 0.1, Running("R", 1.0))
    assert is_stillborn(watchdog.START_STARVED_S + 0.1, Running("R", 1.0)), "for ever is too long"
