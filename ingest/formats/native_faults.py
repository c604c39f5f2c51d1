"""What is wrong with the shape of a native body, in the contract's words; and, with ``partial``, what can be saved.

Only a body that failed its validation comes here, so this may be slower, but is bounded: nothing is examined before
the number of its readings is known to be within the limit.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json

from schemas.errors import Fault, Invalid, Loc, Malformed, TooLarge
from schemas.readings import MANY_FULL_BATCHES, ONE_FULL_BATCH, Batch

_CODES = {
    "missing": ("missing", "this field is required"),
    "extra_forbidden": ("unknown_field", "there is no such field"),
    "finite_number": ("not_finite", "a value must be finite"),
}
_VALUE = ("value_type", "a value is a number or a boolean, not text, null or a list")
_CELL = ("value_type", "a value is a number, a boolean or null")
_TIME = ("ts_type", "a time is RFC 3339 text with an offset, or integer milliseconds since the Unix epoch")
_DUMMY_TIME = 1_000_000_000_000  # milliseconds; stands where an unusable time stood


@dataclass(slots=True)
class Salvaged:
    """The batches of a body whose bad readings were replaced by dummies, and where those are."""

    batches: list[Batch]
    faults: list[Fault]
    rows: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    """By batch: places in `readings`, or in `ts`, that hold dummies."""


def examine(body: bytes, failure: ValidationError, max_readings: int, *, many: bool, partial: bool) -> Salvaged:
    """Name every fault of a body that failed validation.

    Raises Malformed where it is not JSON, TooLarge where it has too many readings, and Invalid unless `partial` is
    asked for and every fault lies within a reading.
    """
    first = failure.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        raise Malformed(first["msg"])
    tree = from_json(body)
    batches = tree if many and isinstance(tree, list) else [tree]
    if sum(map(_count, batches)) + len(batches) - 1 > max_readings:
        raise TooLarge("readings", max_readings)
    faults = _faults(body, many=many)
    if not partial:
        raise Invalid(faults)
    saved = Salvaged(batches, faults)
    fatal = [fault for fault in faults if not _replace(saved, fault.loc, many=many)]
    if fatal:
        raise Invalid(fatal)
    return saved


def _count(batch: Any) -> int:
    """Readings that a batch of unknown shape seems to hold."""
    if not isinstance(batch, dict):
        return 0
    rows, columns, times = batch.get("readings"), batch.get("values"), batch.get("ts")
    count = len(rows) if isinstance(rows, list) else 0
    if isinstance(columns, dict):
        count += sum(len(column) for column in columns.values() if isinstance(column, list))
    return max(count, len(times)) if isinstance(times, list) else count  # times without columns are work too


def _faults(body: bytes, *, many: bool) -> list[Fault]:
    adapter: Any = MANY_FULL_BATCHES if many else ONE_FULL_BATCH
    try:
        adapter.validate_json(body)
    except ValidationError as failure:
        details = failure.errors(include_url=False, include_context=False, include_input=False)
    else:
        return []
    by_loc: dict[Loc, Fault] = {}
    for detail in details:
        fault = _fault(detail, many=many)
        by_loc.setdefault(fault.loc, fault)
    return list(by_loc.values())


def _fault(detail: ErrorDetails, *, many: bool) -> Fault:
    """Translate one finding; a location ends at the field, without pydantic's names of union members."""
    loc = detail["loc"]
    inside = loc[1:] if many and loc else loc
    depth = {"readings": 3, "values": 3, "ts": 2}.get(str(inside[0]), len(inside)) if inside else 0
    field_of = {("readings", 3): inside[2] if len(inside) > 2 else "", ("values", 3): "cell", ("ts", 2): "ts"}
    named = field_of.get((str(inside[0]), min(depth, len(inside))), "") if inside else ""
    code, message = _CODES.get(detail["type"]) or {"value": _VALUE, "cell": _CELL, "ts": _TIME}.get(
        str(named), (detail["type"], detail["msg"])
    )
    return Fault(loc[: len(loc) - len(inside) + depth], code, message)


def _replace(saved: Salvaged, loc: Loc, *, many: bool) -> bool:
    """Put a dummy where a bad reading is; False if the fault is not within one reading."""
    number, inside = (loc[0], loc[1:]) if many and loc else (0, loc)
    batch: Any = saved.batches[number] if isinstance(number, int) and number < len(saved.batches) else None
    match inside:
        case ("readings", int(place), *_):
            batch["readings"][place] = {"ts": _DUMMY_TIME, "metric": "-", "value": 0.0}
        case ("ts", int(place)):
            batch["ts"][place] = _DUMMY_TIME
        case ("values", str(metric), int(place)):
            batch["values"][metric][place] = None
            return True
        case _:
            return False
    saved.rows[int(number)].add(place)
    return True
