"""Senders of webhooks on a real database, made to take their turns by hand."""

import asyncio
from typing import Any

import asyncpg
from prometheus_client import CollectorRegistry

from alerts.webhooks.courier import Courier, CourierSettings
from alerts.webhooks.webhooks import Patience, WebhookMetrics, Webhooks
from tests.integration.receiver import KEY
from tests.integration.writing import T, Workshop

HASTY_S = 1.0
"""Where a receiver hangs and the sender has to give up; otherwise it has the time of production."""

QUICK = Patience(first_s=0.01, longest_s=0.05)


class Senders:
    """Makes senders on one database, and stops them."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self.made: list[Webhooks] = []

    def __call__(self, key: str | None = KEY, *, patience: Patience = QUICK, **settings: Any) -> Webhooks:
        self.registry = CollectorRegistry()
        courier = Courier(CourierSettings(**settings))
        self.made.append(Webhooks(self.pool, courier, WebhookMetrics(self.registry), key, patience=patience))
        return self.made[-1]


async def turn(webhooks: Webhooks, times: int = 1) -> None:
    """So many ticks, each to its end."""
    for _ in range(times):
        await webhooks.tick()
        await webhooks.settled()
        await asyncio.sleep(0.02)


async def until_rest(shop: Workshop, webhooks: Webhooks) -> None:
    """Tick until nothing waits that is not held."""
    for _ in range(100):
        await turn(webhooks)
        if not await shop.pool.fetchval("SELECT count(*) FROM webhook_deliveries WHERE state = 'waiting' AND NOT held"):
            return
    raise AssertionError(await states(shop))


async def states(shop: Workshop) -> list[tuple[int, str, bool]]:
    """Offset, state, and whether it is held, of every delivery."""
    found = await shop.pool.fetch('SELECT "offset", state, held FROM webhook_deliveries ORDER BY "offset", url')
    return [tuple(record) for record in found]


async def write(shop: Workshop, *values: float, device: str = "pump-1", at: float = 0) -> None:
    """Values a second apart, each in a batch of its own."""
    for place, value in enumerate(values):
        await shop.write((T, at + place, value), device=device)


async def silence(shop: Workshop, device: str = "*") -> None:
    """Silence a device's alerts for an hour."""
    await shop.pool.execute(
        "INSERT INTO silences (device, until, created_by) VALUES ($1, now() + interval '1 hour', 'test')", device
    )


async def unsilence(shop: Workshop) -> None:
    """End all silences."""
    await shop.pool.execute("UPDATE silences SET ended_at = now()")
