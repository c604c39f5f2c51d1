"""What happened when: the nemesis' acts, the answers, the findings; told in order where a trial failed."""

import time
from pathlib import Path
from typing import NamedTuple

from tests.faults.trial.account import Account

MOST_LINES = 4_000
"""Of a timeline; the middle of a longer one is left out."""


class Act(NamedTuple):
    """Something that was done, or noticed."""

    at: float
    """Monotonic seconds."""
    text: str


class Chronicle:
    """The acts of one trial."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.acts: list[Act] = []

    def note(self, text: str) -> float:
        """Enter an act; gives its time, monotonic seconds."""
        at = time.monotonic()
        self.acts.append(Act(at, text))
        return at

    def timeline(self, account: Account, suspects: frozenset[str]) -> str:
        """All acts, every answer that was not 200, and whatever became of the suspected devices' requests."""
        lines = [(act.at, f"** {act.text}") for act in self.acts]
        for request in account.requests:
            for attempt in request.attempts:
                if attempt.status != 200 or request.device in suspects:
                    took = f"{(attempt.answered - attempt.sent) * 1_000:.1f} ms"
                    lines.append(
                        (attempt.sent, f"{request}: {attempt.status or 'no answer'} after {took} {attempt.text[:160]}")
                    )
        told = [f"{at - self.began:10.4f}  {text}" for at, text in sorted(lines)]
        if len(told) > MOST_LINES:
            half = MOST_LINES // 2
            told[half:-half] = [f"… {len(told) - MOST_LINES} lines left out …"]
        return "\n".join(told)


def write(folder: Path, name: str, text: str) -> Path:
    """Keep a text for a person to read."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.txt"
    path.write_text(text + "\n")
    return path
