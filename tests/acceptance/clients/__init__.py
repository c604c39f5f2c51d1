"""Programs of unmodified client libraries, each a process of its own: what users would write, and no more.

Each streams readings 0, 1, 2 … of one series until its standard input ends, has all of them stored, and says what it
met on standard output, one JSON object a line; the last one is how many it sent.
"""

import json
import sys
import threading
from typing import Any


def say(**what: Any) -> None:
    """Tell the test."""
    print(json.dumps(what), flush=True)  # noqa: T201


def enough() -> threading.Event:
    """Set when the test has seen enough."""
    event = threading.Event()

    def hear() -> None:
        sys.stdin.read()
        event.set()

    threading.Thread(target=hear, daemon=True).start()
    return event
