"""What tests of the parts share: a worker's parts, a receiver of webhooks, and what sends to it."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.receiver import Receiver, receiving
from tests.integration.sending import Senders
from tests.integration.writing import Workshop, workshop


@pytest.fixture
async def shop(database: str) -> AsyncIterator[Workshop]:
    """A worker's parts on a database of its own."""
    async with workshop(database) as shop:
        yield shop


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Somebody who listens to webhooks."""
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def sender(shop: Workshop) -> AsyncIterator[Senders]:
    """Where senders come from."""
    senders = Senders(shop.pool)
    yield senders
    for each in senders.made:
        await each.close()
