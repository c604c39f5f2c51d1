"""What is wrong with the shape of a native body, in the contract's words; and, with ``partial``, what can be saved.

Only a body that failed its validation comes here, so this may be slower, but is bounded: pydantic builds an error for
every key that is wrong, and each costs a hundred times its bytes. So the tree is counted and trimmed before anything
is validated, and what is validated is the tree, never the body: there, a key may stand a million times.
"""

from collections import defaultdict
from collections.abc import Collection, Sized
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, to_json

from ingest.formats.tree import parsed
from schemas.errors import Fault, Invalid, Loc, TooLarge
from schemas.readings import MANY_FULL_BATCHES, MAX_LABELS, ONE_FULL_BATCH, Batch, Row

_CODES = {
    "missing": ("missing", "this field is required"),
    "extra_forbidden": ("unknown_field", "there is no such field"),
    "finite_number": ("not_finite", "a value must be finite"),
}
_VALUE = ("value_type", "a value is a number or a boolean, not text, null or a list")
_CELL = ("value_type", "a value is a number, a boolean or null")
_TIME = ("ts_type", "a time is RFC 3339 text with an offset, or integer milliseconds since the Unix epoch")
_NAMED = 3  # of the unknown fields of one object, or of its labels that are no text: enough to see what it is about
_DUMMY_TIME = 1_000_000_000_000  # milliseconds; stands where an unusable time stood


@dataclass(slots=True)
class Salvaged:
    """The batches of a body whose bad readings were replaced by dummies, and where those are."""

    batches: list[Batch]
    faults: list[Fault]
    rows: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    """By batch: places in `readings`, or in `ts`, that hold dummies."""


def examine(body: bytes, max_readings: int, *, many: bool, partial: bool) -> Salvaged:
    """Name every fault of a body that failed validation, but of one object no more than `_NAMED` unknown fields.

    Raises Malformed where it is not JSON, TooLarge where it has too many readings, and Invalid unless `partial` is
    asked for and every fault lies within a reading. Without a fault (a key whose last value is good had a bad one
    before it), these are the batches.
    """
    tree = parsed(body)
    batches = tree if many else [tree]
    if sum(map(_count, batches)) + len(batches) - 1 > max_readings:
        raise TooLarge("readings", max_readings)
    for number, batch in enumerate(batches):
        if isinstance(batch, dict):
            batches[number] = _trimmed(batch, (number,) if many else ())
    faults = _faults(batches if many else batches[0], many=many)
    saved = Salvaged(batches, faults)
    if faults and not partial:
        raise Invalid(faults)
    fatal = [fault for fault in faults if not _replace(saved, fault.loc, many=many)]
    if fatal:
        raise Invalid(fatal)
    return saved


def check_label_count(labels: Sized, loc: Loc) -> None:
    """Raise Invalid where a batch, at `loc`, has more labels than it may."""
    if len(labels) > MAX_LABELS:
        raise Invalid([Fault((*loc, "labels"), "too_many_labels", f"at most {MAX_LABELS} labels")])


def _count(batch: Any) -> int:
    """Readings that a batch of unknown shape seems to hold; a column is work too, whatever it is."""
    if not isinstance(batch, dict):
        return 0
    rows, columns, times = batch.get("readings"), batch.get("values"), batch.get("ts")
    count = len(rows) if isinstance(rows, list) else 0
    if isinstance(columns, dict):
        cells = sum(len(column) for column in columns.values() if isinstance(column, list))
        count += max(cells, len(columns))
    return max(count, len(times)) if isinstance(times, list) else count  # times without columns are work too


def _trimmed(batch: dict[str, Any], loc: Loc) -> dict[str, Any]:
    """The batch as wrong as it was, but with only a few wrong keys in each object. Raises Invalid: too many labels."""
    batch = _with_few(batch, Batch.__annotations__)
    labels, rows = batch.get("labels"), batch.get("readings")
    if isinstance(labels, dict):
        check_label_count(labels, loc)
        batch["labels"] = _with_few(labels, {key for key, value in labels.items() if isinstance(value, str)})
    if isinstance(rows, list):
        fields = Row.__annotations__
        batch["readings"] = [_with_few(row, fields) if isinstance(row, dict) else row for row in rows]
    return batch


def _with_few(item: dict[str, Any], good: Collection[str]) -> dict[str, Any]:
    """The item with all its good keys, and the first few of the others."""
    if len(item) <= _NAMED:
        return item
    others = islice((key for key in item if key not in good), _NAMED)
    return {key: item[key] for key in (*(key for key in good if key in item), *others)}


def _faults(tree: Any, *, many: bool) -> list[Fault]:
    adapter: Any = MANY_FULL_BATCHES if many else ONE_FULL_BATCH
    try:
        # As JSON again: validated as Python objects, it would be refused in the words of Python.
        adapter.validate_json(to_json(tree, inf_nan_mode="constants"))
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
    inside = loc[1:] if many else loc
    said = (detail["type"], detail["msg"])
    match inside:
        case ("readings", _, name, *beyond):
            said = {"ts": _TIME, "value": _VALUE}.get(str(name), said)
        case ("values", _, _, *beyond):
            said = _CELL
        case ("ts", _, *beyond):
            said = _TIME
        case _:
            beyond = []
    code, message = _CODES.get(detail["type"], said)
    return Fault(loc[: len(loc) - len(beyond)], code, message)


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
