"""Child processes on a leash: they die with their parent, and never run as root.

The parent's side; `server.launch` is the child's. What is spawned here sits in a session of its own, so that Ctrl-C in
a terminal reaches only `sluice`, which then stops its servers in the right order.
"""

import asyncio
import json
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from server.launch import NOBODY, Order

LAUNCH = Path(__file__).with_name("launch.py")
POLL_S = 0.01  # how often a child is looked at while somebody waits for it
PROBE_S = 10.0  # for `program --version`
TAIL_LINES = 12  # of a log, in an error message


class LocalServiceError(Exception):
    """An embedded server cannot be had; the message says what to do next."""


@dataclass(frozen=True)
class Identity:
    """As whom a server runs: a way of `server.launch`, and who then must own its files."""

    way: str
    owner: int  # uid, -1 = leave the files alone


MYSELF = Identity("self", -1)
# For root, in order of preference: the first two leave the server without any power of root's over others' files.
INSTEAD_OF_ROOT = (Identity("nobody", NOBODY), Identity("namespace", 0), Identity("capability", NOBODY))
INSTEAD_OF_NAMELESS = (Identity("namespace", -1),)  # initdb wants a user that /etc/passwd knows


def spawn(
    argv: Sequence[str | Path], folder: Path, identity: Identity, death_signal: signal.Signals, output: IO[bytes] | int
) -> subprocess.Popen[bytes]:
    """Start a program that gets `death_signal` when the thread that calls this dies. Its stdin is a pipe."""
    order: Order = {
        "argv": [str(word) for word in argv],
        "folder": str(folder),
        "way": identity.way,
        "parent": os.getpid(),
        "death_signal": death_signal,
    }
    # None of our own environment: PGOPTIONS, LD_PRELOAD or a locale would change what the server does or says.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    return subprocess.Popen(  # noqa: S603 - the caller names the program
        [sys.executable, "-I", "-S", str(LAUNCH), json.dumps(order)],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,
    )


async def run(argv: Sequence[str | Path], folder: Path, identity: Identity, timeout_s: float) -> tuple[int, str]:
    """Run a program to its end; return its exit code and what it wrote (which must fit a pipe: 64 KiB)."""
    process = spawn(argv, folder, identity, signal.SIGKILL, subprocess.PIPE)
    try:
        if not await ended(process, timeout_s):
            return -1, f"no end after {timeout_s:.0f} s"
        assert process.stdout is not None  # noqa: S101 - for mypy: it was asked for
        return process.returncode, process.stdout.read().decode(errors="replace").strip()
    finally:
        discard(process)


async def ended(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    """Wait for a child's end; False when the time is over."""
    return await until(lambda: process.poll() is not None, timeout_s)


async def until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Wait until a condition holds; False when the time is over."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True


def discard(process: subprocess.Popen[bytes]) -> None:
    """Kill what still runs, reap it, close its pipes."""
    if process.poll() is None:
        process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


async def choose_identity(program: Path, folder: Path) -> Identity:
    """Find, by trying, as whom a program can run in a folder; an ordinary user has no choice to make."""
    user = os.geteuid()
    if user != 0 and has_name(user):
        return MYSELF
    complaints = []
    for identity in INSTEAD_OF_NAMELESS if user else INSTEAD_OF_ROOT:
        code, output = await run([program, "--version"], folder, identity, PROBE_S)
        if code == 0:
            return identity
        complaints.append(f"  {identity.way}: {output.splitlines()[-1] if output else f'exit code {code}'}")
    raise LocalServiceError(
        f"{program.name} does not run as uid {user}, and no other way works here:\n" + "\n".join(complaints) + "\n"
        "Start sluice as an ordinary user, or move the project and its data folder to where every user may read."
    )


def has_name(user: int) -> bool:
    """Tell whether a user id has a name on this machine; those that containers make up have none."""
    try:
        return bool(pwd.getpwuid(user).pw_name)
    except KeyError:
        return False


def own(folder: Path, identity: Identity) -> None:
    """Give a folder and all in it to whom the server runs as; a restart may have found another way than last time."""
    if identity.owner < 0 or folder.stat().st_uid == identity.owner:
        return
    for path in folder.rglob("*"):
        os.chown(path, identity.owner, identity.owner, follow_symlinks=False)
    os.chown(folder, identity.owner, identity.owner)  # last: its owner says whether this was ever finished


def processes_marked(mark: str) -> list[int]:
    """Return the ids of processes whose command line, or title, contains the mark; parents before their children."""
    if Path("/proc/self/cmdline").exists():
        return sorted(int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if holds(path, mark))
    listing = subprocess.run(["ps", "-axo", "pid=,command="], capture_output=True, text=True, check=False)  # noqa: S607
    return sorted(int(line.split()[0]) for line in listing.stdout.splitlines() if mark in line)


def holds(path: Path, mark: str) -> bool:
    """Tell whether a file of /proc contains the mark; its process may have ended by now."""
    try:
        return mark.encode() in path.read_bytes()
    except OSError:
        return False


def signal_all(pids: Sequence[int], number: signal.Signals) -> None:
    """Send a signal to processes, of which some may have ended by now."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def tail(log: Path) -> str:
    """Return the last lines of a log."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-TAIL_LINES:])
