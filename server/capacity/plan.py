"""The plan: what a fleet needs, what the nodes it is given carry, and the walls, as data and as lines."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from server.capacity.demand import DAY_S, Fleet, Keep, Site
from server.capacity.needs import GB, MB, Needs, needs
from server.capacity.walls import Wall, walls

MOST_TIMES = 10_000.0
"""Nobody asks how a fleet is carried that is so much larger."""
STEPS = 40  # of bisecting that span, by its logarithm: better than a millionth


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is told."""

    fleet: Fleet
    site: Site
    needs: Needs
    walls: list[Wall]
    growth: float
    """How many times the devices these nodes carry; below 1 something is too little."""
    full: Wall
    """What ends first there."""
    sockets: int
    """That they carry beside this fleet."""
    next_wall: Wall
    """What ends first as the fleet grows, and nodes with it."""
    until_wall: float
    """How many times the devices there are then."""

    def as_json(self) -> dict[str, Any]:
        """Without the coefficients; numbers in three digits."""
        fleet, need = self.fleet, self.needs
        told = {
            "fleet": {
                "series": fleet.series,
                "readings_per_s": fleet.readings_per_s,
                "requests_per_s": fleet.requests_per_s,
                "readings_per_request": fleet.readings_per_request,
                "stored_as": "runs" if fleet.shape.is_runs else "rows",
            },
            "nodes": {"count": need.nodes, "workers_each": need.workers_a_node, "memory_mb": need.node_bytes / MB},
            "cpu": {
                "server_cores": need.server_cores,
                "postgres_cores": need.postgres_cores,
                "redis_cores": need.redis_cores,
                "us_per_reading": need.request_us / fleet.readings_per_request,
            },
            "postgres": {
                "connections": need.connections,
                "hot_gb": need.hot_bytes / GB,
                "wal_mb_per_s": need.wal_bytes_per_s / MB,
                "wal_gb_per_day": need.wal_bytes_per_s * DAY_S / GB,
            },
            "disk_gb": {name: size / GB for name, size in asdict(need.disk).items()} | {"total": need.disk.total / GB},
            "carries": {
                "times": self.growth,
                "devices": math.floor(fleet.devices * self.growth),
                "readings_per_s": fleet.readings_per_s * self.growth,
                "series": math.floor(fleet.series * self.growth),
                "sockets": self.sockets,
                "gb_per_day": need.disk.a_day * self.growth / GB,
                "full": self.full.name,
            },
            "next_wall": {"name": self.next_wall.name, "times": self.until_wall, "then": self.next_wall.then},
            "walls": [
                {"name": each.name, "used": each.used, "limit": each.limit, "unit": each.unit, "share": each.share}
                | {"then": each.then}
                for each in self.walls
            ],
        }
        rounded: dict[str, Any] = _rounded(told)
        return rounded

    def lines(self) -> list[str]:
        """For people."""
        fleet, need, gb = self.fleet, self.needs, {n: s / GB for n, s in asdict(self.needs.disk).items()}
        wall, each_us = self.next_wall, self.needs.request_us / self.fleet.readings_per_request
        made = [
            f"fleet        {fleet.devices:,} devices, {fleet.series:,} series, {fleet.readings_per_s:,.0f} readings/s "
            f"in {fleet.requests_per_s:,.0f} requests/s of {fleet.readings_per_request:,}",
            f"nodes        {need.nodes} with {need.workers_a_node} worker(s), {need.node_bytes / MB:,.0f} MB each",
            f"CPU          {each_us:.2f} µs a reading: {need.server_cores:.2f} cores of the nodes, "
            f"{need.postgres_cores:.2f} of PostgreSQL, {need.redis_cores:.3f} of Redis",
            f"PostgreSQL   {need.connections} connections, {need.hot_bytes / GB:.1f} GB in use all the time, "
            f"{need.wal_bytes_per_s / MB:.1f} MB/s of log ({need.wal_bytes_per_s * DAY_S / GB:,.0f} GB a day)",
            f"disk         {need.disk.total / GB:,.0f} GB: {gb['raw']:,.0f} as it came ({gb['a_day']:,.1f} a day), "
            f"{gb['packed']:,.0f} packed, {gb['rollups']:,.0f} of rollups, {gb['names']:,.1f} of names",
            f"they carry   {self.growth:.2f} times this fleet: {fleet.series * self.growth:,.0f} series, "
            f"{fleet.readings_per_s * self.growth:,.0f} readings/s; {self.sockets:,} sockets",
            f"next wall    {wall.name}, at {self.until_wall:.3g} times this fleet: {wall.then}",
            "",
            f"{'wall':18}{'in use':>12}{'there is':>12}  {'':13}{'share':>6}",
        ]
        return made + [
            f"{each.name:18}{_number(each.used):>12}{_number(each.limit):>12}  {each.unit:13}{each.share:>6.0%}"
            for each in self.walls
        ]


def plan(table: Mapping[str, float], fleet: Fleet, keep: Keep, site: Site) -> Plan:
    """Make it. Raises ValueError where it cannot be, saying what would have to be different."""
    need = needs(table, fleet, keep, site)
    there = replace(site, nodes=need.nodes)

    def walls_of(fleet: Fleet, site: Site) -> list[Wall]:
        return walls(table, fleet, site, needs(table, fleet, keep, site))

    def grown(times: float) -> Fleet:
        return replace(fleet, devices=max(1, round(fleet.devices * times)))

    def listened(times: float) -> Fleet:
        return replace(fleet, dashboards=round(times))

    def unmoved(times: float) -> list[Wall]:
        return [wall for wall in walls_of(grown(times), replace(site, nodes=None)) if not wall.by_nodes]

    growth = most(lambda times: walls_of(grown(times), there)[0].share <= 1)
    until_wall = most(lambda times: unmoved(times)[0].share <= 1)
    sockets = most(lambda times: _sockets_fit(walls_of(listened(times), there)), 1e7)
    full, next_wall = walls_of(grown(growth), there)[0], unmoved(until_wall)[0]
    return Plan(fleet, site, need, walls_of(fleet, site), growth, full, round(sockets), next_wall, until_wall)


def most(fits: Callable[[float], bool], highest: float = MOST_TIMES) -> float:
    """The largest number up to `highest` that fits; what raises ValueError does not."""

    def _fits(value: float) -> bool:
        try:
            return fits(value)
        except ValueError:
            return False

    if _fits(highest):
        return highest
    low, high = math.log(1 / MOST_TIMES), math.log(highest)
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _fits(math.exp(middle)) else (low, middle)
    return math.exp(low)


def _sockets_fit(found: list[Wall]) -> bool:
    return all(wall.share <= 1 for wall in found if wall.name in {"sockets", "memory of a node"})


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value
