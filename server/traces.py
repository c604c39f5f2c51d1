"""Whether requests are traced; what does it is imported only then, as it is an extra."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, Protocol

from starlette.types import Scope

from schemas.tracing import Traces
from server.settings import Settings

CLOSE_S = 1.0  # for what waits to be sent, at the end


class RequestTraces(Traces, Protocol):
    """Traces that begin with a request."""

    def request(self, scope: Scope) -> AbstractContextManager[Any]:
        """The span of a request, by its head."""

    def answered(self, span: Any, route: str, status: int, request_id: str) -> None:
        """What became of it."""

    def close(self) -> None:
        """Send what waits."""


@asynccontextmanager
async def tracing(settings: Settings, version: str) -> AsyncIterator[RequestTraces | None]:
    """None, unless the settings say so. Raises ValueError where what is needed is not installed.

    At the end what waits is sent, as far as there is time: the exporter blocks while nobody listens.
    """
    if not settings.tracing:
        yield None
        return
    try:
        from server.tracing import OpenTelemetry  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ValueError(f"SLUICE_TRACING needs more: pip install 'sluice[tracing]' ({error})") from error
    traces = OpenTelemetry(version)
    try:
        yield traces
    finally:
        await asyncio.wait([asyncio.ensure_future(asyncio.to_thread(traces.close))], timeout=CLOSE_S)
