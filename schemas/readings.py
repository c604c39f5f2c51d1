"""The native body of ``POST /v1/readings``: strict, in two layouts, alone or in an array.

What pydantic-core checks here is the shape of every reading. What is the same for many readings of a batch (names,
labels, units of time) is checked once by the decoder: a Python validator per reading would cost more than the rest.
"""

from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, WithJsonSchema
from typing_extensions import TypedDict

from schemas.names import NAME_SCHEMA

MAX_LABELS = 32
MAX_LABEL_CHARS = 256

STRICT = ConfigDict(extra="forbid", strict=True, cache_strings="none")

Name = Annotated[str, WithJsonSchema(NAME_SCHEMA)]
Labels = Annotated[
    dict[str, str],
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": MAX_LABELS,
            "additionalProperties": {"type": "string", "maxLength": MAX_LABEL_CHARS},
            "description": "Part of the identity of a series.",
            "examples": [{"site": "A"}],
        }
    ),
]
# str first: a first branch that fits costs nothing, and most devices send text.
Timestamp = Annotated[
    str | int,
    Field(union_mode="left_to_right"),
    WithJsonSchema(
        {
            "oneOf": [
                {"type": "string", "format": "date-time", "description": "RFC 3339 with an offset."},
                {"type": "integer", "description": "Milliseconds since the Unix epoch, 2000-01-01 to 2100-01-01."},
            ],
            "examples": ["2026-11-20T10:00:00.123Z", 1795428000123],
        }
    ),
]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Value = Annotated[
    Finite | bool,
    Field(union_mode="left_to_right"),
    WithJsonSchema({"type": ["number", "boolean"], "description": "Finite; true is stored as 1, false as 0."}),
]
Cell = Annotated[
    Finite | bool | None,
    Field(union_mode="left_to_right"),
    WithJsonSchema({"type": ["number", "boolean", "null"], "description": "null: no reading at this time."}),
]


MAX_ITEMS = 100_000  # of any list of a body: bounds what one request can make the server build before it is refused


class Row(TypedDict):
    """One reading."""

    __pydantic_config__ = STRICT  # type: ignore[misc]

    ts: Timestamp
    metric: Name
    value: Value


class Batch(TypedDict):
    """Readings of one device: as rows (`readings`), or as columns (`ts` with `values`), never both."""

    __pydantic_config__ = STRICT  # type: ignore[misc]

    device: Name
    labels: NotRequired[Labels]
    readings: NotRequired[Annotated[list[Row], Field(max_length=MAX_ITEMS, fail_fast=True)]]
    ts: NotRequired[Annotated[list[Timestamp], Field(max_length=MAX_ITEMS, fail_fast=True)]]
    values: NotRequired[dict[str, Annotated[list[Cell], Field(max_length=MAX_ITEMS, fail_fast=True)]]]


class FullBatch(TypedDict):
    """The same body, checked to its end: every fault is found, not only the first."""

    __pydantic_config__ = STRICT  # type: ignore[misc]

    device: Name
    labels: NotRequired[Labels]
    readings: NotRequired[list[Row]]
    ts: NotRequired[list[Timestamp]]
    values: NotRequired[dict[str, list[Cell]]]


MANY = Field(max_length=MAX_ITEMS, fail_fast=True)
ONE_BATCH: TypeAdapter[Batch] = TypeAdapter(Batch)
MANY_BATCHES: TypeAdapter[list[Batch]] = TypeAdapter(Annotated[list[Batch], MANY])
ONE_FULL_BATCH: TypeAdapter[FullBatch] = TypeAdapter(FullBatch)
MANY_FULL_BATCHES: TypeAdapter[list[FullBatch]] = TypeAdapter(list[FullBatch])

EXAMPLES = {
    "rows": {
        "summary": "Rows: any mix of metrics and times",
        "value": {
            "device": "pump-7",
            "labels": {"site": "A"},
            "readings": [{"ts": "2026-11-20T10:00:00.123Z", "metric": "temperature", "value": 21.5}],
        },
    },
    "columns": {
        "summary": "Columns: metrics sampled together, several times cheaper",
        "value": {"device": "pump-7", "ts": [1795428000123, 1795428000124], "values": {"vibration_x": [0.12, 0.14]}},
    },
}


def body_schema() -> dict[str, Any]:
    """JSON Schema of the body, with its definitions inlined under ``$defs``."""
    schema = MANY_BATCHES.json_schema(ref_template="#/components/schemas/{model}")
    batch = schema["$defs"]["Batch"]
    batch["oneOf"] = [
        {"required": ["readings"], "not": {"anyOf": [{"required": ["ts"]}, {"required": ["values"]}]}},
        {"required": ["ts", "values"], "not": {"required": ["readings"]}},
    ]
    return {"anyOf": [schema["items"], {"type": "array", "items": schema["items"]}], "$defs": schema["$defs"]}
