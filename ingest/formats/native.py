"""The decoder of Sluice's own JSON (contract §3): rows, columns, or an array of either."""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np
from pydantic import ValidationError

from ingest.formats.native_faults import Salvaged, check_label_count, examine
from ingest.formats.times import Bounds, Times, read_times
from schemas.columns import Bools, Columns, Float64s, Int32s, Int64s, SeriesKey, canonical_labels
from schemas.errors import Fault, Invalid, Loc, TooLarge
from schemas.names import MAX_NAME_CHARS, name_fault
from schemas.readings import MANY_BATCHES, MAX_LABEL_CHARS, ONE_BATCH, Batch

_ARRAY = re.compile(rb"[ \t\r\n]*\[")
_NO_LABELS = "{}"
_LARGE = 1 << 20  # bytes of a body; in fewer there is no room for keys enough to do harm
_COLONS = 10  # of one reading: three keys, a time with an offset, and some in its names


@dataclass(slots=True)
class _Part:
    """One batch as arrays, with a way back from a place to where it stood in the body."""

    series: list[SeriesKey]
    codes: Int32s
    ts: Int64s
    value: Float64s
    bad: Bools | None = None
    faults: Callable[[], Iterator[Fault]] = lambda: iter(())


def decode(body: bytes, bounds: Bounds, *, partial: bool = False) -> Columns:
    """Read a body.

    Raises Malformed (not JSON), TooLarge (more than `bounds.max_readings`) and Invalid (anything else wrong with it).
    With `partial`, faults that lie within readings do not raise: those readings are left out and named in `rejected`.
    """
    many = _ARRAY.match(body) is not None
    saved: Salvaged | None = None
    batches = None if _is_crowded(body, bounds.max_readings) else _validated(body, many=many)
    if batches is None:
        saved = examine(body, bounds.max_readings, many=many, partial=partial)
        batches = saved.batches
    _check_count(batches, bounds.max_readings)
    parts = []
    for number, batch in enumerate(batches):
        skip = saved.rows.get(number, ()) if saved else ()
        parts.append(_part(batch, (number,) if many else (), bounds, skip))
    return _join(parts, saved.faults if saved else [], partial=partial)


def _is_crowded(body: bytes, max_readings: int) -> bool:
    """Whether a body may have so many keys that validating it would take hundreds of megabytes, if they are wrong."""
    return len(body) > _LARGE and body.count(b":") > _COLONS * max_readings


def _validated(body: bytes, *, many: bool) -> list[Batch] | None:
    try:
        return MANY_BATCHES.validate_json(body) if many else [ONE_BATCH.validate_json(body)]
    except ValidationError:
        return None


def _check_count(batches: list[Batch], limit: int) -> None:
    count = len(batches) - 1  # a batch without readings is work too
    for batch in batches:
        columns = batch.get("values", {})
        cells = sum(map(len, columns.values()))
        count += len(batch.get("readings", ())) + max(cells, len(columns))  # so is a column without cells
        count += len(batch.get("ts", ())) if not columns else 0
    if count > limit:
        raise TooLarge("readings", limit)


def _part(batch: Batch, loc: Loc, bounds: Bounds, skip: Collection[int]) -> _Part:
    device, labels = batch["device"], batch.get("labels")
    if fault := name_fault(device):
        raise Invalid([Fault((*loc, "device"), "name_invalid", fault)])
    text = _checked_labels(labels, loc) if labels else _NO_LABELS
    if "readings" in batch and not ("ts" in batch or "values" in batch):
        return _rows(batch, text, loc, bounds, skip)
    if "ts" in batch and "values" in batch and "readings" not in batch:
        return _columns(batch, text, loc, bounds, skip)
    message = "a batch has either 'readings', or 'ts' together with 'values'"
    raise Invalid([Fault(loc, "layout", message)])


def _checked_labels(labels: dict[str, str], loc: Loc) -> str:
    """Labels as text, within their bounds. Raises Invalid."""
    check_label_count(labels, loc)
    for key, value in labels.items():
        at = (*loc, "labels", key)
        if fault := name_fault(key):
            raise Invalid([Fault(at, "name_invalid", fault)])
        if len(value) > MAX_LABEL_CHARS or "\0" in value:
            message = f"a label's value has at most {MAX_LABEL_CHARS} characters, and none of them is NUL"
            raise Invalid([Fault(at, "label_invalid", message)])
    return canonical_labels(labels)


