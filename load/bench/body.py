"""Bodies and whole requests, rendered before the clock starts."""

import gzip
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import cbor2
from cramjam import snappy

from load.bench.plan import METRICS, VALUE_TEXTS, VALUES, Plan, device_name, value_place
from load.protobuf import field, label, varint


class Format(StrEnum):
    """What a body is written in."""

    ROWS = "rows"
    COLUMNS = "columns"
    LINES = "lines"
    """InfluxDB's line protocol: the measurement is the metric, the tag the device, the one field `value`; in ms."""
    SAMPLES = "samples"
    """Remote write of Prometheus: as it sends them, each sample with all its labels, `instance` being the device."""
    PACKS = "packs"
    """SenML: the base name is the device, each record has its metric, time and value."""
    CBORPACKS = "cborpacks"
    """The same in CBOR."""
    THINGS = "things"
    """Telemetry of ThingsBoard. A key stands for one device there, so the plan's devices are put into the metrics."""
    POINTS = "points"
    """OTLP in Protocol Buffers: a gauge a metric, with its points; the device is the `service.instance.id`."""


CONTENT_TYPE = {
    Format.ROWS: "application/json",
    Format.COLUMNS: "application/json",
    Format.LINES: "text/plain; charset=utf-8",
    Format.SAMPLES: "application/x-protobuf",
    Format.PACKS: "application/senml+json",
    Format.CBORPACKS: "application/senml+cbor",
    Format.THINGS: "application/json",
    Format.POINTS: "application/x-protobuf",
}


@dataclass(frozen=True, slots=True)
class Door:
    """Where requests go, and how they are written."""

    host: str
    port: int
    path: str
    authorization: str
    """The header's value; empty: no such header."""
    format: Format
    gzip: bool = False

    def request(self, body: bytes) -> bytes:
        """The bytes of one HTTP/1.1 request."""
        if self.gzip:
            body = gzip.compress(body, 1)  # the level of load/device.py
        head = [
            f"POST {self.path} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            f"Content-Type: {CONTENT_TYPE[self.format]}",
            f"Content-Length: {len(body)}",
        ]
        head += [f"Authorization: {self.authorization}"] if self.authorization else []
        head += ["Content-Encoding: gzip"] if self.gzip else []
        head += ["Content-Encoding: snappy"] if self.format is Format.SAMPLES else []
        return "\r\n".join([*head, "", ""]).encode() + body


def render(plan: Plan, door: Door, mine: slice) -> list[bytes]:
    """The requests of a plan, in order of sending; `mine` takes one generator's share of them."""
    write = _WRITERS[door.format]
    times = plan.tick_texts() if door.format is Format.ROWS else []
    order = plan.order()[mine]
    made = {request: door.request(write(plan, times, request)) for request in dict.fromkeys(order)}
    return [made[request] for request in order]


def _rows(plan: Plan, times: list[str], request: int) -> bytes:
    device, metrics, ticks = plan.of(request)
    rows = ",".join(
        [
            f'{{"ts":"{times[tick]}","metric":"{METRICS[m]}","value":{VALUE_TEXTS[value_place(device, m, tick)]}}}'
            for tick in ticks
            for m in metrics
        ]
    )
    return f'{{"device":"{device_name(device)}","readings":[{rows}]}}'.encode()


def _columns(plan: Plan, times: list[str], request: int) -> bytes:
    device, metrics, ticks = plan.of(request)
    ts = ",".join([str(plan.base_ms + tick) for tick in ticks])
    values = ",".join(
        f'"{METRICS[m]}":[{",".join([VALUE_TEXTS[value_place(device, m, tick)] for tick in ticks])}]' for m in metrics
    )
    return f'{{"device":"{device_name(device)}","ts":[{ts}],"values":{{{values}}}}}'.encode()


def _lines(plan: Plan, times: list[str], request: int) -> bytes:
    device, metrics, ticks = plan.of(request)
    name = device_name(device)
    return "\n".join(
        [
            f"{METRICS[m]},device={name} value={VALUE_TEXTS[value_place(device, m, tick)]} {plan.base_ms + tick}"
            for tick in ticks
            for m in metrics
        ]
    ).encode()


def _samples(plan: Plan, times: list[str], request: int) -> bytes:
    device, metrics, ticks = plan.of(request)
    place = label("instance", device_name(device)) + label("job", "bench")
    heads = {m: label("__name__", METRICS[m]) + place for m in metrics}
    series = [
        heads[m] + field(2, b"\x09%b\x10%b" % (struct.pack("<d", VALUES[value_place(device, m, tick)]), varint(at)))
        for tick, at in zip(ticks, [plan.base_ms + tick for tick in ticks], strict=True)
        for m in metrics
    ]
    return bytes(snappy.compress_raw(b"".join([field(1, each) for each in series])))


def _points(plan: Plan, times: list[str], request: int) -> bytes:
    device, metrics, ticks = plan.of(request)
    tags = (("service.instance.id", device_name(device)), ("service.name", "bench"))
    resource = [field(1, field(1, name.encode()) + field(2, field(1, value.encode()))) for name, value in tags]
    gauges = []
    for m in metrics:
        values = [(plan.base_ms + tick, VALUES[value_place(device, m, tick)]) for tick in ticks]
        points = [
            field(1, b"\x19%b\x21%b" % (struct.pack("<Q", ms * 1_000_000), struct.pack("<d", value)))
            for ms, value in values
        ]
        gauges.append(field(2, field(1, METRICS[m].encode()) + field(5, b"".join(points))))
    scope = field(2, field(1, field(1, b"bench")) + b"".join(gauges))
    return field(1, field(1, b"".join(resource)) + scope)


def _pack(plan: Plan, request: int) -> list[dict[str, Any]]:
    device, metrics, ticks = plan.of(request)
    records: list[dict[str, Any]] = [
        {"n": METRICS[m], "t": tick / 1_000, "v": VALUES[value_place(device, m, tick)]}
        for tick in ticks
        for m in metrics
    ]
    records[0] = {"bn": f"{device_name(device)}/", "bt": plan.base_ms / 1_000} | records[0]
    return records


def _packs(plan: Plan, times: list[str], request: int) -> bytes:
    return json.dumps(_pack(plan, request), separators=(",", ":")).encode()


def _cborpacks(plan: Plan, times: list[str], request: int) -> bytes:
    labels = {"bn": -2, "bt": -3, "n": 0, "v": 2, "t": 6}
    return bytes(cbor2.dumps([{labels[key]: value for key, value in each.items()} for each in _pack(plan, request)]))


def _things(plan: Plan, times: list[str], request: int) -> bytes:
    device, metrics, ticks = plan.of(request)
    name = device_name(device)
    items = [
        {
            "ts": plan.base_ms + tick,
            "values": {f"{name}.{METRICS[m]}": VALUES[value_place(device, m, tick)] for m in metrics},
        }
        for tick in ticks
    ]
    return json.dumps(items, separators=(",", ":")).encode()


_WRITERS: dict[Format, Callable[[Plan, list[str], int], bytes]] = {
    Format.ROWS: _rows,
    Format.COLUMNS: _columns,
    Format.LINES: _lines,
    Format.SAMPLES: _samples,
    Format.PACKS: _packs,
    Format.CBORPACKS: _cborpacks,
    Format.THINGS: _things,
    Format.POINTS: _points,
}
