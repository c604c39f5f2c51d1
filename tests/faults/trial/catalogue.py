"""Every kind of fault there is."""

from tests.faults.trial.kinds import clients, disks, nodes, postgres, readings, redis, resources, standbys, workers
from tests.faults.trial.trial import Kind

_ROOMS = (postgres, disks, redis, workers, clients, readings, resources)

KINDS: tuple[Kind, ...] = tuple(
    sorted((kind for room in _ROOMS for kind in room.KINDS), key=lambda kind: int(kind.name[1:]))
)
"""In the order of guarantees.md."""
KINDS_OF_NODES: tuple[Kind, ...] = nodes.KINDS + standbys.KINDS
"""For a cluster of several nodes and two addresses of PostgreSQL."""
