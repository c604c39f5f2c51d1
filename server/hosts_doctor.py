"""What `sluice doctor` says of the hosts in PostgreSQL's URL, where there are several."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from server.findings import Finding
from server.hosts import split
from server.lineage import ASK

ASK_S = 3.0
_SYNCHRONOUS = "current_setting('synchronous_standby_names') <> '' AS synchronous"


async def host_findings(url: str) -> AsyncIterator[Finding]:
    """What each is, and whether they make one whole. Nothing for a URL of one host."""
    urls = split(url)
    if len(urls) == 1:
        return
    primaries = []
    for one, found in zip(urls, await asyncio.gather(*map(_ask, urls)), strict=True):
        parts = urlsplit(one)
        place = parts.netloc.rpartition("@")[2] or ":".join(parse_qs(parts.query)["host"])
        if isinstance(found, BaseException):
            yield Finding(False, f"PostgreSQL at {place} does not answer: {found!r}")
        elif found["standby"]:
            yield Finding(True, f"PostgreSQL at {place} is a standby")
        else:
            primaries.append(place)
            yield Finding(True, f"PostgreSQL at {place} is a primary, timeline {found['timeline']}")
            text = "does not wait for a standby: what is answered 200 may be lost with it (synchronous_standby_names)"
            if not found["synchronous"]:
                yield Finding(False, f"PostgreSQL at {place} {text}")
    if len(primaries) > 1:
        yield Finding(False, f"{' and '.join(primaries)} are primaries at one time: stop all but the right one at once")


async def _ask(url: str) -> Mapping[str, Any] | BaseException:
    try:
        connection = await asyncpg.connect(url, timeout=ASK_S, target_session_attrs=SessionAttribute.any)
        try:
            found = await connection.fetchrow(ASK.replace("SELECT", f"SELECT {_SYNCHRONOUS},", 1), timeout=ASK_S)
            assert found is not None  # noqa: S101 - for mypy
            return dict(found)
        finally:
            await connection.close(timeout=ASK_S)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return error
