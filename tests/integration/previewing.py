"""Previews of the tests' rule, and histories to run them over."""

import random
from collections.abc import Iterable
from typing import Any

from schemas.preview import Preview, PreviewRequest
from schemas.times import to_datetime
from tests.integration.writing import NOW, SECOND, T, Workshop, rule_request

RISING = {"severity": "warning", "above": 1.0, "clear": 0.5}


def asked(since: float = -60, until: float = 100_000, limit: int = 1_000, **rule: Any) -> PreviewRequest:
    """A preview of the tests' rule with these changes, from and to seconds after `NOW`."""
    document = {"rule": rule_request(**rule).model_dump(mode="json"), "limit": limit}
    span = {"from": NOW // 1_000 + round(since * 1_000), "to": NOW // 1_000 + round(until * 1_000)}
    return PreviewRequest.model_validate(document | span)


def words(found: Preview) -> list[tuple[str, str, float]]:
    """The transitions: event, severity, value."""
    return [(each.event.value, each.severity.value, each.value) for each in found.transitions]


def walk(rng: random.Random, count: int) -> Iterable[tuple[float, float]]:
    """Seconds after `NOW` and values that wander around the limits; whole milliseconds, as they go out."""
    seconds, value = rng.random(), 60.0
    for _ in range(count):
        seconds += rng.choice([0.25, 1, 1, 1, 4, 40])
        value = min(95.0, max(35.0, value + rng.gauss(0, 6)))
        yield round(seconds, 3), round(value, 2)


async def fill(shop: Workshop, count: int) -> None:
    """So many readings of one series, ten a second, in runs as a gateway's batches make them; the last one fires."""
    await shop.write((T, 0, 50))
    series_id = await shop.pool.fetchval("SELECT id FROM series")
    for day in range(count // 864_000 + 1):
        await shop.partitions.ensure([(NOW // SECOND // 86_400 + day)])
    await shop.pool.execute(
        """INSERT INTO runs (series_id, ts, until, offsets, values)
           SELECT $1, $2::timestamptz + n * interval '20 s', $2::timestamptz + n * interval '20 s' + interval '19.9 s',
                  array(SELECT generate_series(0, 19900000, 100000)), array_fill(50 + n % 15, ARRAY[200])
           FROM generate_series(0, $3 / 200 - 1) n""",
        series_id,
        to_datetime(NOW + SECOND),
        count,
    )
    await shop.write((T, count / 10 + 60, 99))
