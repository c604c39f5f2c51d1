"""What several of the status table's files share."""

import pytest_asyncio

from tests.acceptance.posting import assert_life_goes_on
from tests.conftest import Server, StartServer


@pytest_asyncio.fixture(scope="module")
async def server(start_shared_server: StartServer) -> Server:
    """One worker that knows the key and the series of `batch()`."""
    one = await start_shared_server(workers=1)
    await assert_life_goes_on(one)
    return one
