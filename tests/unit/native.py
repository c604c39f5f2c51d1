"""Documents of the native layouts, and what the decoder makes of them."""

import json
from typing import Any

import pytest

from ingest.formats.native import decode
from ingest.formats.times import Bounds
from schemas.columns import Columns
from schemas.errors import Invalid

MS = 1_795_428_000_000
BOUNDS = Bounds(oldest_us=(MS - 86_400_000) * 1_000, newest_us=(MS + 600_000) * 1_000, max_readings=50)


def rows(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A batch in rows; each reading is complete but for what an item says otherwise."""
    full = [{"ts": MS + place, "metric": "m", "value": float(place)} | item for place, item in enumerate(items)]
    return {"device": "d", "readings": full} | more


def read(body: Any, *, partial: bool = False) -> Columns:
    """Decode a document."""
    return decode(json.dumps(body).encode(), BOUNDS, partial=partial)


def table(columns: Columns) -> list[tuple[str, str, str, int, float]]:
    """The readings with their names, as they stand."""
    keys = [columns.series[code] for code in columns.codes.tolist()]
    return [(*key, ts, value) for key, ts, value in zip(keys, columns.ts.tolist(), columns.value.tolist(), strict=True)]


def faults(body: Any) -> list[tuple[tuple[str | int, ...], str]]:
    """Places and codes of what a body is refused for; with `partial` it must not be refused for less than that."""
    with pytest.raises(Invalid) as refused:
        read(body) if not isinstance(body, bytes) else decode(body, BOUNDS)
    assert refused.value.count >= len(refused.value.faults)
    return [(fault.loc, fault.code) for fault in refused.value.faults]
