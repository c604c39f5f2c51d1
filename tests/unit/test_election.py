"""The jobs of the elected worker end when they are asked to, whatever they wait in."""

import asyncio
import contextlib
from typing import Any, cast

from alerts import election
from alerts.election import Election


async def test_a_job_that_swallows_its_cancellation_ends_all_the_same() -> None:
    """As `wait_for` may before Python 3.12, and with it whatever acquires a connection."""
    began = asyncio.Event()

    async def job() -> None:
        began.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

    task = asyncio.create_task(Election(cast(Any, None), {})._repeat("purge", job))
    await began.wait()
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=election.JOB_S + 2)
    task.cancel()
    assert done