def _rows(batch: Batch, labels: str, loc: Loc, bounds: Bounds, skip: Collection[int]) -> _Part:
    rows = batch["readings"]
    metrics = [row["metric"] for row in rows]
    places = {metric: place for place, metric in enumerate(dict.fromkeys(metrics))}
    codes = np.fromiter(map(places.__getitem__, metrics), np.int32, len(rows))
    times = read_times([row["ts"] for row in rows], bounds)
    value = np.array([row["value"] for row in rows], np.float64)
    part = _Part([SeriesKey(batch["device"], metric, labels) for metric in places], codes, times.micros, value)
    wrong = {metric: fault for metric in places if (fault := name_fault(metric))}
    if not (wrong or skip or times.bad is not None):
        return part
    misnamed = np.array([metric in wrong for metric in metrics], np.bool_)
    skipped = np.isin(np.arange(len(rows)), list(skip))
    part.bad = misnamed | skipped | (False if times.bad is None else times.bad)

    def faults() -> Iterator[Fault]:
        for place in np.flatnonzero(misnamed & ~skipped).tolist():
            yield Fault((*loc, "readings", place, "metric"), "name_invalid", wrong[metrics[place]])
        yield from _time_faults(times, ~(misnamed | skipped), lambda place: (*loc, "readings", place, "ts"))

    part.faults = faults
    return part


def _columns(batch: Batch, labels: str, loc: Loc, bounds: Bounds, skip: Collection[int]) -> _Part:
    raw, columns = batch["ts"], batch["values"]
    faults = [
        Fault((*loc, "values", metric), "length_mismatch", f"'ts' has {len(raw)} items, this column {len(column)}")
        for metric, column in columns.items()
        if len(column) != len(raw)
    ]
    faults += [
        Fault((*loc, "values", metric[: MAX_NAME_CHARS + 1]), "name_invalid", fault)
        for metric in columns
        if (fault := name_fault(metric))
    ]
    if faults:
        raise Invalid(faults)
    times = read_times(raw, bounds)
    value = np.array([cell for column in columns.values() for cell in column], np.float64)  # null becomes NaN
    codes = np.repeat(np.arange(len(columns), dtype=np.int32), len(raw))
    ts = np.tile(times.micros, len(columns))
    part = _Part([SeriesKey(batch["device"], metric, labels) for metric in columns], codes, ts, value)
    empty = np.isnan(value)
    if times.bad is not None or skip:
        skipped = np.isin(np.arange(len(raw)), list(skip))
        bad = skipped | (False if times.bad is None else times.bad)
        part.bad = empty | np.tile(bad, len(columns))
        part.faults = lambda: _time_faults(times, ~skipped, lambda place: (*loc, "ts", place))
    elif empty.any():
        part.bad = empty
    return part


def _time_faults(times: Times, where: Bools, loc: Callable[[int], Loc]) -> Iterator[Fault]:
    if times.bad is not None:
        for place in np.flatnonzero(times.bad & where).tolist():
            yield times.fault(place, loc(place))


def _join(parts: list[_Part], faults: list[Fault], *, partial: bool) -> Columns:
    """Make one request's columns of its batches' parts, without what is bad."""
    found = [fault for part in parts for fault in part.faults()]
    if found and not partial:
        raise Invalid(found)
    if len(parts) == 1 and parts[0].bad is None:
        part = parts[0]
        return Columns(part.series, part.codes, part.ts, part.value, faults)
    series: dict[SeriesKey, int] = {}
    codes = []
    for part in parts:
        kept = part.codes[_good(part)]
        # Only series that a good reading names: a bad one must not leave a series behind.
        places = np.zeros(len(part.series), np.int32)
        for code in np.unique(kept).tolist():
            places[code] = series.setdefault(part.series[code], len(series))
        codes.append(places[kept])
    return Columns(
        list(series),
        np.concatenate([np.empty(0, np.int32), *codes]),
        np.concatenate([np.empty(0, np.int64), *(part.ts[_good(part)] for part in parts)]),
        np.concatenate([np.empty(0, np.float64), *(part.value[_good(part)] for part in parts)]),
        [*faults, *found],
    )


def _good(part: _Part) -> Bools | slice:
    return slice(None) if part.bad is None else ~part.bad
