"""Walls: what ends first as a fleet grows, and what to do then."""

from collections.abc import Mapping
from dataclasses import dataclass

from server.capacity.demand import Fleet, Site
from server.capacity.needs import ALERT_S, GB, MB, Needs

RESERVED = 3  # connections that PostgreSQL keeps for its superuser


@dataclass(frozen=True, slots=True)
class Wall:
    """Something of which there is only so much."""

    name: str
    used: float
    limit: float
    unit: str
    then: str
    """What to do before it is reached."""
    by_nodes: bool = False
    """Whether more nodes move it."""

    @property
    def share(self) -> float:
        """In use: 1 is the wall."""
        return self.used / self.limit


def walls(table: Mapping[str, float], fleet: Fleet, site: Site, needs: Needs) -> list[Wall]:
    """All of them, the nearest first."""
    sockets = fleet.dashboards / needs.workers
    made = [
        Wall(
            "nodes",
            needs.server_cores,
            needs.nodes * site.cores * site.load,
            "cores",
            "more nodes, or larger batches",
            by_nodes=True,
        ),
        Wall(
            "PostgreSQL",
            needs.postgres_cores,
            site.postgres_cores * site.load,
            "cores",
            "larger batches, a larger machine, reading on a standby; then Citus",
        ),
        Wall(
            "connections",
            needs.connections,
            site.max_connections - RESERVED,
            "connections",
            "raise max_connections, or PgBouncer in transaction mode with SLUICE_DIRECT_URL beside it",
        ),
        Wall(
            "log",
            needs.wal_bytes_per_s / MB,
            site.disk_mb_per_s * site.load,
            "MB/s",
            "larger batches, rarer checkpoints, a disk of its own for the log; then Citus",
        ),
        Wall(
            "index",
            needs.hot_bytes / GB,
            site.postgres_memory_gb * site.load,
            "GB",
            "more memory for PostgreSQL; then Citus, which gives each of its nodes a part of the series",
        ),
        Wall(
            "memory of a node",
            needs.node_bytes / GB,
            site.memory_gb * site.load,
            "GB",
            "more nodes with fewer workers each, or more memory",
            by_nodes=True,
        ),
        Wall(
            "keeping",
            needs.keeping_cores,
            site.load,
            "cores",
            "packing and rolling up are one worker's, on any engine: SLUICE_PACK_AFTER_DAYS beyond the retention",
        ),
        Wall(
            "Redis",
            needs.redis_cores,
            site.load,
            "cores",
            "fewer workers: all hear each other over one channel, in a cluster too; or one Redis for each installation",
        ),
        Wall(
            "sockets",
            sockets,
            ALERT_S * 1e6 / table["server.told"],
            "a worker",
            "more workers: an alert takes each of them so long to tell",
            by_nodes=True,
        ),
        Wall(
            "alerts",
            fleet.alerts_per_hour / 3_600,
            site.load * 1e6 / table["postgres.alert"],
            "a second",
            "rules with for_s and clear: transitions have one counter, and take turns",
        ),
        Wall(
            "cardinality",
            fleet.series,
            site.cached_series,
            "series",
            "SLUICE_MAX_CACHED_SERIES, with memory for them; fewer label sets",
        ),
    ]
    return sorted(made, key=lambda wall: -wall.share)
