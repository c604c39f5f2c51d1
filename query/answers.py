"""The answers of this room as the documentation of the API shows them: schemas and examples."""

from typing import Any

_TS = {"type": "string", "format": "date-time", "description": "RFC 3339 in UTC."}
_LABELS = {"type": "object", "additionalProperties": {"type": "string"}}
_NEXT = {
    "type": ["string", "null"],
    "description": "The `cursor` of the page after this one; null at the end.",
}
_READING = {
    "type": "object",
    "required": ["ts", "value"],
    "properties": {"ts": _TS, "value": {"type": "number"}, "labels": _LABELS},
}
_NUMBER = {"type": ["number", "null"], "description": "Null where it is larger than any float."}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _answer(description: str, schema: dict[str, Any], example: Any, **others: Any) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": schema, "example": example}} | others
    return {200: {"description": description, "content": content}}


_SEEN = "2026-11-20T10:00:00.123Z"

DEVICES = _answer(
    "A page of devices",
    _object(
        items=_list(_object(device={"type": "string"}, first_seen=_TS, last_seen=_TS, metrics={"type": "integer"})),
        next=_NEXT,
    ),
    {"items": [{"device": "pump-7", "first_seen": _SEEN, "last_seen": _SEEN, "metrics": 3}], "next": None},
)
DEVICE = _answer(
    "A device",
    _object(
        device={"type": "string"},
        series=_list(_object(metric={"type": "string"}, labels=_LABELS, created_at=_TS)),
        next=_NEXT,
    ),
    {
        "device": "pump-7",
        "series": [{"metric": "temperature", "labels": {"site": "A"}, "created_at": _SEEN}],
        "next": None,
    },
)
LATEST = _answer(
    "Its newest values; a list where a metric has several label sets",
    _object(
        device={"type": "string"},
        metrics={"type": "object", "additionalProperties": {"anyOf": [_READING, _list(_READING)]}},
    ),
    {"device": "pump-7", "metrics": {"temperature": {"ts": _SEEN, "value": 21.5, "labels": {"site": "A"}}}},
)
FLEET = _answer(
    "A page of the fleet",
    _object(
        items=_list(
            _object(
                device={"type": "string"},
                first_seen=_TS,
                last_seen=_TS,
                metrics={"type": "integer", "description": "How many it has."},
                latest=_list(
                    {
                        "type": "object",
                        "required": ["metric", "ts", "value"],
                        "properties": {
                            "metric": {"type": "string"},
                            "ts": _TS,
                            "value": {"type": "number"},
                            "labels": _LABELS,
                            "spark": _list(
                                {"type": ["number", "null"], "description": "A mean; null where there is no reading."}
                            ),
                        },
                    }
                ),
            )
        ),
        next=_NEXT,
    ),
    {
        "items": [
            {
                "device": "pump-7",
                "first_seen": _SEEN,
                "last_seen": _SEEN,
                "metrics": 3,
                "latest": [{"metric": "temperature", "ts": _SEEN, "value": 21.5, "spark": [21.25, None, 21.5]}],
            }
        ],
        "next": None,
        "spark": {"from": "2026-11-20T09:02:00.000Z", "step_s": 120, "points": 30},
    },
)
_SPARK = _object(
    **{
        "from": _TS | {"description": "Where the first point begins."},
        "step_s": {"type": "integer", "description": "What one point is the mean of, in seconds."},
        "points": {"type": "integer"},
    }
)
FLEET[200]["content"]["application/json"]["schema"]["properties"]["spark"] = _SPARK  # not required
READINGS = _answer(
    "Readings: a page of JSON, or a stream of them; with `labels` where there are several label sets",
    _object(items=_list(_READING), next=_NEXT),
    {"items": [{"ts": _SEEN, "value": 21.5}], "next": "IjE3OTU0MjgwMDAxMjMwMDAvMSI"},
    **{
        "text/csv": {"schema": {"type": "string"}, "example": f"ts,value\n{_SEEN},21.5\n"},
        "application/x-ndjson": {"schema": {"type": "string"}, "example": f'{{"ts":"{_SEEN}","value":21.5}}\n'},
    },
)
BUCKETS = _answer(
    "Buckets, in order of time, none empty",
    _object(
        buckets=_list(
            {
                "type": "object",
                "required": ["ts"],
                "properties": {
                    "ts": _TS | {"description": "Where the bucket begins."},
                    "count": {"type": "integer"},
                    **dict.fromkeys(("avg", "sum"), _NUMBER),
                    **{name: {"type": "number"} for name in ("min", "max", "first", "last")},
                },
            }
        )
    ),
    {"buckets": [{"ts": "2026-11-20T10:00:00.000Z", "avg": 21.25, "min": 21.0, "max": 21.5, "count": 2}]},
)
