"""Readings as the tests of `readings:<device>` store and see them."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np

from schemas.columns import Columns, SeriesKey
from tests.integration.live import PATIENCE_S, Client

T = 1_795_428_000_000_000
"""A moment, microseconds since the Unix epoch."""


def stored(*values: float, device: str = "pump-1", metric: str = "temperature", at: int = T) -> Columns:
    """A request of one series, a millisecond from reading to reading."""
    ts = at + 1_000 * np.arange(len(values), dtype=np.int64)
    return Columns([SeriesKey(device, metric)], np.zeros(len(values), np.int32), ts, np.array(values))


async def readings(client: Client, timeout_s: float = PATIENCE_S) -> list[dict[str, Any]]:
    """The readings of the next frame."""
    push = (await client.next(timeout_s))["push"]
    assert push["channel"].startswith("readings:")
    assert push["pub"].keys() == {"data"}, "no offset: there is nothing to come back to"
    return push["pub"]["data"]["readings"]  # type: ignore[no-any-return]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that sets no event."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
