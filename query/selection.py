"""Which series a question is about: a metric of a device, with its label sets or some of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from query.reads import Connection
from schemas.columns import canonical_labels
from schemas.errors import Fault, Invalid, NotFound
from schemas.names import is_storable, name_fault

MAX_SERIES = 1_000  # of one answer
_PREFIX = "labels."

_FIND = """
SELECT id, labels::text AS labels
FROM series
WHERE device = $1 AND metric = $2 AND labels @> $3::jsonb AND (NOT $4 OR labels = $3::jsonb)
ORDER BY id
LIMIT $5
"""
_EXISTS = "SELECT 1 FROM devices WHERE name = $1"


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked for, by name."""

    device: str
    metric: str
    labels: Mapping[str, str]
    """A series has to have these …"""
    exact: bool = False
    """… and may have others, unless this is said."""


def select(device: str, metric: str, query: list[tuple[str, str]], *, exact: bool = False) -> Selection:
    """Take `labels.<name>=<value>` out of a query string. Raises NotFound or Invalid for names that cannot be."""
    if name_fault(device):
        raise NotFound("no such device")
    faults = [Fault(("query", "metric"), "name", fault)] if (fault := name_fault(metric)) else []
    labels: dict[str, str] = {}
    for key, value in query:
        if not key.startswith(_PREFIX):
            continue
        name = key.removeprefix(_PREFIX)
        if fault := name_fault(name):
            faults.append(Fault(("query", key), "name", fault))
        elif labels.setdefault(name, value) != value or not is_storable(value):
            faults.append(Fault(("query", key), "label", "a label has one value"))
    if faults:
        raise Invalid(faults)
    return Selection(device, metric, labels, exact)


async def find(connection: Connection, wanted: Selection) -> dict[int, str]:
    """The series by id, ascending, each with its labels in canonical form. Raises NotFound for an unknown device."""
    labels = json.dumps(dict(wanted.labels))
    found = await connection.fetch(_FIND, wanted.device, wanted.metric, labels, wanted.exact, MAX_SERIES + 1)
    if not found and not await connection.fetchval(_EXISTS, wanted.device):
        raise NotFound("no such device")
    if len(found) > MAX_SERIES:
        text = f"more than {MAX_SERIES} label sets: choose among them by labels.<name>=<value>"
        raise Invalid([Fault(("query", "metric"), "too_many_series", text)])
    return {record["id"]: canonical_labels(json.loads(record["labels"])) for record in found}
