"""The protocols in which the devices of a run write, and what each calls success."""

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cramjam import snappy

from load.batch import Batch, Layout, encode
from load.device import PATH
from load.protobuf import field, label, varint


@dataclass(frozen=True, slots=True)
class Dialect:
    """How batches become the body of a request."""

    name: str
    path: str
    """With `{key}` where the protocol has the key there, and in no header: one that is bound to the device."""
    headers: dict[str, str]
    encode: Callable[[Sequence[Batch]], bytes]
    success: int
    """The status that says that all of it is stored."""
    receipt: bool = False
    """Whether the answer says how many readings it took."""


def lines(batches: Sequence[Batch]) -> bytes:
    """InfluxDB's line protocol: the measurement is the metric, the tag the device, the one field `value`; in µs."""
    return "\n".join(
        f"{metric},device={batch.device} value={float(cell)!r} {ts}"
        for batch in batches
        for metric, cells in batch.values.items()
        for ts, cell in zip(batch.ts, cells, strict=True)
        if cell is not None
    ).encode()


def samples(batches: Sequence[Batch]) -> bytes:
    """Remote write of Prometheus: `instance` is the device; labels in order of their names; in ms."""
    series = []
    for batch in batches:
        for metric, cells in batch.values.items():
            labels = label("__name__", metric) + label("instance", batch.device)
            points = b"".join(
                field(2, b"\x09%b\x10%b" % (struct.pack("<d", cell), varint(ts // 1_000)))
                for ts, cell in zip(batch.ts, cells, strict=True)
                if cell is not None
            )
            series.append(field(1, labels + points))
    return bytes(snappy.compress_raw(b"".join(series)))


def pack(batches: Sequence[Batch]) -> bytes:
    """SenML: names whole, in seconds."""
    records = [
        {"n": f"{batch.device}/{metric}", "t": ts / 1e6, "v": float(cell)}
        for batch in batches
        for metric, cells in batch.values.items()
        for ts, cell in zip(batch.ts, cells, strict=True)
        if cell is not None
    ]
    return json.dumps(records, separators=(",", ":")).encode()


def telemetry(batches: Sequence[Batch]) -> bytes:
    """ThingsBoard's: an object for each time; in ms. The device is the one of the key."""
    moments = [
        {
            "ts": ts // 1_000,
            "values": {metric: cells[n] for metric, cells in batch.values.items() if cells[n] is not None},
        }
        for batch in batches
        for n, ts in enumerate(batch.ts)
    ]
    return json.dumps(moments, separators=(",", ":")).encode()


def metrics(batches: Sequence[Batch]) -> bytes:
    """OTLP's, in JSON: a resource for each device, gauges."""
    resources = []
    for batch in batches:
        gauges = [
            {
                "name": metric,
                "gauge": {
                    "dataPoints": [
                        {"timeUnixNano": str(ts * 1_000), "asDouble": float(cell)}
                        for ts, cell in zip(batch.ts, cells, strict=True)
                        if cell is not None
                    ]
                },
            }
            for metric, cells in batch.values.items()
        ]
        device = {"key": "device", "value": {"stringValue": batch.device}}
        resources.append({"resource": {"attributes": [device]}, "scopeMetrics": [{"metrics": gauges}]})
    return json.dumps({"resourceMetrics": resources}, separators=(",", ":")).encode()


NATIVE = Dialect(
    "native",
    PATH,
    {"Content-Type": "application/json"},
    lambda batches: encode(batches, Layout.COLUMNS),
    200,
    receipt=True,
)
INFLUX = Dialect(
    "influx",
    "/api/v2/write?org=load&bucket=load&precision=us",
    {"Content-Type": "text/plain; charset=utf-8"},
    lines,
    204,
)
PROMETHEUS = Dialect(
    "prometheus",
    "/api/v1/write",
    {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"},
    samples,
    204,
)
SENML = Dialect("senml", PATH, {"Content-Type": "application/senml+json"}, pack, 200, receipt=True)
THINGSBOARD = Dialect("thingsboard", "/api/v1/{key}/telemetry", {"Content-Type": "application/json"}, telemetry, 200)
OTLP = Dialect("otlp", "/v1/metrics", {"Content-Type": "application/json"}, metrics, 200)
FOREIGN = (INFLUX, PROMETHEUS, OTLP, SENML, THINGSBOARD)
"""Taken in turn by the devices of `mixed`."""
