"""The calculator: what a fleet needs, what its nodes carry, where the next wall is."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from query.packing import LONGEST
from schemas.costs import cost
from server.capacity import disk
from server.capacity.demand import PROTOCOLS, Fleet, Keep, Site
from server.capacity.plan import Plan, plan
from server.cli import app
from server.plan_cli import read_table

TABLE = read_table().values()
FLEET = Fleet(devices=100_000, interval_s=10, metrics=5)
KEEP = Keep(retention=90)
SITE = Site(connections_a_worker=19, max_connections=100, cached_series=1_000_000)
GB = 1e9


def made(fleet: Fleet = FLEET, keep: Keep = KEEP, site: Site = SITE, **table: float) -> Plan:
    return plan(TABLE | {name.replace("_", ".", 1): value for name, value in table.items()}, fleet, keep, site)


def wall(of: Plan, name: str) -> float:
    return next(each.share for each in of.walls if each.name == name)


def test_a_fleet_is_what_it_sends() -> None:
    assert (FLEET.series, FLEET.readings_per_s, FLEET.requests_per_s) == (500_000, 50_000, 10_000)
    buffered = replace(FLEET, batch=100)
    assert (buffered.requests_per_s, buffered.shape.series, buffered.shape.is_runs) == (500, 5, True)
    gateway = replace(FLEET, gateway=20)
    assert (gateway.requests_per_s, gateway.shape.series, gateway.shape.readings) == (500, 100, 100)
    assert replace(FLEET, batch=3).shape.series == 3
    with pytest.raises(ValueError, match="no protocol is called mqtt"):
        _ = replace(FLEET, protocol="mqtt").form


def test_cores_are_what_the_requests_cost_and_what_is_done_once() -> None:
    need = made(replace(FLEET, dashboards=0)).needs
    each = cost(TABLE, "server", "rows", FLEET.shape, 500_000)  # and rows, not runs, are packed
    assert need.server_cores == pytest.approx(
        10_000 * each / 1e6 + 50_000 * (TABLE["server.rolled"] + TABLE["server.packed"]) / 1e6
    )
    assert need.workers * SITE.load >= need.server_cores > (need.workers - need.nodes) * SITE.load - SITE.load
    assert need.connections == need.workers * 19


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_has_its_coefficients(protocol: str) -> None:
    told = made(replace(FLEET, protocol=protocol, batch=1_000)).needs
    assert told.request_us > made(replace(FLEET, protocol=protocol, batch=500)).needs.request_us
    form = PROTOCOLS[protocol]
    assert TABLE[f"server.request.{form}"] > 0
    assert TABLE[f"server.reading.{form}"] > 0


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"devices": 400_000}, "PostgreSQL"),
        ({"devices": 400_000}, "log"),
        ({"devices": 400_000}, "index"),
        ({"devices": 400_000}, "connections"),
        ({"devices": 400_000}, "keeping"),
        ({"metrics": 20}, "cardinality"),
        ({"alerts_per_hour": 1e6}, "alerts"),
        ({"alerts_per_hour": 1e6}, "Redis"),
        ({"dashboards": 10_000}, "sockets"),
        ({"rules": 100_000}, "memory of a node"),
    ],
)
def test_more_of_it_brings_its_wall_nearer(change: dict[str, Any], name: str) -> None:
    few, many = made(), made(replace(FLEET, **change))
    assert wall(many, name) > wall(few, name)
    assert [each.share for each in many.walls] == sorted((each.share for each in many.walls), reverse=True)


def test_larger_batches_cost_less_of_everything() -> None:
    alone, together = made(), made(replace(FLEET, batch=100))
    for name in ("server_cores", "postgres_cores", "wal_bytes_per_s"):
        assert getattr(together.needs, name) < getattr(alone.needs, name), name
    assert together.needs.disk.a_day < alone.needs.disk.a_day


def test_nodes_that_are_given_are_judged() -> None:
    few = made(site=replace(SITE, nodes=1, cores=1))
    assert few.growth < 1
    assert few.walls[0].name == "nodes"
    assert few.next_wall.name != "nodes"
    assert made(site=replace(SITE, nodes=8)).needs.nodes == 8


def test_sockets_take_nodes_too() -> None:
    assert (
        made(replace(FLEET, devices=10, dashboards=400_000)).needs.nodes > made(replace(FLEET, devices=10)).needs.nodes
    )
    with pytest.raises(ValueError, match="does not fit into"):
        made(site=replace(SITE, memory_gb=0.1))


def test_the_disk() -> None:
    fleet = replace(FLEET, batch=100)
    told = disk.disk(TABLE, fleet, KEEP)
    a_day = 50_000 * 86_400
    assert told.a_day == pytest.approx(
        a_day * (TABLE["disk.run_reading"] + TABLE["disk.run"] / 20 * (1 + 19 * 10 / 900))
    )
    assert told.raw == pytest.approx(3 * told.a_day)  # today, and two days that wait
    pieces = 8_640 / 160
    each = TABLE["disk.packed_reading"] + TABLE["disk.piece"] * pieces / 8_640
    assert told.packed == pytest.approx(88 * a_day * each)  # 91 days are there, as a day goes as a whole
    assert disk.disk(TABLE, fleet, replace(KEEP, pack_after=365)).packed == 0
    assert disk.raw_bytes(TABLE, FLEET.shape) == TABLE["disk.row"]
    assert disk.PIECE == LONGEST


def test_rollups_of_a_slow_fleet_are_no_more_than_its_readings() -> None:
    slow, fast = (disk.disk(TABLE, replace(FLEET, interval_s=interval_s), KEEP) for interval_s in (7_200.0, 1.0))
    a_day = 500_000 * 86_400
    assert slow.rollups == pytest.approx(a_day / 7_200 * (TABLE["disk.minute_few"] * 90 + TABLE["disk.hour"] * 1_830))
    assert fast.rollups == pytest.approx(
        a_day / 60 * TABLE["disk.minute_many"] * 90 + a_day / 3_600 * TABLE["disk.hour"] * 1_830
    )


def test_the_command_goes_by_another_machine(tmp_path: Path) -> None:
    words = ["plan", "--devices", "1000", "--interval", "10", "--metrics", "5", "--json"]
    ours = json.loads(CliRunner().invoke(app, words).output)
    slow = {"value": 3 * TABLE["server.request.rows"], "unit": "µs", "by": "python -m load.model"}
    own = tmp_path / "model.json"
    own.write_text(
        json.dumps(
            {"machine": "a slow one", "at": "2026-11-21", "coefficients": {"server.request.rows": slow}, "checks": []}
        )
    )
    theirs = json.loads(CliRunner().invoke(app, [*words, "--calibrate", str(own)]).output)
    assert theirs["measured"]["machine"] == "a slow one"
    assert theirs["cpu"]["us_per_reading"] == pytest.approx(
        ours["cpu"]["us_per_reading"] + 2 * TABLE["server.request.rows"] / 5, rel=1e-2
    )
