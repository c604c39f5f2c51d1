"""Readings sent at some places, alerts heard at others: each once, in order, everywhere."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.compose.podman import ComposeError, exec_words, say
from tests.compose.stack import Stack

VISITOR = Path(__file__).with_name("visitor.py")
INSIDE = "http://127.0.0.1:8000"
KNOWN_S = 3.0
"""Until every worker of every node has a new rule."""
PATIENCE_S = 90.0


@dataclass(frozen=True)
class Place:
    """Where an errand is run: on the host, or in the network of a container, by the Python that is there."""

    words: tuple[str, ...]
    url: str
    key: str

    def start(self, errand: str, *arguments: str) -> subprocess.Popen[str]:
        """Begin an errand."""
        words = [*self.words, errand, self.url, *arguments]
        environment = os.environ | {"SLUICE_KEY": self.key}
        with VISITOR.open() as text:
            return subprocess.Popen(
                words, stdin=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
            )

    def run(self, errand: str, *arguments: str) -> dict[str, Any]:
        """One errand; returns the last line of what it told."""
        return finish(self.start(errand, *arguments))


def on_host(url: str, key: str) -> Place:
    """By the address that is published."""
    return Place((sys.executable, "-"), url, key)


def inside(stack: Stack, name: str, key: str) -> Place:
    """In a container of ours, which reaches itself."""
    words = exec_words(stack.container(name), "python", "-", keep=["SLUICE_KEY"])
    return Place(tuple(words), INSIDE, key)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for an errand. Raises ComposeError with what it said."""
    try:
        told, complaint = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired as error:
        process.kill()
        raise ComposeError(f"no end of {process.args!r}") from error
    if process.returncode != 0:
        raise ComposeError(f"{process.args!r} ended with {process.returncode}:\n{complaint[-2_000:]}")
    line: dict[str, Any] = json.loads(told.splitlines()[-1])
    return line


def visit(
    prefix: str, ears: Sequence[Place], senders: Sequence[Place] | Callable[[str], dict[str, float]], count: int
) -> dict[str, Any]:
    """Every ear hears of every device once. `senders` of Sluice's own kind send `count` devices each; a callable sends
    `count` by another way, and tells when. Raises ComposeError where an alert is missing, doubled or out of order."""
    say(f"readings of {prefix}, alerts at {len(ears)}")
    made = ears[0].run("rule", prefix)
    if made["status"] != 201:
        raise ComposeError(f"no rule: {made}")
    time.sleep(KNOWN_S)
    wanted = count if callable(senders) else count * len(senders)
    listening = [ear.start("listen", prefix, str(wanted)) for ear in ears]
    for process in listening:
        if not process.stdout or "listening" not in process.stdout.readline():
            raise ComposeError(f"not let in: {process.communicate()[1][-2_000:]}")
    sent = senders(prefix) if callable(senders) else send(prefix, senders, count)
    took = []
    for process in listening:
        heard = finish(process)
        if set(heard["at"]) != set(sent) or heard["doubled"] or not heard["ascending"]:
            raise ComposeError(f"sent {sorted(sent)}, heard {heard}")
        took += [heard["at"][device] - at for device, at in sent.items()]
    return {"alerts": len(sent), "listeners": len(ears), "slowest_ms": round(max(took) * 1_000)}


def send(prefix: str, senders: Sequence[Place], count: int) -> dict[str, float]:
    """Each sender has devices of its own; returns when each sent its bad reading."""
    sent: dict[str, float] = {}
    for place, sender in enumerate(senders):
        told = sender.run("send", prefix, str(count), str(place * count))
        if set(told["answers"]) != {"200"}:
            raise ComposeError(f"refused: {told['answers']}")
        sent |= told["at"]
    return sent
