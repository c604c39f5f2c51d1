"""What the tests in this folder break."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from server.local import LocalValkey


@pytest_asyncio.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[LocalValkey]:
    """A Valkey of this test's own: killed and started again it is empty, on the same port."""
    async with LocalValkey(tmp_path / "own") as running:
        yield running
