"""What a fleet needs of each part: cores, memory, connections, log and disk; and how many nodes that makes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from schemas.costs import Shape, cost
from server.capacity.demand import DAY_S, Fleet, Keep, Site
from server.capacity.disk import Disk, disk

HEARTBEATS_PER_S = 2  # of each worker, heard by all: `BusTimes.heartbeat_s`
PAGE = 8_192
ALERT_S = 0.1  # within which all sockets of a worker shall have an alert
MB, GB = 1e6, 1e9


@dataclass(frozen=True, slots=True)
class Needs:
    """Of all nodes together, where nothing else is said; cores are seconds of CPU a second."""

    nodes: int
    workers_a_node: int
    server_cores: float
    postgres_cores: float
    redis_cores: float
    keeping_cores: float
    """Of server and PostgreSQL, contained in both: packing and rolling up, one worker's task, one thing at a time."""
    worker_bytes: float
    """Of each worker."""
    hot_bytes: float
    """What PostgreSQL touches all the time: newest values, and the ends of today's index."""
    connections: int
    """To PostgreSQL, at most."""
    wal_bytes_per_s: float
    disk: Disk
    request_us: float
    """CPU of server and PostgreSQL, of a request."""

    @property
    def workers(self) -> int:
        """Of all nodes."""
        return self.nodes * self.workers_a_node

    @property
    def node_bytes(self) -> float:
        """Of each node."""
        return self.workers_a_node * self.worker_bytes


def needs(table: Mapping[str, float], fleet: Fleet, keep: Keep, site: Site) -> Needs:
    """What it comes to, with as many nodes as are given, or as it takes."""
    shape, form, active = fleet.shape, fleet.form, fleet.series
    each = {part: cost(table, part, form, shape, active) for part in ("server", "postgres", "wal")}
    keeping = {part: fleet.readings_per_s * _keeping_us(table, part, shape) / 1e6 for part in ("server", "postgres")}
    events_per_s = fleet.alerts_per_hour / 3_600
    told_us = fleet.dashboards * table["server.told"]
    server = fleet.requests_per_s * each["server"] / 1e6 + keeping["server"]
    server += events_per_s * (table["server.alert"] + told_us) / 1e6
    postgres = fleet.requests_per_s * each["postgres"] / 1e6 + keeping["postgres"]
    images_per_s = _hot_bytes(table, fleet) / PAGE / site.checkpoint_s
    postgres += (events_per_s * table["postgres.alert"] + images_per_s * table["postgres.image"]) / 1e6
    workers = math.ceil(max(1.0, server / site.load, told_us / 1e6 / ALERT_S))
    nodes = site.nodes or max(math.ceil(workers / site.cores), _nodes_by_memory(table, fleet, site))
    workers_a_node = min(site.cores, math.ceil(workers / nodes))
    workers = nodes * workers_a_node
    return Needs(
        nodes=nodes,
        workers_a_node=workers_a_node,
        server_cores=server,
        postgres_cores=postgres,
        redis_cores=_redis_cores(table, workers, events_per_s),
        keeping_cores=sum(keeping.values()),
        worker_bytes=_worker_bytes(table, fleet, site, workers),
        hot_bytes=_hot_bytes(table, fleet),
        connections=workers * site.connections_a_worker,
        wal_bytes_per_s=fleet.requests_per_s * each["wal"]
        + fleet.readings_per_s * _packed(table, "wal", shape)
        + images_per_s * table["wal.image"],
        disk=disk(table, fleet, keep),
        request_us=each["server"] + each["postgres"],
    )


def _keeping_us(table: Mapping[str, float], part: str, shape: Shape) -> float:
    """Once in the life of each reading: it is rolled up, and packed, for which its tuple is taken away."""
    return table[f"{part}.rolled"] + _packed(table, part, shape)


def _packed(table: Mapping[str, float], part: str, shape: Shape) -> float:
    """Of a reading, its share of a tuple included."""
    return table[f"{part}.packed"] + table.get(f"{part}.packed_tuple", 0.0) * shape.tuples / shape.readings


def _redis_cores(table: Mapping[str, float], workers: int, events_per_s: float) -> float:
    messages_per_s = workers * HEARTBEATS_PER_S + events_per_s
    return messages_per_s * (table["redis.message"] + workers * table["redis.delivery"]) / 1e6


def _worker_bytes(table: Mapping[str, float], fleet: Fleet, site: Site, workers: float) -> float:
    """Any worker may meet any series, since a load balancer knows none; sockets are spread."""
    known = min(fleet.series, site.cached_series) * table["memory.series"] + fleet.rules * table["memory.rule"]
    return table["memory.worker"] * MB + known + fleet.dashboards / workers * table["memory.socket"]


def _nodes_by_memory(table: Mapping[str, float], fleet: Fleet, site: Site) -> int:
    """Nodes that hold the sockets, beside one worker's other memory."""
    sockets = fleet.dashboards * table["memory.socket"]
    left = site.load * site.memory_gb * GB - _worker_bytes(table, fleet, site, math.inf)
    if left <= 0:
        raise ValueError(f"a worker that knows all these series and rules does not fit into {site.memory_gb:g} GB")
    return math.ceil(sockets / left) or 1


def _hot_bytes(table: Mapping[str, float], fleet: Fleet) -> float:
    """Of each series its names, its newest value, and the end of its part of today's index.

    That end is a page of its own, once the day is old enough.
    """
    shape = fleet.shape
    tuples_a_day = DAY_S / fleet.interval_s * shape.tuples / shape.readings
    return fleet.series * (table["disk.series"] + min(PAGE, tuples_a_day * table["disk.entry"]))
