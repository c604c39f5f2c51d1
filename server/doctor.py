"""`sluice doctor`: every setting with its source, and what can be checked."""

import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
from dotenv import dotenv_values
from pydantic import SecretStr

from ingest.foreign.table import FORMATS
from ingest.formats.mapping import Mapping
from server import hosts
from server.engines import Engine, extensions, node_trouble
from server.findings import Finding
from server.hosts_doctor import host_findings
from server.masks import Masks, shown
from server.migrations import schema_gap
from server.mqtt_doctor import mqtt_findings
from server.redis_doctor import redis_findings
from server.settings import Settings

_SETTINGS = ("fsync", "full_page_writes", "synchronous_commit")
MAX_CLOCK_DIFFERENCE_S = 2.0
MIN_POSTGRES = 14_00_00


def settings_with_sources(settings: Settings) -> list[tuple[str, str, str]]:
    """(variable, value with its secrets masked, source) of every setting."""
    in_file = {name.upper() for name in dotenv_values(".env")}
    rows = []
    for name in sorted(Settings.model_fields, key=lambda field: field.startswith("mqtt_")):  # those last
        variable = f"SLUICE_{name.upper()}"
        source = "environment" if variable in os.environ else ".env" if variable in in_file else "default"
        rows.append((variable, _masked(getattr(settings, name)), source))
    return rows


def _masked(value: Any) -> str:
    """A URL without its password, three stars for any other secret; what is none as it is."""
    if isinstance(value, SecretStr):
        return shown(value.get_secret_value())
    return "" if value is None else str(value)


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    """Look at PostgreSQL, Redis and MQTT's broker."""
    masks = Masks.of(settings)
    alike: dict[tuple[Mapping, Callable[[Mapping, str], str]], list[str]] = {}
    for name, door in FORMATS.items():
        alike.setdefault((settings.mapping(name), door.describe), []).append(name)
    for (mapping, describe), names in alike.items():
        yield Finding(True, describe(mapping, ", ".join(names)))
    async for finding in _findings(settings):
        yield Finding(finding.good, masks(finding.text))


async def _findings(settings: Settings) -> AsyncIterator[Finding]:
    if settings.database_url is None:
        yield Finding(True, "PostgreSQL: none is set; `sluice up` starts its own")
    else:
        async for finding in host_findings(settings.direct):
            yield finding
        async for finding in _postgres(settings.database, settings.engine):
            yield finding
    if settings.redis_url is None:
        yield Finding(True, "Redis: none is set; `sluice up` starts its own")
    else:
        async for finding in redis_findings(settings.redis):
            yield finding
    async for finding in mqtt_findings(settings):
        yield finding


async def _postgres(url: str, engine: Engine) -> AsyncIterator[Finding]:
    try:
        connection = await hosts.connect(url, 3)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError) as error:
        yield Finding(False, f"PostgreSQL does not answer: {error!r}; check SLUICE_DATABASE_URL")
        return
    try:
        number = int(await connection.fetchval("SHOW server_version_num"))
        yield Finding(number >= MIN_POSTGRES, f"PostgreSQL {await connection.fetchval('SHOW server_version')}")
        for name in _SETTINGS:
            value = await connection.fetchval("SELECT current_setting($1)", name)
            yield Finding(value != "off", f"{name} is {value}")
        difference = abs((await connection.fetchval("SELECT clock_timestamp()")).timestamp() - time.time())
        yield Finding(difference < MAX_CLOCK_DIFFERENCE_S, f"PostgreSQL's clock differs by {difference:.3f} s")
        async for finding in _engine(connection, engine):
            yield finding
        gap = await schema_gap(connection, engine)
        yield Finding(gap is None, gap or "the schema is up to date")
    finally:
        await connection.close(timeout=2)


async def _engine(connection: asyncpg.Connection, engine: Engine) -> AsyncIterator[Finding]:
    """What keeps the readings, and what is there besides."""
    found = await extensions(connection)
    if engine is Engine.PLAIN:
        yield Finding(True, "the engine is plain PostgreSQL")
    else:
        text = f"the engine is {engine} {found[engine]}" if engine in found else f"the extension {engine} is missing"
        yield Finding(engine in found, text)
    for name, version in found.items():
        if name != engine:
            yield Finding(True, f"{name} {version} is there and not used: see SLUICE_ENGINE in docs/engines.md")
    if engine is Engine.CITUS and engine in found:
        trouble = await node_trouble(connection)
        yield Finding(not trouble, "; ".join(trouble) or "every node of Citus keeps what is committed")
