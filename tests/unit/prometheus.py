"""WriteRequests as Protocol Buffers' own runtime writes and reads them, and what the decoder makes of them."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from ingest.formats import prometheus
from ingest.formats.mapping import Mapping
from ingest.formats.terms import Terms
from schemas.columns import Columns
from tests.unit.influx import BOUNDS, NOW_US

STALE = b"\x02\0\0\0\0\0\xf0\x7f"
"""The marker of a series that is no more, as the wire has it."""

DOUBLE, INT64, MESSAGE, BYTES = 1, 3, 11, 12  # kinds of fields; a text as bytes, so that any can be written
MESSAGES: dict[str, Sequence[tuple[str, int, int, str]]] = {
    "Label": [("name", 1, BYTES, ""), ("value", 2, BYTES, "")],
    "Sample": [("value", 1, DOUBLE, ""), ("timestamp", 2, INT64, "")],
    "Other": [("value", 1, DOUBLE, "")],
    "TimeSeries": [
        ("labels", 1, MESSAGE, ".p.Label"),
        ("samples", 2, MESSAGE, ".p.Sample"),
        ("exemplars", 3, MESSAGE, ".p.Other"),
        ("histograms", 4, MESSAGE, ".p.Other"),
    ],
    "WriteRequest": [("timeseries", 1, MESSAGE, ".p.TimeSeries"), ("metadata", 3, MESSAGE, ".p.Other")],
}

Series = tuple[Iterable[tuple[str | bytes, str | bytes]], Iterable[tuple[float, int]]]
"""Labels, and samples: value and milliseconds."""
Row = tuple[str, str, str, int, float]


def _message_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="p.proto", package="p", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, of in fields:
            message.field.add(
                name=field, number=number, type=kind, type_name=of or None, label=3 if kind == MESSAGE else 1
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("p.WriteRequest"))


WriteRequest = _message_class()


def request(*series: Series) -> Any:
    """A message; `SerializeToString` makes a body of it."""
    message = WriteRequest()
    for labels, samples in series:
        each = message.timeseries.add()
        for name, value in labels:
            each.labels.add(name=_bytes(name), value=_bytes(value))
        for number, time in samples:
            each.samples.add(value=number, timestamp=time)
    return message


def body(*series: Series) -> bytes:
    """A body, not yet compressed."""
    written: bytes = request(*series).SerializeToString()
    return written


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def read(raw: bytes, mapping: Mapping | None = None, own: str | None = None) -> Columns:
    """Decode a body."""
    return prometheus.decode(raw, Terms(BOUNDS, NOW_US, mapping or Mapping(), own))


def rows_of(message: Any) -> list[Row]:
    """What has to be read of a message whose labels are good and include `instance`: finite samples in bounds."""
    rows = []
    for series in message.timeseries:
        labels = {each.name.decode(): each.value.decode() for each in series.labels if each.value}
        metric, device = labels.pop("__name__"), labels.pop("instance")
        text = json.dumps(labels, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        rows += [
            (device, metric, text, sample.timestamp * 1_000, sample.value)
            for sample in series.samples
            if abs(sample.value) < float("inf") and BOUNDS.oldest_us <= sample.timestamp * 1_000 <= BOUNDS.newest_us
        ]
    return rows
