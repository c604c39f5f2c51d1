"""What is measured of a trial: how long writing takes, how soon a transition is told."""

import asyncio
import time
from collections.abc import Iterable

from load.bench import proc
from tests.faults.trial.account import Account
from tests.faults.trial.trial import Stage

COMMITTED = """
SELECT "offset", extract(epoch FROM created_at)::float8 AS at FROM alert_events
WHERE created_at BETWEEN to_timestamp($1) AND to_timestamp($2) ORDER BY "offset"
"""


def p99_ms(account: Account, start: float, end: float) -> float:
    """Of what was sent between two moments and acknowledged; 0 where there was nothing."""
    took = sorted(a.answered - a.sent for _, a in account.attempts() if start <= a.sent < end and a.status == 200)
    return took[int(len(took) * 0.99)] * 1_000 if took else 0.0


def cpu_s(pids: Iterable[int]) -> float:
    """CPU that these processes used so far."""
    stats = [proc.parse_stat((proc.PROC / str(pid) / "stat").read_text()) for pid in pids]
    return sum(stat.ticks for stat in stats) / proc.TICKS_PER_S


async def delivery_s(stage: Stage, start: float, end: float, patience_s: float = 6.0) -> float:
    """Seconds from the beginning of its transaction to the last subscriber, of what was committed between two moments.

    One that is never told is the checker's business.
    """
    wall = time.time() - time.monotonic()
    rows = await stage.cluster.fetch(COMMITTED, start + wall, end + wall)
    deadline, worst = time.monotonic() + patience_s, 0.0
    for dashboard in stage.traffic.dashboards:
        if dashboard.channel != "alerts":
            continue
        while rows and dashboard.last < rows[-1]["offset"] and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        told = {each.offset: each.at for each in dashboard.told}
        lags = [told.get(row["offset"], deadline) + wall - row["at"] for row in rows]
        worst = max(worst, *lags, 0.0)
    return worst
